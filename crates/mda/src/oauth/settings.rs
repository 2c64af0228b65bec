//! `[mda.oauth]`: whose tokens are taken for a login, how they are checked, and the limits of asking their issuer.

use std::net::IpAddr;
use std::path::PathBuf;

use reqwest::Url;
use serde::{Deserialize, Serialize};
use service::config::{ByteSize, ConfigError, Duration, Secret};

/// `[mda.oauth]`. Tokens are taken where one of `jwks_url`, `jwks_file` and `introspection_url` is given.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Who issues them: the claim `iss`, letter by letter.
    pub issuer: String,
    /// What they have to be for: one of the claim `aud`.
    pub audience: String,
    /// Where the issuer says whether a token is good (RFC 7662).
    pub introspection_url: String,
    /// Who we are to the issuer, when we ask that.
    pub client_id: String,
    /// What we prove that with.
    pub client_secret: Option<Secret>,
    /// A file that holds it instead.
    pub client_secret_file: Option<PathBuf>,
    /// Where the issuer publishes the keys that it signs tokens with (RFC 7517).
    pub jwks_url: String,
    /// A file with those keys instead; it is read again as a URL would be.
    pub jwks_file: Option<PathBuf>,
    /// The claim that names the account's address.
    pub account_claim: String,
    /// The scope that a token has to have; empty for any.
    pub scope: String,
    /// How far the issuer's clock and ours may be apart.
    pub clock_skew: Duration,
    /// How long keys are good after they were fetched. They are fetched again from half of it on, so that an issuer that
    /// is away for less is not missed.
    pub keys_lifetime: Duration,
    /// How often keys are fetched at most, whatever tokens come in.
    pub keys_refresh: Duration,
    /// How long the issuer is not asked again about a token that was good.
    pub introspection_lifetime: Duration,
    /// Tokens that this is remembered of.
    pub introspection_cache: usize,
    /// Questions to the issuer at the same time; more wait.
    pub concurrent_requests: usize,
    /// How long a question may take, with its wait.
    pub timeout: Duration,
    /// Octets of an answer, or of the file with the keys.
    pub answer_size: ByteSize,
    /// Who certifies the issuer's web server, PEM; by default those that the system trusts.
    pub authority_file: Option<PathBuf>,
}

impl Default for Settings {
    fn default() -> Self {
        let seconds = |seconds| std::time::Duration::from_secs(seconds).into();
        Self {
            issuer: String::new(),
            audience: String::new(),
            introspection_url: String::new(),
            client_id: String::new(),
            client_secret: None,
            client_secret_file: None,
            jwks_url: String::new(),
            jwks_file: None,
            account_claim: "email".to_owned(),
            scope: String::new(),
            clock_skew: seconds(60),
            keys_lifetime: seconds(3600),
            keys_refresh: seconds(60),
            introspection_lifetime: seconds(60),
            introspection_cache: 10_000,
            concurrent_requests: 16,
            timeout: seconds(5),
            answer_size: ByteSize::kib(256),
            authority_file: None,
        }
    }
}

impl Settings {
    /// What the types cannot say.
    ///
    /// # Errors
    /// The first setting that cannot be meant, with what to change.
    pub fn check(&self) -> Result<(), ConfigError> {
        let wrong = |key: &str, problem: &str| Err(ConfigError::invalid(format!("mda.oauth.{key}"), problem));
        let introspects = !self.introspection_url.is_empty();
        let ways = [introspects, !self.jwks_url.is_empty(), self.jwks_file.is_some()];
        match ways.into_iter().filter(|given| *given).count() {
            0 if self.issuer.is_empty() => return Ok(()),
            1 => {}
            _ => return wrong("issuer", "give one of jwks_url, jwks_file and introspection_url with it"),
        }
        if self.issuer.is_empty() {
            return wrong("issuer", "say whose tokens are taken, as their claim iss says it");
        }
        // An introspecting issuer is asked by name and can keep apart whom a token is for.
        if self.audience.is_empty() && !introspects {
            return wrong("audience", "say what tokens have to be for, or any of this issuer's would do");
        }
        let proven = self.client_secret.is_some() || self.client_secret_file.is_some();
        if proven == self.client_id.is_empty() || (proven && !introspects) {
            return wrong("client_id", "it goes with client_secret, and both with introspection_url");
        }
        for (key, url) in [("introspection_url", &self.introspection_url), ("jwks_url", &self.jwks_url)] {
            if !url.is_empty() && !is_safe(url) {
                return wrong(key, "it has to begin with https://, or with http:// and a loopback address");
            }
        }
        if self.account_claim.is_empty() {
            return wrong("account_claim", "name the claim that holds the account's address");
        }
        if self.clock_skew.get() > std::time::Duration::from_secs(600) {
            return wrong("clock_skew", "at most \"10m\": it lengthens the life of every token");
        }
        if self.keys_refresh.get() * 2 > self.keys_lifetime.get() {
            return wrong("keys_refresh", "at most half of keys_lifetime");
        }
        for (key, none) in [
            ("keys_refresh", self.keys_refresh.get().is_zero()),
            ("timeout", self.timeout.get().is_zero()),
            ("answer_size", self.answer_size.as_usize() == 0),
            ("concurrent_requests", self.concurrent_requests == 0),
        ] {
            if none {
                return wrong(key, "more than none is needed");
            }
        }
        Ok(())
    }
}

