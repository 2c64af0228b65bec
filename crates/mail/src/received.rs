//! Trace fields (RFC 5321 4.4): Received, Return-Path, Delivered-To.

use crate::{Domain, Envelope, ForwardPath, QueueId, ReversePath, Timestamp};

/// The Received field that an agent puts in front of a message that it took, with its line end.
///
/// `tls` is the protocol version where the session was encrypted. A FOR clause is only given for a single recipient, so
/// that nobody learns of the others.
#[must_use]
pub fn received(envelope: &Envelope, by: &Domain, id: QueueId, tls: Option<&str>, at: Timestamp) -> String {
    let origin = &envelope.origin;
    let helo = name(&origin.helo, envelope.smtputf8);
    let from = match origin.address {
        Some(std::net::IpAddr::V4(address)) => format!("from {helo} ([{address}])"),
        Some(std::net::IpAddr::V6(address)) => format!("from {helo} ([IPv6:{address}])"),
        None => format!("from {helo}"),
    };
    let tls = tls.map(|version| format!("\r\n\t(using {version})")).unwrap_or_default();
    let recipient = match envelope.recipients.as_slice() {
        // In ASCII if there is such a form: the field must not be what keeps the message from a server without SMTPUTF8.
        [only] => {
            let ascii = only.forward_path.to_ascii();
            format!("\r\n\tfor {}", ascii.as_ref().unwrap_or(&only.forward_path))
        }
        _ => String::new(),
    };
    let with = clean(&origin.protocol, false);
    format!("Received: {from}{tls}\r\n\tby {by} with {with} id {id}{recipient};\r\n\t{}\r\n", at.rfc5322())
}

/// The Return-Path field of final delivery (RFC 5321 4.4), with its line end.
#[must_use]
pub fn return_path(reverse_path: &ReversePath) -> String {
    format!("Return-Path: {reverse_path}\r\n")
}

/// The Delivered-To field of final delivery (RFC 9228), with its line end.
#[must_use]
pub fn delivered_to(forward_path: &ForwardPath) -> String {
    match forward_path {
        ForwardPath::Postmaster => "Delivered-To: postmaster\r\n".to_owned(),
        ForwardPath::Mailbox(mailbox) => format!("Delivered-To: {mailbox}\r\n"),
    }
}

/// A peer's name, in A-labels where it is an international one.
fn name(name: &str, utf8: bool) -> String {
    let ascii = Domain::parse(name).ok().filter(|domain| !domain.is_ascii()).and_then(|d| d.to_ascii().ok());
    ascii.unwrap_or_else(|| clean(name, utf8))
}

/// What a peer called itself, reduced to what may stand in a header field (in UTF-8 only where the message may, RFC 6531);
/// an empty name becomes `unknown`.
fn clean(name: &str, utf8: bool) -> String {
    let allowed =
        |c: char| c.is_ascii_alphanumeric() || (utf8 && c.is_alphanumeric()) || "-._[]:".contains(c);
    let name: String = name.chars().filter(|c| allowed(*c)).take(crate::address::DOMAIN_LIMIT).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Origin;

    #[test]
    fn a_received_field_says_who_gave_what_to_whom() {
        let origin = Origin {
            address: Some("192.0.2.7".parse().unwrap()),
            helo: "client.example\r\nX: y".to_owned(),
            account: None,
            protocol: "ESMTPSA".to_owned(),
            ..Origin::default()
        };
        let mut envelope = Envelope::new(ReversePath::Null, origin);
        envelope.recipients.push("<a@b.example>".parse::<ForwardPath>().unwrap().into());
        let field = received(
            &envelope,
            &Domain::parse("mx.example").unwrap(),
            QueueId { shard: 0, lane: 1, number: 1 },
            Some("TLSv1.3"),
            Timestamp::from_millis(0),
        );
        assert_eq!(
            field,
            "Received: from client.exampleX:y ([192.0.2.7])\r\n\t(using TLSv1.3)\r\n\tby mx.example with ESMTPSA id \
             000g000000000001\r\n\tfor <a@b.example>;\r\n\tThu, 1 Jan 1970 00:00:00 +0000\r\n"
        );
    }

    #[test]
    fn international_domains_are_in_ascii_and_local_parts_as_they_are() {
        let mut envelope = Envelope { smtputf8: true, ..Envelope::new(ReversePath::Null, Origin::default()) };
        envelope.origin.helo = "bücher.test".to_owned();
        let by = Domain::parse("mx.test").unwrap();
        for (path, written) in [("<a@bücher.test>", "<a@xn--bcher-kva.test>"), ("<ä@ü.test>", "<ä@ü.test>")]
        {
            envelope.recipients = vec![path.parse::<ForwardPath>().unwrap().into()];
            let id = QueueId { shard: 0, lane: 1, number: 1 };
            let field = received(&envelope, &by, id, None, Timestamp::from_millis(0));
            assert!(field.starts_with("Received: from xn--bcher-kva.test\r\n"), "{field}");
            assert!(field.contains(&format!("\r\n\tfor {written};\r\n")), "{field}");
        }
    }

    #[test]
    fn a_peers_name_is_ascii_unless_the_message_may_be_more() {
        for (name, utf8, cleaned) in
            [("mäx.test", false, "mx.test"), ("mäx.test", true, "mäx.test"), ("ä(\"", false, "unknown")]
        {
            assert_eq!(clean(name, utf8), cleaned, "{name}");
        }
    }
}
