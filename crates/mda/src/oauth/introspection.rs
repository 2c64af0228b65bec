//! Tokens that their issuer is asked about (RFC 7662). What it finds good is remembered for a moment; what it does not know
//! is not, so that nobody fills the memory with inventions.

use std::collections::HashMap;
use std::fmt::Write;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use aws_lc_rs::{hmac, rand};
use service::config::{ConfigError, Secret, secret};

use super::claims::{Claims, Rules, seconds};
use super::http::Http;
use super::{Denial, Settings};

/// Asks about tokens.
#[derive(Debug)]
pub(super) struct Introspection {
    http: Arc<Http>,
    client: Option<(String, Secret)>,
    cache: Cache,
}

impl Introspection {
    pub(super) fn new(settings: &Settings, http: Arc<Http>) -> Result<Self, ConfigError> {
        let (given, file) = (settings.client_secret.as_ref(), settings.client_secret_file.as_deref());
        let secret = secret("mda.oauth.client_secret", given, file)?;
        // Both are encoded as in a form before they become a user and a password (RFC 6749 2.3.1).
        let client = secret.map(|secret| (encode(&settings.client_id), Secret::new(encode(secret.expose()))));
        Ok(Self { http, client, cache: Cache::new(settings)? })
    }

    /// The address that a token is for.
    pub(super) async fn address_of(
        &self,
        token: &str,
        rules: &Rules,
        now: SystemTime,
    ) -> Result<String, Denial> {
        if let Some(address) = self.cache.address_of(token, now) {
            return Ok(address);
        }
        let claims = self.ask(token).await.map_err(|error| {
            tracing::warn!(%error, "the issuer of tokens could not be asked about one");
            Denial::Unavailable
        })?;
        let address = rules.introspected(&claims, now).map_err(Denial::Refused)?;
        self.cache.remember(token, &address, Rules::expiry(&claims), now);
        Ok(address)
    }

    async fn ask(&self, token: &str) -> Result<Claims, String> {
        let form = format!("token={}&token_type_hint=access_token", encode(token));
        let user = self.client.as_ref().map(|(name, secret)| (name.as_str(), secret.expose()));
        let body = self.http.post(form, user).await?;
        // The error would repeat parts of the answer.
        serde_json::from_slice(&body).map_err(|_| "its answer is no JSON object".to_owned())
    }
}

/// As a form has it: all octets but the unreserved ones as `%XX`.
fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        if octet.is_ascii_alphanumeric() || b"-._~".contains(&octet) {
            encoded.push(char::from(octet));
        } else {
            // Writing into a String cannot fail.
            let _ = write!(encoded, "%{octet:02X}");
        }
    }
    encoded
}

/// Tokens that were good a moment ago, as keyed hashes: a core dump shows none.
#[derive(Debug)]
struct Cache {
    key: hmac::Key,
    lifetime: Duration,
    limit: usize,
    known: Mutex<HashMap<Vec<u8>, (String, SystemTime)>>,
}

impl Cache {
    fn new(settings: &Settings) -> Result<Self, ConfigError> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new());
        let no_key = |_| ConfigError::invalid("mda.oauth", "the system gives no random numbers");
        Ok(Self {
            key: key.map_err(no_key)?,
            lifetime: settings.introspection_lifetime.get(),
            limit: settings.introspection_cache,
            known: Mutex::default(),
        })
    }

    fn name(&self, token: &str) -> Vec<u8> {
        hmac::sign(&self.key, token.as_bytes()).as_ref().to_vec()
    }

    fn address_of(&self, token: &str, now: SystemTime) -> Option<String> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&self.name(token)).filter(|(_, until)| now < *until).map(|(address, _)| address.clone())
    }

    /// For its lifetime, but no longer than the token's own.
    fn remember(&self, token: &str, address: &str, expiry: Option<f64>, now: SystemTime) {
        let left = expiry.map_or(self.lifetime, |expiry| {
            Duration::try_from_secs_f64(expiry - seconds(now)).unwrap_or_default().min(self.lifetime)
        });
        if left.is_zero() || self.limit == 0 {
            return;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= self.limit {
            known.retain(|_, (_, until)| now < *until);
        }
        if known.len() >= self.limit {
            known.clear();
        }
        known.insert(self.name(token), (address.to_owned(), now + left));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_encoded() {
        assert_eq!(encode("aZ9-._~"), "aZ9-._~");
        assert_eq!(encode("a b&c=ä"), "a%20b%26c%3D%C3%A4");
    }

    #[test]
    fn good_tokens_are_remembered_within_their_life_and_a_bound() {
        let settings = Settings { introspection_cache: 3, ..Settings::default() };
        let cache = Cache::new(&settings).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        cache.remember("long", "a@b", None, at(100));
        cache.remember("short", "a@b", Some(110.0), at(100));
        cache.remember("huge", "a@b", Some(1e300), at(100));
        cache.remember("over", "a@b", Some(99.0), at(100));
        for (token, known_until) in [("long", 160), ("short", 110), ("huge", 100), ("over", 100)] {
            assert_eq!(cache.address_of(token, at(known_until)), None, "{token}");
            let before = cache.address_of(token, at(known_until - 1));
            assert_eq!(before.is_some(), ["long", "short"].contains(&token), "{token}");
        }
        for number in 0..100 {
            cache.remember(&number.to_string(), "a@b", None, at(100));
        }
        assert!(cache.known.lock().unwrap().len() <= 3);
    }
}
