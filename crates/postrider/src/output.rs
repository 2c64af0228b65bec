//! What the program says: tables and sentences for people, JSON for programs, on standard output; progress on standard
//! error. The only place that writes there. Knows nothing of what is said.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use serde::Serialize;

/// Something that can be shown to people; programs get the same as JSON.
pub(crate) trait Show: Serialize {
    /// For people: lines, without the end of the last one.
    fn text(&self, style: Style) -> String;
}

/// How the user wants to be told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
    style: Style,
}

impl Output {
    /// Standard output as it is: emphasis only where a person looks at it (<https://no-color.org>).
    pub(crate) fn new(json: bool) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { json, style: Style { terminal: io::stdout().is_terminal() && !plain } }
    }

    /// Says it in the form that was asked for.
    pub(crate) fn show<T: Show>(self, thing: &T) -> anyhow::Result<()> {
        let text = if self.json { serde_json::to_string_pretty(thing)? } else { thing.text(self.style) };
        if text.is_empty() { Ok(()) } else { write_out(format!("{text}\n").as_bytes()) }
    }

    /// Octets as they are, such as a message; but a stranger who wrote them may not steer the terminal they are shown on.
    pub(crate) fn raw(self, octets: &[u8]) -> anyhow::Result<()> {
        if io::stdout().is_terminal() { write_out(harmless(octets).as_bytes()) } else { write_out(octets) }
    }

    /// Whether JSON was asked for.
    pub(crate) fn is_json(self) -> bool {
        self.json
    }
}

/// Who has stopped reading (`| head`) has seen enough.
fn write_out(octets: &[u8]) -> anyhow::Result<()> {
    let mut out = io::stdout().lock();
    match out.write_all(octets).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// A line for the person at the terminal that is no result: a dialogue, a hint. It goes to standard error.
pub(crate) fn aside(line: &str) {
    // Where standard error is closed nobody wants to know.
    let _ = writeln!(io::stderr(), "{line}");
}

/// Emphasis, where there is a terminal that shows it.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Style {
    terminal: bool,
}

impl Style {
    /// What matters most.
    pub(crate) fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// What matters least.
    pub(crate) fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.terminal && !text.is_empty() { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

/// Columns under headings. With no rows it is the sentence `none`.
pub(crate) fn table<const N: usize>(
    style: Style,
    headings: [&str; N],
    rows: &[[String; N]],
    none: &str,
) -> String {
    if rows.is_empty() {
        return none.to_owned();
    }
    let mut widths = headings.map(|heading| heading.chars().count());
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: [&str; N]| {
        let mut line = String::new();
        for (cell, width) in cells.iter().zip(widths) {
            let _ = write!(line, "{cell:width$}  ");
        }
        line.trim_end().to_owned()
    };
    let mut lines = vec![style.dim(&line(headings))];
    lines.extend(rows.iter().map(|row| line(row.each_ref().map(String::as_str))));
    lines.join("\n")
}

/// What another wrote, fit for a terminal: no control characters, and not over `limit` characters.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut cleaned: String =
        text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(limit).collect();
    if text.chars().nth(limit).is_some() {
        cleaned.pop();
        cleaned.push('…');
    }
    cleaned
}

/// Lines for a terminal: what would steer it is made visible.
fn harmless(octets: &[u8]) -> String {
    let text = String::from_utf8_lossy(octets).replace("\r\n", "\n");
    text.replace(|c: char| c.is_control() && !matches!(c, '\n' | '\t'), "\u{fffd}")
}

/// Octets as people count them.
pub(crate) fn size(octets: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut unit = 0;
    let mut tenths = u128::from(octets) * 10;
    while tenths >= 10_240 && unit + 1 < units.len() {
        tenths /= 1024;
        unit += 1;
    }
    if unit == 0 { format!("{octets} B") } else { format!("{}.{} {}", tenths / 10, tenths % 10, units[unit]) }
}

/// A length of time in its largest unit.
pub(crate) fn ago(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// How often a line of progress is written.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(200);

/// How far long work has come: one line on a terminal, written over and over. Anywhere else it is silent.
#[derive(Debug)]
pub(crate) struct Progress {
    what: &'static str,
    total: u64,
    shown: Option<Instant>,
    visible: bool,
}

impl Progress {
    /// Of `total` things; one thing alone needs no progress.
    pub(crate) fn new(what: &'static str, total: u64) -> Self {
        Self { what, total, shown: None, visible: total > 1 && io::stderr().is_terminal() }
    }

    /// So many are done.
    pub(crate) fn at(&mut self, done: u64) {
        let due = self.shown.is_none_or(|shown| shown.elapsed() >= PROGRESS_INTERVAL);
        if self.visible && due {
            self.shown = Some(Instant::now());
            let _ = write!(io::stderr(), "\r{} {done}/{}\x1b[K", self.what, self.total);
        }
    }
}

/// The line goes away when the work ends, however it ends.
impl Drop for Progress {
    fn drop(&mut self) {
        if self.shown.is_some() {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_does_not_steer_the_terminal() {
        let shown = harmless(b"Subject: x\r\n\r\n\ta\x1b]0;b\x07\rc\xc2\x9bd\xff\r\n");
        assert_eq!(shown, "Subject: x\n\n\ta\u{fffd}]0;b\u{fffd}\u{fffd}c\u{fffd}d\u{fffd}\n");
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = [["a".to_owned(), "Jürgen".to_owned()], ["long one".to_owned(), String::new()]];
        assert_eq!(
            table(Style::default(), ["ID", "WHO"], &rows, "nobody"),
            "ID        WHO\na         Jürgen\nlong one"
        );
        assert_eq!(table(Style::default(), ["ID"], &[], "nobody"), "nobody");
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(
            [size(0), size(1023), size(1536), size(26_214_400)],
            ["0 B", "1023 B", "1.5 KiB", "25.0 MiB"]
        );
        let ago = |seconds| ago(Duration::from_secs(seconds));
        assert_eq!([ago(5), ago(600), ago(7200), ago(864_000)], ["5 s", "10 min", "2 h", "10 d"]);
    }

    #[test]
    fn what_others_wrote_cannot_steer_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{7}", 80), "a\u{fffd}[2Jb\u{fffd}");
        assert_eq!(clean("abcdef", 4), "abc…");
        assert_eq!(clean("abcd", 4), "abcd");
    }
}
