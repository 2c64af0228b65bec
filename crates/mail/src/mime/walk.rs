//! The walk through the parts of a message that has to be changed. Each entity is looked at where it lies; what can stay is
//! shared, what has to be encoded is written anew with its header's Content-Transfer-Encoding. Each octet is looked at once
//! for each entity that it is in, of which there are at most [`DEPTH`].

use std::ops::Range;

use bytes::Bytes;

use super::structure::{self, Description, Encoding, Kind};
use super::{DEPTH, Obstacle, Unfit, Way, encode, fields, has_bare_line_break};
use crate::{BodyType, Content, header};

/// The converted message, from its repaired header section and its body.
pub(super) fn convert(way: Way, header: &Bytes, empty_line: bool, body: Bytes) -> Result<Content, Unfit> {
    let mut walk = Walk { way, whole: body, out: Content::default(), shared: 0..0 };
    let body = 0..walk.whole.len();
    let plan = walk.plan(header, Place { is_message: true, in_digest: false, depth: 0 }, &body)?;
    let mut start = plan.header.unwrap_or_else(|| header.to_vec());
    if empty_line || !body.is_empty() {
        start.extend_from_slice(b"\r\n");
    }
    walk.out.append(start);
    walk.perform(plan.treatment, body, 0)?;
    walk.flush();
    Ok(walk.out)
}

/// Where an entity is.
#[derive(Debug, Clone, Copy)]
struct Place {
    /// A message, which needs MIME-Version where it is encoded (RFC 2045 4), and not a part.
    is_message: bool,
    in_digest: bool,
    depth: usize,
}

/// What is done with an entity.
struct Plan {
    /// Its header section, where it changes.
    header: Option<Vec<u8>>,
    treatment: Treatment,
}

/// What is done with a body.
enum Treatment {
    Share,
    QuotedPrintable,
    Base64,
    /// It is encoded already, in lines that are too long or with octets that may not be there.
    QuotedPrintableAgain,
    Base64Again,
    /// A message of its own.
    Message,
    Parts {
        /// Where they lie in the body.
        parts: Vec<Range<usize>>,
        boundary: String,
        digest: bool,
    },
}

struct Walk {
    way: Way,
    /// The body of the message; all ranges are in it.
    whole: Bytes,
    out: Content,
    /// What is shared next, for as long as it goes on without a gap.
    shared: Range<usize>,
}

impl Walk {
    fn plan(&self, header: &[u8], place: Place, body: &Range<usize>) -> Result<Plan, Unfit> {
        let octets = &self.whole[body.clone()];
        let description = Description::read(header, place.in_digest);
        let rewritten = |label| rewrite(header, &description, place, label, None);
        let Some(obstacle) = self.way.obstacle(octets) else {
            return Ok(Plan { header: self.label(&description).map(rewritten), treatment: Treatment::Share });
        };
        let refusal = match &description.kind {
            Kind::Sealed => Some(Unfit::Sealed(obstacle)),
            Kind::Broken => Some(Unfit::Structure(obstacle)),
            // Of a multipart nobody heeds a label that it may not have (RFC 2045 6.4).
            Kind::Multipart { .. } if place.depth <= DEPTH => None,
            _ if description.encoding == Encoding::Other => Some(Unfit::Encoding(obstacle)),
            _ if place.depth > DEPTH => Some(Unfit::TooDeep(obstacle)),
            _ => None,
        };
        match (refusal, obstacle) {
            (None, _) => {}
            (Some(_), Obstacle::Nul) => return Ok(Plan { header: None, treatment: Treatment::Share }),
            (Some(refusal), _) => return Err(refusal),
        }
        match (&description.kind, description.encoding) {
            (Kind::Multipart { boundary }, _) => {
                let parts = structure::parts(octets, boundary).ok_or(Unfit::Structure(obstacle))?;
                let digest = structure::is_digest(header);
                let treatment = Treatment::Parts { parts, boundary: boundary.clone(), digest };
                Ok(Plan { header: self.label(&description).map(rewritten), treatment })
            }
            (_, Encoding::QuotedPrintable) => {
                Ok(Plan { header: None, treatment: Treatment::QuotedPrintableAgain })
            }
            (_, Encoding::Base64) => Ok(Plan { header: None, treatment: Treatment::Base64Again }),
            (Kind::Message, _) => {
                let header = self.label(&description).map(rewritten);
                Ok(Plan { header, treatment: Treatment::Message })
            }
            (kind, _) => {
                let text = *kind == Kind::Text && !encode::is_mostly_escaped(octets);
                let (label, treatment) = if text {
                    ("quoted-printable", Treatment::QuotedPrintable)
                } else {
                    ("base64", Treatment::Base64)
                };
                let header = rewrite(header, &description, place, label, Some(octets));
                Ok(Plan { header: Some(header), treatment })
            }
        }
    }

