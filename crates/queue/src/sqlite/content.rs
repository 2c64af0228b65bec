//! Content in SQLite: inline while it is small, else in parts, so that nothing large is read or written in one piece.

use mail::{Content, QueueId};

use super::SqliteStore;
use super::statements::{CONTENT, PARTS};
use crate::fault::Fault;
use crate::prepare::{PreparedMessage, stored_number};

/// One part, and the largest content that lies in the row of its message.
const PART: usize = 64 * 1024;
/// Parts in one answer.
const PARTS_AT_ONCE: i64 = 16;

/// How many parts a message has; none when its content is inline.
pub(super) fn part_count(message: &PreparedMessage) -> usize {
    if message.size <= PART { 0 } else { message.size.div_ceil(PART) }
}

/// All of the content, where it is to lie inline.
pub(super) fn inline(message: &PreparedMessage) -> Option<Vec<u8>> {
    (message.size <= PART).then(|| slice(&message.content, 0, message.size))
}

/// The parts of a message with their numbers.
pub(super) fn parts(message: &PreparedMessage) -> impl Iterator<Item = (i64, Vec<u8>)> {
    (0i64..).zip(0..part_count(message)).map(move |(number, part)| {
        (number, slice(&message.content, part * PART, message.size.min((part + 1) * PART)))
    })
}

/// The driver keeps what it is given until the statement ends: the one copy.
fn slice(content: &Content, from: usize, to: usize) -> Vec<u8> {
    let mut octets = Vec::with_capacity(to - from);
    let mut at = 0;
    for segment in content.segments() {
        let (start, end) = (from.max(at), to.min(at + segment.len()));
        if start < end {
            octets.extend_from_slice(&segment[start - at..end - at]);
        }
        at += segment.len();
    }
    octets
}

impl SqliteStore {
    /// None when the message ends before all of it is read.
    pub(super) async fn load_content(&self, id: QueueId) -> Result<Option<Content>, Fault> {
        let (lane, number) = (i64::from(id.lane), stored_number(id)?);
        let find = || {
            sqlx::query_as::<_, (i64, i64, Option<Vec<u8>>)>(CONTENT.sql)
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
        let mut content = Content::default();
        let mut first = 0;
        while first < count {
            let range = sqlx::query_as::<_, (Vec<u8>,)>(PARTS.sql)
                .bind(lane)
                .bind(number)
                .bind(first)
                .bind(first.saturating_add(PARTS_AT_ONCE))
                .fetch_all(&self.readers);
            let range = self.metrics.timed(PARTS, range).await?;
            range.into_iter().for_each(|(part,)| content.append(part));
            first = first.saturating_add(PARTS_AT_ONCE);
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
