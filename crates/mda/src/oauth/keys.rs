//! The keys that an issuer signs its tokens with (RFC 7517), fetched when they are needed and kept for a while.
//!
//! A token may name any key, and a stranger can name new ones for ever. So an unknown name makes us look again at most every
//! `keys_refresh`, and one look at a time serves everybody who waits for it. A look that fails is repeated soon, and until one
//! succeeds nobody is refused for a key that we may not have heard of.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use service::clock::Clock;
use tokio::io::AsyncReadExt;

use super::http::Http;
use super::jwt::{ALGORITHMS, any_fits};
use super::{Denial, Settings};

/// Keys of one issuer that are kept.
const KEY_LIMIT: usize = 100;
/// How soon a look that failed may be repeated.
const RETRY: Duration = Duration::from_secs(5);

/// Where the keys are published.
#[derive(Debug)]
pub(super) enum Source {
    Url(Arc<Http>),
    File { path: PathBuf, limit: usize },
}

/// A key that tokens are signed with.
#[derive(Debug)]
pub(super) struct Key {
    kid: Option<String>,
    algorithms: Vec<Algorithm>,
    key: DecodingKey,
}

/// The keys of an issuer; a clone is another handle on the same.
#[derive(Debug, Clone)]
pub(super) struct KeyRing(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    source: Source,
    clock: Arc<dyn Clock>,
    lifetime: Duration,
    refresh: Duration,
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    known: Option<Known>,
    look: Option<Look>,
}

#[derive(Debug, Clone)]
struct Known {
    keys: Arc<[Key]>,
    since: SystemTime,
}

/// The last look at the source; one that was broken off has failed.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: SystemTime,
    failed: bool,
}

impl KeyRing {
    pub(super) fn new(settings: &Settings, source: Source, clock: Arc<dyn Clock>) -> Self {
        Self(Arc::new(Inner {
            source,
            clock,
            lifetime: settings.keys_lifetime.get(),
            refresh: settings.keys_refresh.get(),
            state: Mutex::default(),
            turn: tokio::sync::Mutex::default(),
        }))
    }

    /// Keys, with one at least that may have signed a token like this.
    pub(super) async fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<Arc<[Key]>, Denial> {
        let inner = &self.0;
        let fits = |known: &Known| any_fits(&known.keys, kid, algorithm);
        let mut known = inner.known();
        if let Some(Known { since, .. }) = known {
            if inner.age(since) * 2 >= inner.lifetime && inner.may_look() {
                self.look_behind();
            }
        } else {
            known = inner.look_in_turn(|_| true).await?;
        }
        if !known.as_ref().is_some_and(fits) {
            known = inner.look_in_turn(fits).await?;
        }
        known.map(|known| known.keys).ok_or(Denial::Refused("its key is unknown"))
    }

    /// Looks again while nobody waits for it.
    fn look_behind(&self) {
        let inner = Arc::clone(&self.0);
        tokio::spawn(async move {
            if let Ok(_turn) = inner.turn.try_lock()
                && inner.may_look()
            {
                inner.look().await;
            }
        });
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long ago that was; for ever, if the clock has been put back.
    fn age(&self, at: SystemTime) -> Duration {
        self.clock.now().duration_since(at).unwrap_or(Duration::MAX / 2)
    }

    /// The keys that are good now.
    fn known(&self) -> Option<Known> {
        let known = self.state().known.clone();
        known.filter(|known| self.age(known.since) < self.lifetime)
    }

    fn may_look(&self) -> bool {
        let look = self.state().look;
        look.is_none_or(|look| {
            self.age(look.at) >= if look.failed { RETRY.min(self.refresh) } else { self.refresh }
        })
    }

    /// Keys that will do; none where the source has said lately that there are none.
    async fn look_in_turn(&self, will_do: impl Fn(&Known) -> bool) -> Result<Option<Known>, Denial> {
        let _turn = self.turn.lock().await;
        let found = || self.known().filter(&will_do);
        // Somebody else may have looked while this one waited.
        if let Some(known) = found() {
            return Ok(Some(known));
        }
        if self.may_look() {
            self.look().await;
        }
        match found() {
            Some(known) => Ok(Some(known)),
            None if self.state().look.is_some_and(|look| look.failed) => Err(Denial::Unavailable),
            None => Ok(None),
        }
    }

    /// Looks now; whoever calls it has the turn.
    async fn look(&self) {
        let at = self.clock.now();
        self.state().look = Some(Look { at, failed: true });
        match self.source.read().await.and_then(|text| parse(&text)) {
            Ok(keys) => {
                let mut state = self.state();
                state.known = Some(Known { keys: keys.into(), since: at });
                state.look = Some(Look { at, failed: false });
            }
            Err(error) => tracing::warn!(%error, "the keys of the tokens' issuer could not be read"),
        }
    }
}

impl Source {
    async fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::Url(http) => http.get().await,
            Self::File { path, limit } => {
                let read = async {
                    let mut text = Vec::new();
                    let file = tokio::fs::File::open(path).await?;
                    file.take((*limit as u64).saturating_add(1)).read_to_end(&mut text).await?;
                    Ok::<_, std::io::Error>(text)
                };
                let text = read.await.map_err(|error| format!("{}: {error}", path.display()))?;
                if text.len() > *limit {
                    return Err(format!("{} is longer than {limit} octets", path.display()));
                }
                Ok(text)
            }
        }
    }
}

