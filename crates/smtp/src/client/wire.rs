//! What a connection does with its socket: commands out, replies in, each within its step's time, shown to the observer.

use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::time::Duration;

use bytes::{Buf as _, Bytes, BytesMut};
use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsConnector;

use super::{Direction, Error, ProtocolFault, Settings};
use crate::dialogue::Step;
use crate::reply::Reply;
use crate::stream::Stream;
use crate::tls::{ClientTls, TlsInfo};

/// Pieces of content that are handed to the socket at once.
const VECTOR: usize = 32;
/// How much of large content is written at a time; the timeout for a piece of content counts for each.
const PIECE: usize = 256 * 1024;

pub(super) struct Wire {
    /// None once the connection is of no more use.
    stream: Option<Stream>,
    /// What the handshake agreed on, where there was one.
    tls: Option<TlsInfo>,
    input: BytesMut,
    settings: Settings,
    /// The last reply was a 421, or a read or write failed.
    broken: bool,
}

impl Wire {
    pub(super) fn new(stream: Stream, settings: Settings) -> Self {
        Self { stream: Some(stream), tls: None, input: BytesMut::new(), settings, broken: false }
    }

    pub(super) fn name(&self) -> &str {
        &self.settings.helo
    }

    pub(super) fn tls(&self) -> Option<&TlsInfo> {
        self.tls.as_ref()
    }

    pub(super) fn is_usable(&self) -> bool {
        self.stream.is_some() && !self.broken
    }

    pub(super) fn abandon(&mut self) {
        self.broken = true;
    }

    /// Writes one command and reads its reply.
    pub(super) async fn command(&mut self, step: Step, line: &str) -> Result<Reply, Error> {
        self.command_shown(step, line, line).await
    }

    /// The same where the observer must not see all.
    pub(super) async fn command_shown(
        &mut self,
        step: Step,
        line: &str,
        shown: &str,
    ) -> Result<Reply, Error> {
        self.show(Direction::Client, shown);
        self.send(step, &[Bytes::from(format!("{line}\r\n"))]).await?;
        self.read(step).await
    }

    /// Writes commands, or a lone dot.
    pub(super) async fn write(&mut self, step: Step, lines: &[u8]) -> Result<(), Error> {
        if self.settings.observer.is_some() {
            String::from_utf8_lossy(lines).lines().for_each(|line| self.show(Direction::Client, line));
        }
        self.send(step, &[Bytes::copy_from_slice(lines)]).await
    }

    /// Writes the content to its last octet, unless `may_commit` says no before the last piece, and reads the reply.
    pub(super) async fn content(
        &mut self,
        pieces: &[Bytes],
        size: usize,
        chunked: bool,
        may_commit: &(dyn Fn() -> bool + Sync),
    ) -> Result<Reply, Error> {
        if chunked {
            self.show(Direction::Client, &format!("BDAT {size} LAST"));
        }
        self.show(Direction::Note, &format!("{size} octets of content"));
        let cut: Vec<Bytes> = pieces
            .iter()
            .flat_map(|piece| {
                (0..piece.len()).step_by(PIECE).map(|from| piece.slice(from..piece.len().min(from + PIECE)))
            })
            .collect();
        // The last piece holds the final dot, whole, or the last octet of the chunk: no server can take the message before it is written.
        let Some((last, before)) = cut.split_last() else { return Err(Error::Withdrawn) };
        for group in before.chunks(VECTOR) {
            self.send(Step::Content, group).await?;
        }
        if !may_commit() {
            self.stream = None;
            return Err(Error::Withdrawn);
        }
        let unknown = |error| Error::OutcomeUnknown(Box::new(error));
        self.send(Step::Content, std::slice::from_ref(last)).await.map_err(unknown)?;
        if !chunked {
            self.show(Direction::Client, ".");
        }
        self.read(Step::EndOfData).await.map_err(unknown)
    }

    /// Reads one reply.
    pub(super) async fn read(&mut self, step: Step) -> Result<Reply, Error> {
        let wait = step.timeout(&self.settings.timeouts);
        let read = tokio::time::timeout(wait, self.read_reply(step)).await;
        let reply = read.unwrap_or(Err(Error::Timeout(step)));
        match &reply {
            Ok(reply) => self.broken |= reply.closes(),
            Err(_) => self.broken = true,
        }
        if let (Ok(reply), Some(_)) = (&reply, &self.settings.observer) {
            let mut encoded = BytesMut::new();
            reply.encode(&mut encoded);
            String::from_utf8_lossy(&encoded).lines().for_each(|line| self.show(Direction::Server, line));
        }
        reply
    }

