//! VRFY and EXPN (RFC 5321 3.5): whom a peer asks about, and what it hears once the directory has said who that is. Asks
//! nobody itself.

use mail::{ForwardPath, Mailbox, Resolution};

use crate::reply::{self, Reply};

/// Members of an alias that EXPN lists; of more it says how many.
const MEMBERS: usize = 500;

/// Whom VRFY or EXPN is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subject {
    path: ForwardPath,
    /// The peer takes UTF-8 in the reply (RFC 6531 3.7.4.2).
    smtputf8: bool,
}

impl Subject {
    /// Reads the argument: an address, with angle brackets or without, or `postmaster`; then perhaps `SMTPUTF8`.
    ///
    /// # Errors
    /// With what the peer hears: a name alone might be somebody in each of our domains.
    pub fn parse(argument: &str) -> Result<Self, Reply> {
        let (name, smtputf8) = match argument.rsplit_once(' ') {
            Some((name, word)) if word.eq_ignore_ascii_case("SMTPUTF8") => (name.trim_end(), true),
            _ => (argument, false),
        };
        let bare = name.strip_prefix('<').and_then(|name| name.strip_suffix('>')).unwrap_or(name);
        let path = if bare.eq_ignore_ascii_case("postmaster") {
            ForwardPath::Postmaster
        } else if bare.contains('@') {
            let mailbox = Mailbox::parse(bare).map_err(reply::bad_recipient_address)?;
            ForwardPath::Mailbox(mailbox)
        } else {
            return Err(reply::ambiguous());
        };
        Ok(Self { path, smtputf8 })
    }

    /// Whom to ask the directory about.
    #[must_use]
    pub fn path(&self) -> &ForwardPath {
        &self.path
    }

    /// The answer to VRFY. `relays` says whether mail for others would be taken from this peer too.
    #[must_use]
    pub fn verified(&self, resolution: &Resolution, relays: bool) -> Reply {
        let address = self.path.to_string();
        match resolution {
            Resolution::Deliverable(_) => self.tell(reply::verified(address)),
            Resolution::UnknownUser => reply::unknown_user(),
            Resolution::NotLocal if relays => self.tell(reply::forwarded_elsewhere(&address)),
            Resolution::NotLocal => reply::not_local(),
        }
    }

    /// The answer to EXPN: the members of an alias.
    #[must_use]
    pub fn expanded(&self, resolution: &Resolution) -> Reply {
        match resolution {
            Resolution::Deliverable(members) if self.stands_for_itself(members) => reply::not_a_list(),
            Resolution::Deliverable(members) => {
                let mut lines: Vec<String> =
                    members.iter().take(MEMBERS).map(|member| format!("<{member}>")).collect();
                if members.len() > MEMBERS {
                    lines.push(format!("and {} more", members.len() - MEMBERS));
                }
                self.tell(reply::members(lines.join("\n")))
            }
            Resolution::UnknownUser => reply::unknown_user(),
            Resolution::NotLocal => reply::not_local(),
        }
    }

    fn stands_for_itself(&self, members: &[Mailbox]) -> bool {
        matches!(members, [only] if self.path.mailbox() == Some(only))
    }

    /// Addresses beyond ASCII only for those who said that they take them.
    fn tell(&self, said: Reply) -> Reply {
        match (said.text().is_ascii(), self.smtputf8) {
            (true, _) => said,
            (false, true) => said.in_utf8(),
            (false, false) => reply::reply_needs_smtputf8(),
        }
    }
}

#[cfg(test)]
mod tests {
    use bytes::BytesMut;

    use super::*;

    fn subject(text: &str) -> Result<String, u16> {
        Subject::parse(text).map(|subject| subject.path.to_string()).map_err(|reply| reply.code())
    }

    fn encoded(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.encode(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn a_subject_is_an_address_or_the_postmaster() {
        assert_eq!(subject("a@b.example").as_deref(), Ok("<a@b.example>"));
        assert_eq!(subject("<a@b.example>").as_deref(), Ok("<a@b.example>"));
        assert_eq!(subject("PostMaster").as_deref(), Ok("<Postmaster>"));
        assert_eq!(subject("δ@b.example SMTPUTF8").as_deref(), Ok("<δ@b.example>"));
        assert_eq!((subject("alice"), subject("a b@c"), subject("<a@b")), (Err(553), Err(501), Err(501)));
    }

    #[test]
    fn the_directory_decides_what_is_said() {
        let member = |text: &str| Mailbox::parse(text).unwrap();
        let list = Resolution::Deliverable(vec![member("x@b.example"), member("y@c.example")]);
        let own = Resolution::Deliverable(vec![member("a@b.example")]);
        let asked = Subject::parse("a@b.example").unwrap();
        for (said, line) in [
            (asked.verified(&own, false), "250 2.1.5 <a@b.example>\r\n"),
            (asked.verified(&list, false), "250 2.1.5 <a@b.example>\r\n"),
            (asked.verified(&Resolution::UnknownUser, true), "550 5.1.1 No such user here\r\n"),
            (asked.expanded(&list), "250-2.1.5 <x@b.example>\r\n250 2.1.5 <y@c.example>\r\n"),
        ] {
            assert_eq!(encoded(&said), line);
        }
        assert_eq!(asked.verified(&Resolution::NotLocal, true).code(), 251);
        assert_eq!(asked.verified(&Resolution::NotLocal, false).code(), 551);
        assert_eq!(
            (asked.expanded(&own).code(), asked.expanded(&Resolution::UnknownUser).code()),
            (550, 550)
        );
        let endless = Resolution::Deliverable(vec![member("x@b.example"); MEMBERS + 7]);
        assert!(encoded(&asked.expanded(&endless)).ends_with("250 2.1.5 and 7 more\r\n"));
    }

    #[test]
    fn utf8_is_said_to_those_who_asked_for_it() {
        let own = Resolution::Deliverable(vec![Mailbox::parse("δ@b.example").unwrap()]);
        let with = Subject::parse("δ@b.example smtputf8").unwrap().verified(&own, false);
        assert_eq!(encoded(&with), "250 2.1.5 <δ@b.example>\r\n");
        let without = Subject::parse("δ@b.example").unwrap().verified(&own, false);
        assert_eq!((without.code(), without.text().is_ascii()), (553, true));
    }
}
