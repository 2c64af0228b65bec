//! Tokens that are JWTs (RFC 7519, RFC 9068): the signature is checked with a key of their issuer. Only public keys sign
//! here, so that nobody can pass off what the issuer publishes as a shared secret (RFC 8725 3.1).

use jsonwebtoken::{Algorithm, Header, Validation, decode, decode_header};

use super::Denial;
use super::claims::Claims;
use super::keys::{Key, KeyRing};

/// How a token may be signed.
pub(super) const ALGORITHMS: [Algorithm; 4] =
    [Algorithm::RS256, Algorithm::PS256, Algorithm::ES256, Algorithm::EdDSA];
/// What a token may say to be (RFC 9068 2.1): no logout token, no proof of possession.
const TYPES: [&str; 4] = ["at+jwt", "application/at+jwt", "jwt", "application/jwt"];

/// The claims of a token whose signature is right.
pub(super) async fn verify(token: &str, ring: &KeyRing) -> Result<Claims, Denial> {
    let header = decode_header(token).map_err(|_| Denial::Refused("it is no signed JWT"))?;
    check(&header).map_err(Denial::Refused)?;
    let kid = header.kid.as_deref();
    let keys = ring.find(kid, header.alg).await?;
    let mut validation = Validation::new(header.alg);
    // The signature alone: the claims are checked in one place, against our clock.
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_aud = false;
    for key in keys.iter().filter(|key| key.fits(kid, header.alg)) {
        if let Ok(token) = decode::<Claims>(token, key.decoding_key(), &validation) {
            return Ok(token.claims);
        }
    }
    Err(Denial::Refused("its signature is wrong"))
}

fn check(header: &Header) -> Result<(), &'static str> {
    if !ALGORITHMS.contains(&header.alg) {
        return Err("it is signed in a way that is not taken");
    }
    // Nothing that is critical is understood (RFC 7515 4.1.11).
    if header.crit.is_some() {
        return Err("it asks for what is not understood");
    }
    match &header.typ {
        Some(typ) if !TYPES.contains(&typ.to_ascii_lowercase().as_str()) => Err("it is no access token"),
        _ => Ok(()),
    }
}

/// Keys that may have signed it.
pub(super) fn any_fits(keys: &[Key], kid: Option<&str>, algorithm: Algorithm) -> bool {
    keys.iter().any(|key| key.fits(kid, algorithm))
}
