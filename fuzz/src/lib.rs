//! What must hold of the parsers and of the session, whatever a peer sends: one function per target, which panics where it
//! does not. libFuzzer calls them with octets of its own making (`fuzz/run`), and every test run with those that were kept in
//! `fuzz/corpus`. Knows the pure part of `smtp` and `mail`: no socket, no clock, no chance.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod chunks;
mod command;
mod data;
mod dialogue;
mod extension;
mod header;
mod mime;
mod path;
mod proxy;
mod reply;
mod sasl;
mod session;
mod wire;

/// A property of some octets.
pub type Target = fn(&[u8]);

/// Each target with its name.
pub const TARGETS: &[(&str, Target)] = &[
    ("command", command::check),
    ("reply", reply::check),
    ("path", path::check),
    ("header", header::check),
    ("mime", mime::check),
    ("data", data::check),
    ("chunks", chunks::check),
    ("sasl", sasl::check),
    ("proxy", proxy::check),
    ("extension", extension::check),
    ("dialogue", dialogue::check),
    ("session", session::check),
];

/// The target of this name.
#[must_use]
pub fn target(name: &str) -> Option<Target> {
    TARGETS.iter().find(|(known, _)| *known == name).map(|(_, target)| *target)
}
