//! What the crate does as a whole: transcripts against the pure session, properties of it, and client against server over
//! loopback.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test that cannot go on panics

mod agent;
mod bindings;
mod coverage;
mod defence;
mod dialogues;
mod loopback;
mod properties;
mod smuggling;
mod transcripts;
