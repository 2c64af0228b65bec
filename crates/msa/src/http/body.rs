//! The content of a request: its kind, its size and time, and the memory that it may take.

use std::pin::Pin;
use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, StatusCode};
use bytes::BytesMut;
use smtp::reply;
use smtp::server::Reservation;
use tokio::time::timeout;

use super::Api;
use super::problem::Problem;
use super::server::Peer;

/// What is set aside for a content of unknown length until it turns out to be longer.
const FIRST: usize = 64 * 1024;

/// What of an unwanted content is read, and for how long.
const LINGER_OCTETS: usize = 8 * 1024 * 1024;
const LINGER: Duration = Duration::from_secs(1);

/// What a request brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A description of a message.
    Json,
    /// The message itself.
    Rfc822,
}

impl Kind {
    /// # Errors
    /// When it is neither, or compressed.
    pub(crate) fn of(headers: &HeaderMap) -> Result<Self, Problem> {
        let refuse = |detail| Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail));
        if headers.get(CONTENT_ENCODING).is_some_and(|coding| coding != "identity") {
            return refuse("Send the content as it is, without Content-Encoding");
        }
        let declared = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let essence = declared.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Ok(Self::Json),
            "message/rfc822" => Ok(Self::Rfc822),
            _ => refuse("Send a message as application/json or message/rfc822, and say so by Content-Type"),
        }
    }

    /// How many times the octets of the content are in memory at once, at the worst: a description is taken apart, put
    /// together, and grows; a message may get other line ends.
    fn copies(self) -> usize {
        match self {
            Self::Json => 4,
            Self::Rfc822 => 2,
        }
    }
}

/// A content that has come whole, and the memory that was set aside for it.
pub(crate) struct Received {
    pub(crate) octets: Bytes,
    pub(crate) memory: Reservation,
}

/// Reads the content of a request.
///
/// # Errors
/// When it is too large, comes too slowly, breaks off, or no memory becomes free for it.
pub(crate) async fn receive(
    api: &Api,
    peer: &Peer,
    kind: Kind,
    headers: &HeaderMap,
    body: &mut Body,
) -> Result<Received, Problem> {
    let limit = api.sessions.max_size;
    let too_large = || Problem::from(&reply::too_large(limit));
    let declared = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|declared| declared > limit) {
        return Err(too_large());
    }
    let whole = declared.unwrap_or(limit);
    let budget = peer.memory(&api.sessions.message_memory, limit.saturating_mul(kind.copies()));
    let wait = api.sessions.memory_wait;
    let first = declared.unwrap_or(FIRST).saturating_mul(kind.copies());
    let no_memory = || Problem::from(&reply::no_memory());
    let mut memory = budget.reserve(first, wait).await.ok_or_else(no_memory)?;
    let read = async {
        let mut octets = BytesMut::with_capacity(declared.unwrap_or_default());
        while let Some(frame) = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await
        {
            let broken = |_| Problem::bad_request("The content of the request broke off");
            let Ok(data) = frame.map_err(broken)?.into_data() else { continue };
            if octets.len() + data.len() > limit {
                return Err(too_large());
            }
            if declared.is_none()
                && octets.len() + data.len() > FIRST
                && !memory.grow(whole.saturating_mul(kind.copies()), wait).await
            {
                return Err(no_memory());
            }
            octets.extend_from_slice(&data);
        }
        Ok(octets.freeze())
    };
    let too_slow = |_| Problem::new(StatusCode::REQUEST_TIMEOUT, "The content of the request took too long");
    let octets = timeout(api.settings.body_timeout.get(), read).await.map_err(too_slow)??;
    memory.shrink(octets.len().saturating_mul(kind.copies()));
    Ok(Received { octets, memory })
}

/// Reads the rest of a content that nobody wants, within bounds, so that a client which writes on before it reads hears the
/// answer and no reset. Who waits to be asked for the content is not asked (RFC 9110 10.1.1).
pub(crate) async fn discard(headers: &HeaderMap, body: &mut Body) {
    if headers.contains_key(EXPECT) {
        return;
    }
    let read = async {
        let mut octets = 0;
        while octets < LINGER_OCTETS {
            let frame = std::future::poll_fn(|context| Pin::new(&mut *body).poll_frame(context)).await;
            let Some(Ok(frame)) = frame else { return };
            octets += frame.data_ref().map_or(0, Bytes::len);
        }
    };
    // Time is up, or all is read: the answer goes out either way.
    let _ = timeout(LINGER, read).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_of_a_known_kind_and_not_compressed() {
        let kind = |content_type: &str, coding: Option<&str>| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
            if let Some(coding) = coding {
                headers.insert(CONTENT_ENCODING, coding.parse().unwrap());
            }
            Kind::of(&headers).ok()
        };
        assert_eq!(kind("application/json", None), Some(Kind::Json));
        assert_eq!(kind("Application/JSON; charset=utf-8", Some("identity")), Some(Kind::Json));
        assert_eq!(kind("message/rfc822", None), Some(Kind::Rfc822));
        assert_eq!(kind("application/json", Some("gzip")), None);
        assert_eq!(kind("text/plain", None), None);
        assert_eq!(Kind::of(&HeaderMap::new()).ok(), None);
    }
}
