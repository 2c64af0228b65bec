//! One command line, without its CRLF, to a typed command (RFC 5321 4.1, with the parameters of RFC 1870, 3461, 4954, 6152
//! and 6531, and BDAT of RFC 3030). Knows no state: whether a command may come now is for the session to say.

pub mod guarded;
mod parameters;

use mail::{AddressError, ForwardPath, Recipient, ReversePath};

pub(crate) use parameters::{ENVID_LIMIT, ORCPT_LIMIT};
pub use parameters::{MailParameters, encode_xtext};

use crate::reply::{self, Reply};

/// A command with its arguments.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// HELO with the peer's name.
    Helo(String),
    /// EHLO with the peer's name.
    Ehlo(String),
    /// MAIL FROM.
    Mail(ReversePath, MailParameters),
    /// RCPT TO with its DSN options.
    Rcpt(Recipient),
    /// DATA.
    Data,
    /// BDAT (RFC 3030).
    Bdat {
        /// Octets that follow the line.
        size: u64,
        /// LAST: the message ends behind them.
        last: bool,
    },
    /// RSET.
    Rset,
    /// NOOP.
    Noop,
    /// QUIT.
    Quit,
    /// VRFY with its argument.
    Vrfy(String),
    /// EXPN with its argument.
    Expn(String),
    /// ETRN (RFC 1985) with its argument, see [`guarded::node`].
    Etrn(String),
    /// XCLIENT with its arguments, see [`guarded::Attributes`].
    XClient(String),
    /// XFORWARD with its arguments, see [`guarded::Attributes`].
    XForward(String),
    /// QUEU with its arguments, see [`guarded::listing`].
    Queu(String),
    /// TICK with its argument, see [`guarded::token`].
    Tick(String),
    /// VERB with its argument, see [`guarded::switch`].
    Verb(String),
    /// HELP.
    Help,
    /// STARTTLS.
    StartTls,
    /// AUTH with the mechanism's name and the initial response.
    Auth {
        /// As it was given.
        mechanism: String,
        /// In base64, or `=`.
        initial: Option<String>,
    },
}

