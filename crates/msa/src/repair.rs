//! What a submission server repairs before anything is checked, so that what is checked is what goes out (RFC 6409 8): lines that
//! are too long for SMTP, 8-bit octets where only ASCII may be, and what the envelope says of the content. The rules of what may be
//! changed and how are those of [`mail::mime`].

use bytes::Bytes;
use mail::mime::{self, Letters, Way};
use mail::{BodyType, Content, Envelope};
use smtp::Reply;

use crate::refusal;

/// Brings a message into a form that any server takes that knows 8BITMIME, and corrects the envelope: 8-bit content that came
/// without BODY=8BITMIME is declared so and stays (RFC 6152). The header section lies in the first segment of what comes out.
///
/// # Errors
/// The reply, where something has to be changed and cannot.
pub(crate) fn repair(envelope: &mut Envelope, content: Bytes) -> Result<Content, Reply> {
    let from_binary = envelope.body == BodyType::BinaryMime;
    let body = if from_binary { BodyType::BinaryMime } else { BodyType::EightBitMime };
    let letters = if envelope.smtputf8 { Letters::Utf8 } else { Letters::Ascii };
    let way = Way { body, letters, from_binary };
    let content = Content::from(content);
    let repaired = mime::convert(&content, way).map_err(|unfit| refusal::unfit(&unfit))?.unwrap_or(content);
    if envelope.body == BodyType::SevenBit && !repaired.segments().iter().all(|segment| segment.is_ascii()) {
        envelope.body = BodyType::EightBitMime;
    }
    Ok(repaired)
}

#[cfg(test)]
mod tests {
    use mail::{Origin, ReversePath};

    use super::*;

    fn repaired(body: BodyType, smtputf8: bool, content: &[u8]) -> Result<(BodyType, Content), String> {
        let mut envelope = Envelope { body, smtputf8, ..Envelope::new(ReversePath::Null, Origin::default()) };
        let content = repair(&mut envelope, Bytes::copy_from_slice(content)).map_err(|r| r.to_string())?;
        Ok((envelope.body, content))
    }

    #[test]
    fn the_envelope_says_what_the_content_is() {
        for (said, content, is) in [
            (BodyType::SevenBit, "A: b\r\n\r\nx\r\n", BodyType::SevenBit),
            (BodyType::SevenBit, "A: b\r\n\r\nü\r\n", BodyType::EightBitMime),
            (BodyType::EightBitMime, "A: b\r\n\r\nx\r\n", BodyType::EightBitMime),
            (BodyType::BinaryMime, "A: b\r\n\r\n\n\0ü", BodyType::BinaryMime),
        ] {
            let (body, repaired) = repaired(said, false, content.as_bytes()).unwrap();
            assert_eq!((body, repaired.to_bytes().as_ref()), (is, content.as_bytes()));
            assert_eq!(repaired.segments().len(), 1, "nothing is copied");
        }
    }

    #[test]
    fn letters_of_the_header_need_a_way_that_takes_them() {
        let message = "Subject: ü\r\nFrom: jürgen@a.test\r\n\r\nx\r\n".as_bytes();
        assert_eq!(repaired(BodyType::EightBitMime, true, message).unwrap().1.to_bytes(), message);
        let refused = repaired(BodyType::EightBitMime, false, message).unwrap_err();
        assert!(refused.starts_with("554 5.6.0 The message cannot be sent: the From field "), "{refused}");
    }

    #[test]
    fn long_lines_and_nuls_are_encoded_and_nuls_in_the_header_refused() {
        let long = [b"A: b\r\n\r\n".as_slice(), &[b'x'; 999], b"\r\n"].concat();
        for message in [long.as_slice(), b"A: b\r\n\r\na\0b\r\n"] {
            let (_, content) = repaired(BodyType::SevenBit, false, message).unwrap();
            let text = String::from_utf8(content.to_bytes().to_vec()).unwrap();
            assert!(text.contains("\r\nContent-Transfer-Encoding: quoted-printable\r\n"), "{text}");
        }
        let refused = repaired(BodyType::SevenBit, false, b"A: \0\r\n\r\n").unwrap_err();
        assert_eq!(refused, "554 5.6.0 The message cannot be sent: the A field holds a NUL character");
    }
}
