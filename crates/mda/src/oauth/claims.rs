//! What a token claims (RFC 7519 4.1, RFC 7662 2.2), and whether that is enough for a login here. Pure.

use std::time::{Duration, SystemTime};

use serde_json::{Map, Value};

use super::Settings;

/// The claims of a token.
pub(super) type Claims = Map<String, Value>;

/// What has to be claimed.
#[derive(Debug)]
pub(super) struct Rules {
    issuer: String,
    audience: String,
    scope: String,
    account_claim: String,
    skew: Duration,
}

impl Rules {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            issuer: settings.issuer.clone(),
            audience: settings.audience.clone(),
            scope: settings.scope.clone(),
            account_claim: settings.account_claim.clone(),
            skew: settings.clock_skew.get(),
        }
    }

    /// The address in the claims of a JWT whose signature was right. It has to say who issued it for whom until when
    /// (RFC 9068 4).
    pub(super) fn signed(&self, claims: &Claims, now: SystemTime) -> Result<String, &'static str> {
        for (name, refusal) in [("iss", "it does not say who issued it"), ("exp", "it never expires")] {
            if !claims.contains_key(name) {
                return Err(refusal);
            }
        }
        self.check(claims, now)
    }

    /// The address in what the issuer says of a token. It may leave out what it has checked itself, but for the audience
    /// where one is configured.
    pub(super) fn introspected(&self, claims: &Claims, now: SystemTime) -> Result<String, &'static str> {
        match claims.get("active") {
            Some(Value::Bool(true)) => self.check(claims, now),
            _ => Err("its issuer does not know it, or no more"),
        }
    }

    /// When a token ends, as it says itself; in seconds since 1970.
    pub(super) fn expiry(claims: &Claims) -> Option<f64> {
        claims.get("exp")?.as_f64()
    }

    fn check(&self, claims: &Claims, now: SystemTime) -> Result<String, &'static str> {
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if claims.contains_key("iss") && text("iss") != Some(&self.issuer) {
            return Err("somebody else issued it");
        }
        if !self.audience.is_empty() && !holds(claims.get("aud"), &self.audience) {
            return Err("it is for another service");
        }
        self.check_times(claims, now)?;
        // Bound to a key that the client would have to show (RFC 7800 3.1): as a bearer's it may be stolen.
        if claims.contains_key("cnf") {
            return Err("it is bound to a key");
        }
        if !self.scope.is_empty() && !self.in_scope(claims) {
            return Err("it lacks the scope");
        }
        let address = text(&self.account_claim).ok_or("it names no account")?;
        // Anybody may claim an address that nobody has verified (OpenID Connect Core 5.1).
        if self.account_claim == "email"
            && claims.get("email_verified").is_some_and(|verified| !is_true(verified))
        {
            return Err("its address is not verified");
        }
        Ok(address.to_owned())
    }

    fn check_times(&self, claims: &Claims, now: SystemTime) -> Result<(), &'static str> {
        let (now, skew) = (seconds(now), self.skew.as_secs_f64());
        let time = |name| claims.get(name).map(|value| value.as_f64().ok_or("its times cannot be read"));
        if time("exp").transpose()?.is_some_and(|exp| now >= exp + skew) {
            return Err("it has expired");
        }
        if time("nbf").transpose()?.is_some_and(|nbf| now + skew < nbf) {
            return Err("it is not valid yet");
        }
        Ok(())
    }

    /// `scope` is a text with spaces (RFC 8693 4.2); some issuers say `scp`, as a list too.
    fn in_scope(&self, claims: &Claims) -> bool {
        ["scope", "scp"].into_iter().filter_map(|name| claims.get(name)).any(|scopes| match scopes {
            Value::String(scopes) => scopes.split(' ').any(|scope| scope == self.scope),
            scopes => holds(Some(scopes), &self.scope),
        })
    }
}

/// Whether a claim is this text, or a list that holds it.
fn holds(claim: Option<&Value>, text: &str) -> bool {
    match claim {
        Some(Value::String(only)) => only == text,
        Some(Value::Array(all)) => all.iter().any(|one| one.as_str() == Some(text)),
        _ => false,
    }
}

