//! The envelope of RFC 5321 2.3.1 with the options of RFC 1652, 3461 and 6531, and where it came from.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{ForwardPath, Mailbox, ReversePath};

/// Everything that MAIL and RCPT said.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    /// MAIL FROM.
    pub reverse_path: ReversePath,
    /// RCPT TO, in the order they came.
    pub recipients: Vec<Recipient>,
    /// BODY (RFC 6152).
    pub body: BodyType,
    /// SMTPUTF8 was asked for (RFC 6531).
    pub smtputf8: bool,
    /// RET (RFC 3461 4.3).
    pub ret: Option<Ret>,
    /// ENVID (RFC 3461 4.4), decoded from xtext.
    pub envid: Option<String>,
    /// Who handed it in.
    pub origin: Origin,
}

impl Envelope {
    /// An envelope without recipients yet.
    #[must_use]
    pub fn new(reverse_path: ReversePath, origin: Origin) -> Self {
        Self {
            reverse_path,
            recipients: Vec::new(),
            body: BodyType::SevenBit,
            smtputf8: false,
            ret: None,
            envid: None,
            origin,
        }
    }
}

/// One RCPT with its DSN options.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipient {
    /// RCPT TO.
    pub forward_path: ForwardPath,
    /// NOTIFY (RFC 3461 4.1).
    pub notify: Notify,
    /// ORCPT (RFC 3461 4.2).
    pub original: Option<OriginalRecipient>,
}

impl From<ForwardPath> for Recipient {
    fn from(forward_path: ForwardPath) -> Self {
        Self { forward_path, notify: Notify::default(), original: None }
    }
}

/// BODY of RFC 6152 and RFC 3030.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum BodyType {
    /// 7BIT, and when nothing was said.
    #[default]
    SevenBit,
    /// 8BITMIME.
    EightBitMime,
    /// BINARYMIME.
    BinaryMime,
}

impl BodyType {
    /// The value of the BODY parameter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SevenBit => "7BIT",
            Self::EightBitMime => "8BITMIME",
            Self::BinaryMime => "BINARYMIME",
        }
    }
}

/// RET of RFC 3461 4.3: how much of the message a failure notice returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ret {
    /// The whole message.
    Full,
    /// Its header section.
    Headers,
}

impl Ret {
    /// The value of the RET parameter.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Full => "FULL",
            Self::Headers => "HDRS",
        }
    }
}

/// NOTIFY of RFC 3461 4.1: on what the sender wants to hear.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notify {
    /// On delivery.
    pub success: bool,
    /// On failure.
    pub failure: bool,
    /// On delay.
    pub delay: bool,
    /// Whether NOTIFY was given; what was not given is not passed on.
    pub explicit: bool,
}

impl Notify {
    /// NOTIFY=NEVER.
    pub const NEVER: Self = Self { success: false, failure: false, delay: false, explicit: true };

    /// The value of the NOTIFY parameter, or `None` where none was given.
    #[must_use]
    pub fn parameter(self) -> Option<String> {
        if !self.explicit {
            return None;
        }
        let wanted: Vec<&str> = [(self.success, "SUCCESS"), (self.failure, "FAILURE"), (self.delay, "DELAY")]
            .into_iter()
            .filter_map(|(on, word)| on.then_some(word))
            .collect();
        Some(if wanted.is_empty() { "NEVER".to_owned() } else { wanted.join(",") })
    }
}

/// What holds where no NOTIFY was given: failures and long delays (RFC 3461 4.1).
impl Default for Notify {
    fn default() -> Self {
        Self { success: false, failure: true, delay: true, explicit: false }
    }
}

/// ORCPT of RFC 3461 4.2, decoded from xtext.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalRecipient {
    /// Such as `rfc822` or `utf-8`.
    pub address_type: String,
    /// The address as it was first given.
    pub address: String,
}

impl fmt::Display for OriginalRecipient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{};{}", self.address_type, self.address)
    }
}

/// Who handed a message in, for trace fields and for people who ask.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Origin {
    /// The peer's address; none for a message made here.
    pub address: Option<IpAddr>,
    /// What the peer called itself in EHLO.
    pub helo: String,
    /// The authenticated account.
    pub account: Option<Mailbox>,
    /// The WITH value of the Received field (RFC 3848): SMTP, ESMTP, ESMTPS, ESMTPA, ESMTPSA, UTF8SMTP….
    pub protocol: String,
}
