//! Service extensions as EHLO names them (RFC 5321 4.1.1.1): one type for what our server offers and for what a peer's
//! server does, so that both are read and written by the same table. Knows no session.

use std::fmt::Write as _;

use mail::Timestamp;

/// Mechanisms or attributes that are kept of a server's list; nobody has more, and looking through it must stay cheap.
const LISTED: usize = 32;

/// The extensions that a server offers.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Capabilities {
    /// SIZE (RFC 1870); `Some(None)` where it names no limit.
    pub size: Option<Option<u64>>,
    /// PIPELINING (RFC 2920).
    pub pipelining: bool,
    /// 8BITMIME (RFC 6152).
    pub eight_bit_mime: bool,
    /// SMTPUTF8 (RFC 6531).
    pub smtputf8: bool,
    /// ENHANCEDSTATUSCODES (RFC 2034).
    pub enhanced_status_codes: bool,
    /// DSN (RFC 3461).
    pub dsn: bool,
    /// CHUNKING (RFC 3030).
    pub chunking: bool,
    /// BINARYMIME (RFC 3030).
    pub binary_mime: bool,
    /// DELIVERBY (RFC 2852), with the fewest seconds that it takes with by-mode R; `Some(None)` where it names none.
    pub deliver_by: Option<Option<u32>>,
    /// FUTURERELEASE (RFC 4865): the longest that a message is held.
    pub future_release: Option<MaxHold>,
    /// MT-PRIORITY (RFC 6710).
    pub mt_priority: bool,
    /// REQUIRETLS (RFC 8689).
    pub require_tls: bool,
    /// VRFY answers (RFC 5321 3.5.3).
    pub vrfy: bool,
    /// EXPN answers (RFC 5321 3.5.3).
    pub expn: bool,
    /// ETRN (RFC 1985).
    pub etrn: bool,
    /// MAILMAX of LIMITS (RFC 9422): transactions in one session.
    pub transactions: Option<u64>,
    /// RCPTMAX of LIMITS (RFC 9422): RCPT commands in one transaction.
    pub recipients: Option<u64>,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// The mechanisms of AUTH (RFC 4954), in upper case; empty where there is no AUTH.
    pub auth: Vec<String>,
    /// The attributes of XCLIENT (Postfix), in upper case; empty where there is none.
    pub xclient: Vec<String>,
    /// The attributes of XFORWARD (Postfix), in upper case; empty where there is none.
    pub xforward: Vec<String>,
}

/// How long and until when FUTURERELEASE holds a message at most (RFC 4865 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MaxHold {
    /// For so many seconds.
    pub seconds: u32,
    /// Until then.
    pub until: Timestamp,
}

impl Capabilities {
    /// The largest message that the server says to take.
    #[must_use]
    pub fn size_limit(&self) -> Option<u64> {
        self.size.flatten()
    }

    /// Reads the text of a 250 to EHLO: the first line names the server, each other an extension. Unknown ones are left out.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        let mut capabilities = Self::default();
        for line in text.lines().skip(1) {
            capabilities.add(line);
        }
        capabilities
    }

    fn add(&mut self, line: &str) {
        let mut words = line.split_ascii_whitespace();
        let keyword = words.next().unwrap_or_default().to_ascii_uppercase();
        match keyword.as_str() {
            "SIZE" => {
                let limit = words.next().and_then(|w| w.parse().ok()).filter(|limit| *limit > 0);
                self.size = Some(limit);
            }
            "PIPELINING" => self.pipelining = true,
            "8BITMIME" => self.eight_bit_mime = true,
            "SMTPUTF8" => self.smtputf8 = true,
            "ENHANCEDSTATUSCODES" => self.enhanced_status_codes = true,
            "DSN" => self.dsn = true,
            "CHUNKING" => self.chunking = true,
            "BINARYMIME" => self.binary_mime = true,
            "LIMITS" => self.add_limits(words),
            "STARTTLS" => self.starttls = true,
            "AUTH" => add_names(&mut self.auth, words),
            "DELIVERBY" => self.deliver_by = Some(words.next().and_then(|word| word.parse().ok())),
            "FUTURERELEASE" => self.future_release = max_hold(words),
            "MT-PRIORITY" => self.mt_priority = true,
            "REQUIRETLS" => self.require_tls = true,
            "VRFY" => self.vrfy = true,
            "EXPN" => self.expn = true,
            "ETRN" => self.etrn = true,
            "XCLIENT" => add_names(&mut self.xclient, words),
            "XFORWARD" => add_names(&mut self.xforward, words),
            // The form of servers before RFC 2554: "AUTH=LOGIN PLAIN".
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    add_names(&mut self.auth, std::iter::once(first).chain(words));
                }
            }
        }
    }

    /// Limits that are not known are left out, as RFC 9422 3 wants.
    fn add_limits<'a>(&mut self, limits: impl Iterator<Item = &'a str>) {
        for (name, value) in limits.filter_map(|limit| limit.split_once('=')) {
            let limit = value.parse().ok().filter(|limit| *limit > 0);
            if name.eq_ignore_ascii_case("RCPTMAX") {
                self.recipients = limit;
            } else if name.eq_ignore_ascii_case("MAILMAX") {
                self.transactions = limit;
            }
        }
    }

    /// The text of a 250 to EHLO, lines divided by `\n`.
    #[must_use]
    pub fn text(&self, hostname: &str) -> String {
        let mut text = hostname.to_owned();
        match self.size {
            Some(Some(limit)) => {
                // Writing to a String cannot fail.
                let _ = write!(text, "\nSIZE {limit}");
            }
            Some(None) => text.push_str("\nSIZE"),
            None => {}
        }
        for (offered, keyword) in [
            (self.pipelining, "PIPELINING"),
            (self.eight_bit_mime, "8BITMIME"),
            (self.smtputf8, "SMTPUTF8"),
            (self.enhanced_status_codes, "ENHANCEDSTATUSCODES"),
            (self.dsn, "DSN"),
            (self.chunking, "CHUNKING"),
            (self.binary_mime, "BINARYMIME"),
            (self.mt_priority, "MT-PRIORITY"),
            (self.require_tls, "REQUIRETLS"),
            (self.starttls, "STARTTLS"),
            (self.vrfy, "VRFY"),
            (self.expn, "EXPN"),
            (self.etrn, "ETRN"),
        ] {
            if offered {
                text.push('\n');
                text.push_str(keyword);
            }
        }
        match self.deliver_by {
            Some(Some(least)) => {
                let _ = write!(text, "\nDELIVERBY {least}");
            }
            Some(None) => text.push_str("\nDELIVERBY"),
            None => {}
        }
        if let Some(MaxHold { seconds, until }) = self.future_release {
            let _ = write!(text, "\nFUTURERELEASE {seconds} {until}");
        }
        let limits: String = [("RCPTMAX", self.recipients), ("MAILMAX", self.transactions)]
            .iter()
            .filter_map(|(name, limit)| limit.map(|limit| format!(" {name}={limit}")))
            .collect();
        if !limits.is_empty() {
            text.push_str("\nLIMITS");
            text.push_str(&limits);
        }
        for (keyword, names) in
            [("AUTH", &self.auth), ("XCLIENT", &self.xclient), ("XFORWARD", &self.xforward)]
        {
            if !names.is_empty() {
                let _ = write!(text, "\n{keyword} {}", names.join(" "));
            }
        }
        text
    }
}

