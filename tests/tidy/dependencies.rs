//! Who may depend on whom, as ARCHITECTURE.md says it, against `cargo metadata`.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use crate::tree::{fenced, read, root};

/// Crates of others that are at home in a few of ours: by the start of their names.
const AT_HOME: &[(&str, &[&str])] = &[
    ("sqlx", &["queue", "directory"]),
    ("tonic", &["protocol", "tests"]),
    ("prost", &["protocol"]),
    ("protox", &["protocol"]),
    ("rustls", &["smtp", "protocol", "tests"]),
    ("tokio-rustls", &["smtp", "tests"]),
    ("hickory-resolver", &["mta"]),
    ("hickory-server", &["tests"]),
    ("anyhow", &["service", "postrider", "msa", "mta", "mda"]),
    ("argon2", &["directory"]),
    ("jsonwebtoken", &["mda"]),
    ("axum", &["service", "msa"]),
    ("hyper", &["msa"]),
    ("utoipa", &["msa"]),
    ("mail-builder", &["msa"]),
    ("clap", &["service", "postrider"]),
    ("opentelemetry-otlp", &["service"]),
    ("opentelemetry-prometheus", &["service"]),
];

/// Names that a crate may not have: a helper lives with its noun.
const NO_HOME: &[&str] = &["common", "utils", "util", "helpers", "shared"];

/// Each crate of ours with all that it names in its manifest, for building, running or testing.
fn packages() -> BTreeMap<String, BTreeSet<String>> {
    let cargo = std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned());
    let mut command = Command::new(cargo);
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let output = command.output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let name = |value: &serde_json::Value| value["name"].as_str().unwrap().to_owned();
    let packages = metadata["packages"].as_array().unwrap().iter();
    packages
        .map(|package| {
            (name(package), package["dependencies"].as_array().unwrap().iter().map(name).collect())
        })
        .collect()
}

/// The rules as the document has them: `left, left → right right`, several to a line behind wide gaps.
fn rules() -> Vec<(Vec<String>, String)> {
    let lines = fenced(&read("ARCHITECTURE.md"), "").join("\n");
    let statements = lines.lines().flat_map(|line| line.split("   ")).flat_map(|part| part.split(';'));
    let rules = statements.filter_map(|statement| {
        let (left, right) = statement.split_once('→')?;
        let left = left.split(',').map(|name| name.trim().to_owned()).collect();
        Some((left, right.trim().to_owned()))
    });
    rules.collect()
}

#[test]
fn each_crate_keeps_to_the_rules_of_the_house() {
    let packages = packages();
    let mut ruled = BTreeSet::new();
    for (names, allowed) in rules() {
        for name in names.iter().filter(|name| *name != "nothing") {
            ruled.insert(name.clone());
            let dependencies = packages.get(name).unwrap_or_else(|| panic!("there is no crate {name}"));
            let ours = dependencies.iter().filter(|dependency| packages.contains_key(*dependency));
            let allowed: Vec<_> = match allowed.as_str() {
                "anything" => continue,
                "none of ours" => Vec::new(),
                some => some.split_whitespace().collect(),
            };
            for dependency in ours {
                assert!(allowed.contains(&dependency.as_str()), "{name} depends on {dependency}");
            }
        }
    }
    let all: BTreeSet<_> = packages.keys().cloned().collect();
    assert_eq!(ruled, all, "ARCHITECTURE.md has a rule for each crate");
}

#[test]
fn nothing_depends_on_the_tests() {
    for (name, dependencies) in packages() {
        assert!(!dependencies.contains("tests"), "{name} depends on the tests");
    }
}

#[test]
fn crates_of_others_are_used_where_they_are_at_home() {
    for (name, dependencies) in packages() {
        for (start, homes) in AT_HOME {
            let guest = dependencies.iter().find(|dependency| dependency.starts_with(start));
            if let Some(guest) = guest {
                assert!(
                    homes.contains(&name.as_str()),
                    "{name} depends on {guest}; that belongs to {homes:?}"
                );
            }
        }
    }
}

#[test]
fn there_is_no_attic() {
    for name in packages().keys() {
        assert!(!NO_HOME.contains(&name.as_str()), "a crate {name}: which noun does it belong to?");
    }
}
