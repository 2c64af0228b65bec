//! The parameters behind the paths of MAIL and RCPT.

use std::fmt::Write as _;

use mail::{BodyType, ForwardPath, Notify, OriginalRecipient, Recipient, Ret};

use super::CommandError;

/// Longest ENVID in octets (RFC 3461 4.4).
pub(crate) const ENVID_LIMIT: usize = 100;
/// Longest ORCPT in octets (RFC 3461 4.2).
pub(crate) const ORCPT_LIMIT: usize = 500;

/// What MAIL said behind the reverse-path.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// SIZE (RFC 1870).
    pub size: Option<u64>,
    /// BODY (RFC 6152).
    pub body: Option<BodyType>,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// RET (RFC 3461).
    pub ret: Option<Ret>,
    /// ENVID (RFC 3461), decoded.
    pub envid: Option<String>,
    /// AUTH (RFC 4954 5), decoded. Nobody is trusted with it, which RFC 4954 provides for.
    pub auth: Option<String>,
}

impl MailParameters {
    /// Reads `KEY=value …`, each key at most once.
    pub(super) fn parse(text: &str) -> Result<Self, CommandError> {
        let mut parameters = Self::default();
        for (key, value) in split(text) {
            parameters.set(&key, value)?;
        }
        Ok(parameters)
    }

    fn set(&mut self, key: &str, value: Option<&str>) -> Result<(), CommandError> {
        match key {
            "SIZE" => once(&mut self.size, value.and_then(size), "SIZE"),
            "BODY" => once(&mut self.body, value.and_then(body), "BODY"),
            "RET" => once(&mut self.ret, value.and_then(ret), "RET"),
            "ENVID" => {
                let envid = value.filter(|v| v.len() <= ENVID_LIMIT).and_then(decode_xtext);
                once(&mut self.envid, envid, "ENVID")
            }
            "AUTH" => once(&mut self.auth, value.and_then(decode_xtext), "AUTH"),
            "SMTPUTF8" if value.is_some() || self.smtputf8 => {
                Err(CommandError::ParameterMalformed("SMTPUTF8"))
            }
            "SMTPUTF8" => {
                self.smtputf8 = true;
                Ok(())
            }
            _ => Err(CommandError::ParameterUnknown),
        }
    }
}

/// A recipient with what stands behind its path.
pub(super) fn recipient(forward_path: ForwardPath, text: &str) -> Result<Recipient, CommandError> {
    let (mut wanted, mut original) = (None, None);
    for (key, value) in split(text) {
        match key.as_str() {
            "NOTIFY" => once(&mut wanted, value.and_then(notify), "NOTIFY")?,
            "ORCPT" => once(&mut original, value.and_then(original_recipient), "ORCPT")?,
            _ => return Err(CommandError::ParameterUnknown),
        }
    }
    Ok(Recipient { forward_path, notify: wanted.unwrap_or_default(), original })
}

fn split(text: &str) -> impl Iterator<Item = (String, Option<&str>)> {
    text.split(' ').filter(|word| !word.is_empty()).map(|word| match word.split_once('=') {
        Some((key, value)) => (key.to_ascii_uppercase(), Some(value)),
        None => (word.to_ascii_uppercase(), None),
    })
}

fn once<T>(slot: &mut Option<T>, value: Option<T>, name: &'static str) -> Result<(), CommandError> {
    match (slot.is_some(), value) {
        (false, Some(value)) => {
            *slot = Some(value);
            Ok(())
        }
        _ => Err(CommandError::ParameterMalformed(name)),
    }
}

fn size(value: &str) -> Option<u64> {
    // RFC 1870 allows 20 digits; what is over 64 bits is over any limit too.
    let digits = (1..=20).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| value.parse().unwrap_or(u64::MAX))
}

fn body(value: &str) -> Option<BodyType> {
    [BodyType::SevenBit, BodyType::EightBitMime, BodyType::BinaryMime]
        .into_iter()
        .find(|body| body.as_str().eq_ignore_ascii_case(value))
}

fn ret(value: &str) -> Option<Ret> {
    [Ret::Full, Ret::Headers].into_iter().find(|ret| ret.as_str().eq_ignore_ascii_case(value))
}

