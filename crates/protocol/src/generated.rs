//! What `build.rs` makes of `proto/`. Nothing of it leaves this crate.

#![allow(missing_docs, unreachable_pub, unused_qualifications, clippy::all, clippy::pedantic)]

tonic::include_proto!("postrider.v1");
