//! Keys and certificates as PEM. Knows no files.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};
use time::{Duration, OffsetDateTime};

/// How long an authority and what it signs are good for. Who wants shorter ones runs an authority of their own.
const LIFETIME: Duration = Duration::days(3650);
/// Clocks differ.
const SKEW: Duration = Duration::days(1);
/// The subject of every authority that this program makes.
const AUTHORITY_NAME: &str = "Postrider authority";

/// A certificate and its key, PEM.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) certificate: String,
    pub(crate) key: String,
}

/// An authority for the agents of one installation.
pub(super) fn authority() -> anyhow::Result<Pair> {
    let key = KeyPair::generate()?;
    let certificate = authority_parameters().self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

fn authority_parameters() -> CertificateParams {
    let mut parameters = named(AUTHORITY_NAME);
    parameters.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    parameters.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    parameters
}

/// An authority that is there already, ready to sign.
pub(super) fn issuer(certificate: &str, key: &str) -> anyhow::Result<Issuer<'static, KeyPair>> {
    let key = KeyPair::from_pem(key).context("its key cannot be read")?;
    // rcgen reads a certificate only with a parser that nothing else here needs. What it signs names the authority by its
    // subject and its key, and every authority of ours has the same subject.
    let certificate = decode(certificate).context("its certificate is no PEM")?;
    let holds = |octets: &[u8]| certificate.windows(octets.len()).any(|window| window == octets);
    anyhow::ensure!(holds(AUTHORITY_NAME.as_bytes()), "its certificate was not made by this program");
    anyhow::ensure!(holds(key.public_key_raw()), "its certificate and its key do not belong together");
    Ok(Issuer::new(authority_parameters(), key))
}

fn decode(pem: &str) -> Option<Vec<u8>> {
    use base64::Engine as _;
    let body: String = pem.lines().filter(|line| !line.starts_with("-----")).collect();
    base64::engine::general_purpose::STANDARD.decode(body).ok()
}

/// For an agent that others call and that calls others.
pub(super) fn agent(name: &str, issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<Pair> {
    let purposes = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    signed(&leaf(&[name.to_owned()], purposes)?, issuer)
}

/// For a server that clients know under these names.
pub(super) fn server(names: &[String], issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<Pair> {
    signed(&leaf(names, vec![ExtendedKeyUsagePurpose::ServerAuth])?, issuer)
}

/// For a server that nobody vouches for, on this machine.
pub(crate) fn self_signed(hostname: &str) -> anyhow::Result<Pair> {
    let mut names = vec![hostname.to_owned()];
    if hostname != "localhost" {
        names.push("localhost".to_owned());
    }
    let mut parameters = leaf(&names, vec![ExtendedKeyUsagePurpose::ServerAuth])?;
    for address in [IpAddr::from(Ipv4Addr::LOCALHOST), IpAddr::from(Ipv6Addr::LOCALHOST)] {
        parameters.subject_alt_names.push(SanType::IpAddress(address));
    }
    let key = KeyPair::generate()?;
    let certificate = parameters.self_signed(&key)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}

fn leaf(names: &[String], purposes: Vec<ExtendedKeyUsagePurpose>) -> anyhow::Result<CertificateParams> {
    let mut parameters = named(names.first().map_or("localhost", String::as_str));
    for name in names {
        parameters.subject_alt_names.push(SanType::DnsName(name.as_str().try_into()?));
    }
    parameters.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages = purposes;
    parameters.use_authority_key_identifier_extension = true;
    Ok(parameters)
}

fn named(common_name: &str) -> CertificateParams {
    let mut parameters = CertificateParams::default();
    parameters.distinguished_name.push(DnType::CommonName, common_name);
    let now = OffsetDateTime::now_utc();
    parameters.not_before = now - SKEW;
    parameters.not_after = now + LIFETIME;
    parameters
}

fn signed(parameters: &CertificateParams, issuer: &Issuer<'_, KeyPair>) -> anyhow::Result<Pair> {
    let key = KeyPair::generate()?;
    let certificate = parameters.signed_by(&key, issuer)?.pem();
    Ok(Pair { certificate, key: key.serialize_pem() })
}
