//! Dialogues as a generator makes them up: transactions that are well-formed, commands out of their order, limits that are
//! hit, content with and without faults, and noise between all of that. However one is cut, the same is said and taken.

use proptest::prelude::*;

use super::properties::cut;
use super::transcripts::{Machine, Setup, set_up};

/// Commands that end with their line.
fn command() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::sample::select(vec![
        "EHLO a.example",
        "HELO a",
        "ehlo [192.0.2.1]",
        "EHLO",
        "RSET",
        "NOOP",
        "NOOP of no matter",
        "VRFY a",
        "EXPN a",
        "HELP",
        "RSET now",
        "QUIT now",
        "TURN",
        "GET / HTTP/1.1",
        "",
        "STARTTLS",
        "AUTH",
        "AUTH NONE",
        "AUTH PLAIN",
        "AUTH LOGIN",
        "AUTH LOGIN ZGVtb0BhLmV4YW1wbGU=",
        "c2VjcmV0",
        "*",
        "=",
        "AUTH PLAIN AGRlbW9AYS5leGFtcGxlAHNlY3JldA==",
        "AUTH PLAIN AGRlbW9AYS5leGFtcGxlAHdyb25n",
        "MAIL FROM:<a@b.example>",
        "MAIL FROM:<> SIZE=1000000",
        "MAIL FROM:<a@b.example> NEW=1",
        "RCPT TO:<a@b.example>",
        "RCPT TO:<b@elsewhere.example>",
        "RCPT TO:<>",
        "DATA",
        "BDAT",
        "BDAT 0",
        "BDAT 0 LAST",
        "BDAT 5\r\nNOOP\r",
        "bdat 7 last\r\nQUIT\r\n\r\n",
    ]);
    lines.prop_map(|line| format!("{line}\r\n").into_bytes())
}

/// A transaction in its order, with some things in it that are refused.
fn transaction() -> impl Strategy<Value = Vec<u8>> {
    let parameters = prop::sample::select(vec![
        "",
        "",
        "",
        "",
        "",
        " SIZE=20",
        " SIZE=90000",
        " BODY=8BITMIME",
        " BODY=BINARYMIME",
        " SMTPUTF8",
        " RET=HDRS ENVID=x+2By",
    ]);
    let senders = prop::sample::select(vec![
        "<a@b.example>",
        "<a@b.example>",
        "<a@b.example>",
        "<>",
        "<a@b.example>",
        "<banned@b.example>",
        "<ä@b.example>",
    ]);
    let recipients = prop::sample::select(vec![
        "<a@b.example>",
        "<a@b.example>",
        "<a@b.example>",
        "<a@b.example>",
        "<nobody@b.example>",
        "<trouble@b.example>",
        "<Postmaster>",
        "<\"a b\"@b.example>",
    ]);
    (senders, parameters, prop::collection::vec(recipients, 0..5), message()).prop_map(
        |(sender, parameters, recipients, message)| {
            let mut said = format!("MAIL FROM:{sender}{parameters}\r\n").into_bytes();
            for recipient in recipients {
                said.extend(format!("RCPT TO:{recipient} NOTIFY=DELAY\r\n").into_bytes());
            }
            said.extend(message);
            said
        },
    )
}

/// Content behind DATA, or in chunks.
fn message() -> impl Strategy<Value = Vec<u8>> {
    let content = prop_oneof![
        4 => "(a: b\r\n)?\r\n([a.]{0,6}\r\n){0,8}",
        1 => "[a.\r\n]{0,30}",
        1 => "[a]{50,70}\r\n",
    ];
    let chunked = content
        .prop_flat_map(|content| (Just(content), prop::collection::vec(1usize..30, 1..4), any::<bool>()));
    (chunked, any::<bool>()).prop_map(|((content, sizes, empty), lines)| {
        if lines {
            return format!("DATA\r\n{content}\r\n.\r\n").into_bytes();
        }
        let mut said = Vec::new();
        for chunk in cut(content.as_bytes(), &sizes) {
            said.extend(format!("BDAT {}\r\n", chunk.len()).into_bytes());
            said.extend(chunk);
        }
        said.extend(if empty { "BDAT 0 LAST\r\n" } else { "BDAT 1 LAST\r\nx" }.as_bytes());
        said
    })
}

fn dialogue() -> impl Strategy<Value = Vec<u8>> {
    let part = prop_oneof![
        5 => command(),
        5 => transaction(),
        1 => prop::collection::vec(any::<u8>(), 0..30),
        1 => Just(b"EHLO a.example\r\n".to_vec()),
    ];
    let parts = prop::collection::vec(part, 0..20);
    (any::<bool>(), parts).prop_map(|(greeted, parts)| {
        let hello = if greeted { b"EHLO a.example\r\n".as_slice() } else { b"" };
        [hello, &parts.concat(), b"\r\nQUIT\r\n"].concat()
    })
}

/// Servers of several kinds.
fn setup() -> impl Strategy<Value = Setup> {
    let words = prop::sample::select(vec![
        "max_errors=100",
        "tls authentication max_errors=100",
        "tls authentication require_authentication max_errors=100 max_auth_failures=2",
        "require_tls max_errors=100",
        "max_size=60 max_recipients=2 max_errors=4",
        "no_memory max_errors=100",
    ]);
    words.prop_map(|words| {
        let mut setup = Setup::default();
        words.split(' ').for_each(|word| set_up(&mut setup, word));
        setup
    })
}

/// What was said and what was taken.
fn played<'a>(setup: &Setup, pieces: impl IntoIterator<Item = &'a [u8]>) -> (String, Vec<bytes::Bytes>) {
    let mut machine = Machine::new(setup);
    let mut said = machine.feed(b"");
    for piece in pieces {
        said.push_str(&machine.feed(piece));
    }
    (said, machine.taken())
}

proptest! {
    #[test]
    fn any_dialogue_in_any_split_is_the_same_dialogue(
        setup in setup(),
        octets in dialogue(),
        cuts in prop::collection::vec(1usize..80, 1..12),
    ) {
        let whole = played(&setup, [octets.as_slice()]);
        prop_assert_eq!(&played(&setup, cut(&octets, &cuts)), &whole, "cut in {:?}", cuts);
        prop_assert_eq!(&played(&setup, octets.chunks(1)), &whole, "octet by octet");
        for line in whole.0.split_terminator("\r\n") {
            let digits = line.bytes().take(3).all(|digit| digit.is_ascii_digit());
            let mark = line.as_bytes().get(3).is_some_and(|mark| matches!(mark, b' ' | b'-'));
            prop_assert!(digits && mark && line.bytes().all(|octet| matches!(octet, b' '..=b'~')), "{}", line);
        }
    }
}

/// The generator reaches what it is there for.
#[test]
fn generated_dialogues_are_not_all_noise() {
    use proptest::strategy::ValueTree as _;
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let (mut said, mut taken) = (String::new(), 0);
    for _ in 0..200 {
        let one = (setup(), dialogue()).new_tree(&mut runner).unwrap().current();
        let (answers, messages) = played(&one.0, [one.1.as_slice()]);
        said.push_str(&answers);
        taken += messages.len();
    }
    assert!(taken > 40, "{taken} messages were taken");
    for code in [
        "354",
        "235",
        "334",
        "535",
        "530",
        "452",
        "552",
        "554 5.6.0",
        "503",
        "501",
        "500",
        "502",
        "421",
        "250 2.0.0",
    ] {
        assert!(said.contains(&format!("\r\n{code}")), "nothing was answered {code}");
    }
}
