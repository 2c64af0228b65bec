//! Sources that a person can take in: no file without end, no promise in place of code.

use crate::tree::{files, is_rust};

/// Lines of the longest file that is nothing out of the ordinary.
const LINES: usize = 500;

/// Longer ones, each with its reason.
const LONGER: &[(&str, &str)] = &[("docs/api/openapi.json", "it is generated")];

#[test]
fn no_file_is_long_without_a_reason() {
    for (path, text) in files("") {
        let lines = text.lines().count();
        let excused = LONGER.iter().any(|(excused, _)| *excused == path);
        assert!(lines <= LINES || excused, "{path} has {lines} lines: what belongs elsewhere?");
        assert!(lines > LINES || !excused, "{path} has {lines} lines and needs no excuse any more");
    }
}

#[test]
fn nothing_is_left_for_later() {
    for (path, text) in files("").into_iter().filter(|(path, _)| is_rust(path)) {
        for word in
            [concat!("todo", "!("), concat!("unimplemented", "!("), concat!("FIX", "ME"), concat!("XX", "X:")]
        {
            assert!(!text.contains(word), "{path}: {word}");
        }
    }
}

#[test]
fn every_source_says_what_it_is_for() {
    let sources = files("crates").into_iter().filter(|(path, _)| path.contains("/src/") && is_rust(path));
    for (path, text) in sources.filter(|(path, _)| !path.ends_with("/tests.rs")) {
        assert!(text.starts_with("//!"), "{path} has no head");
    }
}
