//! Values that are never printed: neither by `--check`, nor in a log, nor in an error.

use std::fmt;
use std::path::Path;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::ConfigError;

const REDACTED: &str = "[redacted]";

/// A password, token or key. Prints as `[redacted]` in every form.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Secret(String);

impl Secret {
    /// Wraps a secret.
    pub fn new(secret: impl Into<String>) -> Secret {
        Secret(secret.into())
    }

    /// The secret itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

/// A URL that may hold a password: all but the password is printed.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct SecretUrl(String);

impl SecretUrl {
    /// Wraps a URL.
    pub fn new(url: impl Into<String>) -> SecretUrl {
        SecretUrl(url.into())
    }

    /// The URL with its password, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The secret that is given by `value` or lies in `file` (`password` and `password_file`); `key` is the first one's name.
/// Line ends at the end of the file do not belong to the secret. Both at once are refused.
pub fn secret(key: &str, value: Option<&Secret>, file: Option<&Path>) -> Result<Option<Secret>, ConfigError> {
    match (value, file) {
        (None, None) => Ok(None),
        (Some(value), None) => Ok(Some(value.clone())),
        (None, Some(path)) => {
            let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Unreadable {
                key: format!("{key}_file"),
                path: path.to_owned(),
                source,
            })?;
            Ok(Some(Secret::new(text.trim_end_matches(['\r', '\n']))))
        }
        (Some(_), Some(_)) => {
            Err(ConfigError::invalid(key, format!("give either {key} or {key}_file, not both")))
        }
    }
}

/// `scheme://user:[redacted]@host/path?password=[redacted]`
fn redact(url: &str) -> String {
    let (address, query) = url.split_once('?').map_or((url, None), |(address, query)| (address, Some(query)));
    let mut printed = match address.split_once("://") {
        Some((scheme, rest)) => match rest.rsplit_once('@') {
            Some((user, host)) => match user.split_once(':') {
                Some((name, _)) => format!("{scheme}://{name}:{REDACTED}@{host}"),
                None => address.to_owned(),
            },
            None => address.to_owned(),
        },
        None => address.to_owned(),
    };
    for (at, parameter) in query.into_iter().flat_map(|query| query.split('&')).enumerate() {
        printed.push(if at == 0 { '?' } else { '&' });
        match parameter.split_once('=') {
            Some((name, _)) if name.to_ascii_lowercase().contains("password") => {
                printed.push_str(name);
                printed.push('=');
                printed.push_str(REDACTED);
            }
            _ => printed.push_str(parameter),
        }
    }
    printed
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Display for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(REDACTED)
    }
}

impl fmt::Debug for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl fmt::Display for SecretUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redact(&self.0))
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(REDACTED)
    }
}

impl Serialize for SecretUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Secret, D::Error> {
        deserializer.deserialize_any(Text).map(Secret)
    }
}

impl<'de> Deserialize<'de> for SecretUrl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SecretUrl, D::Error> {
        deserializer.deserialize_any(Text).map(SecretUrl)
    }
}

/// Takes text only, and unlike serde's own visitors repeats nothing of what it refuses.
struct Text;

impl Text {
    fn refuse<E: Error>() -> E {
        E::custom("expected text in quotes")
    }
}

impl Visitor<'_> for Text {
    type Value = String;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("text in quotes")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<String, E> {
        Ok(text.to_owned())
    }

    fn visit_string<E: Error>(self, text: String) -> Result<String, E> {
        Ok(text)
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<String, E> {
        Err(Self::refuse())
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<String, E> {
        Err(Self::refuse())
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<String, E> {
        Err(Self::refuse())
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<String, E> {
        Err(Self::refuse())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_prints_without_its_password() {
        for (url, printed) in [
            ("postgres://mta:s3:cr@et@db:5432/queue", "postgres://mta:[redacted]@db:5432/queue"),
            ("postgres://mta@db/queue", "postgres://mta@db/queue"),
            ("postgres://db/q?user=a&password=x&ssl=on", "postgres://db/q?user=a&password=[redacted]&ssl=on"),
            ("sqlite:data/queue.db", "sqlite:data/queue.db"),
            ("", ""),
        ] {
            assert_eq!(SecretUrl::new(url).to_string(), printed);
            assert_eq!(format!("{:?}", SecretUrl::new(url)), printed);
        }
    }

    #[test]
    fn a_secret_comes_from_its_key_or_its_file_and_not_from_both() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("password");
        std::fs::write(&path, "hush \n").unwrap();
        let given = Secret::new("given");
        assert_eq!(secret("x.password", None, Some(&path)).unwrap().unwrap().expose(), "hush ");
        assert_eq!(secret("x.password", Some(&given), None).unwrap().unwrap().expose(), "given");
        assert!(secret("x.password", None, None).unwrap().is_none());
        let error = secret("x.password", Some(&given), Some(&path)).unwrap_err().to_string();
        assert_eq!(error, "x.password: give either x.password or x.password_file, not both");
        let error = secret("x.password", None, Some(Path::new("/nonexistent"))).unwrap_err().to_string();
        assert!(error.starts_with("x.password_file: cannot read /nonexistent: "), "{error}");
    }

    #[test]
    fn a_secret_is_never_repeated_by_an_error() {
        #[derive(Debug, Deserialize)]
        struct Keys {
            #[serde(rename = "key")]
            _key: Secret,
        }
        let error = toml::from_str::<Keys>("key = 123456").unwrap_err();
        assert!(!error.message().contains("123456"), "{error}");
    }
}
