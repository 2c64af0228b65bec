//! What a session holds, whatever it is asked.

use super::*;

/// A session that has said EHLO, and that insists on turns.
fn greeted() -> Session {
    let address = "192.0.2.1:25".parse().unwrap();
    let mut session = Session::new(Arc::new(Settings::default()), SessionInfo::new(address, address), false);
    session.insist_on_turns();
    session.greet(Ok(()));
    session.input().extend_from_slice(b"EHLO a.example\r\n");
    assert!(matches!(session.step(), Step::Read));
    session.output().clear();
    session
}

#[test]
fn replies_that_nobody_reads_do_not_pile_up() {
    let mut session = greeted();
    session.input().extend_from_slice(b"HELP\r\n");
    assert!(matches!(session.step(), Step::Read));
    let reply = std::mem::take(session.output());
    session.input().extend_from_slice(&b"HELP\r\n".repeat(2730));
    let mut said = 0;
    loop {
        let step = session.step();
        let waits = session.output().len();
        assert!(waits <= OUTPUT_LIMIT + reply.len(), "{waits} octets wait");
        said += waits;
        session.output().clear();
        match step {
            Step::Write => assert!(waits > OUTPUT_LIMIT),
            Step::Read => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(said, 2730 * reply.len(), "every one is answered");
}

/// Whatever makes the replies to a group go out before its end, its last command is one that the peer must wait behind.
#[test]
fn turns_are_the_same_however_long_the_replies() {
    for resets in (0..1300).step_by(7).chain(575..595) {
        let mut session = greeted();
        session.input().extend_from_slice(&b"RSET\r\n".repeat(resets));
        session.input().extend_from_slice(b"NOOP\r\n");
        let mut judged = false;
        loop {
            let step = session.step();
            if session.input().is_empty() && !session.output().is_empty() {
                assert!(session.is_in_turn(), "behind {resets} others");
                judged = true;
            }
            session.output().clear();
            match step {
                Step::Write => {}
                Step::Read => break,
                other => panic!("{other:?}"),
            }
        }
        assert!(judged, "behind {resets} others");
    }
}
