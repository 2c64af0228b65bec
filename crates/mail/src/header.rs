//! The header section of a message (RFC 5322 2.2), read as it stands and never written anew: fields are found, counted and
//! skipped by their raw lines.

use memchr::memmem;

/// One field: its name and its raw lines, line end included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field<'a> {
    /// The name, without the colon.
    pub name: &'a str,
    /// What follows the colon, folded as it came, without the final line end.
    pub value: &'a [u8],
    /// The whole field as it came.
    pub raw: &'a [u8],
}

impl Field<'_> {
    /// Whether the field has this name, whatever its case.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.name.eq_ignore_ascii_case(name)
    }

    /// The value on one line (RFC 5322 2.2.3), trimmed; octets that are not UTF-8 are replaced.
    #[must_use]
    pub fn unfolded(&self) -> String {
        String::from_utf8_lossy(self.value).replace("\r\n", "").trim().to_owned()
    }
}

/// Splits content into its header section, with the line end of its last field, and its body, without the empty line.
///
/// Content that does not start with a header field is all body.
#[must_use]
pub fn split(content: &[u8]) -> (&[u8], &[u8]) {
    if let Some(body) = content.strip_prefix(b"\r\n") {
        return (&[], body);
    }
    if parse(&content[..field_end(content)]).is_none() {
        return (&[], content);
    }
    match memmem::find(content, b"\r\n\r\n") {
        Some(end) => (&content[..end + 2], &content[end + 4..]),
        None => (content, &[]),
    }
}

/// The fields of a header section, in order. Lines that are no field and continue none are left out.
pub fn fields(header: &[u8]) -> impl Iterator<Item = Field<'_>> {
    let mut rest = header;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let (raw, after) = rest.split_at(field_end(rest));
            rest = after;
            if let Some(field) = parse(raw) {
                return Some(field);
            }
        }
        None
    })
}

/// The first field of this name.
#[must_use]
pub fn find<'a>(header: &'a [u8], name: &str) -> Option<Field<'a>> {
    fields(header).find(|field| field.is(name))
}

/// Where the field at the front of `header` ends: behind the first CRLF that no white space follows.
pub(crate) fn field_end(header: &[u8]) -> usize {
    let mut from = 0;
    while let Some(at) = memmem::find(&header[from..], b"\r\n") {
        from += at + 2;
        if !matches!(header.get(from), Some(b' ' | b'\t')) {
            return from;
        }
    }
    header.len()
}

fn parse(raw: &[u8]) -> Option<Field<'_>> {
    let colon = memchr::memchr(b':', raw)?;
    let name = str::from_utf8(&raw[..colon]).ok()?.trim_end_matches([' ', '\t']);
    if name.is_empty() || !name.bytes().all(|b| b.is_ascii_graphic()) {
        return None;
    }
    let value = &raw[colon + 1..];
    Some(Field { name, value: value.strip_suffix(b"\r\n").unwrap_or(value), raw })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MESSAGE: &[u8] =
        b"Received: one\r\nSubject : folded\r\n  text\r\nno field\r\nreceived: two\r\n\r\nbody\r\n\r\nmore";

    #[test]
    fn fields_are_found_as_they_stand() {
        let (header, body) = split(MESSAGE);
        assert_eq!(body, b"body\r\n\r\nmore");
        let names: Vec<_> = fields(header).map(|f| f.name).collect();
        assert_eq!(names, ["Received", "Subject", "received"]);
        assert_eq!(fields(header).filter(|f| f.is("Received")).count(), 2);
        assert_eq!(find(header, "subject").unwrap().unfolded(), "folded  text");
    }

    #[test]
    fn content_without_a_body_or_a_header_is_split_too() {
        assert_eq!(split(b"A: b\r\n"), (b"A: b\r\n".as_ref(), b"".as_ref()));
        assert_eq!(split(b"\r\nbody"), (b"".as_ref(), b"body".as_ref()));
        assert_eq!(split(b""), (b"".as_ref(), b"".as_ref()));
        let text = b"Dear all: no field\r\n\r\nmore";
        assert_eq!(split(text), (b"".as_ref(), text.as_ref()));
    }
}
