//! Whose turn it is (RFC 2920 3.1): some commands must be the last of their group, for what the client says next depends on
//! the reply. A client that goes on all the same talks blindly, as those do that were made to talk SMTP to us by somebody
//! else, and those that smuggle.

use super::{Session, State};
use crate::command::{Command, CommandError};
use crate::reply;

/// Whether turns are insisted on, and how it stands.
#[derive(Debug, Default)]
pub(super) struct Turns {
    enforced: bool,
    /// The line before must be the last until its reply was heard.
    waiting: bool,
    broken: bool,
}

impl Session {
    /// Ends the session when the peer does not wait for a reply that it must wait for. Without this the session does not
    /// care, so that a recorded dialogue can be replayed as a whole.
    pub fn insist_on_turns(&mut self) {
        self.turns.enforced = true;
    }

    /// Whether the peer must be silent until the output is written.
    #[must_use]
    pub fn is_in_turn(&self) -> bool {
        let waits = self.turns.enforced && self.turns.waiting && !self.output.is_empty();
        waits && !matches!(self.state, State::Closing)
    }

    /// The peer was not silent: ends the session.
    pub fn break_turn(&mut self) {
        self.turns.broken = true;
        self.say(&reply::out_of_turn(), State::Closing);
    }

    /// Whether the session ended because the peer did not wait.
    #[must_use]
    pub fn has_broken_turn(&self) -> bool {
        self.turns.broken
    }

    /// The number of the line of which a part is there, as long as no content is read.
    #[must_use]
    pub fn line(&self) -> Option<u32> {
        (!self.input.is_empty() && !self.is_in_data()).then(|| self.lines.ended())
    }

    /// Commands that were refused so far; a message that is taken sets it back to zero.
    #[must_use]
    pub fn errors(&self) -> u32 {
        self.errors
    }

    /// Rules on a line of so many octets at the front of the input: whether it may be answered.
    pub(super) fn takes_turns(&mut self, must_be_last: bool, length: usize) -> bool {
        if !self.turns.enforced {
            return true;
        }
        self.turns.waiting = must_be_last;
        let goes_on = self.input.len() > length + 2;
        if must_be_last && goes_on {
            self.break_turn();
        }
        !(must_be_last && goes_on)
    }

    /// The commands of RFC 2920 3.1 and RFC 4954 4, and every one before the server said that it takes groups at all.
    /// STARTTLS has a rule of its own (RFC 3207 4.2); behind QUIT nothing is read; behind BDAT there is content. What is no
    /// command at all is answered like any error.
    pub(super) fn must_be_last(&self, command: &Result<Command, CommandError>) -> bool {
        match command {
            Ok(Command::StartTls | Command::Quit | Command::Bdat { .. }) | Err(_) => false,
            Ok(
                Command::Helo(_)
                | Command::Ehlo(_)
                | Command::Data
                | Command::Vrfy(_)
                | Command::Expn(_)
                | Command::XClient(_)
                | Command::Noop
                | Command::Auth { .. },
            ) => true,
            Ok(_) => !self.info.esmtp,
        }
    }
}
