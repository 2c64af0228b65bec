//! Every statement that the queue sends to SQLite, with its name. Sets of rows come as one JSON text (`json_each`), which costs one
//! call for all of them.

use crate::store::Statement;

const fn statement(name: &'static str, sql: &'static str) -> Statement {
    Statement { name, sql }
}

/// The columns of a message as `bind` in `commit` gives them.
macro_rules! row {
    () => {
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    };
}

macro_rules! insert_message {
    ($($more:expr),*) => {
        concat!(
            "INSERT INTO message (lane_id, queue_id, accepted_at, octets, parts, reverse_path, account, traceparent,
                                  tracestate, envelope, content, tick)
             VALUES ", row!(), $($more),*
        )
    };
}

/// Three more rows.
macro_rules! three {
    () => {
        concat!(",", row!(), ",", row!(), ",", row!())
    };
}

/// The plain form fails where a key exists: an id given out twice must never pass for stored.
pub(super) const ACCEPT: Statement = statement("accept", insert_message!());

/// After a commit whose outcome is not known.
pub(super) const ACCEPT_REPEAT: Statement =
    statement("accept_repeat", insert_message!(" ON CONFLICT (lane_id, queue_id) DO NOTHING"));

/// Rows of [`ACCEPT_MANY`].
pub(super) const ACCEPT_MANY_ROWS: usize = 16;

/// As [`ACCEPT`], for many rows in one call to the driver's thread.
pub(super) const ACCEPT_MANY: Statement =
    statement("accept_many", insert_message!(three!(), three!(), three!(), three!(), three!()));

pub(super) const ACCEPT_PART: Statement = statement(
    "accept_part",
    "INSERT INTO content_part (lane_id, queue_id, part_no, octets) VALUES (?1, ?2, ?3, ?4)",
);

pub(super) const ACCEPT_RECIPIENTS: Statement = statement(
    "accept_recipients",
    "INSERT INTO delivery (lane_id, queue_id, rcpt_no, notify, expires_at, delay_notice_at, destination, forward_path,
                           original, state, next_attempt_at, priority)
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8,
            value->>9 IS NOT NULL, value->>9, value->>10
     FROM json_each(?1)",
);

/// Which message lies under a key: void or not; nothing where it has ended.
pub(super) const LOOK_UP: Statement = statement(
    "look_up",
    "SELECT void FROM message WHERE lane_id = ?1 AND queue_id = ?2
     UNION ALL SELECT 0 FROM history WHERE lane_id = ?1 AND queue_id = ?2 LIMIT 1",
);

/// Answers the recipients that were still pending.
pub(super) const FINISH: Statement = statement(
    "finish",
    "DELETE FROM delivery WHERE (lane_id, queue_id, rcpt_no) IN (
        SELECT value->>0, value->>1, value->>2 FROM json_each(?1))
     RETURNING lane_id, queue_id, rcpt_no",
);

/// Final rows keep what the message row says, for it goes with the last recipient.
pub(super) const FINISH_HISTORY: Statement = statement(
    "finish_history",
    "INSERT INTO history (lane_id, queue_id, rcpt_no, attempt, at, action, forward_path, status, remote, accepted_at,
                          octets, reverse_path, account, traceparent, tick)
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8,
            m.accepted_at, m.octets, m.reverse_path, m.account, m.traceparent, m.tick
     FROM json_each(?1) LEFT JOIN message m ON m.lane_id = value->>0 AND m.queue_id = value->>1",
);

pub(super) const END_MESSAGES: Statement = statement(
    "end_messages",
    "DELETE FROM message WHERE (lane_id, queue_id) IN (SELECT value->>0, value->>1 FROM json_each(?1))
        AND NOT EXISTS (
            SELECT 1 FROM delivery q WHERE q.lane_id = message.lane_id AND q.queue_id = message.queue_id)
     RETURNING lane_id, queue_id, parts",
);

pub(super) const END_PARTS: Statement = statement(
    "end_parts",
    "DELETE FROM content_part WHERE (lane_id, queue_id) IN (SELECT value->>0, value->>1 FROM json_each(?1))",
);

/// Answers the recipients that were pending with fewer attempts.
pub(super) const DEFER: Statement = statement(
    "defer",
    "UPDATE delivery SET state = 1, attempts = u.attempt, next_attempt_at = u.next_attempt_at,
            delay_notice_at = u.delay_notice_at, last_status = u.status, last_remote = u.remote
     FROM (SELECT value->>0 AS lane_id, value->>1 AS queue_id, value->>2 AS rcpt_no, value->>3 AS attempt,
                  value->>7 AS status, value->>8 AS remote, value->>9 AS next_attempt_at,
                  value->>10 AS delay_notice_at
           FROM json_each(?1)) u
     WHERE delivery.lane_id = u.lane_id AND delivery.queue_id = u.queue_id AND delivery.rcpt_no = u.rcpt_no
       AND delivery.attempts < u.attempt
     RETURNING lane_id, queue_id, rcpt_no",
);

pub(super) const DEFER_HISTORY: Statement = statement(
    "defer_history",
    "INSERT INTO history (lane_id, queue_id, rcpt_no, attempt, at, action, forward_path, status, remote)
     SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8
     FROM json_each(?1)",
);

pub(super) const PARK: Statement = statement(
    "park",
    "UPDATE delivery SET state = 1, next_attempt_at = ?2
     WHERE state = 0 AND (lane_id, queue_id, rcpt_no) IN (
        SELECT value->>0, value->>1, value->>2 FROM json_each(?1))",
);

