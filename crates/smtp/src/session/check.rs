//! Whether a command may come now: the order of RFC 5321 4.1.4 and what the settings ask for, in one match. Changes nothing.

use mail::{Envelope, Recipient};

use super::{Session, State};
use crate::command::Command;
use crate::reply::{self, Reply};

impl Session {
    /// Whether the command may come now.
    pub(super) fn check(&self, command: &Command, state: &State) -> Result<(), Reply> {
        match (command, state) {
            (Command::Quit, _) => Ok(()),
            (_, State::Refused) => Err(reply::bad_sequence("You are refused here: send QUIT")),
            (Command::Helo(_) | Command::Ehlo(_) | Command::Rset | Command::Noop | Command::Help, _) => {
                Ok(())
            }
            (
                Command::Vrfy(_)
                | Command::Expn(_)
                | Command::Etrn(_)
                | Command::XClient(_)
                | Command::XForward(_)
                | Command::Queu(_)
                | Command::Tick(_)
                | Command::Verb(_),
                _,
            ) => self.check_guarded(command, state),
            (_, State::Connected) => Err(reply::bad_sequence("Send HELO or EHLO first")),
            (Command::StartTls, _) => self.check_starttls(state),
            (Command::Auth { .. }, _) => self.check_auth(state),
            (Command::Mail(..), State::Transaction(_) | State::Chunked(..)) => {
                Err(reply::bad_sequence("MAIL was given already: send RSET to begin anew"))
            }
            (Command::Mail(path, parameters), _) => self.check_mail(path, parameters),
            (Command::Rcpt(recipient), State::Transaction(transaction)) => {
                self.check_rcpt(recipient, &transaction.envelope)
            }
            (Command::Data | Command::Bdat { .. }, State::Transaction(transaction))
                if transaction.envelope.recipients.is_empty() =>
            {
                Err(reply::no_valid_recipients())
            }
            (Command::Data, State::Transaction(transaction)) if transaction.is_binary() => {
                Err(reply::bad_sequence("BODY=BINARYMIME needs BDAT"))
            }
            (Command::Data | Command::Bdat { .. }, State::Transaction(_))
            | (Command::Bdat { .. }, State::Chunked(..)) => Ok(()),
            (Command::Rcpt(_) | Command::Data, State::Chunked(..)) => {
                Err(reply::bad_sequence("Chunks have come already: go on with BDAT, or send RSET"))
            }
            (Command::Rcpt(_) | Command::Data | Command::Bdat { .. }, _) => {
                Err(reply::bad_sequence("Send MAIL first"))
            }
        }
    }

    fn check_starttls(&self, state: &State) -> Result<(), Reply> {
        if self.info.tls.is_some() {
            return Err(reply::bad_sequence("TLS is on already"));
        }
        if !self.starttls {
            return Err(reply::not_implemented());
        }
        if state.is_in_transaction() {
            return Err(reply::bad_sequence("Not within a mail transaction"));
        }
        Ok(())
    }

    fn check_auth(&self, state: &State) -> Result<(), Reply> {
        if self.settings.mechanisms.is_empty() {
            return Err(reply::not_implemented());
        }
        if self.info.account.is_some() {
            return Err(reply::bad_sequence("Authenticated already"));
        }
        if state.is_in_transaction() {
            return Err(reply::bad_sequence("Not within a mail transaction"));
        }
        if self.info.tls.is_none() {
            return Err(reply::authentication_needs_tls());
        }
        Ok(())
    }

    fn check_rcpt(&self, recipient: &Recipient, envelope: &Envelope) -> Result<(), Reply> {
        if envelope.recipients.len() >= self.settings.max_recipients {
            return Err(reply::too_many_recipients());
        }
        let ascii = recipient.forward_path.mailbox().is_none_or(mail::Mailbox::is_ascii);
        if ascii || envelope.smtputf8 { Ok(()) } else { Err(reply::recipient_needs_smtputf8()) }
    }
}
