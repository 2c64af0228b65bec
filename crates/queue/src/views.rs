//! What people are shown of the queue: read-only, beside a running owner, on either storage. Changes nothing and owns nothing.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use mail::timeline::{MessageView, PendingState, PendingView, TimelineEntry};
use mail::{Domain, DomainSummary, QueueId, Status, Summary, Timestamp};

use crate::error::{OpenError, StoreError};
use crate::fault::Fault;
use crate::prepare::{action_from_number, queue_id, stored_number};

/// Looks into the queue. A clone looks through the same connections.
#[derive(Clone)]
pub struct Views {
    store: Arc<dyn ViewStore>,
}

impl Views {
    /// Connects, and checks that the schema is there.
    ///
    /// # Errors
    /// When the storage cannot be reached or lacks migrations.
    pub async fn open(url: &str) -> Result<Self, OpenError> {
        let store: Arc<dyn ViewStore> = match crate::Place::of(url)? {
            crate::Place::Postgres => Arc::new(crate::postgres::views::PostgresViews::open(url).await?),
            crate::Place::Sqlite(path) => Arc::new(crate::sqlite::views::SqliteViews::open(&path).await?),
        };
        Ok(Self { store })
    }

    /// Messages that still have a pending recipient, newest first, without timelines. `sender` and `recipient` are sought
    /// anywhere in the path, whatever the case; empty ones fit all. `before` is the last id of the page before.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn list(
        &self,
        sender: &str,
        recipient: &str,
        limit: u32,
        before: Option<QueueId>,
    ) -> Result<Vec<MessageView>, StoreError> {
        let before = match before {
            Some(id) => (stored_number(id)?, i16::from(id.lane)),
            None => (i64::MAX, i16::MAX),
        };
        let page = self.store.list(&Ask { sender, recipient, limit, before }).await?;
        let keys: Vec<_> = page.iter().map(|row| (row.lane, row.number)).collect();
        let mut pending = self.pending(&keys).await?;
        let views = page.into_iter().map(|row| {
            let waiting = pending.remove(&(row.lane, row.number)).unwrap_or_default();
            row.view(waiting, Vec::new())
        });
        Ok(views.collect::<Result<_, Fault>>()?)
    }

    /// One message with everything that happened to it; none when it was never accepted or its history is over.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn show(&self, id: QueueId) -> Result<Option<MessageView>, StoreError> {
        let key = (id.lane, stored_number(id)?);
        // From what goes to what stays: a recipient that ends while we look is then seen in one place at least.
        let message = self.store.message(key).await?;
        let mut pending = self.pending(&[key]).await?.remove(&key).unwrap_or_default();
        let history = self.store.history(key).await?;
        let ended = |number: u16| {
            history.iter().any(|row| row.message.is_some() && row.recipient == i32::from(number))
        };
        pending.retain(|recipient| !ended(recipient.number));
        let Some(message) = message.or_else(|| history.iter().rev().find_map(|row| row.message.clone()))
        else {
            return Ok(None);
        };
        let timeline = history.into_iter().map(HistoryRow::entry).collect::<Result<_, Fault>>()?;
        Ok(Some(message.view(pending, timeline)?))
    }

    /// How much waits, of which `limit` domains at most are told by name; of one domain alone where one is given.
    ///
    /// # Errors
    /// When the storage does not answer.
    pub async fn summary(
        &self,
        domain: Option<&Domain>,
        now: Timestamp,
        limit: u32,
    ) -> Result<Summary, StoreError> {
        let end = domain.map(|domain| format!("@{domain}>")).unwrap_or_default();
        let rows = self.store.summary(&end, now, limit).await?;
        let all = rows.first().map_or(0, |row| row.domains);
        let domains = rows.into_iter().map(SummaryRow::view).collect::<Result<Vec<_>, Fault>>()?;
        let more = unsigned(all)?.saturating_sub(domains.len() as u64);
        Ok(Summary { domains, more })
    }

    async fn pending(&self, keys: &[(u8, i64)]) -> Result<BTreeMap<(u8, i64), Vec<PendingView>>, Fault> {
        let mut pending = BTreeMap::<_, Vec<_>>::new();
        for row in self.store.pending(keys).await? {
            pending.entry((row.lane, row.number)).or_default().push(row.view()?);
        }
        Ok(pending)
    }
}

/// The questions that both storages answer.
#[async_trait]
pub(crate) trait ViewStore: Send + Sync {
    async fn list(&self, ask: &Ask<'_>) -> Result<Vec<MessageRow>, Fault>;
    async fn pending(&self, keys: &[(u8, i64)]) -> Result<Vec<PendingRow>, Fault>;
    async fn message(&self, key: (u8, i64)) -> Result<Option<MessageRow>, Fault>;
    /// Oldest first.
    async fn history(&self, key: (u8, i64)) -> Result<Vec<HistoryRow>, Fault>;
    /// Of the forward-paths that end so, the domains with the most recipients first.
    async fn summary(&self, end: &str, now: Timestamp, limit: u32) -> Result<Vec<SummaryRow>, Fault>;
}

/// What a page of messages is to hold.
pub(crate) struct Ask<'a> {
    pub(crate) sender: &'a str,
    pub(crate) recipient: &'a str,
    pub(crate) limit: u32,
    /// Number and lane.
    pub(crate) before: (i64, i16),
}

