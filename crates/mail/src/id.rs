//! The name of a queued message, as peers hear it behind 250 and people type it.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer, de};

use crate::Timestamp;
use crate::address::serde_as_text;

/// Crockford's alphabet in lower case: no letter can be taken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
const LENGTH: usize = 16;

/// Where a message lies and which it is: 80 bits, written as 16 characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct QueueId {
    /// The database.
    pub shard: u8,
    /// The share of the queue within the database.
    pub lane: u8,
    /// Milliseconds since 2025 and a sequence number; unique within the lane, ordered by time, never negative as `i64`.
    pub number: u64,
}

/// 2025-01-01T00:00:00Z, where the milliseconds of a queue id begin.
const EPOCH_MS: i64 = 1_735_689_600_000;
/// Bits of a queue id below its milliseconds.
const SEQUENCE_BITS: u32 = 12;

impl QueueId {
    /// When the id was given out, by the clock of who gave it.
    #[must_use]
    pub fn allocated_at(self) -> Timestamp {
        let millis = i64::try_from(self.number >> SEQUENCE_BITS).unwrap_or(i64::MAX);
        Timestamp::from_millis(EPOCH_MS.saturating_add(millis))
    }
}

impl fmt::Display for QueueId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bits = (u128::from(self.shard) << 72) | (u128::from(self.lane) << 64) | u128::from(self.number);
        let mut text = [0u8; LENGTH];
        for (place, character) in text.iter_mut().enumerate() {
            let digit = (bits >> (5 * (LENGTH - 1 - place))) & 31;
            *character = ALPHABET[usize::try_from(digit).unwrap_or(0)];
        }
        f.write_str(str::from_utf8(&text).unwrap_or_default())
    }
}

/// A text that is no queue id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a queue id has 16 characters of 0-9 and a-z without i, l, o and u")]
pub struct QueueIdError;

impl FromStr for QueueId {
    type Err = QueueIdError;
    fn from_str(text: &str) -> Result<Self, QueueIdError> {
        if text.len() != LENGTH {
            return Err(QueueIdError);
        }
        let mut bits = 0u128;
        for byte in text.bytes() {
            let digit = ALPHABET.iter().position(|c| *c == byte.to_ascii_lowercase()).ok_or(QueueIdError)?;
            bits = (bits << 5) | digit as u128;
        }
        let [_, _, _, _, _, _, shard, lane, number @ ..] = bits.to_be_bytes();
        Ok(Self { shard, lane, number: u64::from_be_bytes(number) })
    }
}

serde_as_text!(QueueId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_tells_when_it_was_given_out() {
        let id = QueueId { shard: 0, lane: 7, number: (5 << SEQUENCE_BITS) | 3 };
        assert_eq!(id.allocated_at().to_string(), "2025-01-01T00:00:00.005Z");
    }

    #[test]
    fn an_id_is_read_back_as_written() {
        for id in [
            QueueId { shard: 0, lane: 0, number: 0 },
            QueueId { shard: 1, lane: 255, number: 0x7fff_ffff_ffff_ffff },
            QueueId { shard: 255, lane: 255, number: u64::MAX },
        ] {
            assert_eq!(id.to_string().len(), 16);
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        assert_eq!("short".parse::<QueueId>(), Err(QueueIdError));
        assert_eq!("uuuuuuuuuuuuuuuu".parse::<QueueId>(), Err(QueueIdError));
    }
}
