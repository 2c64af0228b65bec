//! Which server, how its connection is made safe, and who logs in.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, ValueEnum};
use service::exit::{Code, Stop};
use smtp::client::{Connection, Direction, Error, Security, Settings};
use smtp::tls::ClientTls;

use crate::output::aside;
use crate::password;

/// Ports where TLS comes first (RFC 8314), ours on loopback included.
const IMPLICIT_PORTS: [u16; 2] = [465, 1465];

/// The options about the server.
#[derive(Debug, Args)]
pub(super) struct Server {
    /// The server
    #[arg(long, default_value = "127.0.0.1")]
    host: String,
    /// Its port
    #[arg(long, default_value_t = 1587)]
    port: u16,
    /// How to come to TLS [default: implicit on ports 465 and 1465, starttls with a login, else where offered]
    #[arg(long, value_enum)]
    tls: Option<Tls>,
    /// Believe any certificate; on loopback nothing else makes sense and it is the default
    #[arg(long)]
    insecure: bool,
    /// Believe certificates that this authority has signed, on loopback too (PEM)
    #[arg(long, value_name = "FILE", conflicts_with = "insecure")]
    authority: Option<PathBuf>,
    /// Log in as this account
    #[arg(long, value_name = "ADDRESS")]
    login: Option<String>,
    /// The login's password; asked for on the terminal by default
    #[arg(long, value_name = "PASSWORD", requires = "login")]
    password: Option<String>,
    /// Read the login's password from the first line of this file
    #[arg(long, value_name = "FILE", requires = "login", conflicts_with = "password")]
    password_file: Option<PathBuf>,
    /// Print the dialogue with the server
    #[arg(short, long)]
    verbose: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Tls {
    None,
    // STARTTLS where it is offered, with any certificate.
    Auto,
    // Or nothing.
    Starttls,
    // From the first octet.
    Implicit,
}

/// Everything that a connection needs, so that another can be made.
pub(super) struct Session<'a> {
    server: &'a Server,
    settings: Settings,
    security: Security,
    password: Option<String>,
}

impl Server {
    /// Reads files and asks for the password, before any connection waits for it.
    pub(super) fn prepare(&self, helo: &str) -> anyhow::Result<Session<'_>> {
        let mut settings = Settings::new(helo);
        if self.verbose {
            settings.observer = Some(Arc::new(show));
        }
        let password = match (&self.login, &self.password, &self.password_file) {
            (None, ..) => None,
            (Some(_), Some(password), _) => Some(password.clone()),
            (Some(_), None, Some(path)) => Some(password::read_file(path)?),
            (Some(login), None, None) => Some(password::ask(&format!("Password of {login}: "))?),
        };
        Ok(Session { server: self, settings, security: self.security()?, password })
    }

    fn security(&self) -> anyhow::Result<Security> {
        let tls = self.tls.unwrap_or_else(|| self.usual_tls());
        let authority = self.authority.as_deref();
        let believed = || {
            if authority.is_none() && (self.insecure || self.is_loopback()) {
                ClientTls::opportunistic()
            } else {
                ClientTls::verified(authority)
            }
        };
        Ok(match tls {
            Tls::None => Security::Plain,
            Tls::Auto => Security::Opportunistic,
            Tls::Starttls => Security::StartTls(believed()?),
            Tls::Implicit => Security::Implicit(believed()?),
        })
    }

    /// A password never goes out in clear unless that was asked for.
    fn usual_tls(&self) -> Tls {
        if IMPLICIT_PORTS.contains(&self.port) {
            Tls::Implicit
        } else if self.login.is_some() || self.authority.is_some() {
            Tls::Starttls
        } else {
            Tls::Auto
        }
    }

    fn is_loopback(&self) -> bool {
        self.host == "localhost" || self.host.parse().is_ok_and(|address: IpAddr| address.is_loopback())
    }
}

impl Session<'_> {
    /// Connects to the first of the host's addresses that answers, and logs in.
    pub(super) async fn connect(&self) -> anyhow::Result<Connection> {
        let Server { host, port, login, .. } = self.server;
        let unavailable = |error: anyhow::Error| Stop::new(Code::Unavailable, error);
        let addresses = tokio::net::lookup_host((host.as_str(), *port))
            .await
            .with_context(|| format!("{host} has no address"))
            .map_err(unavailable)?;
        let mut last = None;
        for address in addresses {
            match Connection::connect(address, &self.settings, self.security.clone(), host).await {
                Ok(mut connection) => {
                    if let (Some(login), Some(password)) = (login, &self.password) {
                        connection
                            .authenticate(login, password)
                            .await
                            .map_err(|error| refused(&error, error.to_string()))?;
                    }
                    return Ok(connection);
                }
                Err(error @ Error::Connect(_)) => last = Some((address, error)),
                Err(error) => {
                    let hint = hint(&error, *port);
                    return Err(refused(&error, format!("{address}: {error}{hint}")).into());
                }
            }
        }
        let what = last.map_or_else(
            || format!("{host} has no address"),
            |(address, error)| format!("{address}: {error}"),
        );
        Err(unavailable(anyhow::Error::msg(what)).into())
    }
}

/// What usually helps.
fn hint(error: &Error, port: u16) -> &'static str {
    match error {
        Error::Tls(_) if IMPLICIT_PORTS.contains(&port) => {
            "; --insecure believes any certificate, --authority names one"
        }
        Error::Tls(_) => {
            "; --insecure believes any certificate, --authority names one, --tls none goes without TLS"
        }
        Error::TlsNotOffered => "; --tls none goes without TLS",
        _ => "",
    }
}

/// A refusal for good is a matter of what was given; anything else may pass.
fn refused(error: &Error, text: String) -> Stop {
    let code = match error {
        Error::Refused { status, .. } if !status.is_transient() => Code::Data,
        Error::Refused { .. } => Code::Temporary,
        _ => Code::Unavailable,
    };
    Stop::new(code, anyhow::Error::msg(text))
}

fn show(direction: Direction, line: &str) {
    let sign = match direction {
        Direction::Client => ">",
        Direction::Server => "<",
        Direction::Note => "*",
    };
    aside(&format!("{sign} {}", crate::output::clean(line, 2000)));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct CommandLine {
        #[command(flatten)]
        server: Server,
    }

    fn security(arguments: &[&str]) -> Security {
        let command_line = ["send"].iter().chain(arguments);
        CommandLine::try_parse_from(command_line).unwrap().server.security().unwrap()
    }

    #[test]
    fn a_login_is_never_sent_in_clear_unless_asked_for() {
        assert!(matches!(security(&[]), Security::Opportunistic));
        assert!(matches!(security(&["--login", "a"]), Security::StartTls(_)));
        assert!(matches!(security(&["--login", "a", "--tls", "none"]), Security::Plain));
        assert!(matches!(security(&["--port", "465"]), Security::Implicit(_)));
        assert!(matches!(security(&["--port", "465", "--tls", "starttls"]), Security::StartTls(_)));
    }
}
