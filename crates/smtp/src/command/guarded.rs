//! The arguments of commands that not everybody may give: ETRN (RFC 1985), XCLIENT and XFORWARD (Postfix), and QUEU, TICK
//! and VERB of mainframe mail servers. They are read once it is clear that the peer may give them, so that nobody else
//! learns anything from how they are refused.

use std::net::IpAddr;

use mail::Domain;

use super::CommandError;
use super::parameters::decode_xtext;

/// Longest value of an attribute of XCLIENT and XFORWARD, decoded.
const ATTRIBUTE_LIMIT: usize = 255;
/// Longest token of TICK.
const TOKEN_LIMIT: usize = 64;

/// The attributes of XCLIENT, in the order in which EHLO names them; LOGIN where it is taken.
pub const XCLIENT: [&str; 8] =
    ["NAME", "REVERSE_NAME", "ADDR", "PORT", "PROTO", "HELO", "DESTADDR", "DESTPORT"];
/// The attribute of XCLIENT that says who has authenticated.
pub const XCLIENT_LOGIN: &str = "LOGIN";
/// The attributes of XFORWARD, in the order in which EHLO names them.
pub const XFORWARD: [&str; 7] = ["NAME", "ADDR", "PORT", "PROTO", "HELO", "IDENT", "SOURCE"];

/// What a command says of a client that is not the peer: nothing, that it is unavailable, or a value.
pub type Attribute<T> = Option<Option<T>>;

/// What XCLIENT and XFORWARD say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Attributes {
    /// NAME: its name in DNS, as far as it is trusted.
    pub name: Attribute<String>,
    /// `REVERSE_NAME`: its name in DNS, which nobody has checked.
    pub reverse_name: Attribute<String>,
    /// ADDR.
    pub address: Attribute<IpAddr>,
    /// PORT.
    pub port: Attribute<u16>,
    /// PROTO: SMTP or ESMTP, or with XFORWARD whatever it came by.
    pub protocol: Attribute<String>,
    /// HELO: what it called itself.
    pub helo: Attribute<String>,
    /// LOGIN: whom it authenticated as.
    pub login: Attribute<String>,
    /// DESTADDR: where it connected to.
    pub destination: Attribute<IpAddr>,
    /// DESTPORT.
    pub destination_port: Attribute<u16>,
    /// IDENT: what the message is called where it came from.
    pub identity: Attribute<String>,
    /// SOURCE: LOCAL or REMOTE.
    pub source: Attribute<String>,
}

impl Attributes {
    /// Reads `NAME=value …`; only `known` names will do.
    ///
    /// # Errors
    /// With the usage, when an attribute is unknown or a value does not fit.
    pub fn parse(text: &str, known: &[&str], usage: &'static str) -> Result<Self, CommandError> {
        let malformed = || CommandError::Syntax(usage);
        let mut attributes = Self::default();
        let words = || text.split(' ').filter(|word| !word.is_empty());
        if words().next().is_none() {
            return Err(malformed());
        }
        for word in words() {
            let (name, value) = word.split_once('=').ok_or_else(malformed)?;
            let name = name.to_ascii_uppercase();
            let value = known.contains(&name.as_str()).then(|| value_of(value)).flatten();
            attributes.set(&name, value.ok_or_else(malformed)?).ok_or_else(malformed)?;
        }
        Ok(attributes)
    }

    fn set(&mut self, name: &str, value: Option<String>) -> Option<()> {
        match name {
            "NAME" => self.name = Some(value),
            "REVERSE_NAME" => self.reverse_name = Some(value),
            "ADDR" => self.address = Some(given(value, address)?),
            "PORT" => self.port = Some(given(value, port)?),
            "PROTO" => self.protocol = Some(value),
            "HELO" => self.helo = Some(value),
            "LOGIN" => self.login = Some(value),
            "DESTADDR" => self.destination = Some(given(value, address)?),
            "DESTPORT" => self.destination_port = Some(given(value, port)?),
            "IDENT" => self.identity = Some(value),
            "SOURCE" => self.source = Some(given(value, source)?),
            _ => return None,
        }
        Some(())
    }

