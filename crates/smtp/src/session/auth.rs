//! AUTH (RFC 4954): which mechanisms are offered now, the exchange, and what becomes of who fails at it.

use mail::ScramChallenge;

use super::{Asked, Question, Session, State, Step};
use crate::agent::Login;
use crate::reply::{self, Reply};
use crate::sasl::scram::Server;
use crate::sasl::{Channel, Exchange, Judgement, Mechanism, Progress};

impl Session {
    /// The mechanisms that a client can use now, in the order of the settings.
    pub(super) fn mechanisms(&self) -> impl Iterator<Item = Mechanism> {
        let tls = self.info.tls.as_deref().filter(|_| self.info.account.is_none());
        let mechanisms = self.settings.mechanisms.iter().copied();
        mechanisms.filter(move |mechanism| match (mechanism, tls) {
            (_, None) => false,
            (Mechanism::ScramSha256Plus, Some(tls)) => tls.can_bind(),
            (Mechanism::External, Some(tls)) => !tls.client_addresses.is_empty(),
            (_, Some(_)) => true,
        })
    }

    fn channel(&self) -> Channel<'_> {
        let plus_offered = self.mechanisms().any(|mechanism| mechanism == Mechanism::ScramSha256Plus);
        Channel { tls: self.info.tls.as_deref(), plus_offered }
    }

    pub(super) fn auth(&mut self, mechanism: &str, initial: Option<&str>, state: State) -> Option<Step> {
        let named = Mechanism::named(mechanism);
        let Some(mechanism) = self.mechanisms().find(|offered| Some(*offered) == named) else {
            self.say(&reply::mechanism_unknown(), state);
            return None;
        };
        let progress = Exchange::begin(mechanism, initial, &self.channel());
        self.authenticate(progress)
    }

    /// Takes the client's next line.
    pub(super) fn respond(&mut self, exchange: Exchange, length: usize) -> Option<Step> {
        let line = str::from_utf8(&self.input[..length]).map_err(|_| reply::authentication_malformed());
        let progress = line.and_then(|line| exchange.respond(line, &self.channel()));
        self.lines.consume(&mut self.input, length);
        self.authenticate(progress)
    }

    /// Takes the agent's challenge for a SCRAM client. A challenge or a refusal follows, and no further question.
    pub(super) fn challenged(
        &mut self,
        exchange: Box<Server>,
        answer: Result<(ScramChallenge, String), Reply>,
    ) {
        let challenged = answer.map(|(challenge, nonce)| Exchange::challenged(exchange, &challenge, &nonce));
        self.authenticate(challenged);
    }

    /// Takes the agent's word on the credentials; no further question follows.
    pub(super) fn judged(&mut self, judgement: Judgement, answer: Result<Login, Reply>) {
        self.authenticate(Ok(judgement.pass(answer)));
    }

    fn authenticate(&mut self, progress: Result<Progress, Reply>) -> Option<Step> {
        match progress {
            Ok(Progress::Challenge(challenge, exchange)) => {
                self.say(&reply::challenge(challenge), State::Authenticating(exchange));
            }
            Ok(Progress::Lookup(exchange)) => {
                let login = exchange.login().to_owned();
                return self.ask(Question::ChallengeScram(login), Asked::ChallengeScram(exchange));
            }
            Ok(Progress::Done(credentials, judgement)) => {
                return self.ask(Question::Authenticate(credentials), Asked::Authenticate(judgement));
            }
            Ok(Progress::Accepted(account)) => {
                self.info.account = Some(*account);
                self.say(&reply::authenticated(), State::Greeted);
            }
            Ok(Progress::Failed(refusal)) => self.fail(&refusal, refusal.is_permanent()),
            // What is not well-formed is an error, and no attempt at somebody's password.
            Err(refusal) => self.fail(&refusal, refusal.code() == 535),
        }
        None
    }

    /// A 4yz is our trouble and tells nothing about the credentials.
    fn fail(&mut self, refusal: &Reply, counts: bool) {
        self.auth_failures += u32::from(counts);
        if self.auth_failures >= self.settings.max_auth_failures {
            self.say(&reply::too_many_authentication_failures(), State::Closing);
        } else {
            self.say(refusal, State::Greeted);
        }
    }
}
