//! Exchanges of AUTH: they end, with credentials or one reply; and what our client says, our server understands.

use bytes::BytesMut;
use mail::{Account, Credentials, ScramChallenge, Timestamp};
use smtp::reply::{self, Reply};
use smtp::sasl::{Channel, ClientExchange, Exchange, Judgement, Mechanism, Progress, choose};
use smtp::{Login, TlsInfo};

use crate::wire;

/// Lines that any exchange needs at most.
const LINES: usize = 4;
/// What our client and our server would take from their random numbers.
const NONCE: &str = "fyko+d2lbbFgONRv9qkxdawL";

pub(crate) fn check(octets: &[u8]) {
    let ([which], octets) = wire::controls(octets);
    let mechanism = Mechanism::ALL[usize::from(which) % Mechanism::ALL.len()];
    assert_eq!(Mechanism::named(&mechanism.name().to_ascii_lowercase()), Some(mechanism));
    let Ok(text) = str::from_utf8(octets) else { return };
    let tls = TlsInfo {
        exporter: (which & 0x40 == 0).then_some([7; 32]),
        end_point: (which & 0x20 == 0).then(|| b"certificate".as_slice().into()),
        client_addresses: vec!["demo@a.example".to_owned()],
        ..TlsInfo::default()
    };
    let channel = Channel { tls: Some(&tls), plus_offered: which & 0x10 == 0 };
    exchange(mechanism, which & 0x80 == 0, text, &channel);
    if let Some((login, password)) = text.split_once('\n').filter(|_| !text.contains('\0')) {
        agree(mechanism, login, password, &channel);
    }
}

/// The lines of a stranger.
fn exchange(mechanism: Mechanism, initial: bool, text: &str, channel: &Channel<'_>) {
    let mut lines = text.split('\n');
    let first = if initial { lines.next() } else { None };
    let mut progress = Exchange::begin(mechanism, first, channel);
    // Each line may be followed by what the agent says.
    for _ in 0..2 * LINES {
        progress = match progress {
            Ok(Progress::Challenge(challenge, exchange)) => {
                assert!(challenge.bytes().all(|octet| octet.is_ascii_graphic()) && challenge.len() < 490);
                exchange.respond(lines.next().unwrap_or_default(), channel)
            }
            Ok(Progress::Lookup(exchange)) => Ok(Exchange::challenged(exchange, &challenge(), NONCE)),
            Ok(Progress::Done(credentials, judgement)) => Ok(judgement.pass(judge(&credentials, text))),
            Ok(Progress::Accepted(who)) => return assert_eq!(*who, account()),
            Ok(Progress::Failed(refusal)) => return refused(&refusal),
            Err(refusal) => return refused(&refusal),
        };
    }
    panic!("the exchange goes on and on");
}

fn judge(credentials: &Credentials, text: &str) -> Result<Login, Reply> {
    match credentials {
        // Whatever it is, a server would have to prove itself.
        Credentials::Scram(_) => Ok(Login { account: account(), server_signature: Some([1; 32]) }),
        _ if text.len().is_multiple_of(2) => Ok(Login::from(account())),
        _ => Err(reply::authentication_failed()),
    }
}

fn refused(refusal: &Reply) {
    let mut out = BytesMut::new();
    refusal.encode(&mut out);
    assert_eq!(wire::replies(&out), [refusal.code()]);
    assert!(refusal.is_permanent());
}

/// Both sides of ours with each other.
fn agree(mechanism: Mechanism, login: &str, password: &str, channel: &Channel<'_>) {
    let offered = [mechanism.name().to_owned()];
    let Some(mut client) = choose(&offered, login, password, channel.tls, NONCE) else { return };
    let first = client.initial();
    let progress = Exchange::begin(mechanism, first.as_deref(), channel);
    let is_scram = matches!(mechanism, Mechanism::ScramSha256 | Mechanism::ScramSha256Plus);
    let Some(credentials) = credentials(progress, &mut client, channel) else {
        // Names that SASLprep forbids, and a client that believes that nobody offers to bind where somebody does.
        return assert!(is_scram);
    };
    let shown = format!("{credentials:?} {client:?}");
    match &credentials {
        Credentials::Password { login: said, password: proof } => {
            assert_eq!((said.as_str(), proof.as_str()), (login, password));
            assert!(login.contains(password) || !shown.contains(&format!("{password:?}")), "{shown}");
        }
        Credentials::Scram(proof) => {
            assert!(is_scram && (!login.is_ascii() || proof.login == login), "{shown}");
            // Nobody has proven anything to the client yet.
            assert!(client.finish().is_err());
            let other = Login { account: account(), server_signature: Some([1; 32]) };
            let Progress::Challenge(message, _) = Judgement::Scram.pass(Ok(other)) else {
                panic!("no proof")
            };
            assert!(client.respond(&message).is_err(), "somebody else's proof");
        }
        other => panic!("{other:?}"),
    }
}

/// What the server makes of what the client says.
fn credentials(
    mut progress: Result<Progress, Reply>,
    client: &mut ClientExchange,
    channel: &Channel<'_>,
) -> Option<Credentials> {
    loop {
        progress = match progress.ok()? {
            Progress::Challenge(challenge, exchange) => {
                exchange.respond(&client.respond(&challenge).ok()?, channel)
            }
            Progress::Lookup(exchange) => Ok(Exchange::challenged(exchange, &challenge(), NONCE)),
            Progress::Done(credentials, _) => return Some(credentials),
            Progress::Accepted(_) | Progress::Failed(_) => panic!("nobody was asked"),
        }
    }
}

fn challenge() -> ScramChallenge {
    ScramChallenge { salt: b"sixteen octets!!".to_vec(), iterations: 4096 }
}

fn account() -> Account {
    Account::new("demo@a.example".parse().expect("an address"), Timestamp::from_millis(0))
}
