//! Messages brought into a form that a server takes: either they are refused, or what comes out can be carried and needs
//! nothing more; and where nothing was to be done, it could be carried as it was.

use mail::mime::{Letters, Octets, Way, convert};
use mail::{BodyType, Content};

use crate::wire;

/// `flags, message…`
pub(crate) fn check(octets: &[u8]) {
    let ([flags], message) = wire::controls(octets);
    let from_binary = flags & 4 > 0;
    // What is refused as it comes in: a bare CR or LF, in the body of a binary message excepted.
    let (section, _) = mail::header::split(message);
    if wire::has_bare_line_break(if from_binary { section } else { message }) {
        return;
    }
    let way = Way {
        body: if flags & 1 > 0 { BodyType::SevenBit } else { BodyType::EightBitMime },
        letters: if flags & 2 > 0 { Letters::Ascii } else { Letters::Utf8 },
        from_binary,
    };
    let Ok(converted) = convert(&Content::from(message.to_vec()), way) else { return };
    let signed = mail::header::find(message, "DKIM-Signature").is_some();
    let after = converted.as_ref().map_or_else(|| message.to_vec(), |content| content.to_bytes().to_vec());
    let found = Octets::of(&after);
    assert!(!found.long_line, "a line that is too long");
    if converted.is_some() {
        // What may not be changed, and need not be, may come out as it went in.
        let again = convert(&Content::from(after.clone()), way).expect("once it could be carried");
        assert!(again.is_none_or(|again| again.to_bytes() == after), "once is not enough");
    }
    if flags & 3 == 3 && !signed {
        assert!(after.is_ascii(), "8-bit octets on a way of 7");
    }
}
