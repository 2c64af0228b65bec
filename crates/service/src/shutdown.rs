//! Ending in good order: stop accepting, finish what is in flight within a limit, then go.

use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// The end of the process, shared by everything that runs in it. Clones are the same end.
///
/// Loops take the [`token`](Shutdown::token) and stop taking work when it is cancelled; whatever must finish first runs as
/// a tracked task.
#[derive(Debug, Clone)]
pub struct Shutdown {
    token: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Mutex<Option<anyhow::Error>>>,
}

impl Default for Shutdown {
    fn default() -> Shutdown {
        Shutdown { token: CancellationToken::new(), tasks: TaskTracker::new(), failure: Arc::default() }
    }
}

impl Shutdown {
    /// Cancelled when the process is to end: take no new work.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// The tasks that the process waits for before it ends.
    pub fn tasks(&self) -> &TaskTracker {
        &self.tasks
    }

    /// Whether the process is to end.
    pub fn has_begun(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Begins the end.
    pub fn begin(&self) {
        self.token.cancel();
    }

    /// Waits until the end has begun.
    pub async fn begun(&self) {
        self.token.cancelled().await;
    }

    /// Begins the end because something that the process cannot do without has failed. The first failure is kept.
    pub fn fail(&self, error: anyhow::Error) {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
        self.token.cancel();
    }

    /// The failure that began the end, if it was one.
    pub fn take_failure(&self) -> Option<anyhow::Error> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Runs a task that the process cannot do without: its error or panic ends the process, and the end waits for it.
    pub fn spawn<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let task = tokio::spawn(task);
        let shutdown = self.clone();
        self.tasks.spawn(async move {
            let error = match task.await {
                Ok(Ok(())) => return,
                Ok(Err(error)) => error.context(format!("{name} failed")),
                Err(error) => anyhow::Error::from(error).context(format!("{name} broke off")),
            };
            tracing::error!(
                error = crate::exit::sentence(&error),
                task = name,
                "a part of this process failed, so it ends"
            );
            shutdown.fail(error);
        });
    }

    /// Waits for the tasks, `grace` at most. Says whether all have ended.
    pub async fn drain(&self, grace: Duration) -> bool {
        self.tasks.close();
        let drained = tokio::time::timeout(grace, self.tasks.wait()).await.is_ok();
        if !drained {
            tracing::warn!(
                tasks = self.tasks.len(),
                ?grace,
                "work in flight did not finish in time and is broken off"
            );
        }
        drained
    }

    /// SIGTERM or SIGINT begins the end; a second one ends the process at once.
    pub fn on_signals(&self) -> std::io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let shutdown = self.clone();
        tokio::spawn(async move {
            let name = next(&mut terminate, &mut interrupt).await.0;
            tracing::info!(signal = name, "stopping: no new work, what is in flight is finished");
            shutdown.begin();
            let (name, code) = next(&mut terminate, &mut interrupt).await;
            tracing::warn!(signal = name, "stopping at once");
            std::process::exit(code);
        });
        Ok(())
    }
}

/// The next signal's name, and the exit code that shells give to it.
async fn next(terminate: &mut Signal, interrupt: &mut Signal) -> (&'static str, i32) {
    tokio::select! {
        _ = terminate.recv() => ("SIGTERM", 128 + 15),
        _ = interrupt.recv() => ("SIGINT", 128 + 2),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn draining_waits_for_tasks_and_not_for_ever() {
        let shutdown = Shutdown::default();
        let token = shutdown.token();
        shutdown.spawn("a good task", async move {
            token.cancelled().await;
            Ok(())
        });
        assert!(!shutdown.drain(Duration::from_millis(10)).await);
        shutdown.begin();
        assert!(shutdown.drain(Duration::from_secs(10)).await);
        assert!(shutdown.take_failure().is_none());
    }

    #[tokio::test]
    async fn a_failed_or_panicking_task_ends_the_process_and_says_why() {
        let shutdown = Shutdown::default();
        shutdown.spawn("the scheduler", async { anyhow::bail!("no queue") });
        shutdown.begun().await;
        assert_eq!(format!("{:#}", shutdown.take_failure().unwrap()), "the scheduler failed: no queue");

        let shutdown = Shutdown::default();
        shutdown.spawn("the scheduler", async { panic!("a bug") });
        shutdown.begun().await;
        assert!(format!("{:#}", shutdown.take_failure().unwrap()).starts_with("the scheduler broke off: "));
    }
}
