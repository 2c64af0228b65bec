//! Postrider, the program for people: all agents in one process (`up`), and every administrative verb.
//!
//! It wires the agents together and asks them through the traits of `protocol`, near or far; it holds no mail of its own
//! and decides nothing about it.

mod access;
mod certificates;
mod cli;
mod output;
mod password;
mod send;
mod settings;
mod up;
mod verbs;

/// The whole of `main`: reads the command line, does what it says, and ends with a code after `sysexits.h`.
pub fn main() -> std::process::ExitCode {
    cli::main()
}
