//! MAIL: whether its parameters can be granted, and the envelope that they make.

use mail::{Envelope, Origin, Priority, ReversePath};

use super::{Asked, Question, Session, Step};
use crate::command::MailParameters;
use crate::reply::{self, Reply};

impl Session {
    /// Whether this MAIL may be, as far as the protocol knows.
    pub(super) fn check_mail(&self, path: &ReversePath, parameters: &MailParameters) -> Result<(), Reply> {
        if self.settings.require_tls && self.info.tls.is_none() {
            return Err(reply::tls_required());
        }
        if self.settings.require_authentication && self.info.account.is_none() {
            return Err(reply::authentication_required());
        }
        if !parameters.smtputf8 && path.mailbox().is_some_and(|mailbox| !mailbox.is_ascii()) {
            return Err(reply::sender_needs_smtputf8());
        }
        if parameters.size.is_some_and(|size| size > self.settings.max_size as u64) {
            return Err(reply::too_large(self.settings.max_size));
        }
        if parameters.require_tls && self.info.tls.is_none() {
            return Err(reply::require_tls_needs_tls());
        }
        self.settings.policy.check_times(parameters.deliver_by, parameters.hold)
    }

    /// Asks whether mail from here is taken.
    pub(super) fn mail(&mut self, reverse_path: ReversePath, parameters: MailParameters) -> Option<Step> {
        let asked = parameters.priority.unwrap_or_default();
        let priority = asked.min(self.highest_priority());
        let envelope = Box::new(Envelope {
            body: parameters.body.unwrap_or_default(),
            smtputf8: parameters.smtputf8,
            ret: parameters.ret,
            envid: parameters.envid,
            deliver_by: parameters.deliver_by,
            hold: parameters.hold,
            priority,
            require_tls: parameters.require_tls,
            ..Envelope::new(reverse_path, self.origin(parameters.smtputf8))
        });
        let declared_size = parameters.size.and_then(|size| usize::try_from(size).ok());
        self.ask(Question::Mail(envelope), Asked::Mail { declared_size, lowered: priority < asked })
    }

    /// Strangers lower the priority of their mail or leave it as it is (RFC 6710 4.1).
    fn highest_priority(&self) -> Priority {
        if self.info.account.is_some() { self.settings.policy.max_priority } else { Priority::NORMAL }
    }

    /// Who hands the message in: the client that XFORWARD told of, or the peer. The two are not mixed.
    fn origin(&self, smtputf8: bool) -> Origin {
        let account = self.info.account.as_ref().map(|account| account.address.clone());
        let tick = self.info.tick.clone();
        let Some(client) = &self.forwarded else {
            return Origin {
                address: Some(self.info.peer.ip()),
                helo: self.info.helo.clone(),
                account,
                protocol: self.info.protocol(smtputf8).to_owned(),
                tick,
            };
        };
        Origin {
            address: client.address.flatten(),
            helo: client.helo.clone().flatten().unwrap_or_default(),
            account,
            protocol: client.protocol.clone().flatten().unwrap_or_else(|| "SMTP".to_owned()),
            tick,
        }
    }
}