#[derive(Debug, Clone)]
pub(crate) struct MessageRow {
    pub(crate) lane: u8,
    pub(crate) number: i64,
    pub(crate) accepted_at: i64,
    pub(crate) octets: i64,
    pub(crate) reverse_path: String,
    pub(crate) account: Option<String>,
    pub(crate) traceparent: String,
    pub(crate) tick: Option<String>,
}

impl MessageRow {
    fn view(self, pending: Vec<PendingView>, timeline: Vec<TimelineEntry>) -> Result<MessageView, Fault> {
        let trace = mail::TraceContext { traceparent: self.traceparent, tracestate: String::new() };
        Ok(MessageView {
            id: queue_id(self.lane, self.number)?,
            reverse_path: Some(self.reverse_path.parse().map_err(Fault::corrupt)?),
            account: self.account.map(|account| account.parse()).transpose().map_err(Fault::corrupt)?,
            size: u64::try_from(self.octets).map_err(Fault::corrupt)?,
            accepted_at: Timestamp::from_millis(self.accepted_at),
            trace_id: trace.trace_id().map(str::to_owned),
            tick: self.tick,
            pending,
            timeline,
        })
    }
}

#[derive(Debug)]
pub(crate) struct PendingRow {
    pub(crate) lane: u8,
    pub(crate) number: i64,
    pub(crate) recipient: i32,
    pub(crate) forward_path: String,
    pub(crate) destination: String,
    pub(crate) state: i16,
    pub(crate) attempts: i32,
    pub(crate) next_attempt_at: Option<i64>,
    pub(crate) expires_at: i64,
    pub(crate) last_status: Option<String>,
}

impl PendingRow {
    fn view(self) -> Result<PendingView, Fault> {
        Ok(PendingView {
            number: u16::try_from(self.recipient).map_err(Fault::corrupt)?,
            forward_path: self.forward_path.parse().map_err(Fault::corrupt)?,
            destination: self.destination,
            state: match self.state {
                0 => PendingState::Fresh,
                1 => PendingState::Deferred,
                _ => PendingState::Held,
            },
            attempts: u16::try_from(self.attempts).map_err(Fault::corrupt)?,
            next_attempt_at: self.next_attempt_at.map(Timestamp::from_millis),
            expires_at: Timestamp::from_millis(self.expires_at),
            last_status: self.last_status.as_deref().map(Status::from),
        })
    }
}

#[derive(Debug)]
pub(crate) struct HistoryRow {
    pub(crate) at: i64,
    pub(crate) recipient: i32,
    pub(crate) attempt: i32,
    pub(crate) action: i16,
    pub(crate) forward_path: String,
    pub(crate) status: String,
    pub(crate) remote: Option<String>,
    /// In final rows, what the message row said.
    pub(crate) message: Option<MessageRow>,
}

impl HistoryRow {
    fn entry(self) -> Result<TimelineEntry, Fault> {
        Ok(TimelineEntry {
            at: Timestamp::from_millis(self.at),
            number: u16::try_from(self.recipient).map_err(Fault::corrupt)?,
            forward_path: self.forward_path.parse().map_err(Fault::corrupt)?,
            attempt: u16::try_from(self.attempt).map_err(Fault::corrupt)?,
            action: action_from_number(self.action)?,
            status: Status::from(self.status.as_str()),
            remote: self.remote,
        })
    }
}

/// One domain, with how many there are in all.
#[derive(Debug, Clone)]
pub(crate) struct SummaryRow {
    pub(crate) domain: String,
    pub(crate) queued: i64,
    pub(crate) retry: i64,
    pub(crate) held: i64,
    pub(crate) first: i64,
    pub(crate) domains: i64,
}

impl SummaryRow {
    /// The storage cannot know whom attempts are under way for.
    fn view(self) -> Result<DomainSummary, Fault> {
        Ok(DomainSummary {
            domain: self.domain,
            active: 0,
            queued: unsigned(self.queued)?,
            retry: unsigned(self.retry)?,
            held: unsigned(self.held)?,
            oldest: crate::lanes::time_of(self.first),
        })
    }
}

/// The columns `domain, queued, retry, held, first, domains`.
pub(crate) type SummaryColumns = (String, i64, i64, i64, i64, i64);

