//! Points in time as the queue stores them and as header fields show them. Never asks what time it is.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize, Serializer, de};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use time::macros::format_description;

/// Milliseconds since 1970, UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

impl Timestamp {
    /// From milliseconds since 1970.
    #[must_use]
    pub const fn from_millis(millis: i64) -> Self {
        Self(millis)
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn as_millis(self) -> i64 {
        self.0
    }

    /// The duration since an earlier time; zero when it is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(u64::try_from(self.0.saturating_sub(earlier.0)).unwrap_or(0))
    }

    /// The date-time of RFC 5322 3.3, in UTC: `Mon, 23 Nov 2026 17:44:00 +0000`.
    #[must_use]
    pub fn rfc5322(self) -> String {
        let format = format_description!(
            "[weekday repr:short], [day padding:none] [month repr:short] [year] [hour]:[minute]:[second] +0000"
        );
        self.date_time().format(format).unwrap_or_default()
    }

    /// The same moment without its fraction of a second.
    #[must_use]
    pub const fn whole_seconds(self) -> Self {
        Self(self.0 - self.0.rem_euclid(1000))
    }

    /// The minute, for people who wait for it: `17:44 UTC`, with its date where that is not the day of `now`.
    #[must_use]
    pub fn minute(self, now: Self) -> String {
        let (time, now) = (self.date_time(), now.date_time());
        let text = if time.date() == now.date() {
            time.format(format_description!("[hour]:[minute] UTC"))
        } else {
            time.format(format_description!("[year]-[month]-[day] [hour]:[minute] UTC"))
        };
        text.unwrap_or_default()
    }

    fn date_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl std::ops::Add<Duration> for Timestamp {
    type Output = Self;
    fn add(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)))
    }
}

impl From<SystemTime> for Timestamp {
    fn from(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        Self(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// RFC 3339 in UTC.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.date_time().format(&Rfc3339).unwrap_or_default())
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A text that is no date-time of RFC 3339.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a date and time such as 2026-11-23T17:44:05Z")]
pub struct TimestampError;

/// RFC 3339, whatever the offset from UTC.
impl FromStr for Timestamp {
    type Err = TimestampError;
    fn from_str(text: &str) -> Result<Self, TimestampError> {
        let time = OffsetDateTime::parse(text, &Rfc3339).map_err(|_| TimestampError)?;
        let millis = time.unix_timestamp_nanos().div_euclid(1_000_000);
        let read = i64::try_from(millis).map(Self).map_err(|_| TimestampError)?;
        // An offset may lead out of the years that can be written.
        let utc = OffsetDateTime::from_unix_timestamp(read.0.div_euclid(1000)).map_err(|_| TimestampError)?;
        if utc.year() < 0 { Err(TimestampError) } else { Ok(read) }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: de::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_as_mail_and_logs_want_them() {
        let time = Timestamp::from_millis(1_795_455_845_123);
        assert_eq!(time.rfc5322(), "Mon, 23 Nov 2026 17:44:05 +0000");
        assert_eq!(time.to_string(), "2026-11-23T17:44:05.123Z");
        assert_eq!(time.minute(time + Duration::from_secs(3600)), "17:44 UTC");
        assert_eq!(time.minute(time + Duration::from_secs(36_000)), "2026-11-23 17:44 UTC");
        assert_eq!((time + Duration::from_secs(1)).since(time), Duration::from_secs(1));
        assert_eq!(time.since(time + Duration::from_secs(1)), Duration::ZERO);
        assert_eq!(time.whole_seconds().to_string(), "2026-11-23T17:44:05Z");
        assert_eq!("2026-11-23T19:44:05.123+02:00".parse(), Ok(time));
        for beyond in ["0000-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"] {
            assert_eq!(beyond.parse::<Timestamp>(), Err(TimestampError), "{beyond}");
        }
        assert_eq!("2026-11-23T19:44:05".parse::<Timestamp>(), Err(TimestampError));
    }
}
