//! Which TLS and which login a next hop gets. Certificates are checked for hosts that configuration names, when it asks for it;
//! exchangers found through DNS get TLS where they offer it, whatever their certificate (RFC 7435).

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
    /// TLS that trusts the system's authorities.
    ///
    /// # Errors
    /// When the TLS library refuses its own defaults.
    pub fn new() -> Result<Self, TlsError> {
        let verified = match ClientTls::verified(None) {
            Ok(verified) => Some(verified),
            Err(TlsError::NoRoots) => None,
            Err(error) => return Err(error),
        };
        Ok(Self { verified })
    }

    /// The plan for a next hop.
    ///
    /// # Errors
    /// A status when the configured password cannot be read.
    pub fn plan(&self, hop: &NextHop) -> Result<Plan, Status> {
        let NextHop::Relay(host) = hop else {
            return Ok(Plan { security: Security::Opportunistic, fall_back: true, credentials: None });
        };
        let security = match host.tls {
            RelayTls::Opportunistic => Security::Opportunistic,
            RelayTls::Required => Security::StartTls(self.verified()?),
            RelayTls::Implicit => Security::Implicit(self.verified()?),
            RelayTls::None => Security::Plain,
        };
        let fall_back = host.tls == RelayTls::Opportunistic && host.login.is_none();
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
