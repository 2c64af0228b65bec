//! What a session and its driver say to each other.

use bytes::Bytes;
use mail::{Account, Credentials, Envelope, Recipient, ScramChallenge};

use crate::agent::{Inquiry, Login};
use crate::reply::Reply;

/// What a session needs before it can go on.
#[derive(Debug)]
pub enum Step {
    /// Write the output, then add octets to the input.
    Read,
    /// Write the output and go on without reading: more was asked already than is answered at once.
    Write,
    /// Put the question to the agent and give the answer to [`Session::answer`](super::Session::answer).
    Ask(Question),
    /// Write the output, then let the TLS handshake happen and call [`Session::secured`](super::Session::secured).
    Handshake,
    /// Write the output, then close the connection.
    Close,
}

/// What the protocol cannot know. What is handed out by value comes back in the [`Answer`].
#[derive(Debug)]
pub enum Question {
    /// Whose credentials are these?
    Authenticate(Credentials),
    /// What is a SCRAM client of this login challenged with?
    ChallengeScram(String),
    /// Is this peer, who it is by now said to be, served; and whose account is this login, where one is given?
    Connect(Option<String>),
    /// What is answered to this?
    Inquire(Inquiry),
    /// Is mail from here taken?
    Mail(Box<Envelope>),
    /// Is mail for this recipient taken?
    Rcpt(Box<Envelope>, Recipient),
    /// May the content take so many octets of memory (in all, not in addition)?
    Reserve(usize),
    /// Take the message.
    Data(Box<Envelope>, Bytes),
}

/// The answer to a [`Question`], of the same name.
#[derive(Debug)]
pub enum Answer {
    /// Whose they are.
    Authenticate(Result<Login, Reply>),
    /// What it is challenged with, and a nonce that was never used before ([`scram::nonce`](crate::sasl::scram::nonce)).
    ChallengeScram(Result<(ScramChallenge, String), Reply>),
    /// Whether the peer is served, and whose account the login is.
    Connect(Result<Option<Account>, Reply>),
    /// What is answered.
    Inquire(Reply),
    /// Whether mail from there is taken.
    Mail(Box<Envelope>, Result<(), Reply>),
    /// Whether mail for the recipient is taken.
    Rcpt(Box<Envelope>, Recipient, Result<(), Reply>),
    /// Whether there is memory.
    Reserve(bool),
    /// What became of the message.
    Data(Reply),
}
