//! Enhanced status codes (RFC 3463) and the status that a reply carries: code, enhanced code and text.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize, Serializer, de};

use crate::address::serde_as_text;

/// `class.subject.detail` of RFC 3463.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EnhancedStatus {
    /// 2 success, 4 persistent transient failure, 5 permanent failure.
    pub class: u8,
    /// What the status is about, 0 to 999.
    pub subject: u16,
    /// What of it, 0 to 999.
    pub detail: u16,
}

impl EnhancedStatus {
    /// The status `class.subject.detail`.
    #[must_use]
    pub const fn new(class: u8, subject: u16, detail: u16) -> Self {
        Self { class, subject, detail }
    }

    /// Takes an enhanced status off the front of a reply's text, when its class fits the reply code.
    #[must_use]
    pub fn parse_prefix(text: &str, code: u16) -> Option<(Self, &str)> {
        let (head, rest) = text.split_once(' ').unwrap_or((text, ""));
        let status: Self = head.parse().ok()?;
        (u16::from(status.class) == code / 100).then_some((status, rest))
    }
}

impl fmt::Display for EnhancedStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.class, self.subject, self.detail)
    }
}

/// A text that is no enhanced status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not an enhanced status code such as 5.1.1")]
pub struct EnhancedStatusError;

impl FromStr for EnhancedStatus {
    type Err = EnhancedStatusError;
    fn from_str(text: &str) -> Result<Self, EnhancedStatusError> {
        let mut parts = text.split('.');
        let mut part = || {
            let digits = parts.next().filter(|p| (1..=3).contains(&p.len()))?;
            digits.bytes().all(|b| b.is_ascii_digit()).then(|| digits.parse::<u16>().ok())?
        };
        let (class, subject, detail) = (part(), part(), part());
        match (class, subject, detail, parts.next()) {
            (Some(class @ (2 | 4 | 5)), Some(subject), Some(detail), None) => {
                Ok(Self { class: u8::try_from(class).map_err(|_| EnhancedStatusError)?, subject, detail })
            }
            _ => Err(EnhancedStatusError),
        }
    }
}

serde_as_text!(EnhancedStatus);

/// What a reply said, or what we say in place of one: code, enhanced status code and text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// The reply code (RFC 5321 4.2), 200 to 599.
    pub code: u16,
    /// The enhanced status code (RFC 3463).
    pub enhanced: EnhancedStatus,
    /// One line for people, without CR or LF.
    pub text: String,
}

impl Status {
    /// A status; line ends and control characters in `text` become spaces.
    #[must_use]
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<String>) -> Self {
        let mut text = text.into();
        if text.contains(char::is_control) {
            text = text.replace(char::is_control, " ");
        }
        Self { code, enhanced: EnhancedStatus::new(enhanced.0, enhanced.1, enhanced.2), text }
    }

    /// Whether trying again later may help (4yz).
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// Whether it is a success (2yz).
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }
}

/// `550 5.1.1 no such user`.
impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.code, self.enhanced, self.text)
    }
}

/// Reads what `Display` writes; anything else becomes the text of a 451 4.0.0, so that a stored status never gets lost.
impl From<&str> for Status {
    fn from(text: &str) -> Self {
        let parsed = text.split_once(' ').and_then(|(code, rest)| {
            let code = code.parse().ok()?;
            let (enhanced, text) = EnhancedStatus::parse_prefix(rest, code)?;
            Some(Self { code, enhanced, text: text.to_owned() })
        });
        parsed.unwrap_or_else(|| Self::new(451, (4, 0, 0), text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_read_back_as_written() {
        let status = Status::new(550, (5, 1, 1), "no such\r\nuser");
        assert_eq!(status.to_string(), "550 5.1.1 no such  user");
        assert_eq!(Status::from(status.to_string().as_str()), status);
    }

    #[test]
    fn an_enhanced_status_of_another_class_is_text() {
        assert_eq!(EnhancedStatus::parse_prefix("5.1.1 x", 550), Some((EnhancedStatus::new(5, 1, 1), "x")));
        assert_eq!(EnhancedStatus::parse_prefix("2.1.1 x", 550), None);
        for text in ["", "5", "5.1", "5.1.1.1", "3.1.1", "5.1000.1", "5.+1.1", "x.y.z"] {
            assert!(text.parse::<EnhancedStatus>().is_err(), "{text}");
        }
    }
}
