//! What is read out of a certificate: the hash that stands for it in channel binding, and the addresses that it is for.
//! Whether a certificate is to be believed is not known here.

use std::sync::Arc;

use aws_lc_rs::digest::{self, Algorithm};
use x509_parser::asn1_rs::{Any, FromDer as _, Oid, Utf8String, oid};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::signature_algorithm::SignatureAlgorithm;

/// Addresses of one certificate that are looked at.
const ADDRESSES: usize = 16;

/// `id-on-SmtpUTF8Mailbox` (RFC 9598 3).
const SMTP_UTF8_MAILBOX: Oid<'static> = oid!(1.3.6.1.5.5.7.8.9);

/// `tls-server-end-point` of RFC 5929 4.1: the certificate under the hash of its own signature, or SHA-256 where that is MD5
/// or SHA-1. `None` where the signature has no hash of its own, such as Ed25519: then this binding is not defined.
pub(super) fn end_point(certificate: &[u8]) -> Option<Arc<[u8]>> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let hash = digest::digest(hash_of(&parsed)?, certificate);
    Some(hash.as_ref().into())
}

fn hash_of(certificate: &X509Certificate<'_>) -> Option<&'static Algorithm> {
    let identifier = &certificate.signature_algorithm;
    if let Ok(SignatureAlgorithm::RSASSA_PSS(parameters)) = SignatureAlgorithm::try_from(identifier) {
        // SHA-1 where it is left out (RFC 4055 3.1).
        let hash = parameters.hash_algorithm().map(|hash| hash.algorithm.to_id_string());
        return match hash.as_deref() {
            None | Some("1.3.14.3.2.26" | "2.16.840.1.101.3.4.2.1") => Some(&digest::SHA256),
            Some("2.16.840.1.101.3.4.2.2") => Some(&digest::SHA384),
            Some("2.16.840.1.101.3.4.2.3") => Some(&digest::SHA512),
            Some(_) => None,
        };
    }
    match identifier.algorithm.to_id_string().as_str() {
        // RSA with MD5, SHA-1, SHA-256; ECDSA with SHA-1, SHA-256.
        "1.2.840.113549.1.1.4"
        | "1.2.840.113549.1.1.5"
        | "1.2.840.113549.1.1.11"
        | "1.2.840.10045.4.1"
        | "1.2.840.10045.4.3.2" => Some(&digest::SHA256),
        "1.2.840.113549.1.1.12" | "1.2.840.10045.4.3.3" => Some(&digest::SHA384),
        "1.2.840.113549.1.1.13" | "1.2.840.10045.4.3.4" => Some(&digest::SHA512),
        _ => None,
    }
}

/// The mail addresses among the alternative names (RFC 5280 4.2.1.6, RFC 9598). Those that some certificates have in their
/// subject's name count for nothing (RFC 8550 3).
pub(super) fn addresses(certificate: &[u8]) -> Vec<String> {
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else { return Vec::new() };
    let Ok(Some(names)) = parsed.subject_alternative_name() else { return Vec::new() };
    let addresses = names.value.general_names.iter().filter_map(|name| match name {
        GeneralName::RFC822Name(address) => Some((*address).to_owned()),
        GeneralName::OtherName(kind, value) if *kind == SMTP_UTF8_MAILBOX => utf8_mailbox(value),
        _ => None,
    });
    addresses.take(ADDRESSES).collect()
}

/// `[0] EXPLICIT UTF8String`.
fn utf8_mailbox(value: &[u8]) -> Option<String> {
    let (_, explicit) = Any::from_der(value).ok()?;
    let (rest, mailbox) = Utf8String::from_der(explicit.data).ok()?;
    rest.is_empty().then(|| mailbox.string())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType, SignatureAlgorithm as Algorithm};

    use super::*;

    fn made(algorithm: &'static Algorithm, names: Vec<SanType>) -> Vec<u8> {
        let mut parameters = CertificateParams::default();
        parameters.subject_alt_names = names;
        let key = KeyPair::generate_for(algorithm).unwrap();
        parameters.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn a_certificate_is_hashed_as_it_is_signed() {
        for (algorithm, hash) in [
            (&rcgen::PKCS_ECDSA_P256_SHA256, Some(&digest::SHA256)),
            (&rcgen::PKCS_ECDSA_P384_SHA384, Some(&digest::SHA384)),
            (&rcgen::PKCS_RSA_SHA256, Some(&digest::SHA256)),
            (&rcgen::PKCS_ED25519, None),
        ] {
            let certificate = made(algorithm, Vec::new());
            let expected = hash.map(|hash| digest::digest(hash, &certificate).as_ref().into());
            assert_eq!(end_point(&certificate), expected, "{algorithm:?}");
        }
        assert_eq!(end_point(b"nothing"), None);
    }

    #[test]
    fn addresses_are_those_of_mail() {
        let utf8 =
            (vec![1, 3, 6, 1, 5, 5, 7, 8, 9], rcgen::OtherNameValue::Utf8String("bøb@b.example".to_owned()));
        let other = (
            vec![1, 3, 6, 1, 4, 1, 311, 20, 2, 3],
            rcgen::OtherNameValue::Utf8String("upn@b.example".to_owned()),
        );
        let names = vec![
            SanType::DnsName("b.example".try_into().unwrap()),
            SanType::Rfc822Name("a@b.example".try_into().unwrap()),
            SanType::OtherName(utf8),
            SanType::OtherName(other),
        ];
        let certificate = made(&rcgen::PKCS_ECDSA_P256_SHA256, names);
        assert_eq!(addresses(&certificate), ["a@b.example", "bøb@b.example"]);
        let many = (0..100).map(|n| SanType::Rfc822Name(format!("a{n}@b.example").try_into().unwrap()));
        let certificate = made(&rcgen::PKCS_ECDSA_P256_SHA256, many.collect());
        assert_eq!(addresses(&certificate).len(), ADDRESSES);
        assert_eq!(addresses(&made(&rcgen::PKCS_ECDSA_P256_SHA256, Vec::new())), Vec::<String>::new());
        assert_eq!(addresses(b"nothing"), Vec::<String>::new());
    }
}
