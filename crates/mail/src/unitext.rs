//! Addresses of the type `utf-8` as ORCPT and delivery status notifications write them (RFC 6533 3): as they are where UTF-8 may
//! stand, and where it may not with the other characters as `\x{E4}`. Knows no parameter and no field.

use std::fmt::Write as _;

/// The name of the address type.
pub const ADDRESS_TYPE: &str = "utf-8";

/// The form utf-8-addr-xtext: printable ASCII, which xtext leaves as it is.
#[must_use]
pub fn encode(address: &str) -> String {
    let mut encoded = String::with_capacity(address.len());
    for character in address.chars() {
        match character {
            '!'..='~' if !matches!(character, '+' | '=' | '\\') => encoded.push(character),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "\\x{{{:02X}}}", u32::from(character));
            }
        }
    }
    encoded
}

/// Reads both forms, utf-8-addr-xtext and utf-8-addr-unitext; `None` where it is neither.
#[must_use]
pub fn decode(text: &str) -> Option<String> {
    let mut address = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(character) = rest.chars().next() {
        if let Some(embedded) = rest.strip_prefix("\\x{") {
            let (digits, behind) = embedded.split_once('}')?;
            let hexadecimal = |digit: u8| matches!(digit, b'0'..=b'9' | b'A'..=b'F');
            if !(2..=6).contains(&digits.len()) || !digits.bytes().all(hexadecimal) {
                return None;
            }
            address.push(char::from_u32(u32::from_str_radix(digits, 16).ok()?)?);
            rest = behind;
            continue;
        }
        if matches!(character, '\\' | '+' | '=' | ' ') || character.is_control() {
            return None;
        }
        address.push(character);
        rest = &rest[character.len_utf8()..];
    }
    Some(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_read_and_the_one_of_ascii_is_written() {
        for (address, encoded) in [
            ("jürgen@bücher.test", "j\\x{FC}rgen@b\\x{FC}cher.test"),
            ("a+b=c\\d e@x", "a\\x{2B}b\\x{3D}c\\x{5C}d\\x{20}e@x"),
            ("😀@x", "\\x{1F600}@x"),
        ] {
            assert_eq!(encode(address), encoded);
            assert_eq!(decode(encoded).as_deref(), Some(address));
        }
        assert_eq!(decode("jürgen@x").as_deref(), Some("jürgen@x"));
        for text in
            ["a+2B", "a=b", "\\x{}", "\\x{fc}", "\\x{D800}", "\\x{FC", "\\x{1234567}", "a\\b", "a b", "a\nb"]
        {
            assert_eq!(decode(text), None, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn what_is_written_is_read(address in "\\PC{0,40}") {
            let encoded = encode(&address);
            proptest::prop_assert!(encoded.bytes().all(|octet| octet.is_ascii_graphic()));
            proptest::prop_assert_eq!(decode(&encoded), Some(address));
        }
    }
}