/// Whether nobody between us and the issuer can read the question or change the answer.
fn is_safe(url: &str) -> bool {
    let Ok(url) = Url::parse(url) else { return false };
    let host = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
    let loopback = host.parse::<IpAddr>().map_or(host == "localhost", |address| address.is_loopback());
    match url.scheme() {
        "https" => !host.is_empty(),
        "http" => loopback,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_nobody_can_listen_to_is_safe() {
        for (url, safe) in [
            ("https://id.example/keys", true),
            ("http://127.0.0.1:8080/keys", true),
            ("http://[::1]/keys", true),
            ("http://localhost/keys", true),
            ("http://id.example/keys", false),
            ("http://localhost.id.example/keys", false),
            ("http://127.0.0.1@id.example/keys", false),
            ("http://10.0.0.1/keys", false),
            ("file:///etc/keys", false),
            ("keys", false),
        ] {
            assert_eq!(is_safe(url), safe, "{url}");
        }
    }

    #[test]
    fn one_way_to_check_tokens_is_needed_and_no_more() {
        assert!(Settings::default().check().is_ok());
        let good = || Settings {
            issuer: "https://id.example".to_owned(),
            audience: "mail".to_owned(),
            jwks_url: "https://id.example/keys".to_owned(),
            ..Settings::default()
        };
        assert!(good().check().is_ok());
        let wrong = |change: fn(&mut Settings)| {
            let mut settings = good();
            change(&mut settings);
            let said = settings.check().unwrap_err().to_string();
            said.split(": ").next().unwrap_or_default().to_owned()
        };
        assert_eq!(wrong(|s| s.jwks_url.clear()), "mda.oauth.issuer");
        assert_eq!(wrong(|s| s.jwks_file = Some("keys.json".into())), "mda.oauth.issuer");
        assert_eq!(wrong(|s| s.issuer.clear()), "mda.oauth.issuer");
        assert_eq!(wrong(|s| s.audience.clear()), "mda.oauth.audience");
        assert_eq!(wrong(|s| s.jwks_url = "http://id.example".into()), "mda.oauth.jwks_url");
        assert_eq!(wrong(|s| s.account_claim.clear()), "mda.oauth.account_claim");
        assert_eq!(wrong(|s| s.client_id = "mda".into()), "mda.oauth.client_id");
        let identify = |s: &mut Settings| {
            (s.client_id, s.client_secret) = ("mda".to_owned(), Some(Secret::new("hush")));
        };
        assert_eq!(wrong(identify), "mda.oauth.client_id");
        let mut introspecting = Settings { introspection_url: good().jwks_url, ..good() };
        introspecting.jwks_url.clear();
        introspecting.audience.clear();
        identify(&mut introspecting);
        assert!(introspecting.check().is_ok());
        assert!(!format!("{introspecting:?}").contains("hush"));
        assert_eq!(wrong(|s| s.client_secret_file = Some("secret".into())), "mda.oauth.client_id");
        assert_eq!(wrong(|s| s.keys_refresh = s.keys_lifetime), "mda.oauth.keys_refresh");
        assert_eq!(wrong(|s| s.concurrent_requests = 0), "mda.oauth.concurrent_requests");
    }
}
