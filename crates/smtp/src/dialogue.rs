//! The client's side of SMTP without I/O: the steps of a session with their timeouts and the phrases that logs use for
//! them, and the mail transaction as a state machine that says what to write and what to wait for. Knows no socket; what a
//! refusal means for the queue is for the mta to say.

mod transaction;

use std::time::Duration;

pub use transaction::{Next, Transaction};

/// What a client is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// TCP.
    Connect,
    /// TLS.
    Handshake,
    /// The server's first reply.
    Greeting,
    /// EHLO.
    Ehlo,
    /// HELO, where EHLO was refused.
    Helo,
    /// STARTTLS, before the handshake.
    StartTls,
    /// AUTH and its responses.
    Auth,
    /// MAIL.
    Mail,
    /// RCPT.
    Rcpt,
    /// DATA, up to 354.
    Data,
    /// The content on its way.
    Content,
    /// Behind the final dot.
    EndOfData,
    /// RSET.
    Rset,
    /// QUIT.
    Quit,
}

/// How long a client waits for what; the defaults are the minimums of RFC 5321 4.5.3.2, which they should not be below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For TCP; no RFC says, and another address may answer.
    pub connect: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the greeting (4.5.3.2.1).
    pub greeting: Duration,
    /// For EHLO, HELO, STARTTLS, AUTH and RSET, which the RFC does not name.
    pub command: Duration,
    /// For MAIL (4.5.3.2.2).
    pub mail: Duration,
    /// For RCPT (4.5.3.2.3).
    pub rcpt: Duration,
    /// For DATA (4.5.3.2.4).
    pub data: Duration,
    /// For each piece of content (4.5.3.2.5).
    pub content: Duration,
    /// For the end of data (4.5.3.2.6).
    pub end_of_data: Duration,
    /// For QUIT, whose reply matters to nobody.
    pub quit: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(minutes * 60);
        Self {
            connect: Duration::from_secs(30),
            handshake: Duration::from_secs(60),
            greeting: minutes(5),
            command: minutes(5),
            mail: minutes(5),
            rcpt: minutes(5),
            data: minutes(2),
            content: minutes(3),
            end_of_data: minutes(10),
            quit: Duration::from_secs(5),
        }
    }
}

impl Step {
    /// How long it may take.
    #[must_use]
    pub fn timeout(self, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Connect => timeouts.connect,
            Self::Handshake => timeouts.handshake,
            Self::Greeting => timeouts.greeting,
            Self::Ehlo | Self::Helo | Self::StartTls | Self::Auth | Self::Rset => timeouts.command,
            Self::Mail => timeouts.mail,
            Self::Rcpt => timeouts.rcpt,
            Self::Data => timeouts.data,
            Self::Content => timeouts.content,
            Self::EndOfData => timeouts.end_of_data,
            Self::Quit => timeouts.quit,
        }
    }

    /// What is under way, for logs and for people: "timed out while …".
    #[must_use]
    pub fn phrase(self) -> &'static str {
        match self {
            Self::Connect => "connecting",
            Self::Handshake => "performing the TLS handshake",
            Self::Greeting => "receiving the initial server greeting",
            Self::Ehlo => "performing the EHLO handshake",
            Self::Helo => "performing the HELO handshake",
            Self::StartTls => "sending STARTTLS",
            Self::Auth => "authenticating",
            Self::Mail => "sending MAIL FROM",
            Self::Rcpt => "sending RCPT TO",
            Self::Data => "sending DATA",
            Self::Content => "sending the message content",
            Self::EndOfData => "waiting for the reply to the end of data",
            Self::Rset => "sending RSET",
            Self::Quit => "sending QUIT",
        }
    }
}
