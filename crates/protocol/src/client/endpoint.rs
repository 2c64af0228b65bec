//! The address of an agent as configuration has it, and what becomes of it: one connection recipe for each IP address.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use tonic::transport::{Endpoint, Uri};

use super::Settings;
use crate::SetupError;
use crate::status::causes;
use crate::tls::Credentials;

/// A configured address, checked.
pub(super) struct Source {
    uri: Uri,
    /// A name or an IP address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    credentials: Option<Credentials>,
}

impl Source {
    pub(super) fn parse(
        endpoint: &str,
        settings: &Settings,
        credentials: Option<&Credentials>,
    ) -> Result<Self, SetupError> {
        let problem = |problem: &str| SetupError::Endpoint {
            endpoint: endpoint.to_owned(),
            problem: problem.to_owned(),
        };
        let uri: Uri = endpoint.parse().map_err(|_| problem("write it as in \"https://mta:7025\""))?;
        let host = uri.host().ok_or_else(|| problem("it has no host"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let port = uri.port_u16().ok_or_else(|| problem("it has no port, as in \"https://mta:7025\""))?;
        if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
            return Err(problem("it ends with the port"));
        }
        let credentials = match uri.scheme_str() {
            Some("https") => {
                let none = || SetupError::NoCredentials { endpoint: endpoint.to_owned() };
                Some(credentials.ok_or_else(none)?.clone())
            }
            Some("http") if settings.insecure || is_loopback(&host) => None,
            Some("http") => return Err(SetupError::Plaintext { place: endpoint.to_owned() }),
            _ => return Err(problem("it starts with https:// or, on loopback, http://")),
        };
        let source = Self { uri, host, port, credentials };
        // Bad certificates are to stop the start, not the first call.
        source.endpoint(SocketAddr::from(([127, 0, 0, 1], port)), settings)?;
        Ok(source)
    }

    /// The recipe for a connection to one of its IP addresses.
    pub(super) fn endpoint(&self, address: SocketAddr, settings: &Settings) -> Result<Endpoint, SetupError> {
        let scheme = if self.credentials.is_some() { "https" } else { "http" };
        let malformed = |error: tonic::transport::Error| SetupError::Endpoint {
            endpoint: self.uri.to_string(),
            problem: error.to_string(),
        };
        let endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .map_err(malformed)?
            .origin(self.uri.clone())
            .connect_timeout(Duration::from_millis(settings.connect_timeout_ms))
            .tcp_nodelay(true)
            .http2_adaptive_window(true)
            .http2_keep_alive_interval(Duration::from_millis(settings.keep_alive_ms))
            .keep_alive_timeout(Duration::from_millis(settings.keep_alive_timeout_ms))
            .keep_alive_while_idle(true);
        match &self.credentials {
            Some(credentials) => {
                endpoint.tls_config(credentials.client(&self.host)).map_err(|error| unusable(&error))
            }
            None => Ok(endpoint),
        }
    }
}

/// The sentence about credentials that the TLS library does not take.
pub(crate) fn unusable(error: &tonic::transport::Error) -> SetupError {
    let problem = causes(error).last().map_or_else(|| error.to_string(), ToString::to_string);
    SetupError::Credentials { problem }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_says_what_is_wrong_with_it() {
        let parse = |endpoint: &str| match Source::parse(endpoint, &Settings::default(), None) {
            Ok(source) => format!("{} {}", source.host, source.port),
            Err(error) => error.to_string(),
        };
        assert_eq!(parse("http://127.0.0.1:7025"), "127.0.0.1 7025");
        assert_eq!(parse("http://[::1]:7025"), "::1 7025");
        assert_eq!(parse("http://localhost:7025/"), "localhost 7025");
        for (endpoint, part) in [
            ("", "write it as"),
            ("mta:7025", "it starts with https://"),
            ("http://127.0.0.1", "it has no port"),
            ("http://127.0.0.1:7025/x", "ends with the port"),
            ("http://192.0.2.1:7025", "insecure = true"),
            ("http://mta:7025", "insecure = true"),
            ("https://mta:7025", "needs a certificate"),
            ("ftp://127.0.0.1:21", "it starts with https://"),
        ] {
            assert!(parse(endpoint).contains(part), "{endpoint}: {}", parse(endpoint));
        }
    }
}
