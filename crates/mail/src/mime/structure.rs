//! The structure of a MIME entity as its header and its delimiters say it (RFC 2045 5 and 6, RFC 2046 5.1): what kind of entity
//! it is, how it is encoded, where its parts lie. Reads; changes nothing.

use std::ops::Range;

use memchr::memmem;

use crate::header::{self, Field};

/// Parts that one multipart may have.
pub(super) const PARTS: usize = 10_000;

/// What an entity is, as far as it matters for its encoding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// Text, which stays readable in quoted-printable.
    Text,
    /// A message with a header of its own, which is walked like this one (RFC 2046 5.2.1).
    Message,
    /// Parts between delimiters.
    Multipart {
        /// Without the hyphens in front.
        boundary: String,
    },
    /// What may not be changed: signed, encrypted, or of a type that has to be in 7 bits (RFC 1847, RFC 2046 5.2.2, 5.2.3).
    Sealed,
    /// A multipart that does not say where its parts are.
    Broken,
    /// Anything else.
    Octets,
}

/// Content-Transfer-Encoding (RFC 2045 6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    /// 7bit, and where nothing is said.
    SevenBit,
    EightBit,
    Binary,
    QuotedPrintable,
    Base64,
    /// One that only some know.
    Other,
}

/// What the header of an entity says of its body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Description {
    pub(super) kind: Kind,
    pub(super) encoding: Encoding,
    pub(super) has_content_type: bool,
    pub(super) has_mime_version: bool,
}

impl Description {
    /// Reads a header section; `in_digest` are parts of multipart/digest, which are messages unless they say otherwise.
    pub(super) fn read(header: &[u8], in_digest: bool) -> Self {
        let mut description = Self {
            kind: if in_digest { Kind::Message } else { Kind::Text },
            encoding: Encoding::SevenBit,
            has_content_type: false,
            has_mime_version: false,
        };
        for field in header::fields(header) {
            if field.is("Content-Type") && !description.has_content_type {
                description.has_content_type = true;
                description.kind = kind(&field);
            } else if field.is("Content-Transfer-Encoding") {
                description.encoding = encoding(&field);
            } else if field.is("MIME-Version") {
                description.has_mime_version = true;
            }
        }
        description
    }
}

/// Whether the parts of this entity are messages unless they say otherwise (RFC 2046 5.1.5).
pub(super) fn is_digest(header: &[u8]) -> bool {
    header::find(header, "Content-Type")
        .is_some_and(|field| media_type(&field.unfolded()) == "multipart/digest")
}

fn media_type(value: &str) -> String {
    let end = value.find([';', '(']).unwrap_or(value.len());
    value[..end].split_whitespace().collect::<String>().to_ascii_lowercase()
}

fn kind(field: &Field<'_>) -> Kind {
    let value = field.unfolded();
    let name = media_type(&value);
    match name.as_str() {
        "multipart/signed" | "multipart/encrypted" | "message/partial" | "message/external-body" => {
            Kind::Sealed
        }
        "message/rfc822" | "message/news" => Kind::Message,
        // RFC 6532 3.7 and RFC 6533 6: unlike other messages these may be encoded as a whole.
        "message/global" => Kind::Octets,
        name if name.starts_with("multipart/") => match parameter(&value, "boundary") {
            Some(boundary) if !boundary.is_empty() && boundary.is_ascii() => Kind::Multipart { boundary },
            _ => Kind::Broken,
        },
        name if name.starts_with("text/") || name.starts_with("message/") => Kind::Text,
        // What says nothing that can be read counts as text (RFC 2045 5.2).
        name if !name.contains('/') => Kind::Text,
        _ => Kind::Octets,
    }
}

fn encoding(field: &Field<'_>) -> Encoding {
    match media_type(&field.unfolded()).as_str() {
        "" | "7bit" => Encoding::SevenBit,
        "8bit" => Encoding::EightBit,
        "binary" => Encoding::Binary,
        "quoted-printable" => Encoding::QuotedPrintable,
        "base64" => Encoding::Base64,
        _ => Encoding::Other,
    }
}

/// The value of a parameter, without its quotes (RFC 2045 5.1).
fn parameter(value: &str, name: &str) -> Option<String> {
    split_outside_quotes(value, ';').skip(1).find_map(|parameter| {
        let (key, value) = parameter.split_once('=')?;
        key.trim().eq_ignore_ascii_case(name).then(|| unquoted(value.trim()))
    })
}

/// The pieces between these characters, but for those within quotes.
pub(super) fn split_outside_quotes(value: &str, at: char) -> impl Iterator<Item = &str> {
    let (mut quoted, mut escaped) = (false, false);
    value.split(move |character| {
        let splits = character == at && !quoted;
        match character {
            _ if escaped => escaped = false,
            '\\' if quoted => escaped = true,
            '"' => quoted = !quoted,
            _ => {}
        }
        splits
    })
}

