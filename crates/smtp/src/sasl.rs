//! The exchanges of AUTH (RFC 4954) for both sides, as values that each line moves on: PLAIN (RFC 4616), LOGIN,
//! SCRAM-SHA-256 and SCRAM-SHA-256-PLUS (RFC 5802, 7677), OAUTHBEARER (RFC 7628), XOAUTH2 and EXTERNAL (RFC 4422 A). Knows
//! no accounts: who is who is for the agent to say.

mod bearer;
mod client;
mod exchange;
mod mechanism;
pub mod scram;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

pub use client::{ClientExchange, ClientFault, choose};
pub use exchange::{Channel, Exchange, Judgement, Progress};
pub use mechanism::{Mechanism, UnknownMechanism};

/// Longest message of an exchange that is looked at, decoded. Tokens are the longest that there are.
const MESSAGE_LIMIT: usize = 9 * 1024;

/// Text from base64; `None` where it is neither, or too long.
fn decode(line: &str) -> Option<String> {
    let octets = BASE64.decode(line).ok().filter(|octets| octets.len() <= MESSAGE_LIMIT)?;
    String::from_utf8(octets).ok()
}

fn encode(text: impl AsRef<[u8]>) -> String {
    BASE64.encode(text)
}