fn notify(value: &str) -> Option<Notify> {
    if value.eq_ignore_ascii_case("NEVER") {
        return Some(Notify::NEVER);
    }
    let mut notify = Notify::NEVER;
    for word in value.split(',') {
        match word.to_ascii_uppercase().as_str() {
            "SUCCESS" => notify.success = true,
            "FAILURE" => notify.failure = true,
            "DELAY" => notify.delay = true,
            _ => return None,
        }
    }
    Some(notify)
}

fn original_recipient(value: &str) -> Option<OriginalRecipient> {
    let (address_type, address) = value.split_once(';').filter(|_| value.len() <= ORCPT_LIMIT)?;
    let atom =
        !address_type.is_empty() && address_type.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    if !atom {
        return None;
    }
    let address = decode_xtext(address).filter(|address| !address.is_empty())?;
    Some(OriginalRecipient { address_type: address_type.to_owned(), address })
}

/// Decodes xtext (RFC 3461 4). UTF-8 may stand in it as it is (RFC 6533 3, utf-8-addr-unitext); control characters may
/// not be in what comes out.
fn decode_xtext(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        match octet {
            b'+' => octets.push((hexadecimal(rest.next()?)? << 4) | hexadecimal(rest.next()?)?),
            b'=' => return None,
            octet => octets.push(octet),
        }
    }
    String::from_utf8(octets).ok().filter(|text| !text.contains(char::is_control))
}

/// RFC 3461 wants upper case.
fn hexadecimal(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

/// Encodes as xtext (RFC 3461 4).
#[must_use]
pub fn encode_xtext(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for octet in text.bytes() {
        match octet {
            b'!'..=b'~' if !matches!(octet, b'+' | b'=') => encoded.push(char::from(octet)),
            _ => {
                // Writing to a String cannot fail.
                let _ = write!(encoded, "+{octet:02X}");
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mail_parameters_are_typed() {
        let parameters =
            MailParameters::parse(" SIZE=1000 body=8bitmime SMTPUTF8 RET=HDRS ENVID=a+2Bb+3Dc AUTH=<>")
                .unwrap();
        assert_eq!(
            parameters,
            MailParameters {
                size: Some(1000),
                body: Some(BodyType::EightBitMime),
                smtputf8: true,
                ret: Some(Ret::Headers),
                envid: Some("a+b=c".to_owned()),
                auth: Some("<>".to_owned()),
            }
        );
        assert_eq!(MailParameters::parse("SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
    }

    #[test]
    fn bad_values_and_repetitions_are_refused() {
        for (text, name) in [
            ("SIZE=1 SIZE=1", "SIZE"),
            ("SIZE", "SIZE"),
            ("SIZE=-1", "SIZE"),
            ("BODY=9BIT", "BODY"),
            ("SMTPUTF8=1", "SMTPUTF8"),
            ("SMTPUTF8 SMTPUTF8", "SMTPUTF8"),
            ("ENVID=+0A", "ENVID"),
            ("ENVID=+4", "ENVID"),
            ("RET=ALL", "RET"),
        ] {
            assert_eq!(MailParameters::parse(text), Err(CommandError::ParameterMalformed(name)), "{text}");
        }
    }

    #[test]
    fn recipient_parameters_are_typed() {
        let path: ForwardPath = "<a@b>".parse().unwrap();
        let read = recipient(path.clone(), " NOTIFY=success,DELAY ORCPT=rfc822;x+2By@z").unwrap();
        assert_eq!(read.notify.parameter().as_deref(), Some("SUCCESS,DELAY"));
        assert_eq!(read.original.unwrap().to_string(), "rfc822;x+y@z");
        assert_eq!(recipient(path.clone(), " NOTIFY=NEVER").unwrap().notify, Notify::NEVER);
        assert_eq!(recipient(path.clone(), "").unwrap().notify, Notify::default());
        for text in ["NOTIFY=NEVER,DELAY", "NOTIFY=", "ORCPT=x", "ORCPT=;a", "ORCPT=rfc822;", "ORCPT=a;+0d"] {
            assert!(recipient(path.clone(), text).is_err(), "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn xtext_round_trips(text in "[^\\p{Cc}]{0,40}") {
            proptest::prop_assert_eq!(decode_xtext(&encode_xtext(&text)), Some(text));
        }
    }
}