/// The content of a quoted string; a token, up to a space or a comment, as it is.
pub(super) fn unquoted(value: &str) -> String {
    let Some(quoted) = value.strip_prefix('"') else {
        return value.split([' ', '\t', '(']).next().unwrap_or_default().to_owned();
    };
    let mut content = String::new();
    let mut characters = quoted.chars();
    while let Some(character) = characters.next() {
        match character {
            '"' => break,
            '\\' => content.extend(characters.next()),
            character => content.push(character),
        }
    }
    content
}

/// Where the parts of a multipart lie in `octets`, which is that much of the message: what is not in them is preamble, delimiters
/// and epilogue. `None` where there is no delimiter, or there are too many.
pub(super) fn parts(octets: &[u8], boundary: &str) -> Option<Vec<Range<usize>>> {
    let delimiter = format!("--{boundary}");
    let mut parts = Vec::new();
    let mut open: Option<usize> = None;
    for at in memmem::find_iter(octets, delimiter.as_bytes()) {
        let Some((end, closes)) = delimiter_end(octets, at, delimiter.len()) else { continue };
        if let Some(start) = open.take() {
            // The line end in front belongs to the delimiter (RFC 2046 5.1.1).
            parts.push(start..at.saturating_sub(2).max(start));
        }
        if closes {
            return Some(parts);
        }
        if parts.len() == PARTS {
            return None;
        }
        open = Some(end);
    }
    // A multipart that is cut off ends with its message.
    parts.extend(open.map(|start| start..octets.len()));
    (!parts.is_empty()).then_some(parts)
}

/// Where a delimiter ends that starts here, if it stands alone on its line, and whether it is the last.
fn delimiter_end(octets: &[u8], at: usize, length: usize) -> Option<(usize, bool)> {
    if at > 0 && !octets[..at].ends_with(b"\r\n") {
        return None;
    }
    let rest = &octets[at + length..];
    let (rest, closes) = rest.strip_prefix(b"--").map_or((rest, false), |rest| (rest, true));
    let padding = rest.iter().take_while(|octet| matches!(octet, b' ' | b'\t')).count();
    let rest = &rest[padding..];
    match rest.strip_prefix(b"\r\n") {
        Some(behind) => Some((octets.len() - behind.len(), closes)),
        None if rest.is_empty() => Some((octets.len(), closes)),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind_of(value: &str) -> Kind {
        Description::read(format!("Content-Type: {value}\r\n").as_bytes(), false).kind
    }

    #[test]
    fn the_kind_of_an_entity_decides_what_may_be_done_with_it() {
        let multipart = |boundary: &str| Kind::Multipart { boundary: boundary.to_owned() };
        for (value, kind) in [
            ("text/plain; charset=iso-8859-1", Kind::Text),
            ("TEXT/html", Kind::Text),
            ("garbage", Kind::Text),
            ("message/delivery-status", Kind::Text),
            ("message/rfc822", Kind::Message),
            ("message/global", Kind::Octets),
            ("message/partial; id=x", Kind::Sealed),
            ("multipart/signed; boundary=x", Kind::Sealed),
            ("application/pkcs7-mime", Kind::Octets),
            ("multipart/mixed", Kind::Broken),
            ("multipart/mixed; boundary=\"\"", Kind::Broken),
            ("multipart/mixed; boundary=a-b (c)", multipart("a-b")),
            ("multipart/mixed; x=\"; boundary=no\"; BOUNDARY = \"a \\\"b; c\"", multipart("a \"b; c")),
            ("multipart/mixed;\r\n\tboundary=x", multipart("x")),
        ] {
            assert_eq!(kind_of(value), kind, "{value}");
        }
        assert_eq!(Description::read(b"", true).kind, Kind::Message);
    }

    #[test]
    fn parts_lie_between_delimiters_that_stand_alone() {
        let text = "before --b\r\n--bb\r\n--b \r\none\r\n--b\r\n\r\n--b\r\n--b--\r\nafter\r\n--b\r\nnone";
        let found = parts(text.as_bytes(), "b").unwrap();
        let found: Vec<&str> = found.into_iter().map(|part| &text[part]).collect();
        assert_eq!(found, ["one", "", ""]);
        let cut = parts(b"--b\r\ncut", "b").unwrap();
        assert_eq!((cut.len(), &cut[0]), (1, &(5..8)));
        assert_eq!(parts(b"--b--", "b"), Some(vec![]));
        assert_eq!(parts(b"text", "b"), None);
        assert_eq!(parts("--b\r\n".repeat(PARTS + 2).as_bytes(), "b"), None);
    }
}
