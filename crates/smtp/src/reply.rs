//! Replies of RFC 5321 4.2 with the enhanced status codes of RFC 2034 and 3463: what one is, how it is written on the wire
//! and how it is read off it. The replies that our servers give are functions here, each with code, enhanced status and
//! text in one place. Knows no session and no socket.

mod defence;
mod named;
mod services;

use std::borrow::Cow;
use std::fmt::{self, Write as _};

use bytes::{Buf, BufMut, BytesMut};
use mail::{EnhancedStatus, Status};

pub use defence::*;
pub use named::*;
pub use services::*;

/// Longest reply line in octets, CRLF included (RFC 5321 4.5.3.1.5).
const LINE_LIMIT: usize = 512;
/// Most octets of one reply that are taken from a peer, all lines together.
const WHOLE_LIMIT: usize = 64 * 1024;
/// Most octets of a peer's text that a [`Status`] keeps: with what is said around it, a line of a notice stays below the
/// 998 octets of RFC 5322 2.1.1.
const STATUS_TEXT_LIMIT: usize = 500;

/// Code, enhanced status and text of one reply. Several lines are one text with `\n` between them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    code: u16,
    enhanced: Option<EnhancedStatus>,
    text: Cow<'static, str>,
    utf8: bool,
}

impl Reply {
    /// A reply with an enhanced status.
    #[must_use]
    pub fn new(code: u16, enhanced: (u8, u16, u16), text: impl Into<Cow<'static, str>>) -> Self {
        let enhanced = EnhancedStatus::new(enhanced.0, enhanced.1, enhanced.2);
        Self { code, enhanced: Some(enhanced), text: text.into(), utf8: false }
    }

    /// A reply that has no enhanced status by its nature: greeting, EHLO, 334 and 354 (RFC 2034 4).
    #[must_use]
    pub fn bare(code: u16, text: impl Into<Cow<'static, str>>) -> Self {
        Self { code, enhanced: None, text: text.into(), utf8: false }
    }

    /// The same for a peer that takes UTF-8 in it (RFC 6531 3.7.4.2).
    #[must_use]
    pub fn in_utf8(self) -> Self {
        Self { utf8: true, ..self }
    }

    /// The reply code.
    #[must_use]
    pub fn code(&self) -> u16 {
        self.code
    }

    /// The enhanced status code, where there is one.
    #[must_use]
    pub fn enhanced(&self) -> Option<EnhancedStatus> {
        self.enhanced
    }

    /// The text, without code and enhanced status; lines are divided by `\n`.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Whether it is a 2yz.
    #[must_use]
    pub fn is_success(&self) -> bool {
        self.code / 100 == 2
    }

