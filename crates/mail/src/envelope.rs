//! The envelope of RFC 5321 2.3.1 with the options of RFC 2852, 3461, 4865, 6152, 6531, 6710 and 8689, and where it came
//! from.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use crate::{ForwardPath, Mailbox, ReversePath, Timestamp, unitext};

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
    /// BY (RFC 2852).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deliver_by: Option<DeliverBy>,
    /// HOLDFOR or HOLDUNTIL (RFC 4865).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Hold>,
    /// MT-PRIORITY (RFC 6710).
    #[serde(default, skip_serializing_if = "Priority::is_normal")]
    pub priority: Priority,
    /// REQUIRETLS (RFC 8689): every hop is to be over TLS with a certificate that is verified.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub require_tls: bool,
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
            deliver_by: None,
            hold: None,
            priority: Priority::NORMAL,
            require_tls: false,
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

/// BY of RFC 2852 4: the time in which a message is to be delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeliverBy {
    /// Seconds from when the message was accepted here; negative where the time was over before (with `Notify` only).
    pub seconds: i64,
    /// What happens when the time is over.
    pub mode: DeliverByMode,
    /// Whether each relaying is to be reported.
    pub trace: bool,
}

/// The by-mode of RFC 2852 4.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum DeliverByMode {
    /// `R`: the message is returned.
    Return,
    /// `N`: the sender is told, and attempts go on.
    Notify,
}

/// A message that is to leave later (RFC 4865 4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Hold {
    /// HOLDFOR: so many seconds from when it was accepted here.
    For(u32),
    /// HOLDUNTIL.
    Until(Timestamp),
}

/// MT-PRIORITY of RFC 6710: from -9 to 9, and 0 where none was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(try_from = "i8", into = "i8")]
pub struct Priority(i8);

impl Priority {
    /// Where none was given.
    pub const NORMAL: Self = Self(0);

    /// A priority from -9 to 9; `None` beyond.
    #[must_use]
    pub fn new(value: i8) -> Option<Self> {
        (-9..=9).contains(&value).then_some(Self(value))
    }

    /// From -9 to 9.
    #[must_use]
    pub const fn get(self) -> i8 {
        self.0
    }

    /// Whether it is what holds where none was given.
    #[must_use]
    pub fn is_normal(&self) -> bool {
        *self == Self::NORMAL
    }
}

impl TryFrom<i8> for Priority {
    type Error = &'static str;
    fn try_from(value: i8) -> Result<Self, Self::Error> {
        Self::new(value).ok_or("a priority is between -9 and 9")
    }
}

impl From<Priority> for i8 {
    fn from(priority: Priority) -> Self {
        priority.0
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

impl OriginalRecipient {
    /// With the address in ASCII: an international one in the form of RFC 6533 3, whatever type it was said to have.
    #[must_use]
    pub fn to_ascii(&self) -> String {
        if self.is_utf8() || !self.address.is_ascii() {
            return format!("{};{}", unitext::ADDRESS_TYPE, unitext::encode(&self.address));
        }
        self.to_string()
    }

    /// Whether its type is the one for addresses in UTF-8 (RFC 6533 3).
    #[must_use]
    pub fn is_utf8(&self) -> bool {
        self.address_type.eq_ignore_ascii_case(unitext::ADDRESS_TYPE)
    }
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
    /// The correlation token that the session's TICK gave.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tick: Option<String>,
}
