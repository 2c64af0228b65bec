//! What the protocol costs in CPU, without sockets: `cargo bench -p smtp`. Figures of different machines are not to be
//! compared, only those before and after a change.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a benchmark that cannot go on panics

use std::fmt::Write as _;
use std::hint::black_box;
use std::sync::Arc;

use bytes::BytesMut;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use mail::{Content, Envelope, Mailbox, Origin, Recipient, ReversePath};
use smtp::command::Command;
use smtp::data;
use smtp::dialogue::{self, Next, Transaction};
use smtp::reply::{self, Reply};
use smtp::server::Settings;
use smtp::session::{Answer, Question, Session, Step};
use smtp::{Capabilities, SessionInfo};

/// As many octets as a common message has.
const MESSAGE: usize = 4096;

const COMMANDS: [&str; 8] = [
    "EHLO client.example.org",
    "MAIL FROM:<sender@example.org> SIZE=4096 BODY=8BITMIME",
    "MAIL FROM:<sender@example.org> RET=HDRS ENVID=QQ314159 SMTPUTF8 MT-PRIORITY=3",
    "RCPT TO:<recipient@example.com>",
    "RCPT TO:<recipient@example.com> NOTIFY=SUCCESS,FAILURE ORCPT=rfc822;recipient@example.com",
    "BDAT 4096 LAST",
    "DATA",
    "AUTH PLAIN AHVzZXJAZXhhbXBsZS5vcmcAc2VjcmV0",
];

fn content(octets: usize) -> String {
    let mut content = "From: <sender@example.org>\r\nSubject: benchmark\r\n\r\n".to_owned();
    while content.len() < octets {
        writeln!(content, "{}\r", "a line of common length ".repeat(3)).unwrap();
    }
    content
}

/// A session that has said EHLO.
fn greeted() -> Session {
    let address = "192.0.2.1:25".parse().unwrap();
    let settings = Settings { hostname: "mx.example.com".to_owned(), ..Settings::default() };
    let mut session = Session::new(Arc::new(settings), SessionInfo::new(address, address), false);
    session.greet(Ok(()));
    feed(&mut session, b"EHLO client.example.org\r\n");
    session
}

/// Feeds octets to the session, and says yes to all that it asks; how many octets it answered.
fn feed(session: &mut Session, octets: &[u8]) -> usize {
    session.input().extend_from_slice(octets);
    let mut said = 0;
    loop {
        match session.step() {
            Step::Ask(question) => {
                let answer = yes(question);
                session.answer(answer);
            }
            step @ (Step::Write | Step::Read) => {
                said += session.output().len();
                session.output().clear();
                if matches!(step, Step::Read) {
                    return said;
                }
            }
            Step::Handshake | Step::Close => panic!("the session ends"),
        }
    }
}

fn yes(question: Question) -> Answer {
    match question {
        Question::Mail(envelope) => Answer::Mail(envelope, Ok(())),
        Question::Rcpt(envelope, recipient) => Answer::Rcpt(envelope, recipient, Ok(())),
        Question::Reserve(_) => Answer::Reserve(true),
        Question::Data(_, content) => {
            black_box(content);
            Answer::Data(reply::queued("01JD0000000000000000000000"))
        }
        other => panic!("not asked in a benchmark: {other:?}"),
    }
}

fn commands(c: &mut Criterion) {
    let mut group = c.benchmark_group("command");
    for line in COMMANDS {
        group.bench_function(line.split(' ').take(3).collect::<Vec<_>>().join(" "), |b| {
            b.iter(|| Command::parse(black_box(line.as_bytes())));
        });
    }
    group.finish();
}

fn replies(c: &mut Criterion) {
    let ehlo = b"250-mx.example.com\r\n250-PIPELINING\r\n250-SIZE 52428800\r\n250-8BITMIME\r\n250-DSN\r\n250 CHUNKING\r\n";
    c.bench_function("reply/EHLO", |b| {
        b.iter(|| Reply::decode(&mut BytesMut::from(&ehlo[..])).unwrap());
    });
}

