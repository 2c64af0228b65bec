//! Words for whoever runs the tests, shown even when they pass.

use std::io::Write;

/// Says a line. The test runner keeps what `println!` says to itself; a figure or a skipped test is to be seen.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}
