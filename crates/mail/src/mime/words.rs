//! Encoded words (RFC 2047): text in other letters than ASCII for header fields that may hold nothing else.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

const START_Q: &str = "=?utf-8?q?";
const START_B: &str = "=?utf-8?b?";
const END: &str = "?=";
/// Longest encoded text of a word whose whole length is 75 (RFC 2047 2).
const ROOM: usize = 75 - START_Q.len() - END.len();
/// Octets that base64 puts into that.
const OCTETS: usize = ROOM / 4 * 3;

/// A word of a field, with the white space in front of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) space: String,
    /// As it stands in the field.
    pub(super) raw: String,
    /// What it says, where it has to be encoded.
    pub(super) text: Option<String>,
}

/// A value without structure, such as of Subject, with encoded words where it is not ASCII.
pub(super) fn encode_unstructured(value: &str) -> String {
    let mut words = Vec::new();
    let mut rest = value;
    while !rest.is_empty() {
        let (space, behind) = rest.split_at(rest.find(|c| !is_space(c)).unwrap_or(rest.len()));
        let (word, behind) = behind.split_at(behind.find(is_space).unwrap_or(behind.len()));
        rest = behind;
        words.push(Word {
            space: space.to_owned(),
            raw: word.to_owned(),
            text: (!word.is_ascii()).then(|| word.to_owned()),
        });
    }
    join(&words)
}

pub(super) fn is_space(character: char) -> bool {
    matches!(character, ' ' | '\t')
}

/// Words in a row, those that have to be encoded as few encoded words. White space between two encoded words is not shown
/// (RFC 2047 6.2), so it is encoded with them, next to a word that came encoded too.
pub(super) fn join(words: &[Word]) -> String {
    let is_encoded = |word: Option<&Word>| {
        word.is_some_and(|word| word.text.is_none() && word.raw.starts_with("=?") && word.raw.ends_with("?="))
    };
    let mut joined = String::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        joined.push_str(&word.space);
        let Some(text) = &word.text else {
            joined.push_str(&word.raw);
            at += 1;
            continue;
        };
        let mut run = String::new();
        if at > 0 && is_encoded(words.get(at - 1)) {
            run.push_str(&word.space);
        }
        run.push_str(text);
        at += 1;
        while let Some(Word { space, text: Some(text), .. }) = words.get(at) {
            run.push_str(space);
            run.push_str(text);
            at += 1;
        }
        if is_encoded(words.get(at)) {
            run.push_str(&words[at].space);
        }
        joined.push_str(&encode(&run));
    }
    joined
}

/// Text as encoded words with a space between them, in the encoding that people may read where they could read much of it; no
/// character is divided.
pub(super) fn encode(text: &str) -> String {
    let escaped = text.chars().filter(|character| !is_literal(*character)).count();
    if escaped * 2 > text.chars().count() { encode_b(text) } else { encode_q(text) }
}

fn encode_q(text: &str) -> String {
    let mut words = START_Q.to_owned();
    let mut room = ROOM;
    for character in text.chars() {
        let mut octets = [0; 4];
        let octets = character.encode_utf8(&mut octets).as_bytes();
        let length = if is_literal(character) { 1 } else { octets.len() * 3 };
        if length > room {
            words.extend([END, " ", START_Q]);
            room = ROOM;
        }
        room -= length;
        for &octet in octets {
            match octet {
                b' ' => words.push('_'),
                octet if is_literal(char::from(octet)) => words.push(char::from(octet)),
                octet => words.push_str(&format!("={octet:02X}")),
            }
        }
    }
    words.push_str(END);
    words
}

/// Letters and digits, and little else, stand for themselves wherever an encoded word may be (RFC 2047 5).
fn is_literal(character: char) -> bool {
    character.is_ascii_alphanumeric() || matches!(character, ' ' | '!' | '*' | '+' | '-' | '/')
}

fn encode_b(text: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (now, later) = rest.split_at(rest.floor_char_boundary(OCTETS));
        words.push(format!("{START_B}{}{END}", STANDARD.encode(now)));
        rest = later;
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_what_is_not_ascii_is_encoded() {
        for (plain, encoded) in [
            (" Hello you", " Hello you"),
            (" Grüße an alle", " =?utf-8?q?Gr=C3=BC=C3=9Fe?= an alle"),
            (" schöne  grüne Welt", " =?utf-8?q?sch=C3=B6ne__gr=C3=BCne?= Welt"),
            (" 你好", " =?utf-8?b?5L2g5aW9?="),
            (
                " =?utf-8?q?a?= b\u{fc}ck =?utf-8?q?c?=",
                " =?utf-8?q?a?= =?utf-8?q?_b=C3=BCck_?= =?utf-8?q?c?=",
            ),
        ] {
            assert_eq!(encode_unstructured(plain), encoded, "{plain}");
        }
    }

    proptest! {
        #[test]
        fn an_independent_reader_sees_what_was_written(text in "[a-zä€😀_?=(]{1,30}( [a-zä€😀_?=(]{1,30}){0,9}") {
            prop_assume!(!text.contains("=?"));
            let encoded = encode_unstructured(&format!(" {text}"));
            prop_assert!(encoded.is_ascii());
            prop_assert!(encoded.split(' ').filter(|word| word.starts_with("=?")).all(|word| word.len() <= 75));
            let message = format!("Subject:{encoded}\r\n\r\n");
            let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
            prop_assert_eq!(read.subject(), Some(text.as_str()));
            prop_assert_eq!(encode_unstructured(&encoded), encoded);
        }
    }
}
