//! What users see when a configuration is wrong, and which layer wins when it is right.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use serde::{Deserialize, Serialize};

use super::*;
use crate::config::{Duration, Secret, Service, Settings, Telemetry, print};

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Config {
    service: Service,
    telemetry: Telemetry,
    mta: Mta,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Mta {
    name: String,
    lanes: Option<u16>,
    password: Option<Secret>,
    password_file: Option<PathBuf>,
    routes: BTreeMap<String, String>,
    retry: Retry,
}

#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Retry {
    delays: Vec<Duration>,
    expire: Duration,
}

impl Settings for Config {
    const TABLES: &'static [&'static str] = &["service", "telemetry", "mta"];

    fn service(&self) -> &Service {
        &self.service
    }

    fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }
}

/// Loads a file of that text under that environment and those options.
fn read(text: &str, environment: &[(&str, &str)], set: &[&str]) -> Result<Config, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("postrider.toml");
    std::fs::write(&path, text).unwrap();
    let source = Source {
        base: "[mta]\nname = \"base\"\nlanes = 1\n[mta.retry]\nexpire = \"1d\"".to_owned(),
        file: Some(path),
        environment: environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
        set: set.iter().map(|option| (*option).into()).collect(),
    };
    // The directory's name is of no interest, and differs at each run.
    let shorten = |error: ConfigError| error.to_string().replace(&*directory.path().to_string_lossy(), "");
    Config::read(&source).map_err(shorten)
}

fn error(text: &str) -> String {
    read(text, &[], &[]).unwrap_err()
}

fn option_error(option: &str) -> String {
    read("", &[], &[option]).unwrap_err()
}

#[test]
fn later_layers_win_and_leave_the_rest_alone() {
    let file = "[mta]\nname = 'file'\n[mta.retry]\ndelays = ['2s', '1m']\n[service]\nhostname = 'mx.test'";
    let environment = [("POSTRIDER_MTA__NAME", "environment"), ("POSTRIDER_MTA__LANES", "3")];
    let config = read(file, &[], &[]).unwrap();
    assert_eq!((config.mta.name.as_str(), config.mta.lanes), ("file", Some(1)));
    assert_eq!(config.mta.retry.expire, Duration::from_secs(86_400));
    let config = read(file, &environment, &["mta.lanes=4", "mta.lanes=5"]).unwrap();
    assert_eq!((config.mta.name.as_str(), config.mta.lanes), ("environment", Some(5)));
    assert_eq!(config.mta.retry.delays, [Duration::from_secs(2), Duration::from_secs(60)]);
    assert_eq!(config.service.hostname.as_deref(), Some("mx.test"));
}

#[test]
fn options_reach_quoted_keys_lists_and_addresses() {
    let set = [
        "mta.routes.\"remote.test\"=127.0.0.1:2600",
        "mta.retry.delays=[\"2s\",\"1m\",\"10m\"]",
        "service.listen.health=127.0.0.1:0",
    ];
    let config = read("", &[], &set).unwrap();
    assert_eq!(config.mta.routes["remote.test"], "127.0.0.1:2600");
    assert_eq!(config.mta.retry.delays.len(), 3);
    assert_eq!(config.service.listen.health, Some(SocketAddr::from(([127, 0, 0, 1], 0))));
}

#[test]
fn a_value_that_looks_like_a_number_still_fits_where_text_is_wanted() {
    assert_eq!(read("", &[], &["mta.name=10"]).unwrap().mta.name, "10");
    assert_eq!(
        read("", &[("POSTRIDER_MTA__PASSWORD", "007")], &[]).unwrap().mta.password,
        Some(Secret::new("007"))
    );
}

#[test]
fn other_agents_tables_are_left_alone() {
    let config = read("[msa]\nanything = 1\n[mda.deep]\nx = 2", &[("POSTRIDER_MSA__X", "1")], &["mda.x=1"]);
    assert!(config.is_ok(), "{config:?}");
}