    /// Takes over what a later command says; what it does not mention stays.
    pub fn update(&mut self, later: Self) {
        fn take<T>(slot: &mut Attribute<T>, later: Attribute<T>) {
            if later.is_some() {
                *slot = later;
            }
        }
        take(&mut self.name, later.name);
        take(&mut self.reverse_name, later.reverse_name);
        take(&mut self.address, later.address);
        take(&mut self.port, later.port);
        take(&mut self.protocol, later.protocol);
        take(&mut self.helo, later.helo);
        take(&mut self.login, later.login);
        take(&mut self.destination, later.destination);
        take(&mut self.destination_port, later.destination_port);
        take(&mut self.identity, later.identity);
        take(&mut self.source, later.source);
    }
}

/// A value in xtext. `None` is one that must not be; it is to stand in header fields and logs.
fn value_of(text: &str) -> Option<Option<String>> {
    if text.eq_ignore_ascii_case("[UNAVAILABLE]") || text.eq_ignore_ascii_case("[TEMPUNAVAIL]") {
        return Some(None);
    }
    let value = decode_xtext(text)?;
    let fits = (1..=ATTRIBUTE_LIMIT).contains(&value.len());
    (fits && value.bytes().all(|octet| octet.is_ascii_graphic())).then_some(Some(value))
}

/// A value as what it is meant for, where there is one; `None` where it cannot be meant.
fn given<T>(value: Option<String>, read: fn(&str) -> Option<T>) -> Option<Option<T>> {
    value.map_or(Some(None), |text| read(&text).map(Some))
}

/// An IPv4 address, or an IPv6 address with `IPV6:` in front (and without, which some send).
fn address(text: &str) -> Option<IpAddr> {
    let tagged = text.get(..5).is_some_and(|tag| tag.eq_ignore_ascii_case("IPV6:"));
    let address: IpAddr = if tagged { &text[5..] } else { text }.parse().ok()?;
    (address.is_ipv6() || !tagged).then(|| address.to_canonical())
}

