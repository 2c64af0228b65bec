//! Our error as a gRPC status and back. The kind travels in metadata of its own, since gRPC's codes are also used by the
//! transport, whose word about what took effect is worth less.

use tonic::metadata::MetadataValue;
use tonic::{Code, ConnectError, Status};

use crate::{Error, ErrorKind};

const KIND: &str = "postrider-error-kind";
/// Longest text of an error that is sent: trailers have a limit.
const TEXT_LIMIT: usize = 1024;

/// Each kind with its name in metadata and the code that fits it best.
const KINDS: [(ErrorKind, &str, Code); 7] = [
    (ErrorKind::Unavailable, "unavailable", Code::Unavailable),
    (ErrorKind::Unknown, "unknown", Code::Unknown),
    (ErrorKind::Overloaded, "overloaded", Code::ResourceExhausted),
    (ErrorKind::Rejected, "rejected", Code::InvalidArgument),
    (ErrorKind::NotFound, "not-found", Code::NotFound),
    (ErrorKind::AlreadyExists, "already-exists", Code::AlreadyExists),
    (ErrorKind::Internal, "internal", Code::Internal),
];

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let (name, code) = KINDS
            .iter()
            .find(|(kind, ..)| *kind == error.kind)
            .map_or(("internal", Code::Internal), |(_, name, code)| (*name, *code));
        let end = error.message.floor_char_boundary(TEXT_LIMIT);
        let mut status = Self::new(code, &error.message[..end]);
        status.metadata_mut().insert(KIND, MetadataValue::from_static(name));
        status
    }
}

/// What a failed call tells.
pub(crate) struct Failure {
    pub(crate) error: Error,
    /// Whether the other agent said so; otherwise the connection did, and should not be used again.
    pub(crate) said: bool,
}

impl From<Status> for Failure {
    fn from(status: Status) -> Self {
        let named = status.metadata().get(KIND).and_then(|name| name.to_str().ok());
        if let Some((kind, ..)) = named.and_then(|named| KINDS.iter().find(|(_, name, _)| *name == named)) {
            return Self { error: Error::new(*kind, status.message()), said: true };
        }
        let kind = match status.code() {
            _ if never_connected(&status) => ErrorKind::Unavailable,
            Code::Unimplemented => {
                let message = "the other agent does not serve this; is the address that of the right agent?";
                return Self { error: Error::new(ErrorKind::Internal, message), said: true };
            }
            // A frame over the limit for decoding.
            Code::OutOfRange => ErrorKind::Rejected,
            _ => ErrorKind::Unknown,
        };
        Self { error: Error::new(kind, describe(&status)), said: false }
    }
}

fn never_connected(status: &Status) -> bool {
    causes(status).any(<dyn std::error::Error>::is::<ConnectError>)
}

/// The status with all that lies behind it; "transport error" alone helps nobody.
fn describe(status: &Status) -> String {
    let mut text = match status.message() {
        "" => status.code().description().to_owned(),
        message => message.to_owned(),
    };
    for cause in causes(status) {
        let cause = cause.to_string();
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

/// An error with all that lies behind it.
pub(crate) fn sentence(error: &(dyn std::error::Error + 'static)) -> String {
    causes(error).fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

/// The errors behind an error, nearest first.
pub(crate) fn causes<'a>(
    error: &'a (dyn std::error::Error + 'static),
) -> impl Iterator<Item = &'a (dyn std::error::Error + 'static)> {
    std::iter::successors(error.source(), |cause| cause.source())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_back_as_it_went() {
        for (kind, ..) in KINDS {
            let error = Error::new(kind, "näher: 100 %\r\nX");
            let failure = Failure::from(Status::from(error.clone()));
            assert_eq!((failure.error, failure.said), (error, true));
        }
    }

    #[test]
    fn what_the_transport_says_is_no_certainty() {
        for code in
            [Code::Unavailable, Code::Cancelled, Code::DeadlineExceeded, Code::Internal, Code::Unknown]
        {
            let failure = Failure::from(Status::new(code, "broken"));
            assert_eq!((failure.error.kind, failure.said), (ErrorKind::Unknown, false), "{code}");
        }
    }

    #[test]
    fn a_long_text_is_cut_between_characters() {
        let status = Status::from(Error::new(ErrorKind::Internal, "ä".repeat(2000)));
        assert_eq!(status.message().len(), TEXT_LIMIT);
    }
}
