//! The links of the documents lead somewhere, and the commands that they show exist.

use std::path::Path;

use tests::program::run;

use crate::tree::{codes, fenced, files, read, root};

fn documents() -> Vec<(String, String)> {
    let mut documents = files("");
    documents.retain(|(path, _)| path.ends_with(".md"));
    documents
}

#[test]
fn links_lead_somewhere() {
    for (path, text) in documents() {
        let folder = Path::new(&path).parent().unwrap();
        for part in text.split("](").skip(1) {
            let target = part.split(')').next().unwrap();
            let (file, anchor) = target.split_once('#').unwrap_or((target, ""));
            if file.contains("://") {
                continue;
            }
            let file = if file.is_empty() { root().join(&path) } else { root().join(folder).join(file) };
            assert!(file.exists(), "{path} links to {target}");
            assert!(anchor.is_empty() || has_heading(&file, anchor), "{path} links to {target}");
        }
    }
}

fn has_heading(file: &Path, anchor: &str) -> bool {
    let text = std::fs::read_to_string(file).unwrap();
    let headings = text.lines().filter(|line| line.starts_with('#'));
    headings.map(slug).any(|slug| slug == anchor)
}

/// As the forges make it.
fn slug(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().to_lowercase();
    kept.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
}

#[test]
fn files_named_in_passing_exist() {
    let folders = ["crates/", "deploy/", "docs/", "proto/", "tests/", "bench/", ".ci/"];
    for (path, text) in documents() {
        for code in text.lines().filter(|line| !line.starts_with("```")).flat_map(codes) {
            let plain = code.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
            if plain && folders.iter().any(|folder| code.starts_with(folder)) {
                assert!(root().join(&code).exists(), "{path} names {code}");
            }
        }
    }
}

#[tokio::test]
async fn commands_exist() {
    for path in ["README.md", "CONTRIBUTING.md", "docs/operating.md"] {
        for line in shown(&read(path)) {
            let command = line.split(" #").next().unwrap().trim().to_owned();
            let words: Vec<&str> = command.split_whitespace().collect();
            match words.as_slice() {
                ["cargo", "run", "--release", "--", rest @ ..] | ["postrider", rest @ ..] => {
                    verb(path, rest).await;
                }
                ["docker", "compose", rest @ ..] => compose(path, rest).await,
                [program, ..] if program.starts_with("./") || program.contains('/') => {
                    assert!(root().join(program).is_file(), "{path}: {command}");
                }
                ["curl", url, ..] => {
                    let asked = url.splitn(4, '/').nth(3).unwrap_or_default();
                    let described = read("docs/api/openapi.json");
                    assert!(described.contains(&format!("\"/{asked}\": {{")), "{path}: {command}");
                }
                [] | ["#" | "cargo" | "just", ..] => {}
                _ => panic!("{path}: is there a {command}?"),
            }
        }
    }
}

/// What stands in blocks for a shell, and within a sentence the calls of docker and postrider.
fn shown(document: &str) -> Vec<String> {
    let lines = document.lines().filter(|line| !line.starts_with("```"));
    let within = lines.flat_map(codes).filter(|code| {
        (code.starts_with("docker compose ") || code.starts_with("postrider ")) && !code.contains(['…', '|'])
    });
    fenced(document, "sh").into_iter().chain(within).collect()
}

/// The verb has a help that names each option.
async fn verb(path: &str, words: &[&str]) {
    let depth = if words.first().is_some_and(|verb| ["up", "send", "config", "migrate"].contains(verb)) {
        1
    } else {
        2
    };
    let arguments = [&words[..depth.min(words.len())], &["--help"]].concat();
    let output = run("postrider", &arguments).await;
    assert!(
        output.status.success(),
        "{path}: postrider {words:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let help = String::from_utf8(output.stdout).unwrap();
    for option in words.iter().filter(|word| word.starts_with('-')) {
        let option = option.split('=').next().unwrap();
        let has = help.split([' ', ',', '\n']).any(|word| word == option);
        assert!(has, "{path}: postrider {words:?} has no {option}:\n{help}");
    }
}

/// The service that it runs or scales is in docker-compose.yml; what stands behind it is a verb.
async fn compose(path: &str, words: &[&str]) {
    let file = read("docker-compose.yml");
    let is_service = |name: &str| file.lines().any(|line| line == format!("  {name}:"));
    match words {
        ["run", "--rm", service, rest @ ..] => {
            assert!(is_service(service), "{path}: docker compose {words:?}");
            verb(path, rest).await;
        }
        ["up", ..] => {
            let scaled = words.iter().filter_map(|word| word.split_once('='));
            for (service, _) in scaled {
                assert!(is_service(service), "{path}: docker compose {words:?}");
            }
        }
        _ => {}
    }
}
