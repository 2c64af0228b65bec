//! Plays every kept input again, without a fuzzer: what broke once may not break again.

#![allow(clippy::unwrap_used)]

use std::path::Path;

/// A line of a corpus file as octets; `fuzz/run` writes them.
fn octets(line: &str) -> Vec<u8> {
    let mut octets = Vec::new();
    let mut rest = line.bytes();
    while let Some(octet) = rest.next() {
        octets.push(match octet {
            b'\\' => match rest.next().unwrap() {
                b'r' => b'\r',
                b'n' => b'\n',
                b'x' => {
                    let digits = [rest.next().unwrap(), rest.next().unwrap()];
                    u8::from_str_radix(str::from_utf8(&digits).unwrap(), 16).unwrap()
                }
                other => other,
            },
            octet => octet,
        });
    }
    octets
}

#[test]
fn every_kept_input_still_holds() {
    for (name, target) in fuzz::TARGETS {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
        let kept =
            std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(kept.lines().count() >= 5, "{name} has a corpus");
        for line in kept.lines() {
            let played = std::panic::catch_unwind(|| target(&octets(line)));
            assert!(played.is_ok(), "{name} breaks with {line}");
        }
    }
}

#[test]
fn the_script_runs_every_target() {
    let script = include_str!("../run");
    let names: Vec<_> = fuzz::TARGETS.iter().map(|(name, _)| *name).collect();
    assert!(script.contains(&format!("\ntargets=({})\n", names.join(" "))), "fuzz/run names {names:?}");
}
