//! Content for a server that does not take it as it is: 8-bit content for one without 8BITMIME (RFC 6152 3), binary content for one
//! without BINARYMIME (RFC 3030 3). What may not be altered fails; how the rest is altered is for [`mail::mime`] to say.

use std::sync::Arc;

use mail::mime::{self, Letters, Way};
use mail::{BodyType, Content, Envelope, Status};
use smtp::{Capabilities, data};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Octets that one permit stands for.
const UNIT: usize = 1024;
/// How many times its size a message takes that is converted: text that is half escaped in quoted-printable.
const GROWTH: usize = 2;

/// Converts messages within a budget of octets.
#[derive(Debug, Clone)]
pub struct Conversions {
    room: Arc<Semaphore>,
    units: usize,
}

/// A message for one server; its octets go back to the budget with it.
#[derive(Debug)]
pub struct Converted {
    /// The envelope with the body type that the content has now.
    pub envelope: Envelope,
    /// The content.
    pub content: Content,
    _room: OwnedSemaphorePermit,
}

impl Conversions {
    /// Conversions that take this many octets at once, besides the messages that they are made of.
    #[must_use]
    pub fn new(octets: usize) -> Self {
        let units = octets.div_ceil(UNIT).clamp(1, Semaphore::MAX_PERMITS.min(u32::MAX as usize));
        Self { room: Arc::new(Semaphore::new(units)), units }
    }

    /// What is sent to a server of these capabilities in place of the message; `None` where it goes as it is. A large message
    /// waits until there is room.
    ///
    /// # Errors
    /// The status that its recipients fail with, where it cannot be converted (RFC 3463 X.6.3).
    pub async fn convert(
        &self,
        capabilities: &Capabilities,
        envelope: &Envelope,
        content: &Content,
    ) -> Result<Option<Converted>, Status> {
        let Some((way, what)) = way(capabilities, envelope, content) else { return Ok(None) };
        let away = || Status::new(451, (4, 3, 0), "the message cannot be converted now");
        let units = (content.len().saturating_mul(GROWTH)).div_ceil(UNIT).clamp(1, self.units);
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        let room = Arc::clone(&self.room).acquire_many_owned(units).await.map_err(|_| away())?;
        let original = content.clone();
        let converting = tokio::task::spawn_blocking(move || mime::convert(&original, way));
        let converted = converting.await.map_err(|_| away())?.map_err(|unfit| {
            let text =
                format!("The next server does not take {what} content and it cannot be converted: {unfit}");
            Status::new(554, (5, 6, 3), text)
        })?;
        let envelope = Envelope { body: way.body, ..envelope.clone() };
        tracing::debug!(
            body = way.body.as_str(),
            "converted a message that the next server does not take as it is"
        );
        Ok(Some(Converted { envelope, content: converted.unwrap_or_else(|| content.clone()), _room: room }))
    }
}

/// What the content has to be brought into, and what of it the server does not take.
fn way(capabilities: &Capabilities, envelope: &Envelope, content: &Content) -> Option<(Way, &'static str)> {
    // SMTPUTF8 comes with 8BITMIME (RFC 6531 3.1 (8)).
    let takes_eight_bit = capabilities.eight_bit_mime || capabilities.smtputf8;
    let is_binary = envelope.body == BodyType::BinaryMime && data::needs_chunk(content);
    if is_binary && capabilities.chunking && capabilities.binary_mime {
        return None;
    }
    let is_eight_bit = || content.segments().iter().any(|segment| !segment.is_ascii());
    let what = match (is_binary, takes_eight_bit) {
        (true, _) => "binary",
        (false, false) if is_eight_bit() => "8-bit",
        (false, _) => return None,
    };
    let (body, letters) = match (takes_eight_bit, envelope.smtputf8) {
        (true, _) => (BodyType::EightBitMime, Letters::Any),
        // A header section in UTF-8 is no matter of conversion (RFC 6531 3.6): the transaction fails for it.
        (false, true) => (BodyType::SevenBit, Letters::Utf8),
        (false, false) => (BodyType::SevenBit, Letters::Ascii),
    };
    Some((Way { body, letters, from_binary: is_binary }, what))
}

#[cfg(test)]
mod tests {
    use mail::{Origin, ReversePath};

    use super::*;

    const EIGHT_BIT: &str = "Subject: x\r\n\r\nGrüße an alle\r\n";

    async fn converted(
        offers: &str,
        body: BodyType,
        content: &str,
    ) -> Result<Option<(BodyType, String)>, String> {
        let envelope = Envelope { body, ..Envelope::new(ReversePath::Null, Origin::default()) };
        let capabilities = Capabilities::parse(&format!("x\n{offers}"));
        let content = Content::from(content.to_owned());
        // Room for less than one message: it takes all of it.
        let converted = Conversions::new(10).convert(&capabilities, &envelope, &content).await;
        let converted = converted.map_err(|status| status.to_string())?;
        Ok(converted.map(|c| (c.envelope.body, String::from_utf8(c.content.to_bytes().to_vec()).unwrap())))
    }

    #[tokio::test]
    async fn what_the_server_takes_goes_as_it_is() {
        for (offers, body, content) in [
            ("8BITMIME", BodyType::EightBitMime, EIGHT_BIT),
            ("SMTPUTF8", BodyType::SevenBit, EIGHT_BIT),
            ("PIPELINING", BodyType::EightBitMime, "Subject: x\r\n\r\nplain\r\n"),
            ("CHUNKING\nBINARYMIME", BodyType::BinaryMime, "Subject: x\r\n\r\n\n"),
            ("8BITMIME", BodyType::BinaryMime, EIGHT_BIT),
        ] {
            assert_eq!(converted(offers, body, content).await, Ok(None), "{offers}: {content}");
        }
    }

    #[tokio::test]
    async fn what_it_does_not_take_is_converted() {
        let (body, text) = converted("SIZE", BodyType::EightBitMime, EIGHT_BIT).await.unwrap().unwrap();
        assert_eq!(body, BodyType::SevenBit);
        assert!(
            text.ends_with("Content-Transfer-Encoding: quoted-printable\r\n\r\nGr=C3=BC=C3=9Fe an alle\r\n"),
            "{text}"
        );
        for (offers, expected) in
            [("8BITMIME\nCHUNKING", BodyType::EightBitMime), ("CHUNKING", BodyType::SevenBit)]
        {
            let content = "Content-Type: image/x\r\n\r\nü\n\0";
            let (body, text) = converted(offers, BodyType::BinaryMime, content).await.unwrap().unwrap();
            assert_eq!(body, expected);
            assert!(text.contains("base64") && text.ends_with("\r\n\r\nw7wKAA==\r\n"), "{text}");
        }
    }

    #[tokio::test]
    async fn what_may_not_be_altered_fails() {
        let signed = format!("DKIM-Signature: x\r\n{EIGHT_BIT}");
        let status = converted("SIZE", BodyType::EightBitMime, &signed).await.unwrap_err();
        assert!(status.starts_with("554 5.6.3 The next server does not take 8-bit content and "), "{status}");
    }
}