    /// The label in place of one that says more than the way can carry.
    fn label(&self, description: &Description) -> Option<&'static str> {
        match (self.way.body, description.encoding) {
            (_, _) if description.kind == Kind::Sealed => None,
            (BodyType::SevenBit, Encoding::EightBit | Encoding::Binary) => Some("7bit"),
            (BodyType::EightBitMime, Encoding::Binary) => Some("8bit"),
            _ => None,
        }
    }

    fn perform(&mut self, treatment: Treatment, body: Range<usize>, depth: usize) -> Result<(), Unfit> {
        // What ends with the message is followed by a line end, which is not part of it.
        let ends_line = body.end == self.whole.len();
        let octets = &self.whole[body.clone()];
        let encoded = match treatment {
            Treatment::Share => {
                self.share(body);
                return Ok(());
            }
            Treatment::Message => return self.part(body, true, false, depth + 1),
            Treatment::Parts { parts, boundary, digest } => {
                return self.parts(&parts, &boundary, digest, &body, depth + 1);
            }
            Treatment::QuotedPrintable => encode::quoted_printable(octets, ends_line),
            Treatment::QuotedPrintableAgain => encode::quoted_printable_again(octets, ends_line),
            Treatment::Base64 => base64_part(encode::base64(octets), ends_line),
            Treatment::Base64Again => base64_part(encode::base64_again(octets), ends_line),
        };
        self.write(encoded);
        Ok(())
    }

    /// A part of a multipart, or a message within a message.
    fn part(
        &mut self,
        part: Range<usize>,
        is_message: bool,
        in_digest: bool,
        depth: usize,
    ) -> Result<(), Unfit> {
        let octets = self.whole.slice(part.clone());
        let (header, body) = header::split(&octets);
        let body = part.end - body.len()..part.end;
        let place = Place { is_message, in_digest, depth };
        if self.way.from_binary && has_bare_line_break(header) {
            return Err(Unfit::Structure(Obstacle::BareLineBreak));
        }
        let repaired = match self.way.obstacle(header) {
            Some(_) => fields::repair(header, self.way.inner_letters())?,
            None => None,
        };
        let plan = self.plan(repaired.as_deref().unwrap_or(header), place, &body)?;
        let header_end = part.start + header.len();
        match plan.header.or(repaired) {
            None => self.share(part.start..body.start),
            Some(new) => {
                self.write(new);
                // Where all was body, an empty line comes between.
                if header_end == body.start && !body.is_empty() {
                    self.write(b"\r\n".to_vec());
                }
                self.share(header_end..body.start);
            }
        }
        self.perform(plan.treatment, body, depth)
    }

    /// The parts, and what is between them: a preamble or an epilogue, which nobody is shown (RFC 2046 5.1.1), is left out where
    /// it cannot be carried.
    fn parts(
        &mut self,
        parts: &[Range<usize>],
        boundary: &str,
        digest: bool,
        body: &Range<usize>,
        depth: usize,
    ) -> Result<(), Unfit> {
        let mut at = body.start;
        for part in parts {
            let part = body.start + part.start..body.start + part.end;
            self.between(at..part.start, boundary, at == body.start, false);
            at = part.end;
            self.part(part, false, digest, depth)?;
        }
        self.between(at..body.end, boundary, parts.is_empty(), true);
        Ok(())
    }

    fn between(&mut self, between: Range<usize>, boundary: &str, first: bool, last: bool) {
        if between.is_empty() || self.way.obstacle(&self.whole[between.clone()]).is_none() {
            self.share(between);
            return;
        }
        let line_end = if first { "" } else { "\r\n" };
        let hyphens = if last { "--" } else { "" };
        self.write(format!("{line_end}--{boundary}{hyphens}\r\n").into_bytes());
    }

    fn share(&mut self, range: Range<usize>) {
        if range.start != self.shared.end {
            self.flush();
            self.shared.start = range.start;
        }
        self.shared.end = range.end;
    }

    fn write(&mut self, octets: Vec<u8>) {
        self.flush();
        self.out.append(octets);
    }

    fn flush(&mut self) {
        if !self.shared.is_empty() {
            self.out.append(self.whole.slice(self.shared.clone()));
        }
        self.shared = self.shared.end..self.shared.end;
    }
}

/// In front of a delimiter stands one line end, which is the delimiter's.
fn base64_part(mut encoded: Vec<u8>, ends_line: bool) -> Vec<u8> {
    if !ends_line && encoded.ends_with(b"\r\n") {
        encoded.truncate(encoded.len() - 2);
    }
    encoded
}

/// The header section with this transfer encoding. Where a body is given, its type is said too if nothing says it yet.
fn rewrite(
    header: &[u8],
    description: &Description,
    place: Place,
    label: &str,
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut rewritten = Vec::with_capacity(header.len() + 128);
    let mut rest = header;
    let mut written = false;
    let field = format!("Content-Transfer-Encoding: {label}\r\n");
    while !rest.is_empty() {
        let (raw, behind) = rest.split_at(header::field_end(rest));
        rest = behind;
        let is_encoding = header::fields(raw).next().is_some_and(|f| f.is("Content-Transfer-Encoding"));
        if !is_encoding {
            rewritten.extend_from_slice(raw);
        } else if !written {
            rewritten.extend_from_slice(field.as_bytes());
            written = true;
        }
    }
    if !rewritten.is_empty() && !rewritten.ends_with(b"\r\n") {
        rewritten.extend_from_slice(b"\r\n");
    }
    if place.is_message && !description.has_mime_version {
        rewritten.extend_from_slice(b"MIME-Version: 1.0\r\n");
    }
    if let Some(body) = body.filter(|_| !description.has_content_type) {
        let content_type = format!("Content-Type: text/plain; charset={}\r\n", charset(body));
        rewritten.extend_from_slice(content_type.as_bytes());
    }
    if !written {
        rewritten.extend_from_slice(field.as_bytes());
    }
    rewritten
}

/// What can be known of the character set of octets that came without one (RFC 1428).
fn charset(octets: &[u8]) -> &'static str {
    if octets.is_ascii() {
        "us-ascii"
    } else if str::from_utf8(octets).is_ok() {
        "utf-8"
    } else {
        "unknown-8bit"
    }
}