impl Key {
    /// What is needed of a published key; none where it is not for signatures that are taken here.
    fn of(jwk: &Jwk) -> Option<Self> {
        let common = &jwk.common;
        let signs = common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature)
            && common.key_operations.as_ref().is_none_or(|all| all.contains(&KeyOperations::Verify));
        let mut algorithms = match &jwk.algorithm {
            AlgorithmParameters::RSA(_) => vec![Algorithm::RS256, Algorithm::PS256],
            AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => {
                vec![Algorithm::ES256]
            }
            AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => {
                vec![Algorithm::EdDSA]
            }
            _ => return None,
        };
        if let Some(only) = common.key_algorithm {
            let only = Algorithm::try_from(only).ok();
            algorithms.retain(|algorithm| Some(*algorithm) == only && ALGORITHMS.contains(algorithm));
        }
        let key = DecodingKey::from_jwk(jwk).ok()?;
        (signs && !algorithms.is_empty()).then(|| Self { kid: common.key_id.clone(), algorithms, key })
    }

    /// Whether a token with this header may be signed with it; a token need not name its key.
    pub(super) fn fits(&self, kid: Option<&str>, algorithm: Algorithm) -> bool {
        (kid.is_none() || kid == self.kid.as_deref()) && self.algorithms.contains(&algorithm)
    }

    pub(super) fn decoding_key(&self) -> &DecodingKey {
        &self.key
    }
}

/// The keys of a set that can be used; others are passed over (RFC 7517 5).
fn parse(text: &[u8]) -> Result<Vec<Key>, String> {
    #[derive(Deserialize)]
    struct Set {
        keys: Vec<serde_json::Value>,
    }
    let set: Set = serde_json::from_slice(text).map_err(|_| "they are no JSON Web Key Set".to_owned())?;
    let keys = set.keys.into_iter().take(KEY_LIMIT);
    let keys: Vec<Key> = keys.filter_map(|key| Key::of(&serde_json::from_value(key).ok()?)).collect();
    if keys.is_empty() { Err("no key among them can be used".to_owned()) } else { Ok(keys) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn only_keys_for_the_signatures_that_are_taken_are_kept() {
        let ed = |more: serde_json::Value| {
            let mut key = json!({"kty": "OKP", "crv": "Ed25519", "kid": "a",
                                 "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"});
            key.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
            key
        };
        for (key, kept) in [
            (ed(json!({})), true),
            (ed(json!({"use": "sig", "alg": "EdDSA", "key_ops": ["verify"]})), true),
            (ed(json!({"use": "enc"})), false),
            (ed(json!({"key_ops": ["sign"]})), false),
            (ed(json!({"alg": "HS256"})), false),
            (ed(json!({"alg": "RS256"})), false),
            (json!({"kty": "oct", "k": "c2VjcmV0", "kid": "a"}), false),
            (json!({"kty": "EC", "crv": "P-384", "x": "AA", "y": "AA", "kid": "a"}), false),
            (json!({"kty": "future", "kid": "a"}), false),
            (json!("nonsense"), false),
        ] {
            let set = json!({"keys": [key, ed(json!({"kid": "last"}))]}).to_string();
            let keys = parse(set.as_bytes()).unwrap();
            assert_eq!(any_fits(&keys, Some("a"), Algorithm::EdDSA), kept, "{set}");
            assert!(any_fits(&keys, None, Algorithm::EdDSA) && !any_fits(&keys, None, Algorithm::RS256));
        }
        for nothing in ["", "{}", "[]", r#"{"keys": []}"#, r#"{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}"#] {
            assert!(parse(nothing.as_bytes()).is_err(), "{nothing}");
        }
    }
}
