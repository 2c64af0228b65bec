//! The configurations that are shipped are accepted by the programs, in the environment that docker-compose.yml gives them.

use std::process::Command;

use tests::program::path_of;

use crate::tree::{files, read, root};

/// Runs a program with a shipped configuration; what it says when it refuses.
fn check(program: &str, arguments: &[&str], environment: &[(String, String)]) -> Result<String, String> {
    let mut command = Command::new(path_of(program));
    command.env_clear().args(arguments).current_dir(root());
    command.envs(environment.iter().map(|(key, value)| (key, value)));
    let output = command.output().unwrap();
    let text = |octets: &[u8]| String::from_utf8_lossy(octets).into_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

/// The variables of one of the `x-…` blocks of docker-compose.yml, with the defaults of what they are made from.
fn block(name: &str) -> Vec<(String, String)> {
    let compose = read("docker-compose.yml");
    let start = format!("x-{name}: &{name}");
    let lines = compose.lines().skip_while(|line| *line != start).skip(1);
    let variables: Vec<_> = lines
        .take_while(|line| line.starts_with("  "))
        .filter_map(|line| line.trim().split_once(": "))
        .map(|(key, value)| (key.to_owned(), defaults(value)))
        .collect();
    assert!(!variables.is_empty(), "docker-compose.yml has no {start}");
    variables
}

/// `${NAME:-default}` is the default.
fn defaults(value: &str) -> String {
    let mut text = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("${") {
        let (variable, behind) = after.split_once('}').expect("a closed variable");
        let (_, default) = variable.split_once(":-").expect("a variable with a default");
        text += &format!("{before}{default}");
        rest = behind;
    }
    text + rest
}

#[test]
fn each_agent_accepts_its_own() {
    let (common, queue, directory) = (block("environment"), block("queue"), block("directory"));
    for (path, _) in files("deploy/config") {
        let name = path.trim_start_matches("deploy/config/");
        let environment = match name {
            "msa.toml" => common.clone(),
            "mta.toml" => [common.clone(), queue.clone()].concat(),
            "mda.toml" => [common.clone(), directory.clone()].concat(),
            "postrider.toml" => {
                let variable = ("POSTRIDER_CONFIG".to_owned(), path.clone());
                check("postrider", &["config", "--check"], &[variable]).unwrap();
                continue;
            }
            "collector.yaml" => continue,
            other => panic!("deploy/config/{other} belongs to no program that this test knows"),
        };
        let program = name.trim_end_matches(".toml");
        let printed = check(program, &["--config", &path, "--check"], &environment).unwrap();
        assert!(printed.contains("hostname = \"mail.example.test\""), "{printed}");
    }
}

#[test]
fn the_migrations_accept_theirs() {
    let environment = [block("queue"), block("directory")].concat();
    check("postrider", &["config", "--check"], &environment).unwrap();
}

#[test]
fn a_password_in_a_url_is_not_printed() {
    let environment = [block("environment"), block("queue")].concat();
    let printed = check("mta", &["--config", "deploy/config/mta.toml", "--check"], &environment).unwrap();
    assert!(printed.contains("postgres://queue:[redacted]@postgres/queue"), "{printed}");
}