#[test]
fn an_error_in_the_file_names_line_and_nearest_name() {
    for (text, expected) in [
        (
            "[mta]\n\nlaness = 2",
            "/postrider.toml:3: unknown key \"laness\" in [mta]; did you mean \"lanes\"?",
        ),
        (
            "[service]\nsandbox = true\n[service.listen]\nhelth = '127.0.0.1:1'",
            "/postrider.toml:4: unknown key \"helth\" in [service.listen]; did you mean \"health\"?",
        ),
        ("\n[mtaa]\nx = 1", "/postrider.toml:2: unknown table \"mtaa\"; did you mean \"mta\"?"),
        (
            "[telemetry]\nlog_format = 'jason'",
            "/postrider.toml:2: unknown value \"jason\" for telemetry.log_format; did you mean \"json\"?",
        ),
        (
            "[mta.retry]\nbanana = 1",
            "/postrider.toml:2: unknown key \"banana\" in [mta.retry]; known are delays, expire",
        ),
        (
            "[service]\nhostname = \"a b\"",
            "/postrider.toml:2: service.hostname: write a host name of letters, digits, hyphens and dots",
        ),
    ] {
        assert_eq!(error(text), expected);
    }
}

#[test]
fn an_error_of_type_or_syntax_names_the_line_and_not_the_secret() {
    let wrong_type = error("[mta]\nlanes = 'many'");
    assert!(wrong_type.starts_with("/postrider.toml:2: mta.lanes: invalid type"), "{wrong_type}");
    let wrong_unit = error("[mta.retry]\nexpire = 30");
    assert!(wrong_unit.contains("a length of time with its unit"), "{wrong_unit}");
    let syntax = error("[mta]\nname = 'x'\npassword = hunter2");
    assert!(syntax.starts_with("/postrider.toml:3: "), "{syntax}");
    assert!(!syntax.contains("hunter2"), "{syntax}");
    assert!(!error("[mta]\npassword = 31337").contains("31337"));
}

#[test]
fn an_error_in_an_overlay_names_its_key() {
    assert_eq!(
        option_error("mta.retry.expires=5d"),
        "--set mta.retry.expires: unknown key \"expires\" in [mta.retry]; did you mean \"expire\"?"
    );
    assert_eq!(option_error("mta.name.x=1"), "--set mta.name.x: \"name\" is not a table");
    assert!(option_error("mta.lanes=70000").starts_with("--set mta.lanes: mta.lanes: "));
    let error = read("", &[("POSTRIDER_MTA__RETRY__EXPIRE", "soon")], &[]).unwrap_err();
    assert!(error.starts_with("POSTRIDER_MTA__RETRY__EXPIRE: "), "{error}");
}

#[test]
fn a_later_secret_replaces_an_earlier_file_of_it_and_the_other_way_round() {
    let config = read("[mta]\npassword = 'a'", &[("POSTRIDER_MTA__PASSWORD_FILE", "/run/b")], &[]).unwrap();
    assert_eq!((config.mta.password, config.mta.password_file), (None, Some("/run/b".into())));
}

#[test]
fn a_missing_file_is_a_sentence() {
    let source = Source { file: Some("/nonexistent.toml".into()), ..Source::default() };
    let error = Config::read(&source).unwrap_err().to_string();
    assert!(error.starts_with("--config: cannot read /nonexistent.toml: "), "{error}");
}

#[test]
fn what_is_in_force_prints_as_toml_that_loads_and_without_secrets() {
    let config = read("[mta]\npassword = 'hunter2'\n[mta.retry]\nexpire = '90s'", &[], &[]).unwrap();
    let printed = print(&config).unwrap();
    assert!(
        printed.contains("expire = \"1m30s\"") && printed.contains("password = \"[redacted]\""),
        "{printed}"
    );
    assert!(!printed.contains("hunter2"), "{printed}");
    assert_eq!(read(&printed, &[], &[]).unwrap().mta.retry.expire, Duration::from_secs(90));
}
