//! What a session offers to whoever greets it, or asks for help: only what is true now, for this peer.

use super::{Session, State};
use crate::command::guarded::{XCLIENT, XCLIENT_LOGIN, XFORWARD};
use crate::extension::Capabilities;
use crate::policy::FutureRelease;
use crate::reply::{self, Reply};

impl Session {
    pub(super) fn greeted(&mut self, name: String, esmtp: bool) {
        self.info.helo = name;
        self.info.esmtp = esmtp;
        let hostname = &self.settings.hostname;
        let said =
            if esmtp { Reply::bare(250, self.capabilities().text(hostname)) } else { reply::helo(hostname) };
        self.say(&said, State::Greeted);
    }

    fn capabilities(&self) -> Capabilities {
        let secure = self.info.tls.is_some();
        let policy = &self.settings.policy;
        let auth = self.mechanisms().map(|mechanism| mechanism.name().to_owned()).collect();
        let verifies = self.may_verify();
        Capabilities {
            size: Some(Some(self.settings.max_size as u64)),
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            enhanced_status_codes: true,
            dsn: true,
            chunking: true,
            binary_mime: true,
            deliver_by: Some(Some(policy.min_deliver_by)),
            future_release: policy.future_release.as_ref().map(FutureRelease::limits),
            mt_priority: true,
            require_tls: secure,
            vrfy: verifies,
            expn: verifies,
            etrn: self.may_start_queue(),
            transactions: None,
            recipients: Some(self.settings.max_recipients as u64),
            starttls: self.starttls && !secure,
            auth,
            xclient: self.xclient_attributes().into_iter().map(str::to_owned).collect(),
            xforward: if self.may_impersonate() {
                XFORWARD.iter().map(|name| (*name).to_owned()).collect()
            } else {
                Vec::new()
            },
        }
    }

    /// The attributes that this peer may give with XCLIENT.
    pub(super) fn xclient_attributes(&self) -> Vec<&'static str> {
        if !self.may_impersonate() {
            return Vec::new();
        }
        let login = self.settings.policy.xclient_login.then_some(XCLIENT_LOGIN);
        XCLIENT.into_iter().chain(login).collect()
    }

    /// The commands that this peer may give.
    pub(super) fn help(&mut self, state: State) {
        let secure = self.info.tls.is_some();
        let mut text = "Commands: HELO EHLO MAIL RCPT DATA BDAT RSET NOOP QUIT HELP VRFY".to_owned();
        for (may, commands) in [
            (self.may_verify(), " EXPN"),
            (self.may_start_queue(), " ETRN"),
            (self.starttls && !secure, " STARTTLS"),
            (!self.settings.mechanisms.is_empty() && self.info.account.is_none(), " AUTH"),
            (self.may_impersonate(), " XCLIENT XFORWARD"),
            (self.may_administer(), "\nQUEU [DATE] [domain], TICK token, VERB ON or OFF"),
        ] {
            if may {
                text.push_str(commands);
            }
        }
        text.push_str("\nSee RFC 5321");
        self.say(&reply::help(text), state);
    }
}