impl From<SummaryColumns> for SummaryRow {
    fn from((domain, queued, retry, held, first, domains): SummaryColumns) -> Self {
        Self { domain, queued, retry, held, first, domains }
    }
}

fn unsigned(number: i64) -> Result<u64, Fault> {
    u64::try_from(number).map_err(Fault::corrupt)
}

/// The columns `lane_id, queue_id, accepted_at, octets, reverse_path, account, traceparent, tick`.
pub(crate) type MessageColumns<L> = (L, i64, i64, i64, String, Option<String>, String, Option<String>);

pub(crate) fn message_row<L: TryInto<u8>>(columns: MessageColumns<L>) -> Result<MessageRow, Fault> {
    let (lane, number, accepted_at, octets, reverse_path, account, traceparent, tick) = columns;
    let lane = crate::prepare::lane_number(lane)?;
    Ok(MessageRow { lane, number, accepted_at, octets, reverse_path, account, traceparent, tick })
}

/// The columns `lane_id, queue_id, rcpt_no, forward_path, destination, state, attempts, next_attempt_at, expires_at,
/// last_status`.
pub(crate) type PendingColumns<L> = (L, i64, i32, String, String, i16, i32, Option<i64>, i64, Option<String>);

pub(crate) fn pending_row<L: TryInto<u8>>(columns: PendingColumns<L>) -> Result<PendingRow, Fault> {
    let (
        lane,
        number,
        recipient,
        forward_path,
        destination,
        state,
        attempts,
        next_attempt_at,
        expires_at,
        last_status,
    ) = columns;
    let lane = crate::prepare::lane_number(lane)?;
    Ok(PendingRow {
        lane,
        number,
        recipient,
        forward_path,
        destination,
        state,
        attempts,
        next_attempt_at,
        expires_at,
        last_status,
    })
}

/// The columns `at, rcpt_no, attempt, action, forward_path, status, remote, accepted_at, octets, reverse_path, account,
/// traceparent, tick`.
pub(crate) type HistoryColumns = (
    i64,
    i32,
    i32,
    i16,
    String,
    String,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<String>,
);

pub(crate) fn history_row(key: (u8, i64), columns: HistoryColumns) -> HistoryRow {
    let (
        at,
        recipient,
        attempt,
        action,
        forward_path,
        status,
        remote,
        accepted_at,
        octets,
        path,
        account,
        trace,
        tick,
    ) = columns;
    let message = match (accepted_at, octets, path) {
        (Some(accepted_at), Some(octets), Some(reverse_path)) => Some(MessageRow {
            lane: key.0,
            number: key.1,
            accepted_at,
            octets,
            reverse_path,
            account,
            traceparent: trace.unwrap_or_default(),
            tick,
        }),
        _ => None,
    };
    HistoryRow { at, recipient, attempt, action, forward_path, status, remote, message }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// A storage in which the only recipient of a message ends right behind the first question.
    #[derive(Default)]
    struct Ending(AtomicBool);

    impl Ending {
        fn has_ended(&self) -> bool {
            self.0.swap(true, Ordering::Relaxed)
        }
    }

    fn message() -> MessageRow {
        let (account, traceparent) = (None, String::new());
        MessageRow {
            lane: 0,
            number: 1,
            accepted_at: 0,
            octets: 1,
            reverse_path: "<>".to_owned(),
            account,
            traceparent,
            tick: None,
        }
    }

    #[async_trait]
    impl ViewStore for Ending {
        async fn list(&self, _: &Ask<'_>) -> Result<Vec<MessageRow>, Fault> {
            Ok(Vec::new())
        }

        async fn pending(&self, _: &[(u8, i64)]) -> Result<Vec<PendingRow>, Fault> {
            self.has_ended();
            Ok(Vec::new())
        }

        async fn message(&self, _: (u8, i64)) -> Result<Option<MessageRow>, Fault> {
            Ok((!self.has_ended()).then(message))
        }

        async fn history(&self, _: (u8, i64)) -> Result<Vec<HistoryRow>, Fault> {
            let row = HistoryRow {
                at: 1,
                recipient: 0,
                attempt: 1,
                action: 0,
                forward_path: "<a@b.test>".to_owned(),
                status: "250 2.0.0 ok".to_owned(),
                remote: None,
                message: Some(message()),
            };
            Ok(self.has_ended().then_some(row).into_iter().collect())
        }

        async fn summary(&self, _: &str, _: Timestamp, _: u32) -> Result<Vec<SummaryRow>, Fault> {
            Ok(Vec::new())
        }
    }

    #[tokio::test]
    async fn a_message_that_ends_while_it_is_looked_at_is_found() {
        let views = Views { store: Arc::new(Ending::default()) };
        let shown = views.show(QueueId { shard: 0, lane: 0, number: 1 }).await.unwrap().unwrap();
        assert_eq!((shown.timeline.len(), shown.pending.len()), (1, 0));
    }
}
