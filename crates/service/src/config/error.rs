//! What can be wrong with a configuration, worded for the person who has to mend it: where, what, and the nearest
//! known name. Never the line itself, nor what `--set` was given: either may hold a secret.

use std::path::PathBuf;

/// A configuration that cannot be used. Exit code 78 (`EX_CONFIG`).
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A file named on the command line or by a `…_file` key cannot be read.
    #[error("{key}: cannot read {}: {source}", path.display())]
    Unreadable {
        /// The option or key that names the file.
        key: String,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The file is wrong at one line.
    #[error("{}:{line}: {problem}", file.display())]
    File {
        /// The configuration file.
        file: PathBuf,
        /// The line, counted from 1.
        line: usize,
        /// What is wrong, with a hint.
        problem: String,
    },
    /// An environment variable or a `--set` is wrong.
    #[error("{origin}: {problem}")]
    Overlay {
        /// `--set mta.x` or the variable's name.
        origin: String,
        /// What is wrong, with a hint.
        problem: String,
    },
    /// A key has a value that reads well but cannot be used, alone or together with others.
    #[error("{key}: {problem}")]
    Invalid {
        /// The key, as in `mta.retry.delays`.
        key: String,
        /// What to change.
        problem: String,
    },
}

impl ConfigError {
    /// An unusable value at `key`; `problem` says what to change.
    pub fn invalid(key: impl Into<String>, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid { key: key.into(), problem: problem.into() }
    }
}

/// Words what serde reports. `unknown field` becomes a hint at the nearest known name; the rest is kept, with the key
/// in front where `toml` knows it.
pub(super) fn explain(mut error: toml::de::Error) -> String {
    // Without its input the error prints its message and the key, and not the line (which may hold a secret).
    error.set_input(None);
    let printed = error.to_string();
    let mut lines = printed.trim_end().lines();
    let message = lines.next().unwrap_or("not understood");
    let key = lines.find_map(|line| line.strip_prefix("in `")?.strip_suffix('`'));
    let names = |list: &'static str| Some(message.strip_prefix(list)?.split('`').skip(1).step_by(2));
    if let Some(mut names) = names("unknown field") {
        // Here the key is that of the table in which the field stands.
        let place = key.map(|table| format!(" in [{table}]")).unwrap_or_default();
        return unknown_name("unknown key", names.next().unwrap_or_default(), &place, names);
    }
    if let Some(mut names) = names("unknown variant") {
        let place = key.map(|key| format!(" for {key}")).unwrap_or_default();
        return unknown_name("unknown value", names.next().unwrap_or_default(), &place, names);
    }
    match key {
        Some(key) => format!("{key}: {message}"),
        None => message.to_owned(),
    }
}

/// One sentence about a name that is not known: where, and what may have been meant.
pub(super) fn unknown_name<'a>(
    what: &str,
    wrong: &str,
    place: &str,
    known: impl Iterator<Item = &'a str>,
) -> String {
    let known: Vec<&str> = known.collect();
    match nearest(wrong, &known) {
        Some(name) => format!("{what} \"{wrong}\"{place}; did you mean \"{name}\"?"),
        None if known.is_empty() => format!("{what} \"{wrong}\"{place}; none is expected there"),
        None => format!("{what} \"{wrong}\"{place}; known are {}", known.join(", ")),
    }
}

/// The known name that a typing error may have turned into `wrong`.
fn nearest<'a>(wrong: &str, known: &[&'a str]) -> Option<&'a str> {
    let close_enough = 1 + wrong.chars().count() / 3;
    known
        .iter()
        .map(|name| (distance(wrong, name), *name))
        .filter(|(distance, _)| *distance <= close_enough)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// Edit distance (Levenshtein): insertions, deletions and substitutions.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, to) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(from != *to);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_name_forgives_typing_errors_and_nothing_more() {
        let known = ["submission", "submissions", "mx", "health"];
        assert_eq!(nearest("submision", &known), Some("submission"));
        assert_eq!(nearest("helth", &known), Some("health"));
        assert_eq!(nearest("mxx", &known), Some("mx"));
        assert_eq!(nearest("banana", &known), None);
        assert_eq!(nearest("", &known), None);
    }

    #[test]
    fn distance_counts_single_letters() {
        assert_eq!(distance("", "abc"), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
        assert_eq!(distance("same", "same"), 0);
    }
}
