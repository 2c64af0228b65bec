//! Scenarios: one file each, named as a sentence. The programs run as real processes; build them first.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod a_binary_message_keeps_every_octet;
mod a_proxy_speaks_for_its_clients;
mod a_sender_says_when_and_how;
mod a_server_gets_what_it_takes;
mod a_token_is_a_login;
mod accounts_keep_to_their_limits;
mod administrators_look_into_the_queue;
mod an_application_sends_by_http;
mod bad_input_gets_a_clear_reply;
mod dns_rules_are_followed;
mod mail_is_tried_again_until_it_is_taken;
mod mail_reaches_a_local_mailbox;
mod mail_reaches_a_server_found_through_dns;
mod mail_that_cannot_be_delivered_comes_back;
mod misconfiguration_stops_the_start;
mod no_secret_is_told;
mod no_stranger_relays;
mod nothing_accepted_is_lost;
mod nothing_smuggled_is_sent_on;
mod one_trace_follows_a_message;
mod several_mtas_share_one_queue;
mod the_harness_does_what_it_says;
mod trouble_with_the_queue;
mod who_takes_too_much_is_held_back;
