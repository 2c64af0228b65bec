//! The client's side towards a server that may mean harm: whatever it answers, the transaction ends, says one status for each
//! recipient, and writes nothing but the commands that were asked for.

use bytes::BytesMut;
use mail::{Content, Envelope, Origin, Recipient};
use smtp::command::Command;
use smtp::dialogue::{Next, Transaction};
use smtp::extension::Capabilities;
use smtp::reply::Reply;

use crate::wire;

/// `flags, length, commands…, replies…`: MAIL and RCPT lines say what is to be sent, the rest is what the server says.
pub(crate) fn check(octets: &[u8]) {
    let ([flags, length], rest) = wire::controls(octets);
    let (commands, said) = rest.split_at(usize::from(length).min(rest.len()));
    let (envelope, recipients) = wanted(commands);
    let content = Content::from(if flags & 0x40 == 0 { "Subject: x\r\n\r\ntext\r\n" } else { "\r\n\n\0" });
    let offered = offered(flags);
    let mut transaction = Transaction::new(&offered, &envelope, &recipients, &content);
    let mut input = BytesMut::from(said);
    let mut next = transaction.begin();
    let (mut asked, mut contents) = (0, 0);
    for _ in 0..recipients.len() * 2 + 8 {
        match &next {
            Next::Write(lines, _) => asked += written(lines, &envelope, &recipients, asked),
            Next::Content => contents += 1,
            Next::Read(_) | Next::LoneDot => {}
            Next::Finished => {
                assert!(contents <= 1 && asked <= recipients.len());
                let statuses = transaction.finish();
                assert_eq!(statuses.len(), recipients.len());
                assert!(statuses.iter().all(|status| !status.text.contains(char::is_control)));
                let taken = statuses.iter().filter(|status| status.is_success()).count();
                assert!(taken == 0 || contents == 1, "a success without content: {statuses:?}");
                return;
            }
        }
        let Ok(Some(reply)) = Reply::decode(&mut input) else { return };
        next = transaction.take(&reply);
    }
    panic!("the transaction goes on and on");
}

fn offered(flags: u8) -> Capabilities {
    Capabilities {
        size: (flags & 1 > 0).then_some(None),
        pipelining: flags & 2 > 0,
        eight_bit_mime: flags & 4 > 0,
        smtputf8: flags & 8 > 0,
        dsn: flags & 16 > 0,
        chunking: flags & 32 > 0,
        binary_mime: flags & 32 > 0,
        ..Capabilities::default()
    }
}

fn wanted(commands: &[u8]) -> (Envelope, Vec<Recipient>) {
    let mut envelope = Envelope::new(mail::ReversePath::Null, Origin::default());
    let mut recipients = Vec::new();
    for line in commands.split(|octet| *octet == b'\n') {
        match Command::parse(line) {
            Ok(Command::Mail(path, parameters)) => {
                envelope.reverse_path = path;
                envelope.smtputf8 = parameters.smtputf8;
                envelope.body = parameters.body.unwrap_or_default();
                envelope.ret = parameters.ret;
                envelope.envid = parameters.envid;
            }
            Ok(Command::Rcpt(recipient)) => recipients.push(recipient),
            _ => {}
        }
    }
    (envelope, recipients)
}

/// Each line is a command of ours, in its order; how many recipients were named in them.
fn written(lines: &str, envelope: &Envelope, recipients: &[Recipient], asked: usize) -> usize {
    assert!(lines.ends_with("\r\n") && !wire::has_bare_line_break(lines.as_bytes()), "{lines:?}");
    let mut named = 0;
    for line in lines.split_terminator("\r\n") {
        match Command::parse(line.as_bytes()) {
            Ok(Command::Mail(path, _)) => {
                let wanted = &envelope.reverse_path;
                let is_it = path == *wanted || Some(path) == wanted.to_ascii();
                assert!(asked == 0 && named == 0 && is_it, "{lines:?}");
            }
            Ok(Command::Rcpt(recipient)) => {
                named += 1;
                let said = recipient.forward_path;
                // As it was, or with its domain in A-labels.
                assert!(
                    recipients
                        .iter()
                        .map(|wanted| &wanted.forward_path)
                        .any(|wanted| { *wanted == said || wanted.to_ascii().as_ref() == Some(&said) })
                );
            }
            Ok(Command::Data) => assert!(lines.ends_with("DATA\r\n")),
            other => panic!("{line:?} is {other:?}"),
        }
    }
    named
}