    /// Whether it is a 4yz.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        self.code / 100 == 4
    }

    /// Whether it is a 5yz.
    #[must_use]
    pub fn is_permanent(&self) -> bool {
        self.code / 100 == 5
    }

    /// Whether the server closes the connection behind it (421, RFC 5321 3.8).
    #[must_use]
    pub fn closes(&self) -> bool {
        self.code == 421
    }

    /// The same as a status; `X.0.0` where the reply has no enhanced code, and its lines in one.
    #[must_use]
    pub fn status(&self) -> Status {
        let class = u8::try_from(self.code / 100).unwrap_or(5);
        let enhanced = self.enhanced.map_or((class, 0, 0), |e| (e.class, e.subject, e.detail));
        let mut end = self.text.len().min(STATUS_TEXT_LIMIT);
        while !self.text.is_char_boundary(end) {
            end -= 1;
        }
        Status::new(self.code, enhanced, &self.text[..end])
    }

    /// Writes it as the wire wants it, on as many lines as it needs. What is neither printable ASCII nor a line break
    /// becomes `?`: a reply may hold UTF-8 only where both sides agreed on it (RFC 6531 3.7.4.2), and never a stray CR.
    pub fn encode(&self, out: &mut BytesMut) {
        let room = LINE_LIMIT - "250-5.000.000 \r\n".len();
        if self.text.len() <= room && self.text.bytes().all(|b| matches!(b, b' '..=b'~')) {
            return self.encode_line(out, b' ', self.text.as_bytes());
        }
        let may_stay = |c: char| matches!(c, ' '..='~') || (self.utf8 && !c.is_ascii() && !c.is_control());
        let printable = |c: char| if may_stay(c) { c } else { '?' };
        let lines: Vec<Vec<u8>> = self
            .text
            .split('\n')
            .map(|l| l.chars().map(printable).collect::<String>().into_bytes())
            .collect();
        let empty: &[u8] = b"";
        let mut pieces = lines
            .iter()
            .flat_map(|line| {
                let whole = if line.is_empty() { Some(empty) } else { None };
                whole.into_iter().chain(line.chunks(room))
            })
            .peekable();
        while let Some(piece) = pieces.next() {
            let separator = if pieces.peek().is_some() { b'-' } else { b' ' };
            self.encode_line(out, separator, piece);
        }
    }

    fn encode_line(&self, out: &mut BytesMut, separator: u8, text: &[u8]) {
        out.reserve(text.len() + 24);
        // Writing to a BytesMut cannot fail.
        let _ = write!(out, "{}", self.code);
        out.put_u8(separator);
        if let Some(enhanced) = self.enhanced {
            let _ = write!(out, "{enhanced} ");
        }
        out.put_slice(text);
        out.put_slice(b"\r\n");
    }

    /// Takes one whole reply off the front of what a server sent; `None` while its last line is missing.
    ///
    /// A line that ends in a bare LF is taken too: nothing can be smuggled to a client that way, and such servers exist.
    ///
    /// # Errors
    /// When it does not follow RFC 5321 4.2 or is longer than anybody needs.
    pub fn decode(input: &mut BytesMut) -> Result<Option<Self>, ReplyError> {
        let mut code = None;
        let mut enhanced = None;
        let mut text = String::new();
        let mut at = 0;
        while let Some(length) = memchr::memchr(b'\n', &input[at..]) {
            if at > WHOLE_LIMIT {
                return Err(ReplyError::TooLong);
            }
            let line = &input[at..at + length];
            at += length + 1;
            let (line_code, last, rest) = decode_line(line.strip_suffix(b"\r").unwrap_or(line))?;
            if code.is_some() {
                text.push('\n');
            }
            if *code.get_or_insert(line_code) != line_code {
                return Err(ReplyError::Malformed);
            }
            let rest = String::from_utf8_lossy(rest);
            match EnhancedStatus::parse_prefix(&rest, line_code) {
                Some((status, rest)) => {
                    enhanced.get_or_insert(status);
                    text.push_str(rest);
                }
                None => text.push_str(&rest),
            }
            if last {
                input.advance(at);
                return Ok(Some(Self { code: line_code, enhanced, text: text.into(), utf8: false }));
            }
        }
        if input.len() > WHOLE_LIMIT { Err(ReplyError::TooLong) } else { Ok(None) }
    }
}

/// Code, whether it is the last line, and text.
fn decode_line(line: &[u8]) -> Result<(u16, bool, &[u8]), ReplyError> {
    let (digits, rest) = line.split_at_checked(3).ok_or(ReplyError::Malformed)?;
    if !matches!(digits[0], b'2'..=b'5') || !digits.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::Malformed);
    }
    let code = digits.iter().fold(0, |code, digit| code * 10 + u16::from(digit - b'0'));
    match rest.split_first() {
        None => Ok((code, true, b"")),
        Some((b' ', text)) => Ok((code, true, text)),
        Some((b'-', text)) => Ok((code, false, text)),
        Some(_) => Err(ReplyError::Malformed),
    }
}

/// What came is no reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplyError {
    /// It does not follow the grammar of RFC 5321 4.2.
    #[error("the server sent something that is no SMTP reply")]
    Malformed,
    /// It does not come to an end.
    #[error("the server's reply is longer than 64 KiB")]
    TooLong,
}

