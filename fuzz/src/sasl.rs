//! Exchanges of AUTH: they end, with credentials or one reply; and what our client says, our server understands.

use bytes::BytesMut;
use smtp::reply::Reply;
use smtp::sasl::{Credentials, Exchange, Mechanism, Progress, responses};

use crate::wire;

/// Lines that any exchange needs at most.
const LINES: usize = 3;

pub(crate) fn check(octets: &[u8]) {
    let ([which], octets) = wire::controls(octets);
    let mechanism = Mechanism::ALL[usize::from(which) % Mechanism::ALL.len()];
    assert_eq!(Mechanism::named(&mechanism.name().to_ascii_lowercase()), Some(mechanism));
    let Ok(text) = str::from_utf8(octets) else { return };
    exchange(mechanism, which & 0x80 == 0, text);
    if let Some((login, password)) = text.split_once('\n').filter(|_| !text.contains('\0')) {
        let credentials = agree(mechanism, login, password);
        assert_eq!((credentials.login.as_str(), credentials.password.as_str()), (login, password));
        let shown = format!("{credentials:?}");
        assert!(login.contains(password) || !shown.contains(&format!("{password:?}")), "{shown}");
    }
}

/// The lines of a stranger.
fn exchange(mechanism: Mechanism, initial: bool, text: &str) {
    let mut lines = text.split('\n');
    let first = if initial { lines.next() } else { None };
    let mut progress = Exchange::begin(mechanism, first);
    for _ in 0..LINES {
        match progress {
            Ok(Progress::Challenge(challenge, exchange)) => {
                assert!(challenge.bytes().all(|octet| octet.is_ascii_graphic()));
                progress = exchange.respond(lines.next().unwrap_or_default());
            }
            Ok(Progress::Done(_)) => return,
            Err(refusal) => return refused(&refusal),
        }
    }
    panic!("the exchange goes on and on");
}

fn refused(refusal: &Reply) {
    let mut out = BytesMut::new();
    refusal.encode(&mut out);
    assert_eq!(wire::replies(&out), [refusal.code()]);
    assert!(refusal.is_permanent());
}

/// Both sides of ours with each other.
fn agree(mechanism: Mechanism, login: &str, password: &str) -> Credentials {
    let mut said = responses(mechanism, login, password).into_iter();
    let mut progress = Exchange::begin(mechanism, None);
    loop {
        match progress.expect("nothing is wrong with it") {
            Progress::Challenge(_, exchange) => progress = exchange.respond(&said.next().expect("an answer")),
            Progress::Done(credentials) => return credentials,
        }
    }
}