    async fn read_reply(&mut self, step: Step) -> Result<Reply, Error> {
        loop {
            match Reply::decode(&mut self.input) {
                Ok(Some(reply)) => return Ok(reply),
                Ok(None) => {}
                Err(fault) => return Err(Error::Protocol { step, source: fault.into() }),
            }
            let closed = |source| Error::Closed { step, source };
            let stream = self.stream.as_mut().ok_or_else(|| closed(io::ErrorKind::NotConnected.into()))?;
            if stream.read(&mut self.input).await.map_err(closed)? == 0 {
                return Err(closed(io::ErrorKind::UnexpectedEof.into()));
            }
        }
    }

    /// Writes all pieces in as few writes as can be.
    async fn send(&mut self, step: Step, pieces: &[Bytes]) -> Result<(), Error> {
        let wait = step.timeout(&self.settings.timeouts);
        let closed = |source| Error::Closed { step, source };
        let Some(stream) = self.stream.as_mut() else {
            return Err(closed(io::ErrorKind::NotConnected.into()));
        };
        let sent = write_all(stream, pieces, wait).await;
        let error = match sent {
            Ok(()) => return Ok(()),
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Error::Timeout(step),
            Err(error) => closed(error),
        };
        self.broken = true;
        Err(error)
    }

    /// The client's half of a handshake. What the server sent in the clear behind its 220 could be anybody's.
    pub(super) async fn handshake(&mut self, tls: &ClientTls, server_name: &str) -> Result<(), Error> {
        if !self.input.is_empty() {
            self.broken = true;
            return Err(Error::Protocol { step: Step::StartTls, source: ProtocolFault::Surplus });
        }
        let Some(Stream::Plain(stream)) = self.stream.take() else {
            return Err(Error::Tls(io::ErrorKind::AlreadyExists.into()));
        };
        let name = match server_name.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => ServerName::IpAddress(address.into()),
            Err(_) => ServerName::try_from(server_name.trim_end_matches('.').to_owned())
                .map_err(|error| Error::Tls(io::Error::new(io::ErrorKind::InvalidInput, error)))?,
        };
        let wait = self.settings.timeouts.handshake;
        let handshake = Box::pin(TlsConnector::from(tls.config()).connect(name, stream));
        let handshake = tokio::time::timeout(wait, handshake).await;
        let stream =
            handshake.map_err(|_| Error::Tls(io::ErrorKind::TimedOut.into()))?.map_err(Error::Tls)?;
        let tls = TlsInfo::of_client(stream.get_ref().1);
        self.stream = Some(Stream::Tls(Box::new(stream.into())));
        self.show(Direction::Note, &format!("{} with {}", tls.version, tls.cipher));
        self.tls = Some(tls);
        Ok(())
    }

    pub(super) async fn shutdown(&mut self) {
        if let Some(stream) = &mut self.stream {
            // The server has said goodbye already; nothing can be lost.
            let _ = tokio::time::timeout(self.settings.timeouts.quit, stream.shutdown()).await;
        }
    }

    fn show(&self, direction: Direction, line: &str) {
        if let Some(observer) = &self.settings.observer {
            observer(direction, line);
        }
    }
}

/// Each write has its time for itself: a slow server gets all of a large message, a silent one does not hold us.
async fn write_all(stream: &mut Stream, pieces: &[Bytes], wait: Duration) -> io::Result<()> {
    let mut left: Vec<Bytes> = pieces.to_vec();
    let mut from = 0;
    while from < left.len() {
        let slices: Vec<IoSlice<'_>> = left[from..].iter().map(|piece| IoSlice::new(piece)).collect();
        let mut written = tokio::time::timeout(wait, stream.write_vectored(&slices)).await??;
        if written == 0 {
            return Err(io::ErrorKind::WriteZero.into());
        }
        while from < left.len() && written >= left[from].len() {
            written -= left[from].len();
            from += 1;
        }
        if written > 0 {
            left[from].advance(written);
        }
    }
    tokio::time::timeout(wait, stream.flush()).await?
}