/// Why a line is no command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CommandError {
    /// Not UTF-8, or with control characters.
    #[error("the line is not text")]
    NotText,
    /// A bare CR or LF in the line.
    #[error("the line holds a bare CR or LF")]
    BareLineBreak,
    /// Longer than its verb allows.
    #[error("the line is too long")]
    TooLong,
    /// Nobody knows the verb.
    #[error("the verb is unknown")]
    Unknown,
    /// The verb belongs to some SMTP extension that is not offered.
    #[error("the verb is not implemented")]
    NotImplemented,
    /// The arguments do not follow the grammar; the text is the usage.
    #[error("the arguments are not well-formed: {0}")]
    Syntax(&'static str),
    /// The argument of HELO or EHLO is no name; the text is the usage.
    #[error("the name is not well-formed: {0}")]
    Name(&'static str),
    /// The reverse-path is no address.
    #[error("the reverse-path is not well-formed: {0}")]
    ReversePath(AddressError),
    /// The forward-path is no address.
    #[error("the forward-path is not well-formed: {0}")]
    ForwardPath(AddressError),
    /// A parameter that is not offered.
    #[error("a parameter is unknown")]
    ParameterUnknown,
    /// A parameter whose value does not fit, or that is there twice.
    #[error("the parameter {0} is not well-formed")]
    ParameterMalformed(&'static str),
    /// A BDAT that does not say how many octets follow.
    #[error("the size of the chunk cannot be read")]
    ChunkSize,
}

impl CommandError {
    /// How it is answered.
    #[must_use]
    pub fn reply(self) -> Reply {
        match self {
            Self::NotText => reply::not_text(),
            Self::BareLineBreak => reply::bare_line_break_in_command(),
            Self::TooLong => reply::line_too_long(),
            Self::Unknown => reply::unknown_command(),
            Self::NotImplemented => reply::not_implemented(),
            Self::Syntax(usage) => reply::syntax(usage),
            Self::Name(usage) => reply::bad_name(usage),
            Self::ReversePath(error) => reply::bad_sender_address(error),
            Self::ForwardPath(error) => reply::bad_recipient_address(error),
            Self::ParameterUnknown => reply::parameter_unknown(),
            Self::ParameterMalformed(which) => reply::parameter_malformed(which),
            Self::ChunkSize => reply::chunk_size_unreadable(),
        }
    }
}

/// Longest line of AUTH and of its responses, CRLF included (RFC 4954 4).
pub const LINE_LIMIT_AUTH: usize = 12288;
/// Longest line of MAIL and RCPT, CRLF included: paths and the DSN parameters (RFC 3461 4) at their full length, twice.
const LINE_LIMIT_PATH: usize = 4096;
/// Longest line of any other command, CRLF included (RFC 5321 4.5.3.1.4).
const LINE_LIMIT: usize = 512;

impl Command {
    /// Reads a line without its CRLF.
    ///
    /// A single space between the colon and the path of MAIL and RCPT is taken: RFC 5321 3.3 forbids it, many clients send
    /// it, and nobody can be misled by it.
    ///
    /// # Errors
    /// When it is no command that we know.
    pub fn parse(line: &[u8]) -> Result<Self, CommandError> {
        Self::parse_any(line).map_err(|error| if is_bdat(line) { CommandError::ChunkSize } else { error })
    }

    fn parse_any(line: &[u8]) -> Result<Self, CommandError> {
        if line.len() + 2 > line_limit(line) {
            return Err(CommandError::TooLong);
        }
        let line = str::from_utf8(line).map_err(|_| CommandError::NotText)?;
        if line.contains(['\r', '\n']) {
            return Err(CommandError::BareLineBreak);
        }
        // White space at the end is to be tolerated (RFC 5321 4.1.1), tabs too.
        let line = line.trim_end_matches([' ', '\t']);
        if line.contains(char::is_control) {
            return Err(CommandError::NotText);
        }
        let (verb, rest) = line.split_once(' ').unwrap_or((line.trim_end(), ""));
        let arguments = rest.trim_end_matches(' ');
        let trimmed = || arguments.trim_start_matches(' ').to_owned();
        match verb.to_ascii_uppercase().as_str() {
            "HELO" => name(arguments, "Usage: HELO name").map(Self::Helo),
            "EHLO" => name(arguments, "Usage: EHLO name").map(Self::Ehlo),
            "MAIL" => mail(arguments),
            "RCPT" => rcpt(arguments),
            "DATA" => alone(arguments, Self::Data, "Usage: DATA"),
            "RSET" => alone(arguments, Self::Rset, "Usage: RSET"),
            "QUIT" => alone(arguments, Self::Quit, "Usage: QUIT"),
            "STARTTLS" => alone(arguments, Self::StartTls, "Usage: STARTTLS"),
            "NOOP" => Ok(Self::Noop),
            "HELP" => Ok(Self::Help),
            "VRFY" => some(arguments, Self::Vrfy, "Usage: VRFY user"),
            "EXPN" => some(arguments, Self::Expn, "Usage: EXPN list"),
            "ETRN" => Ok(Self::Etrn(trimmed())),
            "XCLIENT" => Ok(Self::XClient(trimmed())),
            "XFORWARD" => Ok(Self::XForward(trimmed())),
            "QUEU" => Ok(Self::Queu(trimmed())),
            "TICK" => Ok(Self::Tick(trimmed())),
            "VERB" => Ok(Self::Verb(trimmed())),
            "AUTH" => auth(arguments),
            "BDAT" => bdat(arguments),
            "SEND" | "SOML" | "SAML" | "TURN" => Err(CommandError::NotImplemented),
            _ => Err(CommandError::Unknown),
        }
    }
}

/// Whether the line is a BDAT, however broken.
fn is_bdat(line: &[u8]) -> bool {
    let verb = line.get(..4).unwrap_or_default();
    verb.eq_ignore_ascii_case(b"BDAT") && line.get(4).is_none_or(|octet| !octet.is_ascii_alphanumeric())
}

fn line_limit(line: &[u8]) -> usize {
    let verb = line.get(..5).unwrap_or_default();
    if verb.eq_ignore_ascii_case(b"AUTH ") {
        LINE_LIMIT_AUTH
    } else if verb.eq_ignore_ascii_case(b"MAIL ") || verb.eq_ignore_ascii_case(b"RCPT ") {
        LINE_LIMIT_PATH
    } else {
        LINE_LIMIT
    }
}

/// The name of HELO and EHLO. Wrong ones are common and harmless (RFC 5321 4.1.4 forbids to refuse them), so anything
/// without spaces will do.
fn name(arguments: &str, usage: &'static str) -> Result<String, CommandError> {
    if arguments.is_empty() || arguments.contains(' ') || arguments.len() > mail::address::DOMAIN_LIMIT {
        return Err(CommandError::Name(usage));
    }
    Ok(arguments.to_owned())
}

fn alone(arguments: &str, command: Command, usage: &'static str) -> Result<Command, CommandError> {
    if arguments.is_empty() { Ok(command) } else { Err(CommandError::Syntax(usage)) }
}

fn some(
    arguments: &str,
    command: fn(String) -> Command,
    usage: &'static str,
) -> Result<Command, CommandError> {
    let argument = arguments.trim_start_matches(' ');
    if argument.is_empty() { Err(CommandError::Syntax(usage)) } else { Ok(command(argument.to_owned())) }
}

fn bdat(arguments: &str) -> Result<Command, CommandError> {
    let (size, rest) = arguments.split_once(' ').unwrap_or((arguments, ""));
    let last = rest.eq_ignore_ascii_case("LAST");
    let digits = !size.is_empty() && size.bytes().all(|octet| octet.is_ascii_digit());
    match size.parse() {
        Ok(size) if digits && (last || rest.is_empty()) => Ok(Command::Bdat { size, last }),
        _ => Err(CommandError::ChunkSize),
    }
}

fn mail(arguments: &str) -> Result<Command, CommandError> {
    let path = after_keyword(arguments, "FROM:").ok_or(CommandError::Syntax("Usage: MAIL FROM:<address>"))?;
    let (reverse_path, rest) = ReversePath::parse_prefix(path).map_err(CommandError::ReversePath)?;
    let parameters = MailParameters::parse(behind_path(rest).map_err(CommandError::ReversePath)?)?;
    Ok(Command::Mail(reverse_path, parameters))
}

fn rcpt(arguments: &str) -> Result<Command, CommandError> {
    let path = after_keyword(arguments, "TO:").ok_or(CommandError::Syntax("Usage: RCPT TO:<address>"))?;
    let (forward_path, rest) = ForwardPath::parse_prefix(path).map_err(CommandError::ForwardPath)?;
    let rest = behind_path(rest).map_err(CommandError::ForwardPath)?;
    parameters::recipient(forward_path, rest).map(Command::Rcpt)
}

fn after_keyword<'a>(arguments: &'a str, keyword: &str) -> Option<&'a str> {
    let (head, path) = arguments.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| path.strip_prefix(' ').unwrap_or(path))
}

