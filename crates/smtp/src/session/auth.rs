//! AUTH (RFC 4954): the exchange, and what becomes of who fails at it.

use mail::Account;

use super::{Asked, Question, Session, State, Step};
use crate::reply::{self, Reply};
use crate::sasl::{Exchange, Mechanism, Progress};

impl Session {
    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>, state: State) -> Option<Step> {
        let Some(mechanism) = Mechanism::named(mechanism) else {
            self.say(&reply::mechanism_unknown(), state);
            return None;
        };
        self.authenticate(Exchange::begin(mechanism, initial))
    }

    pub(super) fn authenticate(&mut self, progress: Result<Progress, Reply>) -> Option<Step> {
        match progress {
            Ok(Progress::Challenge(challenge, exchange)) => {
                self.say(&reply::challenge(challenge), State::Authenticating(exchange));
                None
            }
            Ok(Progress::Done(credentials)) => {
                self.ask(Question::Authenticate(credentials), Asked::Authenticate)
            }
            Err(refusal) => {
                self.say(&refusal, State::Greeted);
                None
            }
        }
    }

    pub(super) fn authenticated(&mut self, answer: Result<Account, Reply>) {
        match answer {
            Ok(account) => {
                self.info.account = Some(account);
                self.say(&reply::authenticated(), State::Greeted);
            }
            Err(refusal) => {
                // A 4yz is our trouble and tells nothing about the password.
                self.auth_failures += u32::from(refusal.is_permanent());
                if self.auth_failures >= self.settings.max_auth_failures {
                    self.say(&reply::too_many_authentication_failures(), State::Closing);
                } else {
                    self.say(&refusal, State::Greeted);
                }
            }
        }
    }
}
