//! Commands: a line is a command or an error with a well-formed reply; what MAIL and RCPT said, our client says again, and it
//! is read as the same.

use bytes::BytesMut;
use mail::{Content, Envelope, Origin, OriginalRecipient, Recipient, ReversePath};
use smtp::command::guarded::{self, Attributes, XCLIENT, XCLIENT_LOGIN, XFORWARD};
use smtp::command::{Command, MailParameters, encode_xtext};
use smtp::dialogue::{Next, Transaction};
use smtp::extension::Capabilities;

use crate::wire;

pub(crate) fn check(line: &[u8]) {
    match Command::parse(line) {
        Ok(command) => {
            assert!(!wire::has_bare_line_break(line), "{command:?}");
            understood(command);
        }
        Err(error) => {
            let mut out = BytesMut::new();
            error.reply().encode(&mut out);
            assert_eq!(wire::replies(&out).len(), 1, "{error}");
            assert!(error.reply().is_permanent(), "{error}");
        }
    }
}

fn understood(command: Command) {
    match command {
        Command::Helo(name) | Command::Ehlo(name) => {
            assert!(!name.is_empty() && !name.contains(|c: char| c.is_control() || c == ' '), "{name:?}");
        }
        Command::Mail(reverse_path, parameters) => {
            let recipient = Recipient::from("<postmaster>".parse::<mail::ForwardPath>().unwrap());
            let said = say(&reverse_path, &parameters, &recipient);
            let Ok(Command::Mail(path, again)) = Command::parse(said[0].as_bytes()) else {
                panic!("not read again: {:?}", said[0]);
            };
            assert_eq!((&path, again.ret), (&reverse_path, parameters.ret));
            assert_eq!(
                (again.deliver_by, again.require_tls),
                (parameters.deliver_by, parameters.require_tls)
            );
            assert_eq!(again.priority.unwrap_or_default(), parameters.priority.unwrap_or_default());
            // What outgrows its limit in xtext is left out.
            let fits = parameters.envid.filter(|envid| encode_xtext(envid).len() <= 100);
            assert_eq!(again.envid, fits);
        }
        Command::Rcpt(recipient) => {
            let said = say(&ReversePath::Null, &MailParameters::default(), &recipient);
            let Ok(Command::Rcpt(again)) = Command::parse(said[1].as_bytes()) else {
                panic!("not read again: {said:?}");
            };
            // What outgrows its limit is left out.
            let outgrows = |original: &OriginalRecipient| {
                // Each character as `\x{…}` at the most (RFC 6533 3).
                let longest = |c: char| format!("{:X}", u32::from(c)).len() + 4;
                original.address_type.len() + 1 + original.address.chars().map(longest).sum::<usize>() > 500
            };
            let left_out = again.original.is_none() && recipient.original.as_ref().is_some_and(outgrows);
            // The name of utf-8 may be written in another case than it came in.
            let named = |mut original: OriginalRecipient| {
                if original.address_type.eq_ignore_ascii_case("utf-8") {
                    "utf-8".clone_into(&mut original.address_type);
                }
                original
            };
            let original = recipient.original.map(named).filter(|_| !left_out);
            let again = Recipient { original: again.original.map(named), ..again };
            assert_eq!(again, Recipient { original, ..recipient }, "{said:?}");
        }
        Command::XClient(text) | Command::XForward(text) => {
            for known in [&XCLIENT[..], &XFORWARD[..], &[XCLIENT_LOGIN]] {
                if let Ok(attributes) = Attributes::parse(&text, known, "usage") {
                    let mut twice = attributes.clone();
                    twice.update(attributes.clone());
                    assert_eq!(twice, attributes);
                }
            }
        }
        Command::Queu(text) | Command::Tick(text) | Command::Verb(text) | Command::Etrn(text) => {
            if let Ok(token) = guarded::token(&text) {
                assert!(
                    (1..=64).contains(&token.len()) && token.bytes().all(|octet| octet.is_ascii_graphic())
                );
            }
            let _ = (guarded::listing(&text), guarded::switch(&text), guarded::node(&text));
        }
        _ => {}
    }
}

/// The lines that our client would pass this on with, to a server that offers everything.
fn say(reverse_path: &ReversePath, parameters: &MailParameters, recipient: &Recipient) -> Vec<String> {
    let offered = Capabilities {
        size: Some(None),
        pipelining: true,
        eight_bit_mime: true,
        smtputf8: true,
        dsn: true,
        deliver_by: Some(None),
        mt_priority: true,
        require_tls: true,
        ..Capabilities::default()
    };
    let envelope = Envelope {
        // Without, addresses that can be said in ASCII are.
        smtputf8: true,
        ret: parameters.ret,
        envid: parameters.envid.clone(),
        deliver_by: parameters.deliver_by,
        priority: parameters.priority.unwrap_or_default(),
        require_tls: parameters.require_tls,
        ..Envelope::new(reverse_path.clone(), Origin::default())
    };
    let recipients = [recipient.clone()];
    let mut transaction = Transaction::new(&offered, &envelope, &recipients, &Content::from("a\r\n"));
    let Next::Write(commands, _) = transaction.begin() else { panic!("a transaction begins with MAIL") };
    assert!(!wire::has_bare_line_break(commands.as_bytes()), "{commands:?}");
    let lines: Vec<_> = commands.split_terminator("\r\n").map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "MAIL, RCPT, DATA: {commands:?}");
    lines
}
