//! Scenarios: one file each, named as a sentence. The programs run as real processes; build them first.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod mail_reaches_a_local_mailbox;
mod mail_reaches_a_server_found_through_dns;
mod the_harness_does_what_it_says;
