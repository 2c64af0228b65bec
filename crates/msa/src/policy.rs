//! What submission offers beyond plain SMTP, and to whom: from the settings to what sessions go by.

use std::sync::Arc;

use mail::{Priority, Timestamp};
use service::clock::Clock;
use smtp::policy::{FutureRelease, Policy};

use crate::config::Settings;

/// The most that HOLDFOR can say (RFC 4865 3).
const MOST_SECONDS: u32 = 999_999_999;

/// The policy that the settings make.
pub(crate) fn of(settings: &Settings, clock: &Arc<dyn Clock>) -> Policy {
    let limits = &settings.limits;
    let seconds =
        |time: std::time::Duration| u32::try_from(time.as_secs()).unwrap_or(u32::MAX).min(MOST_SECONDS);
    let (hold, clock) = (seconds(limits.hold.get()), Arc::clone(clock));
    let now = move || Timestamp::from(clock.now());
    Policy {
        min_deliver_by: seconds(limits.deliver_by.get()),
        future_release: (hold > 0).then(|| FutureRelease { max_seconds: hold, now: Arc::new(now) }),
        max_priority: Priority::new(limits.priority).unwrap_or_default(),
        verify_authenticated: settings.verify,
        verify_from: settings.verify_from.to_vec(),
        xclient_from: settings.xclient_from.to_vec(),
        xclient_login: settings.xclient_login,
        verbs_from: settings.verbs_from.to_vec(),
        administrators: settings.administrators.clone(),
        ..Policy::default()
    }
}
