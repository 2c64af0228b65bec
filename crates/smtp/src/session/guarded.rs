//! Commands that tell, change or start something and are not for everybody: VRFY, EXPN, ETRN, XCLIENT, XFORWARD, QUEU, TICK
//! and VERB. Who may give which is decided here, from the settings' policy; what they mean the agent knows.

use std::net::SocketAddr;

use mail::Account;

use super::{Asked, Inquiry, Question, Session, State, Step};
use crate::command::guarded::{self, Attributes, XFORWARD};
use crate::command::{Command, CommandError};
use crate::policy::is_listed;
use crate::reply::{self, Reply};

impl Session {
    /// Whether VRFY and EXPN answer this peer.
    pub(super) fn may_verify(&self) -> bool {
        let policy = &self.settings.policy;
        let authenticated = policy.verify_authenticated && self.info.account.is_some();
        authenticated || is_listed(&policy.verify_from, self.info.peer.ip())
    }

    /// Whether this peer may start the queue.
    pub(super) fn may_start_queue(&self) -> bool {
        is_listed(&self.settings.policy.etrn_from, self.info.peer.ip())
    }

    /// Whether this peer may speak for others. What it says of others does not change that.
    pub(super) fn may_impersonate(&self) -> bool {
        is_listed(&self.settings.policy.xclient_from, self.client)
    }

    /// Whether this peer may look into the queue and mark its session.
    pub(super) fn may_administer(&self) -> bool {
        let policy = &self.settings.policy;
        let account = self.info.account.as_ref().map(|account| &account.address);
        account.is_some_and(|account| policy.administrators.contains(account))
            || is_listed(&policy.verbs_from, self.info.peer.ip())
    }

    /// Whether one of these commands may come now.
    pub(super) fn check_guarded(&self, command: &Command, state: &State) -> Result<(), Reply> {
        match command {
            Command::Expn(_) if !self.may_verify() => Err(reply::not_implemented()),
            Command::Etrn(_) if !self.may_start_queue() => Err(reply::not_implemented()),
            Command::Queu(_) | Command::Tick(_) | Command::Verb(_) if !self.may_administer() => {
                Err(reply::not_implemented())
            }
            Command::XClient(_) | Command::XForward(_) if !self.may_impersonate() => {
                Err(reply::not_authorized())
            }
            Command::XClient(_) | Command::XForward(_) | Command::Etrn(_) if state.is_in_transaction() => {
                Err(reply::bad_sequence("Not within a mail transaction"))
            }
            _ => Ok(()),
        }
    }

    /// Does what one of these commands says.
    pub(super) fn guarded(&mut self, command: Command, state: State) -> Option<Step> {
        let inquiry = match command {
            Command::Vrfy(_) if !self.may_verify() => {
                self.say(&reply::cannot_verify(), state);
                return None;
            }
            Command::Vrfy(name) => Ok(Inquiry::Verify(name)),
            Command::Expn(name) => Ok(Inquiry::Expand(name)),
            Command::Etrn(arguments) => {
                guarded::node(&arguments).map(|(domain, below)| Inquiry::Start { domain, below })
            }
            Command::Queu(arguments) => {
                guarded::listing(&arguments).map(|(ages, domain)| Inquiry::List { ages, domain })
            }
            Command::XClient(arguments) => return self.xclient(&arguments, state),
            Command::XForward(arguments) => {
                let said = self.xforward(&arguments).unwrap_or_else(CommandError::reply);
                self.say(&said, state);
                return None;
            }
            Command::Tick(arguments) => {
                let said = self.tick(&arguments).unwrap_or_else(CommandError::reply);
                self.say(&said, state);
                return None;
            }
            Command::Verb(arguments) => {
                let said = self.verb(&arguments).unwrap_or_else(CommandError::reply);
                self.say(&said, state);
                return None;
            }
            // `check` lets nothing else come here.
            _ => Err(CommandError::NotImplemented),
        };
        match inquiry {
            Ok(inquiry) => self.ask(Question::Inquire(inquiry), Asked::Inquire(Box::new(state))),
            Err(error) => {
                self.say(&error.reply(), state);
                None
            }
        }
    }

    fn tick(&mut self, arguments: &str) -> Result<Reply, CommandError> {
        let token = guarded::token(arguments)?;
        let said = reply::ticked(&token);
        self.info.tick = Some(token);
        Ok(said)
    }

    fn verb(&mut self, arguments: &str) -> Result<Reply, CommandError> {
        self.info.verbose = guarded::switch(arguments)?;
        Ok(reply::verbose(self.info.verbose))
    }

    /// Takes what a listed host says of the client of the next message.
    fn xforward(&mut self, arguments: &str) -> Result<Reply, CommandError> {
        const USAGE: &str = "Usage: XFORWARD attribute=value ... with the attributes that EHLO names";
        let attributes = Attributes::parse(arguments, &XFORWARD, USAGE)?;
        self.forwarded.get_or_insert_default().update(attributes);
        Ok(reply::ok())
    }

    /// Makes the session that of another client, from the greeting on. Whom that one authenticated as is known only where
    /// LOGIN may say so; what the peer has authenticated as itself counts no more.
    fn xclient(&mut self, arguments: &str, state: State) -> Option<Step> {
        const USAGE: &str = "Usage: XCLIENT attribute=value ... with the attributes that EHLO names";
        let attributes = match Attributes::parse(arguments, &self.xclient_attributes(), USAGE) {
            Ok(attributes) => attributes,
            Err(error) => {
                self.say(&error.reply(), state);
                return None;
            }
        };
        let info = &mut self.info;
        info.peer = replaced(info.peer, attributes.address.flatten(), attributes.port.flatten());
        info.local =
            replaced(info.local, attributes.destination.flatten(), attributes.destination_port.flatten());
        if let Some(name) = attributes.name {
            info.name = name;
        }
        if let Some(protocol) = attributes.protocol.flatten() {
            info.esmtp = protocol.eq_ignore_ascii_case("ESMTP");
        }
        info.helo = attributes.helo.flatten().unwrap_or_default();
        info.account = None;
        (info.tick, info.verbose) = (None, false);
        self.forwarded = None;
        let (client, peer, login) = (self.client, self.info.peer, attributes.login.flatten());
        tracing::info!(%client, %peer, helo = self.info.helo, login, "a listed host speaks for another client");
        self.ask(Question::Connect(login), Asked::Connect)
    }

    /// Greets the client that the session is of now. Where it was said what it called itself, it has greeted already.
    pub(super) fn adopted(&mut self, answer: Result<Option<Account>, Reply>) {
        let next = if self.info.helo.is_empty() { State::Connected } else { State::Greeted };
        match answer {
            Ok(account) => {
                self.info.account = account;
                self.say(&reply::greeting(&self.settings.hostname), next);
            }
            Err(refusal) => self.say(&refusal, State::Closing),
        }
    }
}

fn replaced(old: SocketAddr, address: Option<std::net::IpAddr>, port: Option<u16>) -> SocketAddr {
    // The port of one client says nothing of another.
    let rest = if address.is_some() { 0 } else { old.port() };
    SocketAddr::new(address.unwrap_or_else(|| old.ip()), port.unwrap_or(rest))
}
