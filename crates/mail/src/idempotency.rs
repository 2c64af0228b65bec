//! The key by which a client says that two requests are one (the HTTP field Idempotency-Key). Knows no HTTP and no database.

use bytes::Bytes;

use crate::Mailbox;

/// Longest key in octets; a UUID has 36.
pub const KEY_LIMIT: usize = 255;

/// A client's name for one submission, with what is needed to tell its repetition from a mistake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey {
    /// Whose key it is; the same key of another account is another key.
    pub account: Mailbox,
    /// The key, as the client made it up.
    pub key: String,
    /// A hash over all that makes the request what it is: a key comes back with the same one, or by mistake.
    pub fingerprint: [u8; 32],
    /// What whoever repeats the request is to be told beside the queue id; opaque to all but who made it.
    pub note: Bytes,
}

/// A text that cannot be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an idempotency key has 1 to 255 visible ASCII characters")]
pub struct IdempotencyKeyError;

impl IdempotencyKey {
    /// A key of this account, for a request of this fingerprint, without a note yet.
    ///
    /// # Errors
    /// When the text is empty, too long, or holds anything but visible ASCII.
    pub fn new(account: Mailbox, key: &str, fingerprint: [u8; 32]) -> Result<Self, IdempotencyKeyError> {
        let is_visible = key.bytes().all(|octet| octet.is_ascii_graphic());
        if key.is_empty() || key.len() > KEY_LIMIT || !is_visible {
            return Err(IdempotencyKeyError);
        }
        Ok(Self { account, key: key.to_owned(), fingerprint, note: Bytes::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_a_short_visible_text() {
        let make = |key: &str| IdempotencyKey::new("a@a.test".parse().unwrap(), key, [0; 32]);
        assert_eq!(make("8e03978e-40d5").unwrap().key, "8e03978e-40d5");
        assert!(make(&"x".repeat(KEY_LIMIT)).is_ok());
        for key in ["", "a b", "a\0", "ä", "a\r\nb", &"x".repeat(KEY_LIMIT + 1)] {
            assert_eq!(make(key), Err(IdempotencyKeyError), "{key:?}");
        }
    }
}
