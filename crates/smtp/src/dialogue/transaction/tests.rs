//! Transactions against replies as servers give them.

use mail::{DeliverBy, ForwardPath, Notify, Origin, OriginalRecipient, Priority, Ret};

use super::*;

fn recipients(paths: &[&str]) -> Vec<Recipient> {
    paths.iter().map(|path| path.parse::<ForwardPath>().unwrap().into()).collect()
}

fn envelope() -> Envelope {
    Envelope::new("<s@a.example>".parse().unwrap(), Origin::default())
}

fn everything() -> Capabilities {
    Capabilities::parse("x\nSIZE\nPIPELINING\n8BITMIME\nSMTPUTF8\nDSN")
}

fn reply(text: &'static str) -> Reply {
    Reply::decode(&mut format!("{text}\r\n").as_str().into()).unwrap().unwrap()
}

/// Plays the server's replies and returns what was done, line by line, and the statuses.
fn play(capabilities: &str, paths: &[&str], replies: &[&'static str]) -> (Vec<String>, Vec<String>, bool) {
    play_with(&envelope(), "a\r\n", capabilities, paths, replies)
}

fn play_with(
    envelope: &Envelope,
    content: &'static str,
    capabilities: &str,
    paths: &[&str],
    replies: &[&'static str],
) -> (Vec<String>, Vec<String>, bool) {
    let recipients = recipients(paths);
    let capabilities = Capabilities::parse(capabilities);
    let mut transaction = Transaction::new(&capabilities, envelope, &recipients, &Content::from(content));
    let mut done = Vec::new();
    let mut next = transaction.begin();
    let mut replies = replies.iter();
    loop {
        match &next {
            Next::Write(commands, _) => done.push(commands.trim_end().replace("\r\n", "|")),
            Next::Read(_) => {}
            Next::Finished => break,
            other => done.push(format!("{other:?}")),
        }
        next = transaction.take(&reply(replies.next().expect("one reply more")));
    }
    assert_eq!(replies.next(), None, "every reply is read");
    let reset = transaction.needs_reset();
    (done, transaction.finish().iter().map(ToString::to_string).collect(), reset)
}

#[test]
fn a_batch_goes_out_at_once_where_the_server_can() {
    let (done, statuses, reset) = play(
        "x\nPIPELINING",
        &["<a@b>", "<c@d>"],
        &["250 ok", "250 ok", "550 5.1.1 no", "354 go", "250 2.0.0 queued"],
    );
    assert_eq!(done, ["MAIL FROM:<s@a.example>|RCPT TO:<a@b>|RCPT TO:<c@d>|DATA", "Content"]);
    assert_eq!((statuses, reset), (vec!["250 2.0.0 queued".to_owned(), "550 5.1.1 no".to_owned()], false));
}

#[test]
fn one_by_one_otherwise() {
    let (done, statuses, _) =
        play("x", &["<a@b>", "<c@d>"], &["250 ok", "451 later", "250 ok", "354 go", "554 spam"]);
    assert_eq!(done, ["MAIL FROM:<s@a.example>", "RCPT TO:<a@b>", "RCPT TO:<c@d>", "DATA", "Content"]);
    assert_eq!(statuses, ["451 4.0.0 later", "554 5.0.0 spam"]);
}

#[test]
fn when_nobody_is_accepted_nothing_is_sent() {
    let (done, statuses, reset) =
        play("x\nPIPELINING", &["<a@b>"], &["250 ok", "550 no", "354 go", "250 strange"]);
    assert_eq!((done[1].as_str(), statuses[0].as_str(), reset), ("LoneDot", "550 5.0.0 no", false));
    let (_, statuses, reset) = play("x\nPIPELINING", &["<a@b>"], &["250 ok", "550 no", "503 rcpt first"]);
    assert_eq!((statuses[0].as_str(), reset), ("550 5.0.0 no", true));
    let (done, _, reset) = play("x", &["<a@b>"], &["250 ok", "550 no"]);
    assert_eq!((done.len(), reset), (2, true));
}

#[test]
fn a_refused_sender_is_what_all_recipients_hear() {
    let replies = ["552 5.3.4 big", "503 x", "503 x", "503 x"];
    let (_, statuses, reset) = play("x\nPIPELINING", &["<a@b>", "<c@d>"], &replies);
    assert_eq!((statuses, reset), (vec!["552 5.3.4 big".to_owned(); 2], false));
    let (done, statuses, _) = play("x", &["<a@b>", "<c@d>"], &replies[..1]);
    assert_eq!((done.len(), statuses), (1, vec!["552 5.3.4 big".to_owned(); 2]));
}

#[test]
fn a_421_ends_it_for_all_that_are_open() {
    let (_, statuses, _) =
        play("x\nPIPELINING", &["<a@b>", "<c@d>", "<e@f>"], &["250 ok", "250 ok", "550 no", "421 bye"]);
    assert_eq!(statuses, ["421 4.0.0 bye", "550 5.0.0 no", "421 4.0.0 bye"]);
}

#[test]
fn a_positive_reply_in_the_wrong_place_is_no_success() {
    let (_, statuses, _) = play("x\nPIPELINING", &["<a@b>"], &["250 ok", "250 ok", "250 what"]);
    assert!(statuses[0].starts_with("451 4.5.0"), "{statuses:?}");
}

#[test]
fn a_binary_message_goes_in_a_chunk_or_not_at_all() {
    let binary = Envelope { body: BodyType::BinaryMime, ..envelope() };
    let offers = "x\nPIPELINING\n8BITMIME\nCHUNKING\nBINARYMIME";
    let two = ["<a@b>", "<c@d>"];
    let (done, statuses, reset) =
        play_with(&binary, "\r\n\n", offers, &two, &["250 ok", "550 no", "250 ok", "250 2.0.0 queued"]);
    assert_eq!(done, ["MAIL FROM:<s@a.example> BODY=BINARYMIME|RCPT TO:<a@b>|RCPT TO:<c@d>", "Content"]);
    assert_eq!((statuses, reset), (vec!["550 5.0.0 no".to_owned(), "250 2.0.0 queued".to_owned()], false));
    let (done, statuses, reset) = play_with(&binary, "\r\n\n", offers, &two[..1], &["250 ok", "550 no"]);
    assert_eq!((done.len(), statuses[0].as_str(), reset), (1, "550 5.0.0 no", true));
    let (_, statuses, reset) =
        play_with(&binary, "\r\n\n", offers, &two[..1], &["250 ok", "250 ok", "552 full"]);
    assert_eq!((statuses[0].as_str(), reset), ("552 5.0.0 full", true));
    for offers in ["x\nPIPELINING\n8BITMIME", "x\nCHUNKING", "x\nBINARYMIME"] {
        let (done, statuses, _) = play_with(&binary, "\r\n\n", offers, &two, &[]);
        assert!(done.is_empty() && statuses.iter().all(|status| status.starts_with("554 5.6.1 ")));
    }
    // What is binary by name only can go anywhere.
    let replies = ["250 ok", "250 ok", "354 go", "250 done"];
    let (done, ..) = play_with(&binary, "\r\n.\r\n", "x\n8BITMIME", &two[..1], &replies);
    assert_eq!(done[0], "MAIL FROM:<s@a.example> BODY=8BITMIME");
}

#[test]
fn many_recipients_go_in_several_batches() {
    let paths: Vec<String> = (0..250).map(|n| format!("<u{n}@b>")).collect();
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    let mut replies = vec!["250 ok"; 251];
    replies.extend(["354 go", "250 done"]);
    let (done, statuses, _) = play("x\nPIPELINING", &paths, &replies);
    let counts: Vec<usize> = done.iter().map(|batch| batch.matches("RCPT").count()).collect();
    assert_eq!((counts, statuses.len()), (vec![100, 100, 50, 0], 250));
    assert!(done[2].ends_with("|DATA"));
}

#[test]
fn parameters_are_given_where_they_are_offered() {
    let mut envelope = envelope();
    envelope.ret = Some(Ret::Full);
    envelope.envid = Some("a b".to_owned());
    let mut recipients = recipients(&["<δ@b>"]);
    recipients[0].notify = Notify::NEVER;
    recipients[0].original =
        Some(OriginalRecipient { address_type: "rfc822".to_owned(), address: "x+y@z".to_owned() });
    let content = Content::from("ä\r\n");
    let mut transaction = Transaction::new(&everything(), &envelope, &recipients, &content);
    let Next::Write(commands, Step::Mail) = transaction.begin() else { panic!("no commands") };
    assert_eq!(
        commands,
        "MAIL FROM:<s@a.example> SIZE=4 BODY=8BITMIME SMTPUTF8 RET=FULL ENVID=a+20b\r\n\
         RCPT TO:<δ@b> NOTIFY=NEVER ORCPT=rfc822;x+2By@z\r\nDATA\r\n"
    );
    let mut transaction = Transaction::new(&Capabilities::default(), &envelope, &recipients, &content);
    assert_eq!(transaction.begin(), Next::Finished);
    assert_eq!(transaction.finish()[0].enhanced.to_string(), "5.6.7");
}

#[test]
fn deadline_priority_and_required_tls_are_passed_on_where_they_are_offered() {
    let by = |seconds, mode, trace| Some(DeliverBy { seconds, mode, trace });
    let replies = ["250 ok", "250 ok", "354 go", "250 done"];
    let mail = |envelope: &Envelope, offers| {
        let (done, ..) = play_with(envelope, "a\r\n", offers, &["<a@b>"], &replies);
        done[0].strip_prefix("MAIL FROM:<s@a.example>").unwrap().to_owned()
    };
    let mut envelope = envelope();
    envelope.deliver_by = by(100, DeliverByMode::Return, true);
    envelope.priority = Priority::new(-3).unwrap();
    assert_eq!(mail(&envelope, "x\nDELIVERBY 10\nMT-PRIORITY"), " BY=100;RT MT-PRIORITY=-3");
    assert_eq!(mail(&envelope, "x\nDELIVERBY"), " BY=100;RT");
    assert_eq!(mail(&envelope, "x\nMT-PRIORITY"), " MT-PRIORITY=-3");
    assert_eq!(mail(&envelope, "x"), "");
    envelope.deliver_by = by(-2_000_000_000, DeliverByMode::Notify, false);
    envelope.priority = Priority::NORMAL;
    envelope.require_tls = true;
    let all = "x\nDELIVERBY\nMT-PRIORITY\nREQUIRETLS";
    assert_eq!(mail(&envelope, all), " BY=-999999999;N REQUIRETLS");
    let (done, statuses, _) = play_with(&envelope, "a\r\n", "x\nDELIVERBY", &["<a@b>", "<c@d>"], &[]);
    assert!(
        done.is_empty() && statuses.iter().all(|status| status.starts_with("550 5.7.30 ")),
        "{statuses:?}"
    );
}

#[test]
fn a_message_that_said_smtputf8_and_needs_none_goes_anywhere() {
    let mut envelope = envelope();
    envelope.smtputf8 = true;
    let recipients = recipients(&["<a@b>"]);
    let plain = Content::from("Subject: x\r\n\r\nä\r\n");
    let mut transaction = Transaction::new(&Capabilities::default(), &envelope, &recipients, &plain);
    assert!(matches!(transaction.begin(), Next::Write(..)));
    let utf8 = Content::from("Subject: ä\r\n\r\nx\r\n");
    let mut transaction = Transaction::new(&Capabilities::default(), &envelope, &recipients, &utf8);
    assert_eq!(transaction.begin(), Next::Finished);
}

/// RFC 6531 3.2: a domain has a form in ASCII, a local part has none.
#[test]
fn international_domains_go_anywhere_and_other_addresses_do_not() {
    let mut envelope = Envelope::new("<s@bücher.example>".parse().unwrap(), Origin::default());
    envelope.smtputf8 = true;
    let mut recipients = recipients(&["<a@grün.example>", "<ä@b.example>"]);
    let address = "ä+b@c.example".to_owned();
    recipients[0].original = Some(OriginalRecipient { address_type: "utf-8".to_owned(), address });
    let content = Content::from("Subject: x\r\n\r\nx\r\n");
    let offers = Capabilities::parse("x\nPIPELINING\nDSN");
    let mut transaction = Transaction::new(&offers, &envelope, &recipients, &content);
    let Next::Write(commands, Step::Mail) = transaction.begin() else { panic!("no commands") };
    assert_eq!(
        commands,
        "MAIL FROM:<s@xn--bcher-kva.example>\r\nRCPT TO:<a@xn--grn-ioa.example> \
         ORCPT=utf-8;\\x{E4}\\x{2B}b@c.example\r\nDATA\r\n"
    );
    assert_eq!(transaction.finish()[1].enhanced.to_string(), "5.6.7");
    recipients[0].original.as_mut().unwrap().address = "ä@c.example".to_owned();
    let mut transaction = Transaction::new(&everything(), &envelope, &recipients, &content);
    let Next::Write(commands, Step::Mail) = transaction.begin() else { panic!("no commands") };
    assert!(commands.starts_with("MAIL FROM:<s@bücher.example> SIZE=17 SMTPUTF8\r\n"), "{commands}");
    assert!(commands.contains("RCPT TO:<a@grün.example> ORCPT=utf-8;ä@c.example\r\n"), "{commands}");
    // Who did not say SMTPUTF8 needs none for a domain.
    envelope.smtputf8 = false;
    let transaction = Transaction::new(&everything(), &envelope, &recipients[..1], &content).begin();
    let Next::Write(commands, Step::Mail) = transaction else { panic!("no commands") };
    assert!(commands.starts_with("MAIL FROM:<s@xn--bcher-kva.example> SIZE=17\r\n"), "{commands}");
    let header = Content::from("Subject: ä\r\n\r\nx\r\n");
    envelope.smtputf8 = true;
    let transaction = Transaction::new(&offers, &envelope, &recipients[..1], &header);
    assert_eq!(transaction.finish()[0].enhanced.to_string(), "5.6.9");
}

/// UTF-8 may come as it is (RFC 6533 3) and goes as xtext.
#[test]
fn what_outgrows_its_limit_on_the_way_is_left_out() {
    let mut envelope = envelope();
    envelope.envid = Some("ä".repeat(17));
    let mut recipients = recipients(&["<a@b>", "<c@d>"]);
    let original =
        |letters| OriginalRecipient { address_type: "utf-8".to_owned(), address: "ä".repeat(letters) };
    recipients[0].original = Some(original(82));
    recipients[1].original = Some(original(83));
    let content = Content::from("a\r\n");
    let mut transaction = Transaction::new(&everything(), &envelope, &recipients, &content);
    let Next::Write(commands, Step::Mail) = transaction.begin() else { panic!("no commands") };
    assert!(!commands.contains("ENVID="), "{commands}");
    assert_eq!(commands.matches("ORCPT=").count(), 1, "{commands}");
    assert!(commands.ends_with("RCPT TO:<c@d>\r\nDATA\r\n"), "{commands}");
}

#[test]
fn too_many_recipients_are_no_failure_and_a_full_mailbox_is_one() {
    let (_, statuses, _) = play(
        "x",
        &["<a@b>", "<c@d>", "<e@f>", "<g@h>"],
        &["250 ok", "552 none at all", "250 ok", "552 enough", "552 5.2.2 full", "354 go", "250 done"],
    );
    assert_eq!(statuses[0], "552 5.0.0 none at all");
    assert!(statuses[2].starts_with("452 4.5.3"), "{statuses:?}");
    assert_eq!((&*statuses[1], &*statuses[3]), ("250 2.0.0 done", "552 5.2.2 full"));
}