fn add_names<'a>(list: &mut Vec<String>, names: impl Iterator<Item = &'a str>) {
    for name in names.map(str::to_ascii_uppercase) {
        if list.len() == LISTED {
            return;
        }
        if !name.is_empty() && !list.contains(&name) {
            list.push(name);
        }
    }
}

/// Both limits are required (RFC 4865 3); who does not give them is not asked to hold anything.
fn max_hold<'a>(mut words: impl Iterator<Item = &'a str>) -> Option<MaxHold> {
    Some(MaxHold { seconds: words.next()?.parse().ok()?, until: words.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_offered_is_read_back() {
        let offered = Capabilities {
            size: Some(Some(1000)),
            pipelining: true,
            eight_bit_mime: true,
            smtputf8: true,
            enhanced_status_codes: true,
            dsn: true,
            chunking: true,
            binary_mime: true,
            deliver_by: Some(Some(60)),
            future_release: Some(MaxHold { seconds: 3600, until: Timestamp::from_millis(1_795_455_845_000) }),
            mt_priority: true,
            require_tls: true,
            vrfy: true,
            expn: true,
            etrn: true,
            transactions: Some(5),
            recipients: Some(100),
            starttls: true,
            auth: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
            xclient: vec!["ADDR".to_owned(), "PORT".to_owned()],
            xforward: vec!["NAME".to_owned()],
        };
        let text = offered.text("mx.example");
        assert_eq!(
            text,
            "mx.example\nSIZE 1000\nPIPELINING\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nDSN\nCHUNKING\nBINARYMIME\n\
             MT-PRIORITY\nREQUIRETLS\nSTARTTLS\nVRFY\nEXPN\nETRN\nDELIVERBY 60\nFUTURERELEASE 3600 2026-11-23T17:44:05Z\n\
             LIMITS RCPTMAX=100 MAILMAX=5\nAUTH PLAIN LOGIN\nXCLIENT ADDR PORT\nXFORWARD NAME"
        );
        assert_eq!(Capabilities::parse(&text), offered);
        assert_eq!(Capabilities::parse("mx.example"), Capabilities::default());
    }

    #[test]
    fn peers_are_understood_whatever_their_spelling() {
        let theirs = Capabilities::parse(
            "x\nsize 0\nXNEW y\nauth login\nAUTH=LOGIN PLAIN\n8bitmime\nlimits MAILMAX=5 rcptmax=20 X\ndeliverby\n\
             mt-priority MIXER\nfuturerelease 3600\n",
        );
        assert_eq!((theirs.recipients, theirs.transactions), (Some(20), Some(5)));
        assert_eq!((theirs.deliver_by, theirs.future_release), (Some(None), None));
        assert!(theirs.mt_priority);
        assert_eq!(theirs.size, Some(None));
        assert_eq!(theirs.auth, ["LOGIN", "PLAIN"]);
        assert!(theirs.eight_bit_mime);
        assert_eq!(Capabilities::parse("PIPELINING"), Capabilities::default());
        let endless: String = (0..20_000).map(|number| format!(" M{number}")).collect();
        assert_eq!(Capabilities::parse(&format!("x\nAUTH{endless}")).auth.len(), LISTED);
    }
}
