//! The repository's own files, and the little of Markdown that the other tests read.

use std::path::{Path, PathBuf};

/// Made by programs, or not of the repository.
const NOT_OURS: &[&str] = &["target", "dist", "data", ".git", "Cargo.lock"];

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

pub(crate) fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every text file below a folder of the repository, as a path from its root with what it holds, in order.
pub(crate) fn files(folder: &str) -> Vec<(String, String)> {
    let mut files = Vec::new();
    collect(&root().join(folder), &mut files);
    files.sort();
    let named = files.into_iter().filter_map(|path| {
        let name = path.strip_prefix(root()).ok()?.to_str()?.to_owned();
        // What is no text is no business of these tests; what vanished meanwhile was temporary.
        Some((name, std::fs::read_to_string(&path).ok()?))
    });
    named.collect()
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let (path, name) = (entry.path(), entry.file_name());
        if folder == root() && NOT_OURS.iter().any(|not_ours| name == *not_ours) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => collect(&path, files),
            Ok(kind) if kind.is_file() => files.push(path),
            _ => {}
        }
    }
}

/// The sources of the programs, without the tests at their feet.
pub(crate) fn program_sources() -> Vec<(String, String)> {
    let mut sources = files("crates");
    sources.retain(|(path, _)| path.contains("/src/") && is_rust(path) && !path.ends_with("/tests.rs"));
    for (_, text) in &mut sources {
        if let Some(tests) = text.find("#[cfg(test)]\nmod tests {") {
            text.truncate(tests);
        }
    }
    sources
}

pub(crate) fn is_rust(path: &str) -> bool {
    Path::new(path).extension().is_some_and(|extension| extension == "rs")
}

/// The section under a heading, down to the next one of any level.
pub(crate) fn section<'a>(document: &'a str, heading: &str) -> &'a str {
    let start = document.find(&format!("\n{heading}\n")).unwrap_or_else(|| panic!("no {heading}"));
    let section = &document[start + heading.len() + 2..];
    section.find("\n#").map_or(section, |end| &section[..end])
}

/// The cells of every table row whose first cell begins with code.
pub(crate) fn rows(text: &str) -> Vec<Vec<String>> {
    let rows = text.lines().filter(|line| line.starts_with("| `"));
    rows.map(|row| {
        let cells = row.trim().trim_matches('|').split('|');
        cells.map(|cell| cell.trim().to_owned()).collect()
    })
    .collect()
}

/// What stands between backquotes.
pub(crate) fn codes(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(ToOwned::to_owned).collect()
}

/// The lines of the fenced blocks in this language.
pub(crate) fn fenced(document: &str, language: &str) -> Vec<String> {
    let mut inside = None;
    let mut lines = Vec::new();
    for line in document.lines() {
        match (line.strip_prefix("```"), inside) {
            (Some(_), Some(_)) => inside = None,
            (Some(tag), None) => inside = Some(tag == language),
            (None, Some(true)) => lines.push(line.to_owned()),
            (None, _) => {}
        }
    }
    lines
}
