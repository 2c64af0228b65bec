//! The parameters behind the paths of MAIL and RCPT.

use std::fmt::Write as _;

use mail::{
    BodyType, DeliverBy, DeliverByMode, ForwardPath, Hold, Notify, OriginalRecipient, Priority, Recipient,
    Ret, unitext,
};

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
    /// BY (RFC 2852).
    pub deliver_by: Option<DeliverBy>,
    /// HOLDFOR or HOLDUNTIL (RFC 4865).
    pub hold: Option<Hold>,
    /// MT-PRIORITY (RFC 6710).
    pub priority: Option<Priority>,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
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
            "BY" => once(&mut self.deliver_by, value.and_then(deliver_by), "BY"),
            // The second of them is refused too, whichever came first (RFC 4865 4.2).
            "HOLDFOR" => once(&mut self.hold, value.and_then(hold_for), "HOLDFOR"),
            "HOLDUNTIL" => once(&mut self.hold, value.and_then(hold_until), "HOLDUNTIL"),
            "MT-PRIORITY" => once(&mut self.priority, value.and_then(priority), "MT-PRIORITY"),
            "SMTPUTF8" => flag(&mut self.smtputf8, value, "SMTPUTF8"),
            "REQUIRETLS" => flag(&mut self.require_tls, value, "REQUIRETLS"),
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

