//! The time that a session has, for each thing that it does: whichever ends first ends it.

use std::time::Duration;

use tokio::time::Instant;

use super::Timeouts;
use super::limits::Reason;
use super::pace::Pace;
use crate::reply::{self, Reply};

/// Where the times of one session stand.
#[derive(Debug)]
pub(super) struct Clock {
    handshake: Duration,
    idle: Duration,
    /// The end of the session.
    session: Instant,
    /// By when it must have authenticated, while its place is a reserved one.
    authentication: Option<Instant>,
    /// The line that has begun, and by when it must end.
    line: Option<(u32, Instant)>,
    /// By when the content that has begun must end, and how fast it comes.
    content: Option<(Instant, Pace)>,
}

/// What a session reads now, and what it holds meanwhile.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Reading {
    /// The line of which a part is there.
    pub(super) line: Option<u32>,
    pub(super) in_data: bool,
    /// It has memory for a message: content goes on, also between its chunks.
    pub(super) holds_memory: bool,
    /// Its place is to be left to those who authenticate.
    pub(super) reserved_place: bool,
}

/// What ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    Silence,
    Session,
    Authentication,
    Line,
    Content,
}

impl End {
    /// What the peer hears.
    pub(super) fn reply(self) -> Reply {
        match self {
            Self::Silence | Self::Session => reply::idle_too_long(),
            Self::Authentication => reply::authenticate_sooner(),
            Self::Line => reply::command_too_slow(),
            Self::Content => reply::content_too_slow(),
        }
    }

    /// The refusal that it counts as; silence is none.
    pub(super) fn reason(self) -> Option<Reason> {
        match self {
            Self::Silence | Self::Session => None,
            Self::Authentication => Some(Reason::Reserve),
            Self::Line | Self::Content => Some(Reason::TooSlow),
        }
    }
}

impl Clock {
    pub(super) fn new(timeouts: &Timeouts, reserved: bool, now: Instant) -> Self {
        Self {
            handshake: timeouts.handshake,
            idle: timeouts.command,
            session: now + timeouts.session,
            authentication: reserved.then(|| now + timeouts.authentication),
            line: None,
            content: None,
        }
    }

    /// By when the session is over whatever it does now, and what has ended then.
    pub(super) fn end(&self, reserved_place: bool) -> (Instant, End) {
        match self.authentication.filter(|until| reserved_place && *until < self.session) {
            Some(until) => (until, End::Authentication),
            None => (self.session, End::Session),
        }
    }

    /// By when a handshake that begins now must be done.
    pub(super) fn handshake(&self, now: Instant) -> Instant {
        let until = now + self.handshake;
        self.authentication.map_or(until, |authentication| until.min(authentication)).min(self.session)
    }

    /// Looks at what the session reads now: the line that has begun, or content.
    pub(super) fn look(&mut self, reading: Reading, timeouts: &Timeouts, now: Instant) {
        let Reading { line, in_data, holds_memory, reserved_place } = reading;
        self.idle = if in_data { timeouts.data } else { timeouts.command };
        if !reserved_place {
            self.authentication = None;
        }
        self.line = match (line, self.line) {
            (Some(number), Some((begun, until))) if number == begun => Some((begun, until)),
            (line, _) => line.map(|number| (number, now + timeouts.line)),
        };
        if in_data || holds_memory {
            self.content.get_or_insert_with(|| (now + timeouts.message, Pace::new(timeouts.floor)));
        } else {
            self.content = None;
        }
    }

    /// By when something must come, and what has ended otherwise.
    pub(super) fn until(&self, now: Instant) -> (Instant, End) {
        let content = self
            .content
            .map(|(until, pace)| (pace.left().map_or(until, |left| until.min(now + left)), End::Content));
        let ends = [
            Some((self.session, End::Session)),
            self.authentication.map(|until| (until, End::Authentication)),
            self.line.map(|(_, until)| (until, End::Line)),
            content,
        ];
        let silence = (now + self.idle, End::Silence);
        ends.into_iter().flatten().fold(silence, |first, end| if end.0 < first.0 { end } else { first })
    }

    /// So many octets came after so long.
    pub(super) fn came(&mut self, octets: usize, waited: Duration) {
        if let Some((_, pace)) = &mut self.content {
            pace.came(octets, waited);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Floor;

    const SECOND: Duration = Duration::from_secs(1);

    fn timeouts() -> Timeouts {
        Timeouts {
            command: 300 * SECOND,
            data: 180 * SECOND,
            line: 60 * SECOND,
            message: 1000 * SECOND,
            floor: Floor { octets_per_second: 1000, window: 100 * SECOND },
            ..Timeouts::default()
        }
    }

    #[test]
    fn a_line_has_its_time_however_often_a_part_of_it_comes() {
        let timeouts = timeouts();
        let start = Instant::now();
        let mut clock = Clock::new(&timeouts, false, start);
        let mut look = |line, after: u32| {
            let now = start + after * SECOND;
            clock.look(Reading { line, ..Reading::default() }, &timeouts, now);
            clock.until(now)
        };
        assert_eq!(look(None, 0), (start + 300 * SECOND, End::Silence));
        assert_eq!(look(Some(7), 10), (start + 70 * SECOND, End::Line));
        assert_eq!(look(Some(7), 60), (start + 70 * SECOND, End::Line));
        assert_eq!(look(Some(8), 65), (start + 125 * SECOND, End::Line), "another line, another time");
        assert_eq!(look(None, 70), (start + 370 * SECOND, End::Silence));
    }

    #[test]
    fn content_that_trickles_ends_and_so_does_content_without_end() {
        let timeouts = timeouts();
        for (octets, seconds) in [(10, 101), (2000, 1000)] {
            let start = Instant::now();
            let mut clock = Clock::new(&timeouts, false, start);
            let mut now = start;
            loop {
                clock.look(Reading { in_data: true, ..Reading::default() }, &timeouts, now);
                let (until, end) = clock.until(now);
                if until <= now + SECOND {
                    assert_eq!(end, End::Content);
                    break;
                }
                now += SECOND;
                clock.came(octets, SECOND);
            }
            let took = (now - start).as_secs();
            assert!(took.abs_diff(seconds) <= 2, "{octets} octets a second: {took} s");
        }
    }

    #[test]
    fn a_reserved_place_is_to_be_used_soon() {
        let timeouts = timeouts();
        let now = Instant::now();
        let mut clock = Clock::new(&timeouts, true, now);
        clock.look(Reading { reserved_place: true, ..Reading::default() }, &timeouts, now);
        assert_eq!(clock.until(now), (now + timeouts.authentication, End::Authentication));
        assert_eq!(clock.handshake(now), now + timeouts.authentication);
        assert_eq!(clock.end(true), (now + timeouts.authentication, End::Authentication));
        assert_eq!(clock.end(false), (now + timeouts.session, End::Session));
        clock.look(Reading::default(), &timeouts, now);
        assert_eq!(clock.until(now), (now + timeouts.command, End::Silence));
        assert_eq!(clock.end(true), (now + timeouts.session, End::Session));
    }
}