fn port(text: &str) -> Option<u16> {
    text.bytes().all(|octet| octet.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

fn source(text: &str) -> Option<String> {
    Some(text.to_ascii_uppercase()).filter(|source| source == "LOCAL" || source == "REMOTE")
}

/// `[DATE] [domain]` of QUEU: whether ages are wanted, and of which domain alone.
///
/// # Errors
/// With the usage.
pub fn listing(arguments: &str) -> Result<(bool, Option<Domain>), CommandError> {
    let usage = || CommandError::Syntax("Usage: QUEU [DATE] [domain]");
    let mut words = arguments.split(' ').filter(|word| !word.is_empty()).peekable();
    let ages = words.next_if(|word| word.eq_ignore_ascii_case("DATE")).is_some();
    let domain = words.next().map(|word| Domain::parse(word).map_err(|_| usage())).transpose()?;
    if words.next().is_some() { Err(usage()) } else { Ok((ages, domain)) }
}

/// The token of TICK: printable ASCII.
///
/// # Errors
/// With the usage.
pub fn token(arguments: &str) -> Result<String, CommandError> {
    let fits = (1..=TOKEN_LIMIT).contains(&arguments.len());
    if fits && arguments.bytes().all(|octet| octet.is_ascii_graphic()) {
        return Ok(arguments.to_owned());
    }
    Err(CommandError::Syntax("Usage: TICK token, of 1 to 64 printable characters without spaces"))
}

/// ON or OFF of VERB.
///
/// # Errors
/// With the usage.
pub fn switch(arguments: &str) -> Result<bool, CommandError> {
    match arguments.to_ascii_uppercase().as_str() {
        "ON" => Ok(true),
        "OFF" => Ok(false),
        _ => Err(CommandError::Syntax("Usage: VERB ON or VERB OFF")),
    }
}

/// The node of ETRN: a domain, or with `@` in front the domains below it too (RFC 1985 5.3). Queues with names of their
/// own (`#`) are not kept here.
///
/// # Errors
/// With the usage.
pub fn node(arguments: &str) -> Result<(Domain, bool), CommandError> {
    let (name, below) = match arguments.strip_prefix('@') {
        Some(name) => (name, true),
        None => (arguments, false),
    };
    let domain =
        Domain::parse(name).map_err(|_| CommandError::Syntax("Usage: ETRN domain or ETRN @domain"))?;
    Ok((domain, below))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xclient(text: &str) -> Result<Attributes, CommandError> {
        Attributes::parse(text, &XCLIENT, "usage")
    }

    #[test]
    fn attributes_are_typed() {
        let read =
            xclient("name=a+2Bb addr=IPV6:2001:db8::1 PORT=25 PROTO=ESMTP HELO=[TEMPUNAVAIL]").unwrap();
        assert_eq!(read.name, Some(Some("a+b".to_owned())));
        assert_eq!(read.address, Some(Some("2001:db8::1".parse().unwrap())));
        assert_eq!((read.port, read.helo, read.login), (Some(Some(25)), Some(None), None));
        assert_eq!(xclient("ADDR=[unavailable]").unwrap().address, Some(None));
        let forward = Attributes::parse("IDENT=4cP8 SOURCE=local", &XFORWARD, "usage").unwrap();
        assert_eq!(
            (forward.identity.flatten().as_deref(), forward.source.flatten().as_deref()),
            (Some("4cP8"), Some("LOCAL"))
        );
    }

    #[test]
    fn bad_attributes_are_refused() {
        let long = format!("NAME={}", "x".repeat(256));
        for text in [
            "",
            " ",
            "ADDR",
            "ADDR=",
            "ADDR=x",
            "ADDR=IPV6:192.0.2.1",
            "PORT=65536",
            "PORT=+1x",
            "PORT=+2B1",
            "LOGIN=a@b",
            "IDENT=x",
            "NAME=+0A",
            "NAME=a+20b",
            "NAME=ü",
            "HELO=+4",
            "NEW=1",
            &long,
        ] {
            assert_eq!(xclient(text), Err(CommandError::Syntax("usage")), "{text}");
        }
    }

    #[test]
    fn what_is_said_later_counts_and_the_rest_stays() {
        let mut known = xclient("NAME=a ADDR=192.0.2.1").unwrap();
        known.update(xclient("NAME=[UNAVAILABLE] PORT=1").unwrap());
        assert_eq!((known.name, known.port), (Some(None), Some(Some(1))));
        assert_eq!(known.address, Some(Some("192.0.2.1".parse().unwrap())));
    }

    #[test]
    fn the_other_verbs_have_their_grammar() {
        let domain = |name| Domain::parse(name).unwrap();
        assert_eq!(listing(""), Ok((false, None)));
        assert_eq!(listing("date  b.example"), Ok((true, Some(domain("b.example")))));
        assert_eq!(listing("b.example"), Ok((false, Some(domain("b.example")))));
        assert!(listing("b.example DATE").is_err() && listing("DATE -").is_err());
        assert_eq!(token("job-1/2"), Ok("job-1/2".to_owned()));
        assert!(["", "a b", "ü", &"x".repeat(65)].iter().all(|text| token(text).is_err()));
        assert_eq!((switch("on"), switch("Off")), (Ok(true), Ok(false)));
        assert!(switch("").is_err() && switch("ON OFF").is_err());
        assert_eq!(node("B.example"), Ok((domain("b.example"), false)));
        assert_eq!(node("@b.example"), Ok((domain("b.example"), true)));
        assert!(["", "#urgent", "@", "a b"].iter().all(|text| node(text).is_err()));
    }
}