fn behind_path(rest: &str) -> Result<&str, AddressError> {
    if rest.is_empty() || rest.starts_with(' ') { Ok(rest) } else { Err(AddressError::Trailing) }
}

fn auth(arguments: &str) -> Result<Command, CommandError> {
    let mut words = arguments.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some(mechanism), initial, None) if !mechanism.is_empty() => {
            Ok(Command::Auth { mechanism: mechanism.to_owned(), initial: initial.map(str::to_owned) })
        }
        _ => Err(CommandError::Syntax("Usage: AUTH mechanism [initial-response]")),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn verbs_have_no_case_and_spaces_at_the_end_do_no_harm() {
        for (line, command) in [
            ("ehlo a.example", Command::Ehlo("a.example".to_owned())),
            ("HELO [192.0.2.1] ", Command::Helo("[192.0.2.1]".to_owned())),
            ("dAtA", Command::Data),
            ("QUIT ", Command::Quit),
            ("RSET \t ", Command::Rset),
            ("bdat 10", Command::Bdat { size: 10, last: false }),
            ("BDAT 00 last ", Command::Bdat { size: 0, last: true }),
            ("BDAT 18446744073709551615", Command::Bdat { size: u64::MAX, last: false }),
            ("NOOP whatever that is", Command::Noop),
            ("VRFY somebody", Command::Vrfy("somebody".to_owned())),
            ("queu DATE ", Command::Queu("DATE".to_owned())),
            ("auth plain", Command::Auth { mechanism: "plain".to_owned(), initial: None }),
            ("AUTH LOGIN =", Command::Auth { mechanism: "LOGIN".to_owned(), initial: Some("=".to_owned()) }),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Ok(command), "{line}");
        }
    }

    #[test]
    fn lines_that_are_no_command_say_why() {
        let long = format!("NOOP {}", "x".repeat(600));
        for (line, error) in [
            ("", CommandError::Unknown),
            ("GET / HTTP/1.1", CommandError::Unknown),
            ("TURN", CommandError::NotImplemented),
            ("EHLO", CommandError::Name("Usage: EHLO name")),
            ("EHLO a b", CommandError::Name("Usage: EHLO name")),
            ("DATA now", CommandError::Syntax("Usage: DATA")),
            ("BDAT", CommandError::ChunkSize),
            ("BDAT -1", CommandError::ChunkSize),
            ("BDAT +1", CommandError::ChunkSize),
            ("BDAT 1 FIRST", CommandError::ChunkSize),
            ("BDAT 1  LAST", CommandError::ChunkSize),
            ("BDAT 18446744073709551616", CommandError::ChunkSize),
            ("BDAT\t1", CommandError::ChunkSize),
            ("bdat 1\nx", CommandError::ChunkSize),
            ("BDATA 1", CommandError::Unknown),
            ("AUTH", CommandError::Syntax("Usage: AUTH mechanism [initial-response]")),
            ("MAIL", CommandError::Syntax("Usage: MAIL FROM:<address>")),
            ("MAIL TO:<a@b>", CommandError::Syntax("Usage: MAIL FROM:<address>")),
            ("MAIL FROM:a@b", CommandError::ReversePath(AddressError::Brackets)),
            ("MAIL FROM:  <a@b>", CommandError::ReversePath(AddressError::Brackets)),
            ("MAIL FROM:<a@b>x", CommandError::ReversePath(AddressError::Trailing)),
            ("MAIL FROM:<a@b> NEW=1", CommandError::ParameterUnknown),
            ("MAIL FROM:<a@b> SIZE=x", CommandError::ParameterMalformed("SIZE")),
            ("RCPT TO:<>", CommandError::ForwardPath(AddressError::LocalPart)),
            ("NOOP a\rb", CommandError::BareLineBreak),
            ("NOOP a\nb", CommandError::BareLineBreak),
            ("NOOP a\0b", CommandError::NotText),
            (&long, CommandError::TooLong),
        ] {
            assert_eq!(Command::parse(line.as_bytes()), Err(error), "{line}");
        }
        assert_eq!(Command::parse(b"NOOP \xff"), Err(CommandError::NotText));
    }

    #[test]
    fn one_space_before_the_path_is_let_through() {
        assert!(Command::parse(b"MAIL FROM: <a@b>").is_ok());
        assert!(Command::parse(b"rcpt to: <a@b>").is_ok());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(
            octets in proptest::collection::vec(any::<u8>(), 0..100),
            verb in "(MAIL FROM:<|RCPT TO:<|MAIL FROM:<a@b> |RCPT TO:<a@b> |AUTH |EHLO )",
            text in "\\PC{0,60}",
        ) {
            let _ = Command::parse(&octets);
            let _ = Command::parse(format!("{verb}{text}").as_bytes());
        }
    }
}
