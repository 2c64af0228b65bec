//! The keys of SCRAM-SHA-256 (RFC 5802 3, RFC 7677): how they are made of a password, written down, and compared with a
//! client's proof. Pure; it knows nothing of accounts or of where keys are kept.

use std::num::NonZeroU32;

use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{digest, hmac, pbkdf2};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail::ServerSignature;

use crate::Error;

/// Octets of a hash, a key and a proof.
const LENGTH: usize = 32;
/// How stored keys begin; the form is RFC 5803's.
const SCHEME: &str = "SCRAM-SHA-256";

/// What a server keeps of a password to check proofs with.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Keys {
    pub(crate) salt: Vec<u8>,
    pub(crate) iterations: u32,
    stored_key: [u8; LENGTH],
    server_key: [u8; LENGTH],
}

impl Keys {
    /// Derives the keys of a password; takes time in proportion to `iterations`.
    pub(crate) fn derive(password: &str, salt: &[u8], iterations: NonZeroU32) -> Self {
        // What SASLprep cannot prepare, clients send as it is; so does whoever prepares nothing at all.
        let prepared = stringprep::saslprep(password);
        let password = prepared.as_deref().unwrap_or(password);
        let mut salted = [0; LENGTH];
        pbkdf2::derive(pbkdf2::PBKDF2_HMAC_SHA256, iterations, salt, password.as_bytes(), &mut salted);
        let client_key = sign(&salted, b"Client Key");
        let stored_key = hash(&client_key);
        let server_key = sign(&salted, b"Server Key");
        Self { salt: salt.to_vec(), iterations: iterations.get(), stored_key, server_key }
    }

    /// Keys that no password has; for logins that do not exist.
    pub(crate) fn of_nobody(salt: Vec<u8>, iterations: u32, secret: [u8; LENGTH]) -> Self {
        Self { salt, iterations, stored_key: secret, server_key: secret }
    }

    /// What proves the server to the client, when the client's proof is right (RFC 5802 3). A wrong proof takes as long.
    pub(crate) fn verify(&self, auth_message: &str, proof: &[u8; LENGTH]) -> Option<ServerSignature> {
        let mut client_key = sign(&self.stored_key, auth_message.as_bytes());
        for (octet, proof) in client_key.iter_mut().zip(proof) {
            *octet ^= proof;
        }
        let server_signature = sign(&self.server_key, auth_message.as_bytes());
        let right = verify_slices_are_equal(&hash(&client_key), &self.stored_key).is_ok();
        right.then_some(server_signature)
    }

    /// As the storage keeps it: `SCRAM-SHA-256$iterations:salt$StoredKey:ServerKey` (RFC 5803 2).
    pub(crate) fn to_text(&self) -> String {
        let [salt, stored, server] =
            [&self.salt[..], &self.stored_key, &self.server_key].map(|octets| BASE64.encode(octets));
        format!("{SCHEME}${}:{salt}${stored}:{server}", self.iterations)
    }

    /// Reads what [`Keys::to_text`] wrote.
    pub(crate) fn parse(text: &str) -> Result<Self, Error> {
        Self::read(text).ok_or(Error::Corrupt("SCRAM key"))
    }

    fn read(text: &str) -> Option<Self> {
        let (parameters, keys) = text.strip_prefix(SCHEME)?.strip_prefix('$')?.split_once('$')?;
        let (iterations, salt) = parameters.split_once(':')?;
        let (stored, server) = keys.split_once(':')?;
        let key = |text: &str| BASE64.decode(text).ok()?.try_into().ok();
        Some(Self {
            salt: BASE64.decode(salt).ok()?,
            iterations: iterations.parse().ok()?,
            stored_key: key(stored)?,
            server_key: key(server)?,
        })
    }
}

/// HMAC-SHA-256.
pub(crate) fn sign(key: &[u8], message: &[u8]) -> [u8; LENGTH] {
    fit(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref())
}

fn hash(octets: &[u8]) -> [u8; LENGTH] {
    fit(digest::digest(&digest::SHA256, octets).as_ref())
}

/// SHA-256 gives as many octets as this, whatever type its library hands them over in.
fn fit(octets: &[u8]) -> [u8; LENGTH] {
    let mut fitted = [0; LENGTH];
    fitted.copy_from_slice(octets);
    fitted
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(password: &str, iterations: u32) -> Keys {
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        Keys::derive(password, &salt, NonZeroU32::new(iterations).unwrap())
    }

    /// The exchange of RFC 7677 3.
    const AUTH_MESSAGE: &str = "n=user,r=rOprNGfwEbeRWgbNEkqO,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
        s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096,c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";

    #[test]
    fn the_example_of_the_standard_is_proven_both_ways() {
        let keys = keys("pencil", 4096);
        let proof = BASE64.decode("dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=").unwrap();
        let mut proof: [u8; 32] = proof.try_into().unwrap();
        let signature = keys.verify(AUTH_MESSAGE, &proof).unwrap();
        assert_eq!(BASE64.encode(signature), "6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=");
        assert_eq!(keys.verify(&AUTH_MESSAGE.replace("c=biws", "c=eSws"), &proof), None);
        proof[31] ^= 1;
        assert_eq!(keys.verify(AUTH_MESSAGE, &proof), None);
        assert_eq!(keys.verify(AUTH_MESSAGE, &[0; 32]), None);
    }

    #[test]
    fn keys_are_read_as_they_are_written_and_nothing_else_is() {
        let keys = keys("pencil", 4096);
        let text = keys.to_text();
        assert!(
            text.starts_with(
                "SCRAM-SHA-256$4096:W22ZaJ0SNY7soEsUEjb6gQ==$WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY=:"
            ),
            "{text}"
        );
        assert!(Keys::parse(&text).unwrap() == keys);
        for wrong in [
            "",
            "SCRAM-SHA-256$4096:$:",
            &text.replace("256", "1"),
            &text[..text.len() - 4],
            &text.replace("4096", "-1"),
        ] {
            assert!(Keys::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn passwords_are_prepared_as_clients_prepare_them() {
        // RFC 4013 3: a soft hyphen is mapped to nothing, compatibility characters are normalised.
        assert!(keys("I\u{AD}X", 1) == keys("IX", 1) && keys("\u{2168}", 1) == keys("IX", 1));
        // What SASLprep does not know of stands as it is: a control character, an emoji younger than its tables.
        assert!(keys("\u{7}", 1) != keys("", 1) && keys("\u{1F40E}", 1) != keys("\u{1F40F}", 1));
    }
}
