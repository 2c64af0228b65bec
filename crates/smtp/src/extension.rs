//! Service extensions as EHLO names them (RFC 5321 4.1.1.1): one type for what our server offers and for what a peer's
//! server does, so that both are read and written by the same table. Knows no session.

use std::fmt::Write as _;

/// Mechanisms that are kept of a server's list; nobody has more, and looking through the list must stay cheap.
const MECHANISMS: usize = 32;

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
    /// RCPTMAX of LIMITS (RFC 9422): RCPT commands in one transaction.
    pub recipients: Option<u64>,
    /// STARTTLS (RFC 3207).
    pub starttls: bool,
    /// The mechanisms of AUTH (RFC 4954), in upper case; empty where there is no AUTH.
    pub auth: Vec<String>,
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
            "AUTH" => self.add_mechanisms(words),
            // The form of servers before RFC 2554: "AUTH=LOGIN PLAIN".
            _ => {
                if let Some(first) = keyword.strip_prefix("AUTH=") {
                    self.add_mechanisms(std::iter::once(first).chain(words));
                }
            }
        }
    }

    /// Limits that are not known are left out, as RFC 9422 3 wants.
    fn add_limits<'a>(&mut self, limits: impl Iterator<Item = &'a str>) {
        for (name, value) in limits.filter_map(|limit| limit.split_once('=')) {
            if name.eq_ignore_ascii_case("RCPTMAX") {
                self.recipients = value.parse().ok().filter(|limit| *limit > 0);
            }
        }
    }

    fn add_mechanisms<'a>(&mut self, mechanisms: impl Iterator<Item = &'a str>) {
        for mechanism in mechanisms.map(str::to_ascii_uppercase) {
            if self.auth.len() == MECHANISMS {
                return;
            }
            if !mechanism.is_empty() && !self.auth.contains(&mechanism) {
                self.auth.push(mechanism);
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
            (self.starttls, "STARTTLS"),
        ] {
            if offered {
                text.push('\n');
                text.push_str(keyword);
            }
        }
        if let Some(limit) = self.recipients {
            let _ = write!(text, "\nLIMITS RCPTMAX={limit}");
        }
        if !self.auth.is_empty() {
            text.push_str("\nAUTH ");
            text.push_str(&self.auth.join(" "));
        }
        text
    }
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
            recipients: Some(100),
            starttls: true,
            auth: vec!["PLAIN".to_owned(), "LOGIN".to_owned()],
        };
        let text = offered.text("mx.example");
        assert_eq!(
            text,
            "mx.example\nSIZE 1000\nPIPELINING\n8BITMIME\nSMTPUTF8\nENHANCEDSTATUSCODES\nDSN\nCHUNKING\nBINARYMIME\nSTARTTLS\n\
             LIMITS RCPTMAX=100\nAUTH PLAIN LOGIN"
        );
        assert_eq!(Capabilities::parse(&text), offered);
        assert_eq!(Capabilities::parse("mx.example"), Capabilities::default());
    }

    #[test]
    fn peers_are_understood_whatever_their_spelling() {
        let theirs = Capabilities::parse(
            "x\nsize 0\nXNEW y\nauth login\nAUTH=LOGIN PLAIN\n8bitmime\nlimits MAILMAX=5 rcptmax=20 X\n",
        );
        assert_eq!(theirs.recipients, Some(20));
        assert_eq!(theirs.size, Some(None));
        assert_eq!(theirs.auth, ["LOGIN", "PLAIN"]);
        assert!(theirs.eight_bit_mime);
        assert_eq!(Capabilities::parse("PIPELINING"), Capabilities::default());
        let endless: String = (0..20_000).map(|number| format!(" M{number}")).collect();
        assert_eq!(Capabilities::parse(&format!("x\nAUTH{endless}")).auth.len(), MECHANISMS);
    }
}
