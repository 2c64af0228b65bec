//! One ordered walk over the due recipients of many lanes, by small pages of each. Pure but for the questions it asks.

use std::collections::BTreeMap;

use crate::fault::Fault;
use crate::model::{Delivery, DueCursor};
use crate::store::{DuePage, Store};

/// Asks for pages until `limit` recipients are found or there are no more.
pub(crate) async fn walk(
    store: &dyn Store,
    mut page: DuePage<'_>,
    limit: u32,
) -> Result<Vec<Delivery>, Fault> {
    let lanes = u32::try_from(page.lanes.len()).unwrap_or(u32::MAX).max(1);
    // Twice the even share of each lane: enough for most walks to need one page, and no more rows read than about thrice the
    // limit however much waits.
    page.per_lane = if lanes == 1 { limit } else { limit.saturating_mul(2).div_ceil(lanes) + 1 };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    loop {
        let (complete, more) = certain(store.due(&page).await?, page.per_lane);
        found.extend(complete);
        if found.len() >= limit || !more {
            found.truncate(limit);
            return Ok(found);
        }
        page.after = found.last().and_then(DueCursor::behind);
    }
}

/// The rows whose place in the order is certain, in order, and whether there may be more. A lane that gave as many rows as it may
/// can have more right behind its last one, so nothing behind that is certain.
fn certain(rows: Vec<Delivery>, per_lane: u32) -> (Vec<Delivery>, bool) {
    let mut lanes = BTreeMap::<u8, (u32, DueCursor)>::new();
    let mut placed: Vec<(DueCursor, Delivery)> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some(cursor) = DueCursor::behind(&row) else { continue };
        let (count, last) = lanes.entry(row.key.id.lane).or_insert((0, cursor));
        *count += 1;
        *last = cursor.max(*last);
        placed.push((cursor, row));
    }
    let end = lanes.values().filter(|(count, _)| *count >= per_lane).map(|(_, last)| *last).min();
    placed.sort_unstable_by_key(|(cursor, _)| *cursor);
    let rows = placed.into_iter().filter(|(cursor, _)| end.is_none_or(|end| *cursor <= end));
    (rows.map(|(_, row)| row).collect(), end.is_some())
}

#[cfg(test)]
mod tests {
    use mail::{QueueId, Timestamp};

    use super::*;
    use crate::model::RecipientKey;

    fn row(lane: u8, at: i64) -> Delivery {
        let path: mail::ForwardPath = "<a@b.example>".parse().unwrap();
        Delivery {
            priority: mail::Priority::NORMAL,
            key: RecipientKey { id: QueueId { shard: 0, lane, number: 1 }, number: 0 },
            recipient: path.into(),
            destination: "d".into(),
            attempts: 1,
            next_attempt_at: Some(Timestamp::from_millis(at)),
            expires_at: Timestamp::from_millis(0),
            delay_notice_at: None,
        }
    }

    fn times(rows: &[Delivery]) -> Vec<i64> {
        rows.iter().filter_map(|row| row.next_attempt_at).map(Timestamp::as_millis).collect()
    }

    #[test]
    fn nothing_behind_the_end_of_a_full_lane_is_certain() {
        let (rows, more) = certain(vec![row(1, 10), row(1, 20), row(2, 15), row(2, 99)], 3);
        assert_eq!((times(&rows), more), (vec![10, 15, 20, 99], false));
        let (rows, more) = certain(vec![row(1, 10), row(1, 20), row(2, 15), row(3, 30)], 2);
        assert_eq!((times(&rows), more), (vec![10, 15, 20], true));
    }
}
