//! BDAT (RFC 3030 2): chunks of content, each announced with its size and answered for itself. A chunk that is refused is
//! read to its end before it is answered, so that its octets are never taken for commands.

use bytes::Buf;

use super::{Asked, FIRST_RESERVATION, Question, SIZE_SLACK, Session, State, Step, Transaction};
use crate::data::{Chunks, Fault};
use crate::reply::{self, Reply};

/// A chunk that is being read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    size: u64,
    left: u64,
    last: bool,
    /// The peer has heard already what is wrong with the message.
    refused: bool,
}

/// A chunk that is refused, with what is said behind it.
#[derive(Debug)]
pub(super) struct Refused {
    left: u64,
    reply: Reply,
    pub(super) next: State,
}

impl Session {
    /// The first chunk of a message, for which memory is asked first.
    pub(super) fn first_chunk(&mut self, transaction: Transaction, size: u64, last: bool) -> Option<Step> {
        let limit = self.settings.max_size;
        let mut chunks = Chunks::new(limit, transaction.is_binary());
        chunks.announce(size);
        let chunk = Chunk { size, left: size, last, refused: false };
        if chunks.fault().is_some() {
            self.state = State::Chunk(transaction, chunks, chunk);
            return None;
        }
        let wanted = match usize::try_from(size) {
            Ok(whole) if last => whole,
            _ => transaction.declared_size.map_or(FIRST_RESERVATION, |size| size.saturating_add(SIZE_SLACK)),
        };
        self.ask_for_chunk(wanted.min(limit), transaction, chunks, chunk)
    }

    /// Another chunk of a message.
    pub(super) fn next_chunk(&mut self, transaction: Transaction, mut chunks: Chunks, size: u64, last: bool) {
        let refused = chunks.fault().is_some();
        chunks.announce(size);
        self.state = State::Chunk(transaction, chunks, Chunk { size, left: size, last, refused });
    }

    /// A chunk that cannot come now.
    pub(super) fn refuse_chunk(&mut self, size: u64, reply: Reply, next: State) {
        self.state = State::RefusedChunk(Box::new(Refused { left: size, reply, next }));
    }

    /// Throws away what came of a refused chunk, and answers it at its end.
    pub(super) fn read_refused_chunk(&mut self, mut refused: Box<Refused>) -> Option<Step> {
        let here = self.available(refused.left);
        self.input.advance(here);
        refused.left -= here as u64;
        if refused.left > 0 {
            self.state = State::RefusedChunk(refused);
            return Some(Step::Read);
        }
        let Refused { reply, next, .. } = *refused;
        self.say(&reply, next);
        None
    }

    /// Takes what came of a chunk.
    pub(super) fn read_chunk(
        &mut self,
        transaction: Transaction,
        mut chunks: Chunks,
        mut chunk: Chunk,
    ) -> Option<Step> {
        let here = self.available(chunk.left);
        if !chunks.feed(&self.input[..here]) {
            // The limit holds already, so what is left fits.
            let whole = usize::try_from(chunk.left).ok().filter(|_| chunk.last);
            let wanted = whole.map_or(self.settings.max_size, |left| chunks.held() + left);
            return self.ask_for_chunk(wanted, transaction, chunks, chunk);
        }
        self.input.advance(here);
        chunk.left -= here as u64;
        if chunk.left > 0 {
            self.state = State::Chunk(transaction, chunks, chunk);
            return Some(Step::Read);
        }
        self.end_chunk(transaction, chunks, chunk)
    }

    /// Goes on with a chunk, now that it is known whether there is memory for it.
    pub(super) fn reserved_for_chunk(
        &mut self,
        transaction: Transaction,
        mut chunks: Chunks,
        chunk: Chunk,
        granted: Option<usize>,
    ) {
        match granted {
            Some(octets) => chunks.allow(octets),
            None => chunks.refuse(Fault::NoMemory),
        }
        self.state = State::Chunk(transaction, chunks, chunk);
    }

    /// Answers a chunk, or hands the message over behind the last. What is wrong with a message is said to each chunk of it,
    /// for many may be under way, but counts as one error and is logged once.
    fn end_chunk(&mut self, transaction: Transaction, chunks: Chunks, chunk: Chunk) -> Option<Step> {
        let refusal = |fault: Fault| if chunk.refused { fault.reply() } else { self.refusal_of(fault) };
        let (said, next) = if chunk.last {
            match chunks.finish() {
                Ok(content) => return self.ask(Question::Data(transaction.envelope, content), Asked::Data),
                Err(fault) => (refusal(fault), State::Greeted),
            }
        } else {
            let said = chunks.fault().map_or_else(|| reply::chunk_received(chunk.size), refusal);
            (said, State::Chunked(transaction, chunks))
        };
        let errors = self.errors;
        self.say(&said, next);
        if chunk.refused {
            self.errors = errors;
        }
        None
    }

    fn ask_for_chunk(
        &mut self,
        octets: usize,
        transaction: Transaction,
        chunks: Chunks,
        chunk: Chunk,
    ) -> Option<Step> {
        self.ask(Question::Reserve(octets), Asked::ReserveChunk(transaction, chunks, chunk, octets))
    }

    /// Octets of so many that are there.
    fn available(&self, left: u64) -> usize {
        usize::try_from(left).map_or(self.input.len(), |left| left.min(self.input.len()))
    }
}
