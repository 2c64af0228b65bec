//! A look at the members of a described message before any of them takes memory: a list may take many times its octets.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{Deserialize, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

/// All that a description may have.
pub(crate) const MEMBERS: [&str; 20] = [
    "from",
    "to",
    "cc",
    "bcc",
    "reply_to",
    "subject",
    "text",
    "html",
    "headers",
    "attachments",
    "reverse_path",
    "priority",
    "send_at",
    "hold_for",
    "deliver_by",
    "deliver_by_mode",
    "notify",
    "ret",
    "envid",
    "require_tls",
];

/// Entries of a list or an object.
const ENTRIES: usize = 10_000;

/// Whether these octets are an object of known members, none of them with too many entries.
///
/// # Errors
/// What is wrong with it.
pub(crate) fn check(octets: &[u8]) -> serde_json::Result<()> {
    serde_json::from_slice::<Members>(octets).map(|Members| ())
}

struct Members;

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Self)
    }
}

impl<'de> Visitor<'de> for Members {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a description of a message")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        while let Some(name) = map.next_key::<Cow<'de, str>>()? {
            if !MEMBERS.contains(&&*name) {
                let name: String = name.chars().take(40).collect();
                return Err(A::Error::custom(format!("there is no member {name}")));
            }
            map.next_value::<Counted>()?;
        }
        Ok(self)
    }
}

/// Some value, its entries counted.
struct Counted;

impl<'de> Deserialize<'de> for Counted {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for Counted {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self, A::Error> {
        let mut entries = 0;
        while list.next_element::<IgnoredAny>()?.is_some() {
            entries = counted(entries)?;
        }
        Ok(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut entries = 0;
        while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
            entries = counted(entries)?;
        }
        Ok(self)
    }
}

fn counted<E: Error>(before: usize) -> Result<usize, E> {
    if before < ENTRIES {
        Ok(before + 1)
    } else {
        Err(E::custom(format!("a list has more than {ENTRIES} entries")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(json: &str) -> String {
        check(json.as_bytes()).unwrap_err().to_string()
    }

    #[test]
    fn known_members_of_any_value_pass() {
        check(br#"{"from": {"address": "a@b.test"}, "to": ["x"], "priority": -1, "require_tls": true, "text": null}"#)
            .unwrap();
    }

    #[test]
    fn the_document_describes_each() {
        let document = include_str!("../../../../docs/api/openapi.json");
        assert!(MEMBERS.iter().all(|name| document.contains(&format!("\"{name}\": {{"))));
    }

    #[test]
    fn others_and_endless_lists_do_not() {
        assert!(said(r#"{"form": [0, 0]}"#).starts_with("there is no member form"));
        let list = vec!["\"\""; ENTRIES + 1].join(",");
        assert!(said(&format!("{{\"to\": [{list}]}}")).starts_with("a list has more than 10000 entries"));
        let object = (0..=ENTRIES).map(|n| format!("\"{n}\":0")).collect::<Vec<_>>().join(",");
        assert!(
            said(&format!("{{\"headers\": {{{object}}}}}")).starts_with("a list has more than 10000 entries")
        );
        assert!(said("[]").contains("a description of a message"));
    }
}
