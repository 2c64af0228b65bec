//! Who may call a service: clients whose certificate, which the common authority has signed, bears one of the admitted
//! names. Without TLS there is nobody to ask, which is why plaintext stays on loopback.

use std::sync::Arc;

use rustls::client::verify_server_name;
use rustls::pki_types::ServerName;
use rustls::server::ParsedCertificate;
use serde::{Deserialize, Serialize};
use tonic::service::Interceptor;
use tonic::{Request, Status};

use crate::{Error, ErrorKind, SetupError};

/// For each service the names (subject alternative names of type DNS) of the clients that may call it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clients {
    /// Who may hand in mail.
    pub relay: Vec<String>,
    /// Who may deliver into mailboxes.
    pub delivery: Vec<String>,
    /// Who may check logins and recipients.
    pub directory: Vec<String>,
    /// Who may count what accounts submit.
    pub quotas: Vec<String>,
    /// Who may change accounts.
    pub directory_admin: Vec<String>,
    /// Who may look at the queue.
    pub queue_admin: Vec<String>,
    /// Who may ask how much is in the queue.
    pub queue_summary: Vec<String>,
    /// Who may read mailboxes.
    pub mailboxes: Vec<String>,
}

impl Default for Clients {
    fn default() -> Self {
        let names = |names: &[&str]| names.iter().map(ToString::to_string).collect();
        Self {
            relay: names(&["msa"]),
            delivery: names(&["mta"]),
            directory: names(&["msa", "mta"]),
            quotas: names(&["msa"]),
            directory_admin: names(&["postrider"]),
            queue_admin: names(&["postrider"]),
            queue_summary: names(&["msa"]),
            mailboxes: names(&["postrider"]),
        }
    }
}

/// Refuses calls of clients that are not admitted.
#[derive(Clone)]
pub(super) struct Admission {
    /// `None` where there is no TLS.
    names: Option<Arc<[ServerName<'static>]>>,
}

impl Admission {
    pub(super) fn new(names: &[String], tls: bool) -> Result<Self, SetupError> {
        let parse = |name: &String| {
            ServerName::try_from(name.clone()).map_err(|_| SetupError::ClientName { name: name.clone() })
        };
        let names: Arc<[_]> = names.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { names: tls.then_some(names) })
    }
}

impl Interceptor for Admission {
    fn call(&mut self, request: Request<()>) -> Result<Request<()>, Status> {
        let Some(names) = &self.names else { return Ok(request) };
        let chain = request.peer_certs();
        let certificate = chain.as_ref().and_then(|chain| chain.first());
        let parsed = certificate.and_then(|certificate| ParsedCertificate::try_from(certificate).ok());
        if parsed.is_some_and(|parsed| names.iter().any(|name| verify_server_name(&parsed, name).is_ok())) {
            return Ok(request);
        }
        tracing::warn!(
            peer = request.remote_addr().map(tracing::field::display),
            "a call was refused: the client's certificate bears none of the admitted names"
        );
        // To the caller this is as if nobody served: nothing was done, and mail is to wait until somebody has mended it.
        let message =
            "our certificate bears none of the names that the other agent admits; see its clients setting";
        Err(Error::new(ErrorKind::Unavailable, message).into())
    }
}
