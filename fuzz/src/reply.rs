//! Replies of a server that may mean harm: read alike in any split, in bounded memory; and whatever they said, what we pass
//! on of it is a well-formed reply again.

use bytes::BytesMut;
use smtp::reply::{Reply, ReplyError};

use crate::wire;

/// Most octets of a reply that may be waiting for its end: its limit, and one line more.
const HELD: usize = 2 * 64 * 1024;

pub(crate) fn check(octets: &[u8]) {
    let ([seed], octets) = wire::controls(octets);
    let whole = read(octets, 0);
    assert_eq!(read(octets, seed), whole);
    for reply in &whole.0 {
        assert!((200..600).contains(&reply.code()));
        passed_on(reply);
    }
}

fn read(octets: &[u8], seed: u8) -> (Vec<Reply>, Option<ReplyError>) {
    let (mut input, mut replies) = (BytesMut::new(), Vec::new());
    for piece in wire::pieces(octets, seed) {
        input.extend_from_slice(piece);
        loop {
            let before = input.len();
            match Reply::decode(&mut input) {
                Ok(Some(reply)) => {
                    assert!(input.len() < before, "a reply of no octets");
                    replies.push(reply);
                }
                Ok(None) => break,
                Err(error) => return (replies, Some(error)),
            }
        }
        assert!(input.len() <= HELD);
    }
    (replies, None)
}

fn passed_on(reply: &Reply) {
    let mut out = BytesMut::new();
    reply.encode(&mut out);
    assert_eq!(wire::replies(&out), [reply.code()]);
    let again = Reply::decode(&mut out).expect("what we say is a reply").expect("and whole");
    assert!(out.is_empty());
    assert_eq!(again.code(), reply.code());
    let status = reply.status();
    assert!(status.text.len() <= 500 && !status.text.contains(char::is_control), "{status:?}");
    let mut out = BytesMut::new();
    Reply::from(status).encode(&mut out);
    assert_eq!(wire::replies(&out), [reply.code()]);
}
