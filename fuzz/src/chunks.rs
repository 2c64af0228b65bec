//! Content in chunks (RFC 3030): judged alike however it is cut into chunks and pieces, and taken octet for octet or not at
//! all; as text only without bare line breaks, as a binary message only with a clean header section.

use bytes::Bytes;
use mail::Content;
use smtp::data::{self, Chunks, Fault};

use crate::wire;

pub(crate) fn check(octets: &[u8]) {
    let ([flags, limit, chunk_seed, piece_seed], content) = wire::controls(octets);
    let (binary, limit) = (flags & 1 == 1, usize::from(limit) * 8);
    let whole = collect(content, binary, limit, (0, 0));
    let split = collect(content, binary, limit, (chunk_seed, piece_seed));
    assert_eq!(split.is_ok(), whole.is_ok(), "{split:?} in place of {whole:?}");
    let expected = content.len() <= limit && !has_fault(content, binary);
    assert_eq!(whole.is_ok(), expected, "{whole:?}");
    if let (Ok(whole), Ok(split)) = (whole, split) {
        assert_eq!(whole.as_ref(), content);
        assert_eq!(split.as_ref(), content);
        sent_on(&Content::from(whole), binary);
    }
}

fn collect(content: &[u8], binary: bool, limit: usize, seeds: (u8, u8)) -> Result<Bytes, Fault> {
    let mut chunks = Chunks::new(limit, binary);
    for chunk in wire::pieces(content, seeds.0) {
        chunks.announce(chunk.len() as u64);
        for piece in wire::pieces(chunk, seeds.1) {
            if !chunks.feed(piece) {
                assert!(chunks.fault().is_none(), "what is refused needs no memory");
                chunks.allow(limit);
                assert!(chunks.feed(piece), "there is memory now");
            }
            assert!(chunks.held() <= limit);
        }
    }
    chunks.finish()
}

fn has_fault(content: &[u8], binary: bool) -> bool {
    if !binary {
        return wire::has_bare_line_break(content);
    }
    let header = if content.starts_with(b"\r\n") {
        2
    } else {
        content.windows(4).position(|four| four == b"\r\n\r\n").map_or(content.len(), |at| at + 4)
    };
    wire::has_bare_line_break(&content[..header])
}

/// As a chunk it is the same octets behind their count; behind DATA it is sent only where that changes none of them.
fn sent_on(content: &Content, binary: bool) {
    let sent = data::chunk(content).concat();
    let (command, octets) = sent.split_at(sent.iter().position(|octet| *octet == b'\n').unwrap() + 1);
    assert_eq!(command, format!("BDAT {} LAST\r\n", content.len()).as_bytes());
    assert_eq!(octets, content.to_bytes());
    if binary && !data::needs_chunk(content) {
        assert!(data::encode(content).is_ok(), "DATA carries it");
    }
}
