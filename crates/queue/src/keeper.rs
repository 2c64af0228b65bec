//! Keeps the lease: heartbeats, the death of others, taking and giving back of lanes. One task per process.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::fault::Fault;
use crate::lanes::LaneTable;
use crate::settings::Settings;
use crate::store::Store;

/// How long after a failed heartbeat the next one is sent.
const RETRY: Duration = Duration::from_millis(500);

/// See the module.
pub(crate) struct Keeper {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) lanes: Arc<LaneTable>,
    pub(crate) settings: Settings,
    /// The name under which lanes are held; a new one after each lapse.
    pub(crate) me: Uuid,
    /// Since when every heartbeat got through. Only who was there for a whole lease may declare others dead, so that an
    /// outage of the database kills nobody.
    healthy_since: Option<Instant>,
    /// The lease ran out: `me` is to be buried by ourselves.
    lapsed: bool,
}

impl Keeper {
    pub(crate) fn new(store: Arc<dyn Store>, lanes: Arc<LaneTable>, settings: Settings, me: Uuid) -> Self {
        Self { store, lanes, settings, me, healthy_since: None, lapsed: false }
    }

    /// Runs until told to stop; the caller then flushes and calls [`Keeper::leave`].
    pub(crate) async fn run(&mut self, stop: &CancellationToken) {
        let lanes = Arc::clone(&self.lanes);
        let heartbeat = Duration::from_millis(self.settings.heartbeat_ms.max(1));
        let mut next_beat = Instant::now();
        loop {
            // While the database does not answer, nothing can be released: only the retry and the lapse are waited for.
            let release = self.healthy_since.and_then(|_| lanes.releasable_at());
            let next = [lanes.lapses_at(), release].into_iter().flatten().fold(next_beat, Instant::min);
            tokio::select! {
                () = stop.cancelled() => return,
                () = lanes.wake.notified() => {}
                () = sleep_until(next) => {}
            }
            self.note_lapse();
            if Instant::now() < next_beat && lanes.releasable().is_empty() {
                continue;
            }
            // The beat itself must not outlive the deadline: a hanging database may not keep us from dropping lanes.
            let patience = self.settings.trust() / 2;
            let beat = tokio::time::timeout(patience, self.beat());
            let failure = match beat.await {
                Ok(Ok(())) => None,
                Ok(Err(fault)) => Some(fault.to_string()),
                Err(_) => Some("no answer in time".to_owned()),
            };
            next_beat = Instant::now() + if failure.is_some() { RETRY.min(heartbeat) } else { heartbeat };
            if let Some(error) = failure {
                if self.healthy_since.take().is_some() {
                    tracing::warn!(error, "the queue's lease could not be renewed");
                }
                self.note_lapse();
            }
        }
    }

    fn note_lapse(&mut self) {
        if self.lanes.lapse() {
            self.lapsed = true;
            tracing::warn!(
                "the queue's lease ran out; all lanes are dropped until the database answers again"
            );
        }
    }

    async fn beat(&mut self) -> Result<(), Fault> {
        if self.lapsed {
            self.store.retire(self.me).await?;
            self.begin_anew().await?;
        }
        let sent = Instant::now();
        let Some(standing) = self.store.heartbeat(self.me).await? else {
            tracing::warn!("this instance was declared dead; it registers anew");
            self.lanes.clear();
            self.begin_anew().await?;
            return Err(Fault::Refused("this instance was declared dead".into()));
        };
        self.lanes.confirm(&standing.lanes, sent + self.settings.trust());
        let healthy_since = *self.healthy_since.get_or_insert(sent);
        self.release().await?;
        let mut live = standing.live;
        if healthy_since.elapsed() >= self.settings.lease() {
            let buried = self.store.bury().await?;
            if buried > 0 {
                tracing::warn!(buried, "other instances have died; their lanes are taken over");
                live = live.saturating_sub(buried);
            }
        }
        self.balance(live, standing.total).await
    }

    /// A new name, so that nothing that was promised under the old one can be mistaken for today's.
    async fn begin_anew(&mut self) -> Result<(), Fault> {
        let me = Uuid::new_v4();
        self.store.register(me).await?;
        self.me = me;
        self.lapsed = false;
        Ok(())
    }

    async fn release(&self) -> Result<(), Fault> {
        let lanes = self.lanes.releasable();
        if !lanes.is_empty() {
            self.store.release(self.me, &lanes).await?;
            self.lanes.released(&lanes);
        }
        Ok(())
    }

    async fn balance(&self, live: usize, total: usize) -> Result<(), Fault> {
        let share = total.div_ceil(live.max(1)).min(usize::from(self.settings.lanes_at_most));
        let owned = self.lanes.owned().len();
        if owned > share {
            let closed =
                self.lanes.close_surplus(share, Duration::from_millis(self.settings.release_grace_ms));
            tracing::info!(closed, share, "lanes are handed over to other instances");
        } else if owned < share {
            let taken = self.store.take(self.me, share - owned).await?;
            if !taken.is_empty() {
                tracing::info!(taken = taken.len(), share, "lanes of the queue taken");
                self.lanes.add(&taken);
            }
        }
        Ok(())
    }

    /// Gives everything back at once, for the others to go on.
    pub(crate) async fn leave(&self) {
        self.lanes.clear();
        let patience = self.settings.connect_timeout();
        match tokio::time::timeout(patience, self.store.retire(self.me)).await {
            Ok(Ok(())) => {}
            Ok(Err(fault)) => {
                tracing::warn!(error = %fault, "lanes could not be given back; their lease has to run out");
            }
            Err(_) => tracing::warn!("lanes could not be given back in time; their lease has to run out"),
        }
    }
}
