//! Waiting for conditions, never for a time.

use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

/// How long a test waits for what ought to happen at once, on a machine that is busy with other tests.
pub const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(10);

/// Asks again and again until there is an answer.
///
/// # Panics
/// With `what` when there is none within [`PATIENCE`].
pub async fn eventually<T>(what: &str, condition: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, condition).await
}

/// As [`eventually`], with another limit.
///
/// # Panics
/// With `what` when there is no answer in time.
pub async fn within<T>(limit: Duration, what: &str, mut condition: impl AsyncFnMut() -> Option<T>) -> T {
    let until = Instant::now() + limit;
    loop {
        if let Some(answer) = condition().await {
            return answer;
        }
        assert!(Instant::now() < until, "not within {limit:?}: {what}");
        sleep(PAUSE).await;
    }
}

/// Awaits, but not longer than [`PATIENCE`].
///
/// # Panics
/// With `what` when it takes longer.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(PATIENCE, future).await.unwrap_or_else(|_| panic!("not within {PATIENCE:?}: {what}"))
}
