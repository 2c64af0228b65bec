//! Numbers of bytes as people write them.

use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const UNITS: [(&str, u64); 9] = [
    ("TiB", 1 << 40),
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("TB", 1_000_000_000_000),
    ("GB", 1_000_000_000),
    ("MB", 1_000_000),
    ("kB", 1_000),
    ("B", 1),
];

/// A number of bytes, written as `"25MiB"`, `"10MB"`, `"512 KiB"` or a plain number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ByteSize(u64);

impl ByteSize {
    /// That many bytes.
    pub const fn bytes(bytes: u64) -> ByteSize {
        ByteSize(bytes)
    }

    /// That many units of 2^10 bytes.
    pub const fn kib(number: u64) -> ByteSize {
        ByteSize(number << 10)
    }

    /// That many units of 2^20 bytes.
    pub const fn mib(number: u64) -> ByteSize {
        ByteSize(number << 20)
    }

    /// In bytes.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// In bytes, for lengths in memory; more than this machine can address is as much as it can.
    pub fn as_usize(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<ByteSize, String> {
        let malformed = || "write a number of bytes, as in \"25MiB\", \"512KiB\" or 1000".to_owned();
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let number: u64 = text[..digits].parse().map_err(|_| malformed())?;
        let unit = text[digits..].trim_start();
        let factor = match unit {
            "" => 1,
            _ => UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)).ok_or_else(malformed)?.1,
        };
        // TOML numbers are signed: what is more than they hold could not be printed.
        let bytes = number.checked_mul(factor).filter(|bytes| i64::try_from(*bytes).is_ok());
        bytes.map(ByteSize).ok_or_else(|| "too large a number of bytes".to_owned())
    }
}

/// In the largest binary unit that is exact.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match UNITS[..4].iter().find(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor)) {
            Some((unit, factor)) => write!(f, "{}{unit}", self.0 / factor),
            None => write!(f, "{}B", self.0),
        }
    }
}

impl Serialize for ByteSize {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ByteSize {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<ByteSize, D::Error> {
        deserializer.deserialize_any(TextOrNumber)
    }
}

struct TextOrNumber;

impl Visitor<'_> for TextOrNumber {
    type Value = ByteSize;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a number of bytes, as in \"25MiB\" or 1000")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ByteSize, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ByteSize, E> {
        u64::try_from(number).map(ByteSize).map_err(|_| E::invalid_value(Unexpected::Signed(number), &self))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ByteSize, E> {
        Ok(ByteSize(number))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_writes_it_back() {
        for (text, bytes, printed) in [
            ("25MiB", 25 << 20, "25MiB"),
            ("512 KiB", 512 << 10, "512KiB"),
            ("1024KiB", 1 << 20, "1MiB"),
            ("10MB", 10_000_000, "10000000B"),
            ("1000", 1000, "1000B"),
            ("1gib", 1 << 30, "1GiB"),
            ("0", 0, "0B"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!(size.get(), bytes, "{text}");
            assert_eq!(size.to_string(), printed, "{text}");
            assert_eq!(size.to_string().parse::<ByteSize>().unwrap(), size, "{text}");
        }
    }

    #[test]
    fn refuses_nonsense_and_more_than_can_be_printed() {
        for text in ["", "MiB", "1.5MiB", "-1", "1XB", "99999999999999999999", "9223372036854775807KiB"] {
            assert!(text.parse::<ByteSize>().is_err(), "{text}");
        }
    }
}
