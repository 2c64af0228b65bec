//! Changes to a header section that copy nothing but what they add.

use bytes::Bytes;
use mail::Content;
use mail::header::Field;

/// Changes at places of the first segment of a message, which holds its header section.
#[derive(Debug)]
pub(crate) struct Edits<'a> {
    header: &'a [u8],
    /// Where, how many octets go, and what comes in their place.
    list: Vec<(usize, usize, Bytes)>,
}

impl<'a> Edits<'a> {
    /// None yet. `header` is at the start of the segment.
    pub(crate) fn new(header: &'a [u8]) -> Self {
        Self { header, list: Vec::new() }
    }

    /// Takes a field out.
    pub(crate) fn remove(&mut self, field: &Field<'_>) {
        self.list.push((self.place(field), field.raw.len(), Bytes::new()));
    }

    /// Puts octets in front of a field.
    pub(crate) fn insert_before(&mut self, field: &Field<'_>, octets: String) {
        self.list.push((self.place(field), 0, octets.into()));
    }

    /// Puts octets behind the value of a field, in front of its line end.
    pub(crate) fn append_to(&mut self, field: &Field<'_>, octets: Vec<u8>) {
        self.list.push((self.place(field) + field.raw.trim_ascii_end().len(), 0, octets.into()));
    }

    /// Each field is a slice of the header section, so its place follows from where it lies.
    fn place(&self, field: &Field<'_>) -> usize {
        field.raw.as_ptr().addr() - self.header.as_ptr().addr()
    }

    /// The message with the changes; what did not change is shared.
    pub(crate) fn apply(mut self, content: &Content) -> Content {
        self.list.sort_by_key(|(at, ..)| *at);
        let mut edited = Content::default();
        let Some((first, rest)) = content.segments().split_first() else { return edited };
        let mut from = 0;
        for (at, removed, added) in self.list {
            if at > from {
                edited.append(first.slice(from..at));
            }
            if !added.is_empty() {
                edited.append(added);
            }
            from = from.max(at + removed);
        }
        if from < first.len() {
            edited.append(first.slice(from..));
        }
        rest.iter().for_each(|segment| edited.append(segment.clone()));
        edited
    }
}
