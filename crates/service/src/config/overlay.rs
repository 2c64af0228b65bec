//! One value from outside the file: an environment variable or a `--set key=value`.

use toml::{Table, Value};

use super::error::unknown_name;
use super::{ConfigError, TABLES};

/// The variables that are ours. A name without a double underscore after it is somebody else's: Kubernetes sets
/// `POSTRIDER_MTA_SERVICE_HOST` for a service of that name.
const PREFIX: &str = "POSTRIDER_";

/// One value and where it goes.
#[derive(Debug, Clone)]
pub(super) struct Overlay {
    /// How the user gave it, for messages.
    pub(super) origin: String,
    /// The key, part by part; at least two parts.
    path: Vec<String>,
    /// The value, read as TOML where that is possible.
    pub(super) value: Value,
    /// The value as it was written.
    pub(super) text: String,
}

impl Overlay {
    fn new(origin: String, path: Vec<String>, text: &str) -> Result<Overlay, ConfigError> {
        let wrong = |problem: String| ConfigError::Overlay { origin: origin.clone(), problem };
        let Some(table) = path.first().filter(|_| path.len() > 1) else {
            return Err(wrong("a key has at least two parts, as in service.hostname".to_owned()));
        };
        if !TABLES.contains(&table.as_str()) {
            return Err(wrong(unknown_name("unknown table", table, "", TABLES.into_iter())));
        }
        Ok(Overlay { value: parse_value(text), text: text.to_owned(), path, origin })
    }

    /// The top table that it goes into.
    pub(super) fn table(&self) -> &str {
        self.path.first().map_or("", String::as_str)
    }

    /// Puts `value` at the key, making the tables on the way.
    pub(super) fn apply(&self, table: &mut Table, value: Value) -> Result<(), String> {
        let Some((last, parents)) = self.path.split_last() else { return Ok(()) };
        let mut table = table;
        for parent in parents {
            let entry = table.entry(parent.clone()).or_insert_with(|| Value::Table(Table::new()));
            table = entry.as_table_mut().ok_or_else(|| format!("\"{parent}\" is not a table"))?;
        }
        // A secret and the file it lies in exclude each other; the later layer decides which of the two holds.
        match last.strip_suffix("_file") {
            Some(secret) => table.remove(secret),
            None => table.remove(&format!("{last}_file")),
        };
        table.insert(last.clone(), value);
        Ok(())
    }
}

/// `POSTRIDER_MTA__RETRY__EXPIRE=5d` is `mta.retry.expire = "5d"`. An empty variable counts as not set.
pub(super) fn from_environment(variables: &[(String, String)]) -> Result<Vec<Overlay>, ConfigError> {
    let mut ours: Vec<(&str, &str, &str)> = variables
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), name.strip_prefix(PREFIX)?, value.as_str())))
        .filter(|(_, key, value)| key.contains("__") && !value.is_empty())
        .collect();
    // The environment has no order of its own; ours is the same at each start.
    ours.sort_unstable();
    ours.into_iter()
        .map(|(name, key, value)| {
            let path = key.split("__").map(str::to_lowercase).collect();
            Overlay::new(name.to_owned(), path, value)
        })
        .collect()
}

/// `mta.retry.expire=5d`; parts of the key may be quoted as in TOML.
pub(super) fn from_option(option: &str) -> Result<Overlay, ConfigError> {
    let malformed = || ConfigError::Overlay {
        // Not the whole option: behind its key there may be a secret.
        origin: format!("--set {}", option.split('=').next().unwrap_or_default()),
        problem: "write it as key=value, as in --set service.hostname=mail.example".to_owned(),
    };
    let (key, text) = split_option(option).ok_or_else(malformed)?;
    let path = parse_key(key).ok_or_else(malformed)?;
    Overlay::new(format!("--set {}", key.trim()), path, text)
}

/// Splits at the first `=` that is not within quotes.
fn split_option(option: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (at, byte) in option.bytes().enumerate() {
        match (quote, byte) {
            (None, b'=') => return Some((&option[..at], &option[at + 1..])),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), _) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// The parts of a dotted key, read by the TOML grammar.
fn parse_key(key: &str) -> Option<Vec<String>> {
    let mut value = Value::Table(toml::from_str(&format!("{key} = 0")).ok()?);
    let mut path = Vec::new();
    while let Value::Table(table) = value {
        let mut entries = table.into_iter();
        let (name, inner) = entries.next()?;
        if entries.next().is_some() {
            return None;
        }
        path.push(name);
        value = inner;
    }
    Some(path)
}

/// A TOML value; anything else is text.
fn parse_value(text: &str) -> Value {
    let parsed: Option<Table> = toml::from_str(&format!("value = {text}")).ok();
    parsed
        .filter(|table| table.len() == 1)
        .and_then(|mut table| table.remove("value"))
        .unwrap_or_else(|| Value::String(text.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_may_have_quoted_parts_with_dots_and_equals_signs() {
        let overlay = from_option("mta.routes.\"re=mote.test\"=127.0.0.1:2600").unwrap();
        assert_eq!(overlay.path, ["mta", "routes", "re=mote.test"]);
        assert_eq!(overlay.value, Value::String("127.0.0.1:2600".into()));
        let overlay = from_option("mta.routes.\"remote.test\"=\"127.0.0.1:2600\"").unwrap();
        assert_eq!(overlay.value, Value::String("127.0.0.1:2600".into()));
    }

    #[test]
    fn a_value_is_toml_where_possible_and_text_otherwise() {
        for (text, value) in [
            ("true", Value::Boolean(true)),
            ("12", Value::Integer(12)),
            ("[\"2s\", \"1m\"]", Value::Array(vec!["2s".into(), "1m".into()])),
            ("127.0.0.1:0", Value::String("127.0.0.1:0".into())),
            ("", Value::String(String::new())),
            ("1\nother = 2", Value::String("1\nother = 2".into())),
        ] {
            assert_eq!(from_option(&format!("mta.x={text}")).unwrap().value, value, "{text}");
        }
    }

    #[test]
    fn what_is_not_key_and_value_is_refused_without_repeating_the_value() {
        for option in ["mta.x", "=1", "mta..x=secret", "mta=1", "mta.x\ny=secret", "a\"b=1"] {
            let error = from_option(option).unwrap_err().to_string();
            assert!(error.starts_with("--set"), "{option}: {error}");
            assert!(!error.contains("secret"), "{option}: {error}");
        }
        let error = from_option("mtaa.x=1").unwrap_err().to_string();
        assert_eq!(error, "--set mtaa.x: unknown table \"mtaa\"; did you mean \"mta\"?");
    }

    #[test]
    fn only_variables_with_a_double_underscore_are_ours() {
        let variables = [
            ("POSTRIDER_MTA_SERVICE_HOST", "10.0.0.1"),
            ("POSTRIDER_MTA__RETRY__EXPIRE", "5d"),
            ("POSTRIDER_QUEUE__URL", ""),
            ("PATH", "/bin"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()));
        let overlays = from_environment(&variables).unwrap();
        assert_eq!(overlays.len(), 1);
        assert_eq!(overlays[0].path, ["mta", "retry", "expire"]);
    }
}
