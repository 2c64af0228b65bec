//! The server's side. It knows no password: the agent gives the challenge and checks the proof.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use mail::{ScramChallenge, ScramProof};

use super::{BindingKind, MESSAGE_LIMIT, NONCE_LIMIT, decode_name, is_nonce, value};
use crate::reply::{self, Reply};
use crate::sasl::Channel;

/// Octets of a server's nonce, before base64.
const NONCE_OCTETS: usize = 18;

/// A fresh nonce from the system's random numbers; `None` where there are none to be had.
#[must_use]
pub fn nonce() -> Option<String> {
    let mut octets = [0; NONCE_OCTETS];
    aws_lc_rs::rand::fill(&mut octets).ok()?;
    Some(BASE64.encode(octets))
}

/// What the client hears of a failure (`server-error-value`, RFC 5802 7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The last message is not as it should be.
    InvalidEncoding,
    /// The client is bound to another TLS session, or to none.
    ChannelBindingsDontMatch,
    /// Unknown user or wrong password: nobody learns which.
    InvalidProof,
    /// Anything else, such as another's nonce.
    Other,
}

impl Fault {
    /// The server's last message that says so.
    #[must_use]
    pub fn message(self) -> &'static str {
        match self {
            Self::InvalidEncoding => "e=invalid-encoding",
            Self::ChannelBindingsDontMatch => "e=channel-bindings-dont-match",
            Self::InvalidProof => "e=invalid-proof",
            Self::Other => "e=other-error",
        }
    }
}

/// An exchange after the client's first message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Server {
    login: String,
    /// `gs2-header` and the data of the channel: what `c=` must hold.
    bound_to: Vec<u8>,
    client_first_bare: String,
    nonce: String,
    server_first: String,
}

impl Server {
    /// Takes the client's first message.
    ///
    /// # Errors
    /// With the reply that ends the exchange.
    pub fn begin(message: &str, plus: bool, channel: &Channel<'_>) -> Result<Self, Reply> {
        let malformed = reply::authentication_malformed;
        if message.len() > MESSAGE_LIMIT {
            return Err(malformed());
        }
        let mut parts = message.splitn(3, ',');
        let (Some(flag), Some(authorize), Some(bare)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed());
        };
        let bound = bound(flag, plus, channel)?;
        let mut attributes = bare.split(',');
        // An extension that must be understood (`m=`) would stand in place of the name.
        let name = value(attributes.next(), "n").and_then(decode_name).ok_or_else(malformed)?;
        let nonce = value(attributes.next(), "r").filter(|nonce| is_nonce(nonce)).ok_or_else(malformed)?;
        if nonce.len() > NONCE_LIMIT {
            return Err(malformed());
        }
        if !authorize.is_empty() {
            let authorize = value(Some(authorize), "a").and_then(decode_name).ok_or_else(malformed)?;
            // Acting as somebody else than one authenticates as is not provided for.
            if authorize != name {
                return Err(reply::authentication_failed());
            }
        }
        let login = stringprep::saslprep(&name).map_err(|_| malformed())?.into_owned();
        let header = &message[..message.len() - bare.len()];
        Ok(Self {
            login,
            bound_to: [header.as_bytes(), bound.unwrap_or_default()].concat(),
            client_first_bare: bare.to_owned(),
            nonce: nonce.to_owned(),
            server_first: String::new(),
        })
    }

    /// Who the client says to be; whose challenge is needed.
    #[must_use]
    pub fn login(&self) -> &str {
        &self.login
    }

    /// The server's first message; `nonce` must never have been used before.
    pub fn challenge(&mut self, challenge: &ScramChallenge, nonce: &str) -> &str {
        self.nonce.push_str(nonce);
        let salt = BASE64.encode(&challenge.salt);
        self.server_first = format!("r={},s={salt},i={}", self.nonce, challenge.iterations);
        &self.server_first
    }

    /// Takes the client's last message.
    ///
    /// # Errors
    /// Where it does not belong to this exchange, or to this channel.
    pub fn finish(self, message: &str) -> Result<ScramProof, Fault> {
        let encoding = Fault::InvalidEncoding;
        if message.len() > MESSAGE_LIMIT {
            return Err(encoding);
        }
        // Extensions may stand between nonce and proof; the proof is the last.
        let (without_proof, proof) = message.rsplit_once(",p=").ok_or(encoding)?;
        let proof = BASE64.decode(proof).ok().and_then(|proof| proof.try_into().ok()).ok_or(encoding)?;
        let mut attributes = without_proof.split(',');
        let binding = value(attributes.next(), "c").and_then(|c| BASE64.decode(c).ok()).ok_or(encoding)?;
        let nonce = value(attributes.next(), "r").ok_or(encoding)?;
        if binding != self.bound_to {
            return Err(Fault::ChannelBindingsDontMatch);
        }
        if nonce != self.nonce {
            return Err(Fault::Other);
        }
        let auth_message = format!("{},{},{without_proof}", self.client_first_bare, self.server_first);
        Ok(ScramProof { login: self.login, auth_message, proof })
    }
}

