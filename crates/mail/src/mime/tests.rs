//! Whole messages: as files say, and as an independent reader of MIME sees them.

use std::path::Path;

use mail_parser::{Message, MessageParser, PartType};
use proptest::prelude::*;

use super::*;

const EIGHT: Way = Way { body: BodyType::EightBitMime, letters: Letters::Ascii, from_binary: true };
const SEVEN: Way = Way { body: BodyType::SevenBit, ..EIGHT };

fn converted(message: &[u8], way: Way) -> Result<Option<Vec<u8>>, Unfit> {
    let content = Content::from(message.to_vec());
    Ok(convert(&content, way)?.map(|content| content.to_bytes().to_vec()))
}

/// `{{1200 x}}` stands for so many of them.
fn expanded(text: &str) -> String {
    let mut pieces = text.split("{{");
    let mut expanded = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let (count, behind) = piece.split_once("}}").unwrap();
        let (count, of) = count.split_once(' ').unwrap();
        expanded.push_str(&of.repeat(count.parse().unwrap()));
        expanded.push_str(behind);
    }
    expanded
}

/// Each `NAME.in` under tests/conversion becomes `NAME.7bit` and `NAME.8bit` on such ways, where those are there; line ends are CRLF
/// on the wire and LF in the files.
#[test]
fn messages_are_converted_as_the_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conversion");
    let crlf = |path: &Path| std::fs::read_to_string(path).map(|text| expanded(&text).replace('\n', "\r\n"));
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let input = entry.unwrap().path();
        if input.extension().is_none_or(|extension| extension != "in") {
            continue;
        }
        let message = crlf(&input).unwrap();
        for (extension, way) in [("7bit", SEVEN), ("8bit", EIGHT)] {
            let Ok(expected) = crlf(&input.with_extension(extension)) else { continue };
            let answer = match converted(message.as_bytes(), way) {
                Ok(content) => content.map_or("as it is\r\n".to_owned(), |c| String::from_utf8(c).unwrap()),
                Err(why) => format!("{why}\r\n"),
            };
            assert_eq!(answer, expected, "{} for {extension}", input.display());
            seen += 1;
        }
    }
    assert!(seen >= 15, "{seen} files");
}

#[test]
fn what_needs_nothing_is_not_copied_and_what_does_is_copied_in_part() {
    let plain = Content::from("A: b\r\n\r\nGrüße\r\n".to_owned());
    assert_eq!(convert(&plain, EIGHT), Ok(None));
    let parts = format!(
        "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\n{}--b\r\n\r\nGrüße\r\n--b--\r\n",
        "ascii\r\n".repeat(1000)
    );
    let whole = Content::from(parts);
    let converted = convert(&whole, SEVEN).unwrap().unwrap();
    let shared = &converted.segments()[1];
    assert!(shared.len() > 7000, "{converted:?}");
    let (header, body) = whole.split_header();
    assert_eq!(shared.as_ptr(), body.segments()[0].as_ptr());
    assert_eq!(header, converted.segments()[0], "no label of the whole says more than 7bit");
}

#[test]
fn a_binary_way_changes_the_header_alone() {
    let way = Way { body: BodyType::BinaryMime, ..EIGHT };
    let message = [b"Subject: \xc3\xbc\r\n\r\n\n\r\0".as_slice(), &[b'x'; 2000]].concat();
    let answer = converted(&message, way).unwrap().unwrap();
    assert_eq!(answer, [b"Subject: =?utf-8?b?w7w=?=\r\n\r\n\n\r\0".as_slice(), &[b'x'; 2000]].concat());
    assert_eq!(converted(&answer, way), Ok(None));
}

/// A message of parts within parts, each level with a boundary of its own.
fn nested(levels: usize) -> Vec<u8> {
    let mut entity = "Content-Type: text/plain\r\n\r\nä".to_owned();
    for level in 0..levels {
        let boundary = format!("b{level}b");
        entity = format!(
            "Content-Type: multipart/mixed; boundary={boundary}\r\n\r\n--{boundary}\r\n{entity}\r\n--{boundary}--"
        );
    }
    format!("{entity}\r\n").into_bytes()
}

#[test]
fn nesting_has_an_end() {
    assert!(converted(&nested(DEPTH), SEVEN).unwrap().unwrap().is_ascii());
    assert_eq!(converted(&nested(DEPTH + 1), SEVEN), Err(Unfit::TooDeep(Obstacle::EightBit)));
    assert!(matches!(converted(&nested(500), SEVEN), Err(Unfit::TooDeep(_))));
}