/// Some issuers write it as text.
fn is_true(value: &Value) -> bool {
    value.as_bool() == Some(true) || value.as_str() == Some("true")
}

/// Seconds since 1970.
pub(super) fn seconds(time: SystemTime) -> f64 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rules() -> Rules {
        Rules::new(&Settings {
            issuer: "https://id.example".to_owned(),
            audience: "mail".to_owned(),
            scope: "smtp".to_owned(),
            ..Settings::default()
        })
    }

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    fn good() -> Value {
        json!({"iss": "https://id.example", "aud": "mail", "exp": 2000, "nbf": 1000, "scope": "openid smtp",
               "email": "a@b", "active": true})
    }

    fn with(name: &str, value: Value) -> Claims {
        let mut claims = good().as_object().cloned().unwrap();
        match value {
            Value::Null => drop(claims.remove(name)),
            value => drop(claims.insert(name.to_owned(), value)),
        }
        claims
    }

    #[test]
    fn each_claim_counts() {
        let rules = rules();
        for (name, value, signed, introspected) in [
            ("sub", json!("x"), Ok("a@b".to_owned()), Ok("a@b".to_owned())),
            (
                "iss",
                json!("https://id.example/"),
                Err("somebody else issued it"),
                Err("somebody else issued it"),
            ),
            (
                "iss",
                json!(["https://id.example"]),
                Err("somebody else issued it"),
                Err("somebody else issued it"),
            ),
            ("iss", Value::Null, Err("it does not say who issued it"), Ok("a@b".to_owned())),
            ("aud", json!(["x", "mail"]), Ok("a@b".to_owned()), Ok("a@b".to_owned())),
            ("aud", json!("mailer"), Err("it is for another service"), Err("it is for another service")),
            ("aud", Value::Null, Err("it is for another service"), Err("it is for another service")),
            ("exp", Value::Null, Err("it never expires"), Ok("a@b".to_owned())),
            ("exp", json!("2000"), Err("its times cannot be read"), Err("its times cannot be read")),
            ("nbf", json!({}), Err("its times cannot be read"), Err("its times cannot be read")),
            ("cnf", json!({"jkt": "x"}), Err("it is bound to a key"), Err("it is bound to a key")),
            ("scope", json!("openid smtps"), Err("it lacks the scope"), Err("it lacks the scope")),
            ("scope", Value::Null, Err("it lacks the scope"), Err("it lacks the scope")),
            ("scp", json!(["smtp"]), Ok("a@b".to_owned()), Ok("a@b".to_owned())),
            ("email", json!(["a@b"]), Err("it names no account"), Err("it names no account")),
            ("email_verified", json!("true"), Ok("a@b".to_owned()), Ok("a@b".to_owned())),
            (
                "email_verified",
                json!(false),
                Err("its address is not verified"),
                Err("its address is not verified"),
            ),
            ("active", json!("true"), Ok("a@b".to_owned()), Err("its issuer does not know it, or no more")),
        ] {
            let claims = with(name, value.clone());
            assert_eq!(rules.signed(&claims, at(1500)), signed, "{name} {value}");
            assert_eq!(rules.introspected(&claims, at(1500)), introspected, "{name} {value}");
        }
    }

    #[test]
    fn times_are_kept_within_the_skew_of_clocks() {
        let (rules, claims) = (rules(), with("sub", json!("x")));
        for (now, expected) in [
            (939, Err("it is not valid yet")),
            (940, Ok("a@b".to_owned())),
            (2059, Ok("a@b".to_owned())),
            (2060, Err("it has expired")),
        ] {
            assert_eq!(rules.signed(&claims, at(now)), expected, "{now}");
        }
        for exp in [json!(-1), json!(1e300), json!(1499.5)] {
            let claims = with("exp", exp.clone());
            assert_eq!(rules.signed(&claims, at(1600)).is_ok(), exp == json!(1e300), "{exp}");
        }
    }
}
