# The daily verbs. Each is a command that works without just, too; CI (.ci/run) runs the same ones.

# What there is
default:
    @just --list

# Start everything in one process, data in ./data
up *ARGS:
    cargo run --release -- up {{ARGS}}

# Format, lints, licences: what needs no test to run
check:
    cargo fmt --all --check
    cargo clippy --workspace --all-targets -- -D warnings
    cargo deny check licenses bans sources

# All tests, or some: `just test -p queue`
test *ARGS:
    ./run-tests {{ARGS}}

# One crate's tests, without the programs and services of the scenarios
unit CRATE:
    cargo test -p {{CRATE}}

# The scenarios: agents as real processes
scenarios *ARGS:
    cargo build --workspace --bins
    cargo test -p tests {{ARGS}}

# Parsers and session against octets of libFuzzer's making: `just fuzz 900 session`
fuzz *ARGS:
    fuzz/run {{ARGS}}

# Mail exchanged with smtplib, swaks, curl and Postfix
interop:
    cargo build --workspace --bins
    tests/interop/run

# The containers, built from the debug binaries and tested
compose-test:
    cargo build --workspace --bins
    tests/compose/run

# The containers, compiled inside and left running
compose-up:
    docker compose up -d --build

# What CI runs
ci:
    .ci/run

# Throughput beside Postfix
bench *ARGS:
    bench/run {{ARGS}}

# Licences, banned and duplicate crates, advisories, in full
deny:
    cargo deny check

# The documentation of the crates
doc:
    cargo doc --workspace --no-deps --open

# Rewrite the source as the formatter wants it
fmt:
    cargo fmt --all
