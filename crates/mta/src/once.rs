//! What is kept with an idempotency key, so that whoever repeats a request hears what was answered to the first: the numbers
//! of the recipients' deliveries, and the note of whoever handed the message in.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use mail::IdempotencyKey;
use protocol::{Error, ErrorKind, Submitted};
use queue::Kept;

/// The note that the queue keeps: how many numbers, the numbers, the rest.
pub(crate) fn note(numbers: &[u16], note: &[u8]) -> Bytes {
    let mut octets = BytesMut::with_capacity(2 + 2 * numbers.len() + note.len());
    octets.put_u16(u16::try_from(numbers.len()).unwrap_or(u16::MAX));
    numbers.iter().take(usize::from(u16::MAX)).for_each(|number| octets.put_u16(*number));
    octets.put_slice(note);
    octets.freeze()
}

/// What was answered to the first request with this key.
///
/// # Errors
/// `AlreadyExists` when that was another request.
pub(crate) fn answered(kept: Kept, key: &IdempotencyKey) -> Result<Submitted, Error> {
    if kept.fingerprint != key.fingerprint {
        let text = "the idempotency key was used for another request";
        return Err(Error::new(ErrorKind::AlreadyExists, text));
    }
    let mut octets = kept.note;
    let cut = |_| Error::new(ErrorKind::Internal, "what was kept with the idempotency key cannot be read");
    let count = octets.try_get_u16().map_err(cut)?;
    let numbers = (0..count).map(|_| octets.try_get_u16()).collect::<Result<_, _>>().map_err(cut)?;
    Ok(Submitted { id: kept.id, numbers, repeated: Some(octets) })
}

#[cfg(test)]
mod tests {
    use mail::QueueId;

    use super::*;

    fn kept(note: Bytes) -> Kept {
        Kept { id: QueueId { shard: 0, lane: 1, number: 2 }, fingerprint: [1; 32], note }
    }

    fn key(fingerprint: [u8; 32]) -> IdempotencyKey {
        IdempotencyKey::new("alice@example.test".parse().unwrap(), "k", fingerprint).unwrap()
    }

    #[test]
    fn what_was_kept_is_answered_again() {
        for numbers in [vec![], vec![0, 1, 7, u16::MAX]] {
            let submitted = answered(kept(note(&numbers, b"more")), &key([1; 32])).unwrap();
            assert_eq!((submitted.numbers, submitted.repeated.unwrap().as_ref()), (numbers, &b"more"[..]));
        }
    }

    #[test]
    fn another_request_and_half_a_note_are_errors() {
        let kind = |answer: Result<Submitted, Error>| answer.unwrap_err().kind;
        assert_eq!(kind(answered(kept(note(&[1], b"")), &key([2; 32]))), ErrorKind::AlreadyExists);
        for half in [&b""[..], b"\0", b"\0\x02\0\x01\0"] {
            assert_eq!(kind(answered(kept(Bytes::from(half)), &key([1; 32]))), ErrorKind::Internal);
        }
    }
}
