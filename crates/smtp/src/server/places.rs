//! The places of a listener: so many sessions at once, of which some are kept for those who authenticate.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Settings;

/// All places.
#[derive(Debug)]
pub(super) struct Places {
    all: Arc<Semaphore>,
    /// For those who have not authenticated.
    open: Arc<Semaphore>,
}

/// One place; it is free again when this is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _one_of_all: OwnedSemaphorePermit,
    open: Option<OwnedSemaphorePermit>,
    authenticated: bool,
}

impl Places {
    pub(super) fn new(settings: &Settings) -> Self {
        let all = settings.max_sessions.clamp(1, Semaphore::MAX_PERMITS);
        let offered = !settings.mechanisms.is_empty();
        let reserved = if offered { settings.reserved_sessions.min(all - 1) } else { 0 };
        Self { all: Arc::new(Semaphore::new(all)), open: Arc::new(Semaphore::new(all - reserved)) }
    }

    /// A place, where there is one.
    pub(super) fn take(&self) -> Option<Place> {
        let one_of_all = Arc::clone(&self.all).try_acquire_owned().ok()?;
        let open = Arc::clone(&self.open).try_acquire_owned().ok();
        Some(Place { _one_of_all: one_of_all, open, authenticated: false })
    }
}

impl Place {
    /// Whether it may be kept only by authenticating.
    pub(super) fn is_reserved(&self) -> bool {
        self.open.is_none() && !self.authenticated
    }

    /// Its session has authenticated: it keeps the place, and leaves an open one to others.
    pub(super) fn authenticated(&mut self) {
        self.authenticated = true;
        self.open = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_leave_room_for_those_who_authenticate() {
        let settings = Settings {
            max_sessions: 5,
            reserved_sessions: 2,
            mechanisms: vec![crate::sasl::Mechanism::Plain],
            ..Settings::default()
        };
        let places = Places::new(&settings);
        let mut kept: Vec<Place> = (0..5).map(|_| places.take().unwrap()).collect();
        assert_eq!(kept.iter().filter(|place| place.is_reserved()).count(), 2);
        assert!(places.take().is_none());
        // Who authenticates on an open place makes room for a stranger, once there is a place at all.
        kept[0].authenticated();
        kept[4].authenticated();
        assert!(!kept[0].is_reserved() && !kept[4].is_reserved());
        kept.remove(3);
        assert!(!places.take().unwrap().is_reserved());
        kept.iter_mut().for_each(Place::authenticated);
        drop(kept);
        let many: Vec<Place> = (0..4).map(|_| places.take().unwrap()).collect();
        assert_eq!(many.iter().filter(|place| place.is_reserved()).count(), 1);
    }

    #[test]
    fn without_authentication_nothing_is_reserved() {
        let settings = Settings { max_sessions: 3, reserved_sessions: 2, ..Settings::default() };
        let places = Places::new(&settings);
        let all: Vec<Place> = (0..3).map(|_| places.take().unwrap()).collect();
        assert!(all.iter().all(|place| !place.is_reserved()));
    }
}
