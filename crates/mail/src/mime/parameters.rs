//! Parameters of Content-Type and Content-Disposition in ASCII (RFC 2231): what programs show, such as the names of files, that
//! came as plain UTF-8.

use super::addresses::NoForm;
use super::structure::{split_outside_quotes, unquoted};

/// Encoded characters of one piece of a value, so that it fits a line with its name.
const PIECE: usize = 54;

/// The value of the field, unfolded, in ASCII.
pub(super) fn encode(value: &str) -> Result<String, NoForm> {
    let mut encoded = String::new();
    for (number, parameter) in split_outside_quotes(value, ';').enumerate() {
        if number > 0 {
            encoded.push(';');
        }
        if parameter.is_ascii() {
            encoded.push_str(parameter);
            continue;
        }
        let (name, value) = parameter.split_once('=').filter(|_| number > 0).ok_or(NoForm)?;
        let name = name.trim();
        let is_plain = name.bytes().all(|octet| octet.is_ascii_alphanumeric() || octet == b'-');
        // Both are compared by machines and are ASCII by their definition.
        if !is_plain || name.eq_ignore_ascii_case("boundary") || name.eq_ignore_ascii_case("charset") {
            return Err(NoForm);
        }
        encoded.push_str(&extended(name, &unquoted(value.trim())));
    }
    Ok(encoded)
}

/// A parameter in the form of RFC 2231 4, in numbered pieces where it is long (section 3).
fn extended(name: &str, value: &str) -> String {
    let mut pieces = vec![String::new()];
    for character in value.chars() {
        // A character that is divided between two pieces is more than some readers can put together.
        let escaped = if character.is_ascii_alphanumeric() || matches!(character, '-' | '.' | '_' | '~') {
            character.to_string()
        } else {
            character.encode_utf8(&mut [0; 4]).bytes().map(|octet| format!("%{octet:02X}")).collect()
        };
        match pieces.last_mut() {
            Some(piece) if piece.len() + escaped.len() <= PIECE => piece.push_str(&escaped),
            _ => pieces.push(escaped),
        }
    }
    if let [only] = pieces.as_slice() {
        return format!(" {name}*=utf-8''{only}");
    }
    let numbered = pieces.iter().enumerate().map(|(number, piece)| {
        let charset = if number == 0 { "utf-8''" } else { "" };
        format!(" {name}*{number}*={charset}{piece}")
    });
    numbered.collect::<Vec<_>>().join(";")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_parameter_that_needs_it_is_encoded() {
        for (plain, ascii) in [
            (" attachment; filename=\"b.txt\"", " attachment; filename=\"b.txt\""),
            (
                " attachment; filename=\"bücher; 1.txt\"; x=y",
                " attachment; filename*=utf-8''b%C3%BCcher%3B%201.txt; x=y",
            ),
            (" text/plain;name=ü", " text/plain; name*=utf-8''%C3%BC"),
        ] {
            assert_eq!(encode(plain).as_deref(), Ok(ascii));
        }
        for value in
            [" téxt/plain", " multipart/mixed; boundary=\"ü\"", " text/plain; charset=ü", " text/plain; ü"]
        {
            assert_eq!(encode(value), Err(NoForm), "{value}");
        }
    }

    #[test]
    fn a_long_name_comes_in_pieces_that_are_read_as_one() {
        let name = "ä b'%\"".repeat(60);
        let quoted = name.replace('"', "\\\"");
        let encoded = encode(&format!(" attachment; filename=\"{quoted}\"")).unwrap();
        assert!(encoded.split(';').all(|parameter| parameter.len() <= 76));
        let message = format!("Content-Disposition:{}\r\n\r\n", encoded.replace(';', ";\r\n"));
        let read = mail_parser::MessageParser::default().parse(message.as_bytes()).unwrap();
        let disposition = mail_parser::MimeHeaders::content_disposition(&read).unwrap();
        assert_eq!(disposition.attribute("filename"), Some(name.as_str()));
    }
}
