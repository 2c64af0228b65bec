//! Access tokens (RFC 6750, RFC 7628): whether the issuer that the configuration names has given one out for us, and to whom.
//! Either the issuer is asked about each token ([`introspection`], RFC 7662), or tokens are JWTs that its published keys
//! verify ([`jwt`], [`keys`], RFC 9068). It ends with an address; whether somebody here has it, the directory knows.
//!
//! What cannot be said because the issuer does not answer is [`Denial::Unavailable`], never a refusal.

mod claims;
mod http;
mod introspection;
mod jwt;
mod keys;
mod settings;

use std::sync::Arc;

use service::clock::Clock;
use service::config::ConfigError;

pub use settings::Settings;

use claims::Rules;
use http::Http;
use introspection::Introspection;
use keys::{KeyRing, Source};

/// Octets of the longest token; a line with AUTH cannot be much longer.
const TOKEN_LIMIT: usize = 16 * 1024;

/// Why a token gives no address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Denial {
    /// It is not good, and will not become so.
    Refused(&'static str),
    /// Nobody can say now; why stands in the log already.
    Unavailable,
}

/// Checks tokens.
#[derive(Debug)]
pub(crate) struct Tokens {
    rules: Rules,
    way: Way,
    clock: Arc<dyn Clock>,
}

#[derive(Debug)]
enum Way {
    Introspection(Box<Introspection>),
    Keys(KeyRing),
}

impl Tokens {
    /// Made ready from the configuration; none where it names no way to check tokens. Asks nobody yet.
    pub(crate) fn new(settings: &Settings, clock: Arc<dyn Clock>) -> Result<Option<Self>, ConfigError> {
        let http = |url: &str| Http::new(settings, url).map(Arc::new);
        let keys = |source| Way::Keys(KeyRing::new(settings, source, Arc::clone(&clock)));
        let way = if let Some(file) = &settings.jwks_file {
            keys(Source::File { path: file.clone(), limit: settings.answer_size.as_usize() })
        } else if !settings.jwks_url.is_empty() {
            keys(Source::Url(http(&settings.jwks_url)?))
        } else if !settings.introspection_url.is_empty() {
            Way::Introspection(Box::new(Introspection::new(settings, http(&settings.introspection_url)?)?))
        } else {
            return Ok(None);
        };
        Ok(Some(Self { rules: Rules::new(settings), way, clock }))
    }

    /// The address that a token is for.
    pub(crate) async fn address_of(&self, token: &str) -> Result<String, Denial> {
        // Tokens are visible ASCII without spaces (RFC 6750 2.1).
        if token.is_empty()
            || token.len() > TOKEN_LIMIT
            || !token.bytes().all(|octet| octet.is_ascii_graphic())
        {
            return Err(Denial::Refused("it is no token"));
        }
        match &self.way {
            Way::Keys(ring) => {
                let claims = jwt::verify(token, ring).await?;
                self.rules.signed(&claims, self.clock.now()).map_err(Denial::Refused)
            }
            Way::Introspection(introspection) => {
                introspection.address_of(token, &self.rules, self.clock.now()).await
            }
        }
    }
}
