//! Which TLS and which login a next hop gets. Certificates are checked for hosts that configuration names, when it asks for it;
//! exchangers found through DNS get TLS where they offer it, whatever their certificate (RFC 7435).

use std::path::Path;

use mail::Status;
use service::config::secret;
use smtp::client::Security;
use smtp::tls::{ClientTls, TlsError};

use crate::config::{RelayHost, RelayTls};
use crate::route::NextHop;

/// The TLS settings that plans are made of.
#[derive(Clone)]
pub struct Securities {
    /// None where the system has no authorities to verify with.
    verified: Option<ClientTls>,
}

/// What one next hop gets.
pub struct Plan {
    security: Security,
    fall_back: bool,
    credentials: Option<(String, service::config::Secret)>,
}

impl Securities {
    /// TLS that trusts the system's authorities, and those in this PEM file.
    ///
    /// # Errors
    /// When the file cannot be used, or the TLS library refuses its own defaults.
    pub fn new(authority: Option<&Path>) -> Result<Self, TlsError> {
        let verified = match ClientTls::verified(authority) {
            Ok(verified) => Some(verified),
            Err(TlsError::NoRoots) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { verified })
    }

    /// The plan for a next hop, and for a message that requires TLS with a verified certificate (RFC 8689 4.2.1).
    ///
    /// # Errors
    /// A status when the configured password cannot be read, or the next hop cannot be what the message requires.
    pub fn plan(&self, hop: &NextHop, require_tls: bool) -> Result<Plan, Status> {
        let NextHop::Relay(host) = hop else {
            if require_tls {
                return Err(unproven());
            }
            return Ok(Plan { security: Security::Opportunistic, fall_back: true, credentials: None });
        };
        let security = match host.tls {
            RelayTls::Opportunistic if require_tls => Security::StartTls(self.verified()?),
            RelayTls::Opportunistic => Security::Opportunistic,
            RelayTls::Required => Security::StartTls(self.verified()?),
            RelayTls::Implicit => Security::Implicit(self.verified()?),
            RelayTls::None if require_tls => return Err(without_tls(host)),
            RelayTls::None => Security::Plain,
        };
        let fall_back = host.tls == RelayTls::Opportunistic && host.login.is_none() && !require_tls;
        Ok(Plan { security, fall_back, credentials: credentials(host)? })
    }
}

impl Securities {
    fn verified(&self) -> Result<ClientTls, Status> {
        let missing = "the system has no root certificates to verify servers with; install ca-certificates";
        self.verified.clone().ok_or_else(|| Status::new(451, (4, 7, 5), missing))
    }
}

impl Plan {
    /// How to connect.
    #[must_use]
    pub fn security(&self) -> Security {
        self.security.clone()
    }

    /// Whether clear text is better than nothing.
    #[must_use]
    pub fn may_fall_back(&self) -> bool {
        self.fall_back
    }

    /// Login and password, where configured.
    #[must_use]
    pub fn credentials(&self) -> Option<(&str, &str)> {
        self.credentials.as_ref().map(|(login, password)| (login.as_str(), password.expose()))
    }
}

/// Whoever can forge DNS can name another server, whose certificate is then as good as any: the names of exchangers need
/// DNSSEC or MTA-STS to be worth verifying.
fn unproven() -> Status {
    let text = "the message requires TLS of every hop (REQUIRETLS), and the servers of this destination are known by unsigned DNS alone";
    Status::new(550, (5, 7, 30), text)
}

fn without_tls(host: &RelayHost) -> Status {
    Status::new(
        550,
        (5, 7, 30),
        format!("the message requires TLS of every hop (REQUIRETLS), and {host} is configured without"),
    )
}

fn credentials(host: &RelayHost) -> Result<Option<(String, service::config::Secret)>, Status> {
    let Some(login) = &host.login else { return Ok(None) };
    let password =
        secret("password", host.password.as_ref(), host.password_file.as_deref()).map_err(|error| {
            Status::new(451, (4, 3, 5), format!("the login for {host} is not usable: {error}"))
        })?;
    let password = password.ok_or_else(|| {
        Status::new(451, (4, 3, 5), format!("the login for {host} has no password configured"))
    })?;
    Ok(Some((login.clone(), password)))
}
