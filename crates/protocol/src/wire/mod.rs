//! Between `mail` types and generated ones, one file for each file in `proto/`. Total both ways: what comes off the wire
//! is checked, and what does not fit is an error of kind `Rejected`, never a panic.

mod delivery;
mod directory;
mod envelope;
mod mailbox;
mod queue_admin;
mod quotas;
mod relay;

use std::fmt::Display;
use std::str::FromStr;

use bytes::Bytes;
use mail::Content;

use crate::{Error, ErrorKind};

pub(crate) use envelope::outcomes;
pub(crate) use relay::{Begun, taken};

/// Content up to this size travels within the first frame of a transfer.
pub(crate) const INLINE_LIMIT: usize = 64 * 1024;
/// Larger content travels in frames of this size.
pub(crate) const CHUNK_SIZE: usize = 128 * 1024;
/// No frame of a request is larger; the largest are those with an envelope of many recipients.
pub(crate) const REQUEST_LIMIT: usize = 4 * 1024 * 1024;
/// No frame of an answer is larger; the largest are lists.
pub(crate) const ANSWER_LIMIT: usize = 16 * 1024 * 1024;

/// The content, when it fits into the first frame.
pub(crate) fn inline(content: &Content) -> Option<Bytes> {
    (content.len() <= INLINE_LIMIT).then(|| content.to_bytes())
}

/// The content in frames.
pub(crate) fn chunks(content: &Content) -> Vec<Bytes> {
    content.chunks(CHUNK_SIZE).collect()
}

/// Reads a text in its grammar.
pub(crate) fn text<T>(what: &str, value: &str) -> Result<T, Error>
where
    T: FromStr,
    T::Err: Display,
{
    value.parse().map_err(|error| malformed(what, error))
}

/// As [`text`], of each.
fn texts<T>(what: &str, values: &[String]) -> Result<Vec<T>, Error>
where
    T: FromStr,
    T::Err: Display,
{
    values.iter().map(|value| text(what, value)).collect()
}

/// As [`text`], where there is one.
pub(crate) fn optional<T>(what: &str, value: Option<&String>) -> Result<Option<T>, Error>
where
    T: FromStr,
    T::Err: Display,
{
    value.map(|value| text(what, value)).transpose()
}

fn number<T: TryFrom<u32>>(what: &str, value: u32) -> Result<T, Error> {
    T::try_from(value).map_err(|_| malformed(what, "out of range"))
}

pub(crate) fn required<T>(what: &str, value: Option<T>) -> Result<T, Error> {
    value.ok_or_else(|| malformed(what, "missing"))
}

/// As the caller sees what the other side answered: that it is malformed is a fault over there.
pub(crate) fn answer<T>(read: Result<T, Error>) -> Result<T, Error> {
    read.map_err(|error| {
        Error::new(ErrorKind::Internal, format_args!("the other agent answered with a {error}"))
    })
}

fn malformed(what: &str, problem: impl Display) -> Error {
    Error::new(ErrorKind::Rejected, format_args!("malformed {what}: {problem}"))
}