pub(super) const HASTEN: Statement = statement(
    "hasten",
    "UPDATE delivery SET next_attempt_at = ?1
     WHERE (lane_id, queue_id, rcpt_no) IN (
        SELECT lane_id, queue_id, rcpt_no FROM delivery
        WHERE state = 1 AND attempts > 0 AND next_attempt_at > ?1
          AND (substr(forward_path, -length(?2)) = ?2 OR (?3 <> '' AND substr(forward_path, -length(?3)) = ?3))
        LIMIT ?4)
     RETURNING destination",
);

/// The columns of a pending recipient, as `DeliveryRow` reads them.
macro_rules! delivery {
    () => {
        "SELECT lane_id, queue_id, rcpt_no, destination, attempts, next_attempt_at, expires_at, delay_notice_at, notify,
                forward_path, original, priority FROM delivery "
    };
}

pub(super) const FRESH: Statement = statement(
    "fresh",
    concat!(
        delivery!(),
        "WHERE lane_id = ?1 AND (queue_id, rcpt_no) > (?2, ?3) AND state = 0 ORDER BY queue_id, rcpt_no LIMIT ?4"
    ),
);

pub(super) const BACKLOG: Statement = statement(
    "backlog",
    "SELECT destination, min(next_attempt_at), count(*) FROM delivery
     WHERE lane_id = ?1 AND state = 1 GROUP BY destination ORDER BY destination",
);

/// There is one lane; the cursor's lane says nothing more.
pub(super) const DUE: Statement = statement(
    "due",
    concat!(
        delivery!(),
        "WHERE lane_id = ?1 AND destination = ?2 AND state = 1 AND next_attempt_at <= ?3 AND next_attempt_at >= ?4
           AND (next_attempt_at, queue_id, rcpt_no) > (?4, ?5, ?6)
         ORDER BY next_attempt_at, queue_id, rcpt_no LIMIT ?7"
    ),
);

pub(super) const EXPIRED: Statement = statement(
    "expired",
    concat!(
        delivery!(),
        "WHERE lane_id = ?1 AND state <> 0 AND expires_at <= ?2 ORDER BY expires_at LIMIT ?3"
    ),
);

pub(super) const MESSAGE: Statement = statement(
    "message",
    "SELECT accepted_at, octets, traceparent, tracestate, envelope FROM message
     WHERE lane_id = ?1 AND queue_id = ?2 AND NOT void",
);

pub(super) const CONTENT: Statement = statement(
    "content",
    "SELECT octets, parts, content FROM message WHERE lane_id = ?1 AND queue_id = ?2 AND NOT void",
);

pub(super) const PARTS: Statement = statement(
    "parts",
    "SELECT octets FROM content_part
     WHERE lane_id = ?1 AND queue_id = ?2 AND part_no >= ?3 AND part_no < ?4 ORDER BY part_no",
);

pub(super) const DEPTH: Statement = statement(
    "depth",
    "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state <> 0), min(next_attempt_at) FROM delivery",
);

/// A void row, so that the id can never be accepted, unless the message has ended.
pub(super) const VOID: Statement = statement(
    "void",
    "INSERT INTO message (lane_id, queue_id, accepted_at, octets, parts, void, reverse_path, traceparent, tracestate,
                          envelope)
     SELECT ?1, ?2, ?3, 0, 0, 1, '', '', '', X'' WHERE NOT EXISTS (
        SELECT 1 FROM history WHERE lane_id = ?1 AND queue_id = ?2)
     ON CONFLICT (lane_id, queue_id) DO NOTHING",
);

pub(super) const KEY_CLAIM: Statement = statement(
    "key_claim",
    "INSERT INTO idempotency_key (account, key, lane_id, queue_id, fingerprint, note, expires_at)
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (account, key) DO NOTHING",
);

/// Only ever of a key that this transaction has claimed.
pub(super) const KEY_RELEASE: Statement =
    statement("key_release", "DELETE FROM idempotency_key WHERE account = ?1 AND key = ?2");

pub(super) const KEY_RECALL: Statement = statement(
    "key_recall",
    "SELECT lane_id, queue_id, fingerprint, note FROM idempotency_key WHERE account = ?1 AND key = ?2",
);

pub(super) const KEY_FORGET: Statement = statement(
    "key_forget",
    "DELETE FROM idempotency_key WHERE (account, key) IN (
        SELECT account, key FROM idempotency_key WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)",
);

/// Gives free pages back to the disk.
pub(super) const SHRINK: Statement = statement("shrink", "PRAGMA incremental_vacuum");

/// Writes the log back into the file, and the log begins anew with nothing.
pub(super) const CHECKPOINT: Statement = statement("checkpoint", "PRAGMA wal_checkpoint(TRUNCATE)");

/// The highest number ever given out that is still known.
pub(super) const LAST: Statement = statement(
    "last",
    "SELECT max(coalesce((SELECT max(queue_id) FROM message WHERE lane_id = 0), 0),
                coalesce((SELECT max(queue_id) FROM history WHERE lane_id = 0), 0))",
);

pub(super) const SWEEP_HISTORY: Statement = statement(
    "sweep_history",
    "DELETE FROM history WHERE lane_id = ?1 AND queue_id <= (
        SELECT max(queue_id) FROM (
            SELECT queue_id FROM history WHERE lane_id = ?1 AND queue_id < ?2 ORDER BY queue_id LIMIT ?3))",
);

pub(super) const SWEEP_MESSAGES: Statement = statement(
    "sweep_messages",
    "DELETE FROM message WHERE lane_id = ?1 AND queue_id < ?2 AND NOT EXISTS (
        SELECT 1 FROM delivery q WHERE q.lane_id = message.lane_id AND q.queue_id = message.queue_id)",
);
