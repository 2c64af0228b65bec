//! Clients against servers over loopback, with implementations that the tests script.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod broken;
mod failover;
mod limits;
mod round_trip;
mod support;
mod tls;
mod traces;
