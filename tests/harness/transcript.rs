//! What was said, kept to be shown when a test fails.

use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

/// Lines with a mark in front; a clone writes to the same. The last one to be dropped while a test fails prints it.
#[derive(Clone)]
pub struct Transcript(Arc<Inner>);

struct Inner {
    title: String,
    text: Mutex<String>,
}

/// Nobody reads more of one dialogue or log than this at a failure.
const SHOWN: usize = 64 * 1024;

impl Transcript {
    /// An empty one.
    #[must_use]
    pub fn new(title: impl Into<String>) -> Self {
        Self(Arc::new(Inner { title: title.into(), text: Mutex::default() }))
    }

    /// Adds octets, line by line, each behind the mark; what is no text is escaped, and long content is cut.
    pub fn add(&self, mark: &str, octets: &[u8]) {
        let mut text = self.0.text.lock().unwrap_or_else(PoisonError::into_inner);
        for line in octets.split_inclusive(|octet| *octet == b'\n').take(40) {
            let line = &line[..line.len().min(500)];
            let _ = writeln!(text, "{mark}{}", String::from_utf8_lossy(line).trim_end_matches(['\r', '\n']));
        }
    }

    /// All of it so far.
    #[must_use]
    pub fn text(&self) -> String {
        self.0.text.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let text = self.text.get_mut().unwrap_or_else(PoisonError::into_inner);
            let from = text.ceil_char_boundary(text.len().saturating_sub(SHOWN));
            eprintln!("---- {} ----\n{}", self.title, &text[from..]);
        }
    }
}
