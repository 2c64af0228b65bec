//! Lengths of time as people write them.

use std::fmt;
use std::ops::Deref;
use std::str::FromStr;

use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Units and their length in microseconds, the longest first.
const UNITS: [(&str, u64); 7] = [
    ("w", 7 * 86_400_000_000),
    ("d", 86_400_000_000),
    ("h", 3_600_000_000),
    ("m", 60_000_000),
    ("s", 1_000_000),
    ("ms", 1_000),
    ("us", 1),
];

/// A length of time, written as `"500ms"`, `"2s"`, `"1m30s"`, `"5d"`. Dereferences to [`std::time::Duration`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Duration(std::time::Duration);

impl Duration {
    /// That many seconds.
    pub const fn from_secs(seconds: u64) -> Duration {
        Duration(std::time::Duration::from_secs(seconds))
    }

    /// That many milliseconds.
    pub const fn from_millis(milliseconds: u64) -> Duration {
        Duration(std::time::Duration::from_millis(milliseconds))
    }

    /// As the standard library has it.
    pub const fn get(self) -> std::time::Duration {
        self.0
    }
}

impl Deref for Duration {
    type Target = std::time::Duration;

    fn deref(&self) -> &std::time::Duration {
        &self.0
    }
}

impl From<Duration> for std::time::Duration {
    fn from(duration: Duration) -> std::time::Duration {
        duration.0
    }
}

impl From<std::time::Duration> for Duration {
    fn from(duration: std::time::Duration) -> Duration {
        Duration(duration)
    }
}

impl FromStr for Duration {
    type Err = String;

    fn from_str(text: &str) -> Result<Duration, String> {
        let malformed =
            || "write a length of time with its unit, as in \"500ms\", \"30s\", \"1m30s\", \"5d\"".to_owned();
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(malformed());
        }
        let mut microseconds: u64 = 0;
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(malformed)?;
            let number: u64 = rest[..digits].parse().map_err(|_| malformed())?;
            rest = &rest[digits..];
            let letters = rest.find(|c: char| !c.is_ascii_alphabetic()).unwrap_or(rest.len());
            let (_, length) =
                UNITS.iter().find(|(unit, _)| *unit == &rest[..letters]).ok_or_else(malformed)?;
            rest = rest[letters..].trim_start();
            microseconds = number
                .checked_mul(*length)
                .and_then(|part| microseconds.checked_add(part))
                .ok_or_else(|| "too long a time".to_owned())?;
        }
        Ok(Duration(std::time::Duration::from_micros(microseconds)))
    }
}

/// The same form that is read; what is under a microsecond is left out. Weeks are for reading only: `"14d"` is clearer.
impl fmt::Display for Duration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = u64::try_from(self.0.as_micros()).unwrap_or(u64::MAX);
        if rest == 0 {
            return f.write_str("0s");
        }
        for (unit, length) in &UNITS[1..] {
            if rest >= *length {
                write!(f, "{}{unit}", rest / length)?;
                rest %= length;
            }
        }
        Ok(())
    }
}

impl Serialize for Duration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Duration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
        deserializer.deserialize_str(Text)
    }
}

struct Text;

impl Visitor<'_> for Text {
    type Value = Duration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a length of time with its unit, as in \"30s\"")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Duration, E> {
        text.parse().map_err(|_| E::invalid_value(Unexpected::Str(text), &self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_people_write_and_writes_it_back() {
        for (text, seconds, printed) in [
            ("2s", 2, "2s"),
            ("1m30s", 90, "1m30s"),
            ("1m 30s", 90, "1m30s"),
            ("90s", 90, "1m30s"),
            ("10m", 600, "10m"),
            ("5d", 432_000, "5d"),
            ("2w", 1_209_600, "14d"),
            ("0s", 0, "0s"),
        ] {
            let duration: Duration = text.parse().unwrap();
            assert_eq!(duration, Duration::from_secs(seconds), "{text}");
            assert_eq!(duration.to_string(), printed, "{text}");
        }
        let short: Duration = "1s250ms".parse().unwrap();
        assert_eq!((short, short.to_string().as_str()), (Duration::from_millis(1250), "1s250ms"));
        assert_eq!("500us".parse::<Duration>().unwrap().as_micros(), 500);
    }

    #[test]
    fn refuses_numbers_without_unit_and_nonsense() {
        for text in
            ["", " ", "30", "s", "1x", "1.5h", "-1s", "2 s", "1s,2s", "99999999999999999999s", "99999999999w"]
        {
            assert!(text.parse::<Duration>().is_err(), "{text}");
        }
    }
}
