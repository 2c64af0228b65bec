//! What must hold before work may be sent here.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::watch;

/// Named conditions, such as `mta.queue`; the process is ready when all of them hold. Clones are the same register.
#[derive(Debug, Clone)]
pub struct Readiness(Arc<watch::Sender<BTreeMap<String, State>>>);

/// One condition, held by whom it concerns. Not ready until it is said to be.
#[derive(Debug, Clone)]
pub struct Condition {
    name: String,
    readiness: Readiness,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct State {
    ready: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

#[derive(Serialize)]
struct Report<'a> {
    ready: bool,
    conditions: &'a BTreeMap<String, State>,
}

impl Default for Readiness {
    fn default() -> Readiness {
        Readiness(Arc::new(watch::Sender::new(BTreeMap::new())))
    }
}

impl Readiness {
    /// Enters a condition, not ready yet. Names begin with the agent's, since agents may share a process.
    pub fn condition(&self, name: impl Into<String>) -> Condition {
        let condition = Condition { name: name.into(), readiness: self.clone() };
        condition.not_ready("starting");
        condition
    }

    /// Whether all conditions hold.
    pub fn is_ready(&self) -> bool {
        all_hold(&self.0.borrow())
    }

    /// Waits until all conditions hold that have been entered by then.
    pub async fn ready(&self) {
        // Fails only when the sender is gone, and we hold it.
        let _ = self.0.subscribe().wait_for(all_hold).await;
    }

    /// The conditions as JSON, and whether all of them hold.
    pub fn report(&self) -> (bool, String) {
        let conditions = self.0.borrow();
        let ready = all_hold(&conditions);
        let report = Report { ready, conditions: &conditions };
        (ready, serde_json::to_string_pretty(&report).unwrap_or_default())
    }

    fn set(&self, name: &str, state: State) {
        self.0.send_if_modified(|conditions| {
            if conditions.get(name) == Some(&state) {
                return false;
            }
            conditions.insert(name.to_owned(), state);
            true
        });
    }
}

impl Condition {
    /// The condition holds.
    pub fn ready(&self) {
        self.readiness.set(&self.name, State { ready: true, reason: None });
    }

    /// The condition does not hold, and why: one sentence for the operator.
    pub fn not_ready(&self, reason: impl Into<String>) {
        self.readiness.set(&self.name, State { ready: false, reason: Some(reason.into()) });
    }
}

fn all_hold(conditions: &BTreeMap<String, State>) -> bool {
    conditions.values().all(|state| state.ready)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn ready_when_all_conditions_hold_and_only_then() {
        let readiness = Readiness::default();
        assert!(readiness.is_ready());
        let queue = readiness.condition("mta.queue");
        let dns = readiness.condition("mta.dns");
        assert!(!readiness.is_ready());
        queue.ready();
        assert!(!readiness.is_ready());
        dns.ready();
        readiness.ready().await;
        queue.not_ready("the database does not answer");
        let (ready, report) = readiness.report();
        assert!(!ready);
        let report: serde_json::Value = serde_json::from_str(&report).unwrap();
        assert_eq!(report["ready"], false);
        assert_eq!(report["conditions"]["mta.dns"]["ready"], true);
        assert_eq!(report["conditions"]["mta.queue"]["reason"], "the database does not answer");
    }

    #[tokio::test]
    async fn waiting_ends_when_the_last_condition_holds() {
        let readiness = Readiness::default();
        let condition = readiness.condition("mda.directory");
        let waiting = tokio::spawn({
            let readiness = readiness.clone();
            async move { readiness.ready().await }
        });
        condition.ready();
        waiting.await.unwrap();
    }
}