/// `250 2.1.0 sender ok`, all on one line.
impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.code)?;
        if let Some(enhanced) = self.enhanced {
            write!(f, " {enhanced}")?;
        }
        write!(f, " {}", self.text.replace('\n', " "))
    }
}

impl From<Status> for Reply {
    fn from(status: Status) -> Self {
        Self { code: status.code, enhanced: Some(status.enhanced), text: status.text.into(), utf8: false }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(reply: &Reply) -> String {
        let mut out = BytesMut::new();
        reply.encode(&mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    #[test]
    fn each_line_of_a_reply_carries_code_and_enhanced_status() {
        assert_eq!(encoded(&Reply::new(250, (2, 1, 0), "fine")), "250 2.1.0 fine\r\n");
        assert_eq!(encoded(&Reply::new(550, (5, 7, 1), "no\nnever")), "550-5.7.1 no\r\n550 5.7.1 never\r\n");
        assert_eq!(encoded(&Reply::bare(250, "a\nB\nC")), "250-a\r\n250-B\r\n250 C\r\n");
        assert_eq!(encoded(&Reply::bare(250, "")), "250 \r\n");
    }

    #[test]
    fn nothing_unprintable_and_no_long_line_leaves() {
        assert_eq!(encoded(&Reply::new(550, (5, 0, 0), "a\r\tü")), "550 5.0.0 a???\r\n");
        let long = encoded(&Reply::new(550, (5, 0, 0), "x".repeat(1200)));
        assert!(long.lines().all(|line| line.len() <= 510), "{long}");
        assert_eq!(long.matches('x').count(), 1200);
        assert_eq!(long.lines().count(), 3);
    }

    #[test]
    fn a_reply_is_read_once_its_last_line_is_there() {
        let mut input = BytesMut::from("250-2.1.5 one\r\n250 2.1.5 two\n354 go");
        let reply = Reply::decode(&mut input).unwrap().unwrap();
        assert_eq!(reply, Reply::new(250, (2, 1, 5), "one\ntwo"));
        assert_eq!(Reply::decode(&mut input), Ok(None));
        input.extend_from_slice(b"\r\n421\r\n");
        assert_eq!(Reply::decode(&mut input), Ok(Some(Reply::bare(354, "go"))));
        assert_eq!(Reply::decode(&mut input), Ok(Some(Reply::bare(421, ""))));
    }

    #[test]
    fn what_is_no_reply_is_refused() {
        for text in ["hello\r\n", "25 x\r\n", "250x\r\n", "199 x\r\n", "250-a\r\n550 b\r\n", "\r\n"] {
            assert_eq!(Reply::decode(&mut BytesMut::from(text)), Err(ReplyError::Malformed), "{text:?}");
        }
        let mut endless = BytesMut::from("250-x\r\n".repeat(20_000).as_str());
        assert_eq!(Reply::decode(&mut endless), Err(ReplyError::TooLong));
    }

    #[test]
    fn a_status_is_made_up_where_the_server_gave_none() {
        assert_eq!(Reply::bare(550, "no\nway").status(), Status::new(550, (5, 0, 0), "no way"));
        assert_eq!(Reply::from(Status::new(451, (4, 3, 0), "later")), Reply::new(451, (4, 3, 0), "later"));
    }

    proptest::proptest! {
        #[test]
        fn reading_never_panics_and_what_we_write_is_read_back(
            octets in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..200),
            text in "[ -~]{0,900}",
        ) {
            let _ = Reply::decode(&mut BytesMut::from(octets.as_slice()));
            let reply = Reply::new(250, (2, 0, 0), text.clone());
            let mut out = BytesMut::new();
            reply.encode(&mut out);
            let read = Reply::decode(&mut out).unwrap().unwrap();
            proptest::prop_assert_eq!(read.text().replace('\n', ""), text);
            proptest::prop_assert!(out.is_empty());
        }
    }
}