/// What a reader makes of each part.
fn contents(message: &Message<'_>, all: &mut Vec<Vec<u8>>) {
    for part in &message.parts {
        match &part.body {
            PartType::Multipart(_) => {}
            PartType::Message(inner) => contents(inner, all),
            _ => all.push(part.contents().to_vec()),
        }
    }
}

fn read(message: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    contents(&MessageParser::default().parse(message).unwrap(), &mut all);
    all
}

fn lines() -> impl Strategy<Value = Vec<u8>> {
    let line = prop_oneof![
        "[ -~]{0,80}",
        "[ -~]{0,80}",
        "[äöüß€a-z =.-]{0,80}",
        "-{0,3}[b-]{0,3}",
        ("[aä =]{1,9}", 100usize..700).prop_map(|(text, times)| text.repeat(times)),
    ];
    proptest::collection::vec(line, 0..8).prop_map(|lines| (lines.join("\r\n") + "\r\n").into_bytes())
}

fn leaf() -> impl Strategy<Value = Vec<u8>> {
    let header = prop_oneof![
        Just(""),
        Just("Content-Type: text/plain; charset=utf-8\r\n"),
        Just("Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n"),
        Just("Content-Type: application/octet-stream\r\nContent-Transfer-Encoding: binary\r\n"),
        Just("Content-Type: image/x\r\nContent-Disposition: attachment; filename=\"ü.png\"\r\n"),
    ];
    (header, lines()).prop_map(|(header, body)| [header.as_bytes(), b"\r\n", &body].concat())
}

fn entity() -> impl Strategy<Value = Vec<u8>> {
    let numbered = (leaf(), any::<u32>());
    numbered.prop_map(|(leaf, _)| leaf).prop_recursive(3, 12, 3, |inner| {
        (proptest::collection::vec(inner.clone(), 1..4), any::<u64>(), inner, any::<bool>()).prop_map(
            |(parts, number, message, attach)| {
                let boundary = format!("=_{number:x}");
                let mut whole = format!("Content-Type: multipart/mixed; boundary=\"{boundary}\"\r\n\r\n");
                let mut whole = std::mem::take(&mut whole).into_bytes();
                for part in parts {
                    whole.extend(format!("--{boundary}\r\n").into_bytes());
                    whole.extend(part);
                    whole.extend(b"\r\n");
                }
                if attach {
                    whole
                        .extend(format!("--{boundary}\r\nContent-Type: message/rfc822\r\n\r\n").into_bytes());
                    whole.extend(b"Subject: inner\r\n");
                    whole.extend(message);
                    whole.extend(b"\r\n");
                }
                whole.extend(format!("--{boundary}--\r\n").into_bytes());
                whole
            },
        )
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_reader_sees_the_same_before_and_after(entity in entity()) {
        let message = [b"From: a@b.test\r\nSubject: x\r\nMIME-Version: 1.0\r\n".as_slice(), &entity].concat();
        for way in [EIGHT, SEVEN] {
            let after = converted(&message, way).unwrap();
            let Some(after) = after else { continue };
            prop_assert!(way == EIGHT || after.is_ascii());
            let found = Octets::of(&after);
            prop_assert!(!found.long_line && !has_bare_line_break(&after));
            prop_assert_eq!(read(&message), read(&after), "{}", String::from_utf8_lossy(&after));
            prop_assert_eq!(converted(&after, way), Ok(None), "once is enough");
        }
    }

    #[test]
    fn any_octets_are_converted_or_refused(
        octets in proptest::collection::vec(prop_oneof![any::<u8>(), Just(b'\r'), Just(b'\n'), Just(b':'), Just(b'-')], 0..300),
        header in "(Content-Type: (multipart/mixed; boundary=-|message/rfc822|text/x)\r\n){0,1}(A: b\r\n){0,1}\r\n",
    ) {
        let message = [header.as_bytes(), &octets].concat();
        for way in [EIGHT, SEVEN] {
            if let Ok(Some(after)) = converted(&message, way) {
                prop_assert!(!has_bare_line_break(&after[header.len()..]) && (way == EIGHT || after.is_ascii()));
                prop_assert_eq!(converted(&after, way), Ok(None));
            }
        }
    }
}
