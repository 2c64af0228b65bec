//! Content as it grows, within its limit and the memory that it was given.

use bytes::Bytes;

use super::Fault;

/// A vector that grows takes at least so much.
const LEAST_GROWTH: usize = 4 * 1024;

/// What has come of a message, unless something is wrong with it: nothing is kept then.
#[derive(Debug)]
pub(super) struct Buffer {
    content: Vec<u8>,
    limit: usize,
    allowed: usize,
    fault: Option<Fault>,
}

impl Buffer {
    pub(super) fn new(limit: usize, allowed: usize) -> Self {
        Self { content: Vec::new(), limit, allowed, fault: None }
    }

    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.fault
    }

    /// Allows it to hold so many octets.
    pub(super) fn allow(&mut self, octets: usize) {
        self.allowed = octets;
    }

    /// Throws away what came and what will come; the first fault is the one that counts.
    pub(super) fn refuse(&mut self, fault: Fault) {
        self.fault.get_or_insert(fault);
        self.content = Vec::new();
    }

    /// Whether there was room. Octets behind a fault need none.
    pub(super) fn push(&mut self, octets: &[u8]) -> bool {
        if self.fault.is_some() {
            return true;
        }
        let length = self.content.len() + octets.len();
        if length > self.limit {
            self.refuse(Fault::TooLarge(self.limit));
            return true;
        }
        if length > self.allowed {
            return false;
        }
        if length > self.content.capacity() {
            let wanted = (self.content.capacity() * 2).max(LEAST_GROWTH).min(self.allowed).max(length);
            self.content.reserve_exact(wanted - self.content.len());
        }
        self.content.extend_from_slice(octets);
        true
    }

    pub(super) fn finish(self) -> Result<Bytes, Fault> {
        match self.fault {
            None => Ok(self.content.into()),
            Some(fault) => Err(fault),
        }
    }
}
