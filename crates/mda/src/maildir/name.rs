//! Names of message files. A delivery's name follows from the message and the addresses alone, so that repeating it leads to
//! the same file: `SECONDS.QUEUEIDRxADDRESSES.postrider`. The host name that Maildir has at the end is left out for that
//! reason; the queue id makes the name unique without it.

use mail::{ForwardPath, QueueId, ReversePath};

/// The name of a message's file in one recipient's mailbox.
#[must_use]
pub fn file_name(id: QueueId, reverse_path: &ReversePath, recipient: &ForwardPath) -> String {
    let seconds = id.allocated_at().as_millis() / 1000;
    // Several addresses of one mailbox get a copy each; the same one in another spelling does not.
    let addresses = format!("{reverse_path} {recipient}").to_lowercase();
    format!("{seconds}.{id}R{:016x}.postrider", fnv1a(addresses.as_bytes()))
}

/// FNV-1a, 64 bits: the same in every version of this program. Who makes two of their own addresses collide gets one copy
/// of their own message in place of two.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A file's name in two: what stays the same while a reader moves the message, and the flags behind `:2,`.
pub(super) fn split(file_name: &str) -> (&str, &str) {
    match file_name.split_once(':') {
        Some((name, info)) => (name, info.strip_prefix("2,").unwrap_or("")),
        None => (file_name, ""),
    }
}

/// Whether a file is the message of this name: some readers add sizes (`,S=…`) before the flags.
pub(super) fn is(file_name: &str, name: &str) -> bool {
    file_name.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', ',']))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(recipient: &str) -> String {
        let id = QueueId { shard: 0, lane: 1, number: 1_000 << 12 };
        file_name(id, &ReversePath::Null, &recipient.parse().unwrap())
    }

    #[test]
    fn a_name_follows_from_message_and_addresses() {
        assert_eq!(named("<a@b.example>"), "1735689601.000g00000003x000R89fe563c1f42873e.postrider");
        assert_eq!(named("<A@b.example>"), named("<a@B.example>"));
        assert_ne!(named("<a+x@b.example>"), named("<a@b.example>"));
        assert_eq!(fnv1a(b"a"), 0xaf63_dc4c_8601_ec8c);
    }

    #[test]
    fn a_message_is_known_whatever_a_reader_did_to_its_name() {
        for file_name in ["1.x.h", "1.x.h:2,", "1.x.h:2,RS", "1.x.h,S=5,W=6:2,S"] {
            assert!(is(file_name, "1.x.h"), "{file_name}");
        }
        assert!(!is("1.x.host", "1.x.h"));
        assert_eq!(split("1.x.h:2,FS"), ("1.x.h", "FS"));
        assert_eq!(split("1.x.h"), ("1.x.h", ""));
        assert_eq!(split("1.x.h:1,x"), ("1.x.h", ""));
    }
}