/// A parameter that has no value.
fn flag(slot: &mut bool, value: Option<&str>, name: &'static str) -> Result<(), CommandError> {
    if value.is_some() || *slot {
        return Err(CommandError::ParameterMalformed(name));
    }
    *slot = true;
    Ok(())
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

/// `by-time;by-mode[by-trace]` (RFC 2852 4). To be returned at once, or before now, nobody can ask.
fn deliver_by(value: &str) -> Option<DeliverBy> {
    let (time, rest) = value.split_once(';')?;
    let (negative, digits) = match time.as_bytes().first()? {
        b'-' => (true, &time[1..]),
        b'+' => (false, &time[1..]),
        _ => (false, time),
    };
    let seconds: i64 = number(digits, 9)?;
    let seconds = if negative { -seconds } else { seconds };
    let (mode, trace) = match rest.to_ascii_uppercase().as_str() {
        "R" => (DeliverByMode::Return, false),
        "RT" => (DeliverByMode::Return, true),
        "N" => (DeliverByMode::Notify, false),
        "NT" => (DeliverByMode::Notify, true),
        _ => return None,
    };
    (seconds > 0 || mode == DeliverByMode::Notify).then_some(DeliverBy { seconds, mode, trace })
}

/// Between 1 and 999999999, without leading zeros (RFC 4865 3).
fn hold_for(value: &str) -> Option<Hold> {
    number(value, 9).filter(|_| !value.starts_with('0')).map(Hold::For)
}

fn hold_until(value: &str) -> Option<Hold> {
    value.parse().ok().map(Hold::Until)
}

/// `0`, or one digit more or less than that (RFC 6710 7).
fn priority(value: &str) -> Option<Priority> {
    let digit: i8 = number(value.strip_prefix('-').unwrap_or(value), 1)?;
    match (value.starts_with('-'), digit) {
        (true, 0) => None,
        (true, digit) => Priority::new(-digit),
        (false, digit) => Priority::new(digit),
    }
}

fn number<T: std::str::FromStr>(digits: &str, most: usize) -> Option<T> {
    let fits = (1..=most).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    fits.then(|| digits.parse().ok()).flatten()
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
    // A plus sign can only come from xtext, in which some write addresses of this type too.
    let is_utf8 = address_type.eq_ignore_ascii_case(unitext::ADDRESS_TYPE) && !address.contains('+');
    let address = if is_utf8 { unitext::decode(address) } else { decode_xtext(address) };
    let address = address.filter(|address| !address.is_empty() && !address.contains(char::is_control))?;
    Some(OriginalRecipient { address_type: address_type.to_owned(), address })
}

/// Decodes xtext (RFC 3461 4). UTF-8 may stand in it as it is, as many write it; control characters may not be in what comes
/// out.
pub(super) fn decode_xtext(text: &str) -> Option<String> {
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
                ..MailParameters::default()
            }
        );
        assert_eq!(MailParameters::parse("SIZE=99999999999999999999").unwrap().size, Some(u64::MAX));
    }

    #[test]
    fn deadlines_holds_and_priorities_are_typed() {
        let read = |text| MailParameters::parse(text).unwrap();
        for (text, seconds, mode, trace) in [
            ("by=120;r", 120, DeliverByMode::Return, false),
            ("BY=+000000001;RT", 1, DeliverByMode::Return, true),
            ("BY=-999999999;n", -999_999_999, DeliverByMode::Notify, false),
            ("BY=0;Nt", 0, DeliverByMode::Notify, true),
        ] {
            assert_eq!(read(text).deliver_by, Some(DeliverBy { seconds, mode, trace }), "{text}");
        }
        assert_eq!(read("HOLDFOR=999999999").hold, Some(Hold::For(999_999_999)));
        let until = Hold::Until("2026-11-24T09:00:00Z".parse().unwrap());
        assert_eq!(read("HOLDUNTIL=2026-11-24T10:00:00+01:00").hold, Some(until));
        for (text, value) in [("MT-PRIORITY=-9", -9), ("mt-priority=0", 0), ("MT-PRIORITY=9", 9)] {
            assert_eq!(read(text).priority, Priority::new(value), "{text}");
        }
        assert!(read("REQUIRETLS").require_tls);
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
            ("BY", "BY"),
            ("BY=", "BY"),
            ("BY=;N", "BY"),
            ("BY=10", "BY"),
            ("BY=10;X", "BY"),
            ("BY=10;T", "BY"),
            ("BY=10;RR", "BY"),
            ("BY=+-1;N", "BY"),
            ("BY=1000000000;N", "BY"),
            ("BY=0;R", "BY"),
            ("BY=-1;RT", "BY"),
            ("BY=1;R BY=1;R", "BY"),
            ("HOLDFOR=0", "HOLDFOR"),
            ("HOLDFOR=010", "HOLDFOR"),
            ("HOLDFOR=-1", "HOLDFOR"),
            ("HOLDFOR=1000000000", "HOLDFOR"),
            ("HOLDUNTIL=2026-11-24", "HOLDUNTIL"),
            ("HOLDUNTIL=1795455845", "HOLDUNTIL"),
            ("HOLDUNTIL=2026-11-24T10:00:00", "HOLDUNTIL"),
            ("HOLDFOR=10 HOLDUNTIL=2026-11-24T10:00:00Z", "HOLDUNTIL"),
            ("HOLDUNTIL=2026-11-24T10:00:00Z HOLDFOR=10", "HOLDFOR"),
            ("MT-PRIORITY=10", "MT-PRIORITY"),
            ("MT-PRIORITY=-0", "MT-PRIORITY"),
            ("MT-PRIORITY=+1", "MT-PRIORITY"),
            ("MT-PRIORITY=", "MT-PRIORITY"),
            ("MT-PRIORITY=1 MT-PRIORITY=1", "MT-PRIORITY"),
            ("REQUIRETLS=YES", "REQUIRETLS"),
            ("REQUIRETLS REQUIRETLS", "REQUIRETLS"),
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
        for text in ["utf-8;j\\x{FC}@z", "UTF-8;jü@z", "utf-8;j+C3+BC@z"] {
            let read = recipient(path.clone(), &format!(" ORCPT={text}")).unwrap().original.unwrap();
            assert_eq!((read.address.as_str(), read.is_utf8()), ("jü@z", true), "{text}");
        }
        assert_eq!(recipient(path.clone(), " NOTIFY=NEVER").unwrap().notify, Notify::NEVER);
        assert_eq!(recipient(path.clone(), "").unwrap().notify, Notify::default());
        for text in [
            "NOTIFY=NEVER,DELAY",
            "NOTIFY=",
            "ORCPT=x",
            "ORCPT=;a",
            "ORCPT=rfc822;",
            "ORCPT=a;+0d",
            "ORCPT=utf-8;\\x{0A}",
            "ORCPT=utf-8;a\\b",
        ] {
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
