//! docs/operating.md names every setting there is, with its default, and none that there is not.

use std::collections::{BTreeMap, BTreeSet};

use tests::program::run;
use toml::{Table, Value};

use crate::tree::{codes, read, rows};

/// The least that each agent needs to be given before it says what is in force.
const NEEDED: &[(&str, &[&str])] = &[
    (
        "msa",
        &[
            "msa.mta.endpoints=[\"https://mta:7025\"]",
            "msa.mda.endpoints=[\"https://mda:7026\"]",
            "msa.listen.submission=\"127.0.0.1:0\"",
            "tls.certificate_file=\"certificate.pem\"",
            "tls.key_file=\"key.pem\"",
        ],
    ),
    ("mta", &[]),
    ("mda", &[]),
];

/// Codes that look like settings and are none: conditions of `/readyz`, and files.
const OTHERS: &[&str] = &["mta.queue", "mta.queue.database", "mda.directory", "queue.db", "directory.db"];

/// Tables whose rows are settings, as in the head of a table: key, default, meaning.
fn documented() -> BTreeMap<String, String> {
    let document = read("docs/operating.md");
    let mut settings = BTreeMap::new();
    for table in document.split("\n\n").filter(|part| part.starts_with("| key")) {
        for row in rows(table) {
            for key in codes(&row[0]) {
                let twice = settings.insert(key.clone(), row[1].clone());
                assert!(twice.is_none(), "{key} is documented twice");
            }
        }
    }
    settings
}

/// What `--check` of all agents prints, without what this test gave.
async fn in_force() -> BTreeMap<String, Value> {
    let mut settings = BTreeMap::new();
    for (program, given) in NEEDED {
        let sets = given.iter().flat_map(|setting| ["--set", setting]);
        let arguments: Vec<_> = ["--check"].into_iter().chain(sets).collect();
        let output = run(program, &arguments).await;
        assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
        let printed: Table = toml::from_str(&String::from_utf8(output.stdout).unwrap()).unwrap();
        flatten("", printed, &mut settings);
        for setting in *given {
            settings.remove(setting.split('=').next().unwrap());
        }
    }
    settings
}

fn flatten(prefix: &str, table: Table, settings: &mut BTreeMap<String, Value>) {
    for (key, value) in table {
        let key = if prefix.is_empty() { key } else { format!("{prefix}.{key}") };
        match value {
            Value::Table(table) => flatten(&key, table, settings),
            value => drop(settings.insert(key, value)),
        }
    }
}

#[tokio::test]
async fn every_setting_is_documented_with_its_default() {
    let documented = documented();
    let in_force = in_force().await;
    assert!(in_force.len() > 50, "{in_force:?}");
    for (key, value) in &in_force {
        let default = documented.get(key);
        let default =
            default.unwrap_or_else(|| panic!("docs/operating.md does not name {key} (default {value})"));
        match codes(default).first() {
            Some(code) if default.starts_with('`') => {
                let said: Table = toml::from_str(&format!("x = {code}")).unwrap();
                assert_eq!(&said["x"], value, "the default of {key}");
            }
            _ => {
                assert!(
                    is_empty(value),
                    "{key} has a default, {value}, that docs/operating.md does not tell"
                );
            }
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::String(text) => text.is_empty(),
        Value::Array(all) => all.is_empty(),
        _ => false,
    }
}

#[tokio::test]
async fn no_setting_is_documented_that_does_not_exist() {
    let in_force = in_force().await;
    for (key, _) in documented() {
        if !in_force.contains_key(&key) {
            exists(&key).await;
        }
    }
}

/// Settings without a default are not printed; but a program does not call them unknown.
async fn exists(key: &str) {
    let table = key.split('.').next().unwrap();
    let program = match table {
        "service" | "telemetry" | "tls" | "limits" | "queue" => "mta",
        "directory" => "mda",
        "msa" | "mta" | "mda" => table,
        _ => "postrider",
    };
    let setting = format!("{key}={{no_such_thing=1}}");
    let arguments: &[&str] = match program {
        "postrider" => &["config", "--set", &setting],
        _ => &["--check", "--set", &setting],
    };
    let output = run(program, arguments).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    let last = key.rsplit('.').next().unwrap();
    assert!(!said.contains(&format!("unknown key \"{last}\"")), "docs/operating.md names {key}: {said}");
}

#[tokio::test]
async fn settings_named_in_passing_exist() {
    let documented = documented();
    let tables: BTreeSet<_> = documented.keys().filter_map(|key| key.split('.').next()).collect();
    for path in ["README.md", "CONTRIBUTING.md", "docs/operating.md", "docs/security.md"] {
        let document = read(path);
        for code in document.lines().filter(|line| !line.starts_with("```")).flat_map(codes) {
            let key = code.split(['=', ' ']).next().unwrap_or_default();
            let Some((table, _)) = key.split_once('.') else { continue };
            let plain = key.chars().all(|c| c.is_ascii_lowercase() || c == '.' || c == '_');
            if !plain || !tables.contains(table) || OTHERS.contains(&key) {
                continue;
            }
            let prefix = format!("{key}.");
            let known = documented.keys().any(|known| known == key || known.starts_with(&prefix));
            assert!(known, "{path} speaks of {key}, which docs/operating.md has in no table");
        }
    }
}
