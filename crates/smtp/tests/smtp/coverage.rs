//! Whether the transcripts show every command in every state. Which state a command came in is followed here from what was
//! said, apart from the session's own book-keeping.

use std::collections::BTreeSet;

use smtp::command::{Command, CommandError};

use super::transcripts::{Machine, Transcript, Turn, all};

/// Where a session stands when a command comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    /// Behind the greeting.
    Connected,
    /// Behind the handshake of STARTTLS, before another EHLO.
    Secured,
    /// Behind HELO or EHLO.
    Greeted,
    /// Behind AUTH, outside a transaction.
    Authenticated,
    /// Behind MAIL.
    Transaction,
    /// Behind RCPT.
    Recipients,
    /// Between chunks.
    Chunked,
    /// Behind QUIT or 421.
    Closing,
}

const STATES: [State; 8] = [
    State::Connected,
    State::Secured,
    State::Greeted,
    State::Authenticated,
    State::Transaction,
    State::Recipients,
    State::Chunked,
    State::Closing,
];

const COMMANDS: [&str; 22] = [
    "HELO",
    "EHLO",
    "MAIL",
    "RCPT",
    "DATA",
    "BDAT",
    "RSET",
    "NOOP",
    "QUIT",
    "VRFY",
    "EXPN",
    "HELP",
    "STARTTLS",
    "AUTH",
    "ETRN",
    "XCLIENT",
    "XFORWARD",
    "QUEU",
    "TICK",
    "VERB",
    "unknown",
    "not implemented",
];

/// What ends an exchange of AUTH, or moves it on.
const RESPONSES: [&str; 5] = ["334", "235", "535", "501", "500"];

/// The name of a well-formed command, and of what is none. One more command has no name here yet, nor a place in COMMANDS.
fn name(line: &[u8]) -> Option<&'static str> {
    Some(match Command::parse(line) {
        Ok(Command::Helo(_)) => "HELO",
        Ok(Command::Ehlo(_)) => "EHLO",
        Ok(Command::Mail(..)) => "MAIL",
        Ok(Command::Rcpt(_)) => "RCPT",
        Ok(Command::Data) => "DATA",
        Ok(Command::Bdat { .. }) => "BDAT",
        Ok(Command::Rset) => "RSET",
        Ok(Command::Noop) => "NOOP",
        Ok(Command::Quit) => "QUIT",
        Ok(Command::Vrfy(_)) => "VRFY",
        Ok(Command::Expn(_)) => "EXPN",
        Ok(Command::Etrn(_)) => "ETRN",
        Ok(Command::XClient(_)) => "XCLIENT",
        Ok(Command::XForward(_)) => "XFORWARD",
        Ok(Command::Queu(_)) => "QUEU",
        Ok(Command::Tick(_)) => "TICK",
        Ok(Command::Verb(_)) => "VERB",
        Ok(Command::Help) => "HELP",
        Ok(Command::StartTls) => "STARTTLS",
        Ok(Command::Auth { .. }) => "AUTH",
        Err(CommandError::Unknown) => "unknown",
        Err(CommandError::NotImplemented) => "not implemented",
        Err(_) => return None,
    })
}

/// What a session has been through, by what was said.
struct Trail {
    machine: Machine,
    secured: bool,
    greeted: bool,
    authenticated: bool,
    authenticating: bool,
    /// MAIL, RCPT and BDAT that were taken.
    transaction: [bool; 3],
    closing: bool,
}

impl Trail {
    fn state(&self) -> State {
        match (self.closing, self.transaction) {
            (true, _) => State::Closing,
            (_, [_, _, true]) => State::Chunked,
            (_, [_, true, _]) => State::Recipients,
            (_, [true, ..]) => State::Transaction,
            _ if !self.greeted && self.secured => State::Secured,
            _ if !self.greeted => State::Connected,
            _ if self.authenticated => State::Authenticated,
            _ => State::Greeted,
        }
    }

    /// Goes on with a command or a response that was answered so.
    fn went(&mut self, command: &str, code: &str) {
        let success = code.starts_with('2');
        self.authenticating = code == "334";
        self.authenticated |= code == "235";
        self.closing = self.closing || self.machine.state == "close";
        match command {
            "HELO" | "EHLO" if success => (self.greeted, self.transaction) = (true, [false; 3]),
            "RSET" => self.transaction = [false; 3],
            "MAIL" => self.transaction[0] |= success,
            "RCPT" => self.transaction[1] |= success,
            _ => {}
        }
    }

    /// Goes on behind a message, or behind one of its chunks.
    fn content_answered(&mut self, said: &str) {
        if !self.machine.is_in_transaction() {
            self.transaction = [false; 3];
        } else if said.contains("octets received") {
            self.transaction[2] = true;
        }
    }

    fn handshake(&mut self) {
        self.machine.handshake();
        self.machine.feed(b"");
        (self.secured, self.greeted, self.authenticated) = (true, false, false);
    }
}

/// Every command with the state that it came in, and the answers within AUTH.
fn shown(transcript: &Transcript) -> (BTreeSet<(&'static str, State)>, BTreeSet<String>) {
    let (mut pairs, mut responses) = (BTreeSet::new(), BTreeSet::new());
    let mut machine = Machine::new(&transcript.setup);
    machine.feed(b"");
    let mut trail = Trail {
        machine,
        secured: false,
        greeted: false,
        authenticated: false,
        authenticating: false,
        transaction: [false; 3],
        closing: false,
    };
    for turn in &transcript.turns {
        match turn {
            Turn::Handshake => trail.handshake(),
            Turn::Client(octets) => follow(&mut trail, octets, &mut pairs, &mut responses),
            Turn::Server(_) | Turn::Close => {}
        }
    }
    (pairs, responses)
}

fn follow(
    trail: &mut Trail,
    octets: &[u8],
    pairs: &mut BTreeSet<(&'static str, State)>,
    responses: &mut BTreeSet<String>,
) {
    let mut line = Vec::new();
    for octet in octets {
        let in_content = trail.machine.is_in_data();
        let said = trail.machine.feed(&[*octet]);
        let code = said.get(..3).unwrap_or_default();
        if in_content {
            // The end of a message, or of one of its chunks.
            if !trail.machine.is_in_data() {
                trail.content_answered(&said);
            }
            line.clear();
            continue;
        }
        line.push(*octet);
        let Some(whole) = line.strip_suffix(b"\r\n") else { continue };
        if trail.authenticating {
            responses.insert(code.to_owned());
            trail.went("", code);
        } else if let Some(command) = name(whole) {
            pairs.insert((command, trail.state()));
            trail.went(command, code);
            // A chunk of no octets is over at once.
            if command == "BDAT" && !code.is_empty() {
                trail.content_answered(&said);
            }
        }
        line.clear();
    }
}

#[test]
fn the_transcripts_show_every_command_in_every_state() {
    let (mut pairs, mut responses) = (BTreeSet::new(), BTreeSet::new());
    for transcript in all() {
        let shown = shown(&transcript);
        pairs.extend(shown.0);
        responses.extend(shown.1);
    }
    let wanted = STATES.iter().flat_map(|state| COMMANDS.map(|command| (command, *state)));
    let missing: Vec<_> = wanted.filter(|pair| !pairs.contains(pair)).collect();
    assert!(missing.is_empty(), "{} pairs are in no transcript: {missing:?}", missing.len());
    let missing: Vec<_> = RESPONSES.iter().filter(|code| !responses.contains(**code)).collect();
    assert!(missing.is_empty(), "within AUTH no transcript has {missing:?}");
}