/// What the exchange is bound to by the flag of RFC 5802 6: `p` with PLUS and only with PLUS, `n` and `y` without. `y` says
/// that the client could bind and believes that we cannot; where we said that we can, somebody changed what we said.
fn bound<'a>(flag: &str, plus: bool, channel: &Channel<'a>) -> Result<Option<&'a [u8]>, Reply> {
    match (flag, plus) {
        ("y", false) if channel.plus_offered => Err(reply::channel_binding_withheld()),
        ("n" | "y", false) => Ok(None),
        (flag, true) => {
            let name = flag.strip_prefix("p=").ok_or_else(reply::authentication_malformed)?;
            let data = BindingKind::named(name).and_then(|kind| channel.binding(kind));
            data.map(Some).ok_or_else(reply::channel_binding_unknown)
        }
        _ => Err(reply::authentication_malformed()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::TlsInfo;

    const FIRST: &str = "n,,n=user,r=rOprNGfwEbeRWgbNEkqO";
    const LAST: &str = "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=";

    fn challenged(first: &str, plus: bool, channel: &Channel<'_>) -> (Server, String) {
        let mut server = Server::begin(first, plus, channel).unwrap();
        let salt = BASE64.decode("W22ZaJ0SNY7soEsUEjb6gQ==").unwrap();
        let challenge = ScramChallenge { salt, iterations: 4096 };
        let said = server.challenge(&challenge, "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0").to_owned();
        (server, said)
    }

    #[test]
    fn the_example_of_the_rfc_is_followed() {
        let (server, said) = challenged(FIRST, false, &Channel::default());
        assert_eq!(server.login(), "user");
        let expected =
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096";
        assert_eq!(said, expected);
        let proof = server.finish(LAST).unwrap();
        assert_eq!(proof.login, "user");
        assert_eq!(
            proof.auth_message,
            format!("n=user,r=rOprNGfwEbeRWgbNEkqO,{expected},{}", LAST.split_once(",p=").unwrap().0)
        );
        assert_eq!(BASE64.encode(proof.proof), "dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=");
    }

    #[test]
    fn a_last_message_belongs_to_its_exchange_alone() {
        let nonce = "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0";
        for (last, fault) in [
            // Replayed from another exchange.
            (LAST.replace("%hvY", "%hvX"), Fault::Other),
            (LAST.replace("c=biws", "c=eSws"), Fault::ChannelBindingsDontMatch),
            (LAST.replace("c=biws", "c=!"), Fault::InvalidEncoding),
            (LAST.replace(",p=dHzb", ",p="), Fault::InvalidEncoding),
            (format!("{LAST},x=y"), Fault::InvalidEncoding),
            (format!("c=biws,{nonce}"), Fault::InvalidEncoding),
            (LAST.replace("c=biws,", ""), Fault::InvalidEncoding),
            (format!("c=biws,{},p=AAAA", "x".repeat(5000)), Fault::InvalidEncoding),
            (String::new(), Fault::InvalidEncoding),
        ] {
            let (server, _) = challenged(FIRST, false, &Channel::default());
            assert_eq!(server.finish(&last), Err(fault), "{last}");
        }
        let (server, _) = challenged(FIRST, false, &Channel::default());
        assert!(server.finish(&LAST.replace(",p=", ",x=y,p=")).unwrap().auth_message.ends_with(",x=y"));
    }

    #[test]
    fn a_first_message_is_taken_apart() {
        let none = Channel::default();
        for first in [
            "",
            "n",
            "n,,",
            "n,,n=user",
            "n,,r=abc,n=user",
            "n,,n=,r=abc",
            "n,,n=us=er,r=abc",
            "n,,n=user,r=",
            "n,,n=user,r=a\u{e4}",
            "n,,m=x,n=user,r=abc",
            "n,user,n=user,r=abc",
            "n,a=,n=user,r=abc",
            "p=tls-exporter,,n=user,r=abc",
            "x,,n=user,r=abc",
            "n,,n=us\u{7}er,r=abc",
        ] {
            let refusal = Server::begin(first, false, &none).unwrap_err();
            assert_eq!(refusal, reply::authentication_malformed(), "{first}");
        }
        let long = format!("n,,n=user,r={}", "a".repeat(201));
        assert_eq!(Server::begin(&long, false, &none), Err(reply::authentication_malformed()));
        assert_eq!(
            Server::begin("n,a=other,n=user,r=abc", false, &none),
            Err(reply::authentication_failed())
        );
        let server = Server::begin("y,a=a=2Cb,n=a=2Cb,r=abc,x=y", false, &none).unwrap();
        assert_eq!((server.login(), server.bound_to.as_slice()), ("a,b", b"y,a=a=2Cb,".as_slice()));
        // SASLprep: a soft hyphen is nothing, a Roman numeral is its letters (RFC 4013 3).
        let server = Server::begin("n,,n=I\u{ad}X\u{2168},r=abc", false, &none).unwrap();
        assert_eq!(server.login(), "IXIX");
    }

    #[test]
    fn a_channel_is_bound_to_where_both_can_and_nobody_is_talked_out_of_it() {
        let tls = TlsInfo {
            exporter: Some([7; 32]),
            end_point: Some(b"hash".as_slice().into()),
            ..TlsInfo::default()
        };
        let channel = Channel { tls: Some(&tls), plus_offered: true };
        let refused = |first, plus| Server::begin(first, plus, &channel).unwrap_err();
        assert_eq!(refused("y,,n=user,r=abc", false), reply::channel_binding_withheld());
        assert_eq!(refused("p=tls-unique,,n=user,r=abc", true), reply::channel_binding_unknown());
        assert_eq!(refused("n,,n=user,r=abc", true), reply::authentication_malformed());
        assert_eq!(refused("y,,n=user,r=abc", true), reply::authentication_malformed());
        for (name, data) in [("tls-exporter", [7; 32].as_slice()), ("tls-server-end-point", b"hash")] {
            let first = format!("p={name},,n=user,r=rOprNGfwEbeRWgbNEkqO");
            let (server, _) = challenged(&first, true, &channel);
            let c = BASE64.encode([format!("p={name},,").as_bytes(), data].concat());
            assert!(server.clone().finish(&LAST.replace("c=biws", &format!("c={c}"))).is_ok());
            for other in [&b"hast"[..], &[8; 32], b""] {
                let c = BASE64.encode([format!("p={name},,").as_bytes(), other].concat());
                let last = LAST.replace("c=biws", &format!("c={c}"));
                assert_eq!(server.clone().finish(&last), Err(Fault::ChannelBindingsDontMatch));
            }
        }
        let tls = TlsInfo { end_point: tls.end_point.clone(), ..TlsInfo::default() };
        let channel = Channel { tls: Some(&tls), plus_offered: true };
        let refusal = Server::begin("p=tls-exporter,,n=user,r=abc", true, &channel).unwrap_err();
        assert_eq!(refusal, reply::channel_binding_unknown());
    }

    #[test]
    fn a_nonce_is_fresh_and_printable() {
        let (one, other) = (nonce().unwrap(), nonce().unwrap());
        assert!(one != other && is_nonce(&one) && one.len() == 24);
    }
}
