//! Messages in a form that the next way can carry: 8-bit and binary parts encoded for a way of 7 bits, lines that are too long
//! for SMTP brought below its limit, header fields folded and encoded (RFC 2045, 2047, 2231, 5322 2.1.1, 6152 3). Only what
//! needs it is changed; a message that needs nothing is not copied, and one that does is copied in those parts alone. Knows
//! no session, and decides nothing about who may send what.
//!
//! What is never changed: parts of multipart/signed and multipart/encrypted (RFC 1847 2.1, RFC 3156 3), message/partial and
//! message/external-body, and the whole of a message that carries a DKIM-Signature. A signature within a part
//! (application/pkcs7-mime) is not touched by another transfer encoding around it, nor is one of a message that is attached
//! anything that a receiving server looks at.

mod addresses;
mod encode;
mod fields;
mod fold;
mod parameters;
mod scan;
mod structure;
mod walk;
mod words;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use crate::{BodyType, Content, header};

pub use scan::{LINE_LIMIT, Octets, has_bare_line_break};

/// Entities within one another that are walked.
pub const DEPTH: usize = 32;

/// What carries a message on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// What bodies may hold.
    pub body: BodyType,
    /// What its header section may hold.
    pub letters: Letters,
    /// Whether the content came as BINARYMIME and may hold a CR or an LF alone; any other does not.
    pub from_binary: bool,
}

/// What header fields hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Letters {
    /// Whatever it is, it stays.
    Any,
    /// UTF-8 (RFC 6532).
    Utf8,
    /// ASCII (RFC 5322).
    Ascii,
}

/// Why a message cannot be brought into a form that the way carries. The text of each is fit to be sent to a peer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// It may not be changed, and would have to be.
    #[error("a signed, encrypted or divided part must not be altered, and holds {0}")]
    Sealed(Obstacle),
    /// The same of a message with a DKIM signature.
    #[error("it is signed (DKIM-Signature) and must not be altered, and holds {0}")]
    Signed(Obstacle),
    /// A header field cannot be folded.
    #[error("the {0} field has a line of more than 998 octets with no place to fold it")]
    HeaderTooLong(String),
    /// A NUL in a header field.
    #[error("the {0} field holds a NUL character")]
    HeaderNul(String),
    /// A header field with letters that it has no form for.
    #[error("the {0} field holds characters that are not ASCII and cannot be encoded there")]
    HeaderLetters(String),
    /// A header field in some character set that nobody can know.
    #[error("the {0} field holds octets that are neither ASCII nor UTF-8")]
    HeaderNotUtf8(String),
    /// A line in a header section that belongs to no field.
    #[error("its header section has a line that is no field")]
    HeaderLine,
    /// A transfer encoding that is not known.
    #[error("a part has an unknown Content-Transfer-Encoding, and holds {0}")]
    Encoding(Obstacle),
    /// A multipart without its delimiters or with too many, or a part whose header cannot be read.
    #[error("a part is not well-formed, and holds {0}")]
    Structure(Obstacle),
    /// Parts in parts in parts.
    #[error("its parts are nested too deep to be altered, and hold {0}")]
    TooDeep(Obstacle),
}

/// What the way cannot carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Obstacle {
    /// Octets above 127.
    EightBit,
    /// A line of more than 998 octets.
    LongLine,
    /// A CR or an LF alone.
    BareLineBreak,
    /// A NUL.
    Nul,
    /// Something in the header section.
    Header,
}

impl std::fmt::Display for Obstacle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::EightBit => "8-bit octets",
            Self::LongLine => "a line of more than 998 octets",
            Self::BareLineBreak => "a bare CR or LF",
            Self::Nul => "a NUL character",
            Self::Header => "a header field that would have to be altered",
        })
    }
}

impl Way {
    /// What is in a body that this way cannot carry. A NUL is legal on the wire (RFC 5321 4.1.1.4) and no reason to refuse what may
    /// not be changed; what may is encoded.
    fn obstacle(self, octets: &[u8]) -> Option<Obstacle> {
        if self.body == BodyType::BinaryMime {
            return None;
        }
        let found = Octets::of(octets);
        match found {
            Octets { eight_bit: true, .. } if self.body == BodyType::SevenBit => Some(Obstacle::EightBit),
            Octets { long_line: true, .. } => Some(Obstacle::LongLine),
            _ if self.from_binary && has_bare_line_break(octets) => Some(Obstacle::BareLineBreak),
            Octets { nul: true, .. } => Some(Obstacle::Nul),
            _ => None,
        }
    }

    /// Letters of the header sections of messages within.
    fn inner_letters(self) -> Letters {
        if self.body == BodyType::SevenBit { Letters::Ascii } else { Letters::Any }
    }
}

/// Brings content into a form that this way can carry; `None` where it is that already. The first segment of what comes out
/// holds the whole header section, and each part that did not change is shared with the content.
///
/// # Errors
/// When something would have to be changed that may not be, or has no other form.
pub fn convert(content: &Content, way: Way) -> Result<Option<Content>, Unfit> {
    let (section, body) = content.split_header();
    let (end, _) = header::split(&section);
    let (header, empty_line) = (section.slice(..end.len()), end.len() < section.len());
    let repaired = fields::repair(&header, way.letters);
    let body = body.to_bytes();
    let obstacle = way.obstacle(&body);
    if let (Ok(None), None) = (&repaired, obstacle) {
        return Ok(None);
    }
    if header::find(&header, "DKIM-Signature").is_some() {
        return match obstacle {
            // What can be left as it is stays.
            None | Some(Obstacle::Nul) if is_only_untidy(&header, way) => Ok(None),
            Some(obstacle @ (Obstacle::EightBit | Obstacle::LongLine | Obstacle::BareLineBreak)) => {
                Err(Unfit::Signed(obstacle))
            }
            _ => Err(repaired.err().unwrap_or(Unfit::Signed(Obstacle::Header))),
        };
    }
    let repaired = repaired?.map_or(header, Bytes::from);
    walk::convert(way, &repaired, empty_line, body).map(Some)
}

/// Whether the header section can be carried as it is, if need be.
fn is_only_untidy(header: &[u8], way: Way) -> bool {
    let found = Octets::of(header);
    !found.nul && !found.long_line && (way.letters != Letters::Ascii || !found.eight_bit)
}
