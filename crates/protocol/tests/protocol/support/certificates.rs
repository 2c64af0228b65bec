//! An authority and what it signs.

use protocol::tls::Credentials;
use rcgen::{BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// The credentials of an agent of this name on this machine.
    pub(crate) fn credentials(&self, name: &str) -> Credentials {
        let (certificate, key) = self.leaf(name);
        Credentials::from_pem(&certificate, &key, &self.pem)
    }

    /// A certificate of this authority for somebody who trusts another.
    pub(crate) fn credentials_trusting(&self, name: &str, other: &Self) -> Credentials {
        let (certificate, key) = self.leaf(name);
        Credentials::from_pem(&certificate, &key, &other.pem)
    }

    fn leaf(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let names = vec![name.to_owned(), "localhost".to_owned(), "127.0.0.1".to_owned()];
        let mut params = CertificateParams::new(names).unwrap();
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        (params.signed_by(&key, &self.issuer).unwrap().pem(), key.serialize_pem())
    }
}
