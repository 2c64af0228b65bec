//! How a process ends: exit codes after `sysexits.h`, which service managers and scripts can tell apart.

use std::fmt;
use std::io::Write;
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::net::BindError;

/// Why a process ended, other than well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// The command line is wrong (`EX_USAGE`).
    Usage = 64,
    /// What was given does not fit what is there (`EX_DATAERR`).
    Data = 65,
    /// Something that is needed is not there (`EX_UNAVAILABLE`).
    Unavailable = 69,
    /// A fault of ours (`EX_SOFTWARE`).
    Software = 70,
    /// The operating system refused something (`EX_OSERR`).
    System = 71,
    /// Later it may work (`EX_TEMPFAIL`).
    Temporary = 75,
    /// The configuration is wrong (`EX_CONFIG`).
    Config = 78,
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> ExitCode {
        ExitCode::from(code as u8)
    }
}

/// An error that knows the code to end with.
#[derive(Debug)]
pub struct Stop {
    code: Code,
    error: anyhow::Error,
}

impl Stop {
    /// Ends with `code` because of `error`.
    pub fn new(code: Code, error: impl Into<anyhow::Error>) -> Stop {
        Stop { code, error: error.into() }
    }
}

impl fmt::Display for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Stop {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

/// The code for an error: that of a [`Stop`], a configuration error or an I/O error in its chain, whichever comes first;
/// anything else is a fault of ours.
pub fn code_of(error: &anyhow::Error) -> Code {
    error
        .chain()
        .find_map(|cause| {
            if let Some(stop) = cause.downcast_ref::<Stop>() {
                Some(stop.code)
            } else if cause.is::<ConfigError>() || cause.is::<BindError>() {
                Some(Code::Config)
            } else if cause.is::<std::io::Error>() {
                Some(Code::System)
            } else {
                None
            }
        })
        .unwrap_or(Code::Software)
}

/// The error as one sentence, causes after colons. A cause that its error has quoted already is not said twice.
pub fn sentence(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |mut sentence, cause| {
        if sentence.is_empty() {
            sentence = cause;
        } else if !sentence.contains(&cause) {
            sentence.push_str(": ");
            sentence.push_str(&cause);
        }
        sentence
    })
}

/// Says on standard error why the program ends, and gives the code to end with.
pub fn report(program: &str, error: &anyhow::Error) -> ExitCode {
    // If standard error is closed, the code alone has to tell.
    let _ = writeln!(std::io::stderr(), "{program}: {}", sentence(error));
    code_of(error).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::Context;

    #[test]
    fn the_code_is_found_under_any_context() {
        let config = Err::<(), _>(ConfigError::invalid("a.b", "no")).context("cannot start").unwrap_err();
        assert_eq!(code_of(&config), Code::Config);
        let system = anyhow::Error::from(std::io::Error::other("no disk")).context("cannot start");
        assert_eq!(code_of(&system), Code::System);
        let stop = anyhow::Error::from(Stop::new(Code::Temporary, std::io::Error::other("no database")));
        assert_eq!(code_of(&stop.context("cannot start")), Code::Temporary);
        assert_eq!(code_of(&anyhow::anyhow!("a bug")), Code::Software);
    }

    #[test]
    fn a_cause_is_said_once() {
        let missing = ConfigError::Unreadable {
            key: "--config".to_owned(),
            path: "/x".into(),
            source: std::io::Error::other("not there"),
        };
        let error = anyhow::Error::from(missing).context("cannot start");
        assert_eq!(sentence(&error), "cannot start: --config: cannot read /x: not there");
    }
}
