//! Content in Postgres: inline while it fits the page of its message, else in parts that fill a page each.

use bytes::BytesMut;
use mail::{Content, QueueId};
use sqlx::encode::IsNull;
use sqlx::error::BoxDynError;
use sqlx::postgres::{PgArgumentBuffer, PgBindIterExt, PgHasArrayType, PgTypeInfo};
use sqlx::{Encode, Postgres, Type};

use super::PostgresStore;
use super::statements::{CONTENT, PARTS, SPOOL};
use crate::fault::Fault;
use crate::prepare::{PreparedMessage, stored_number};

/// Content up to here lies in the row of its message.
pub(super) const INLINE_UP_TO: usize = 7_500;
/// One part; with its row it fills a page of 8 KiB.
pub(super) const PART: usize = 8_000;
/// Larger content is stored ahead of its message.
pub(super) const SPOOL_ABOVE: usize = 256 * 1024;
/// Parts in one statement.
const PARTS_AT_ONCE: usize = 32;

/// Octets of a content as a bytea, copied once: into the message to the server.
#[derive(Debug, Clone, Copy)]
pub(super) struct Octets<'a> {
    content: &'a Content,
    start: usize,
    end: usize,
}

impl<'a> Octets<'a> {
    /// All of it, where it is to lie inline.
    pub(super) fn inline(message: &'a PreparedMessage) -> Option<Self> {
        let whole = Self { content: &message.content, start: 0, end: message.size };
        (message.size <= INLINE_UP_TO).then_some(whole)
    }
}

impl Type<Postgres> for Octets<'_> {
    fn type_info() -> PgTypeInfo {
        <&[u8] as Type<Postgres>>::type_info()
    }
}

impl PgHasArrayType for Octets<'_> {
    fn array_type_info() -> PgTypeInfo {
        <&[u8] as PgHasArrayType>::array_type_info()
    }
}

impl Encode<'_, Postgres> for Octets<'_> {
    fn encode_by_ref(&self, buffer: &mut PgArgumentBuffer) -> Result<IsNull, BoxDynError> {
        let mut at = 0;
        for segment in self.content.segments() {
            let (start, end) = (self.start.max(at), self.end.min(at + segment.len()));
            if start < end {
                buffer.extend_from_slice(&segment[start - at..end - at]);
            }
            at += segment.len();
        }
        Ok(IsNull::No)
    }
}

/// How many parts a message has; none when its content is inline.
pub(super) fn part_count(message: &PreparedMessage) -> usize {
    if message.size <= INLINE_UP_TO { 0 } else { message.size.div_ceil(PART) }
}

/// The parts of a message with their numbers.
pub(super) fn parts(message: &PreparedMessage) -> impl Iterator<Item = (i32, Octets<'_>)> + Clone {
    (0i32..).zip(0..part_count(message)).map(move |(number, part)| {
        let (start, end) = (part * PART, message.size.min((part + 1) * PART));
        (number, Octets { content: &message.content, start, end })
    })
}

impl PostgresStore {
    pub(super) async fn store_parts(&self, message: &PreparedMessage) -> Result<(), Fault> {
        let mut connection = self.spoolers.acquire().await?;
        let all: Vec<_> = parts(message).collect();
        for some in all.chunks(PARTS_AT_ONCE) {
            let store = sqlx::query(SPOOL.sql)
                .bind(i16::from(message.grant.lane))
                .bind(message.number)
                .bind(some.iter().map(|(number, _)| *number).bind_iter())
                .bind(some.iter().map(|(_, octets)| *octets).bind_iter())
                .execute(&mut *connection);
            self.metrics.timed(SPOOL, store).await?;
        }
        Ok(())
    }

    /// None when the message ends before all of it is read.
    pub(super) async fn load_content(&self, id: QueueId) -> Result<Option<Content>, Fault> {
        let (lane, number) = (i16::from(id.lane), stored_number(id)?);
        let find = || {
            sqlx::query_as::<_, (i64, i32, Option<Vec<u8>>)>(CONTENT.sql)
                .bind(lane)
                .bind(number)
                .fetch_optional(&self.readers)
        };
        let Some((size, count, inline)) = self.metrics.timed(CONTENT, find()).await? else {
            return Ok(None);
        };
        if let Some(octets) = inline {
            return Ok(Some(Content::from(octets)));
        }
        let step = i32::try_from(PARTS_AT_ONCE).unwrap_or(i32::MAX);
        let mut content = Content::default();
        let mut first = 0;
        while first < count {
            let range = sqlx::query_as::<_, (Vec<u8>,)>(PARTS.sql)
                .bind(lane)
                .bind(number)
                .bind(first)
                .bind(first.saturating_add(step))
                .fetch_all(&self.readers);
            let range = self.metrics.timed(PARTS, range).await?;
            let mut whole = BytesMut::with_capacity(range.len() * PART);
            range.iter().for_each(|(part,)| whole.extend_from_slice(part));
            content.append(whole.freeze());
            first = first.saturating_add(step);
        }
        if i64::try_from(content.len()).ok() == Some(size) {
            return Ok(Some(content));
        }
        match find().await? {
            None => Ok(None),
            Some(_) => Err(Fault::corrupt(format_args!("the content of {id} is not whole"))),
        }
    }
}