/// One message, from MAIL to the reply to its end.
fn transactions(c: &mut Criterion) {
    let content = content(MESSAGE);
    let begin = "MAIL FROM:<sender@example.org> SIZE=4096\r\nRCPT TO:<recipient@example.com>\r\n";
    let one_by_one: Vec<String> = begin.split_inclusive('\n').map(str::to_owned).collect();
    let mut group = c.benchmark_group("session");
    let mut bench = |name: &str, turns: Vec<String>| {
        let mut session = greeted();
        group.bench_function(name, |b| {
            b.iter(|| turns.iter().map(|turn| feed(&mut session, turn.as_bytes())).sum::<usize>());
        });
    };
    let data = ["DATA\r\n".to_owned(), format!("{content}.\r\n")];
    bench("DATA, one by one", [&one_by_one[..], &data].concat());
    bench("DATA, pipelined", vec![format!("{begin}DATA\r\n"), data[1].clone()]);
    bench("BDAT, pipelined", vec![format!("{begin}BDAT {} LAST\r\n{content}", content.len())]);
    group.finish();
}

/// Content in pieces as they come from a socket.
fn large_content(c: &mut Criterion) {
    let content = content(1024 * 1024);
    let mut group = c.benchmark_group("content");
    group.throughput(Throughput::Bytes(content.len() as u64)).sample_size(30);
    let pieces = |end: &str| -> Vec<Vec<u8>> {
        format!("{content}{end}").as_bytes().chunks(16 * 1024).map(<[u8]>::to_vec).collect()
    };
    let mut bench = |name: &str, begin: String, pieces: Vec<Vec<u8>>| {
        group.bench_function(name, |b| {
            b.iter_batched_ref(
                || {
                    let mut session = greeted();
                    feed(&mut session, b"MAIL FROM:<>\r\nRCPT TO:<recipient@example.com>\r\n");
                    feed(&mut session, begin.as_bytes());
                    session
                },
                |session| pieces.iter().map(|piece| feed(session, piece)).sum::<usize>(),
                BatchSize::PerIteration,
            );
        });
    };
    bench("DATA", "DATA\r\n".to_owned(), pieces(".\r\n"));
    bench("BDAT", format!("BDAT {} LAST\r\n", content.len()), pieces(""));
    group.finish();
}

/// The client's side of a transaction with a server that takes everything.
fn transaction_of_client(c: &mut Criterion) {
    let offered = Capabilities { pipelining: true, dsn: true, ..Capabilities::default() };
    let sender: Mailbox = "sender@example.org".parse().unwrap();
    let envelope = Envelope::new(ReversePath::Mailbox(sender), Origin::default());
    let recipients: Vec<Recipient> =
        vec!["<recipient@example.com>".parse::<mail::ForwardPath>().unwrap().into()];
    let content = Content::from(content(MESSAGE));
    let (yes, go_on) = (Reply::new(250, (2, 0, 0), "OK"), Reply::new(354, (0, 0, 0), "go on"));
    c.bench_function("dialogue/pipelined", |b| {
        b.iter(|| {
            let mut transaction = Transaction::new(&offered, &envelope, &recipients, &content);
            let mut next = transaction.begin();
            loop {
                let waits = match next {
                    Next::Finished => break,
                    Next::Write(lines, step) => {
                        black_box(lines);
                        step
                    }
                    Next::Content => {
                        black_box(data::encode(&content).unwrap());
                        dialogue::Step::EndOfData
                    }
                    Next::Read(step) => step,
                    Next::LoneDot => panic!("the server took everything"),
                };
                next = transaction.take(if waits == dialogue::Step::Data { &go_on } else { &yes });
            }
            transaction.finish()
        });
    });
}

criterion_group!(benches, commands, replies, transactions, large_content, transaction_of_client);
criterion_main!(benches);
