//! Every statement that the queue sends to Postgres, with its name. Hot ones take arrays and touch rows by primary key or by a
//! full index prefix, so that their plans do not depend on statistics.

use crate::store::Statement;

const fn statement(name: &'static str, sql: &'static str) -> Statement {
    Statement { name, sql }
}

/// The lanes of $1 that are still owned under the epochs of $2, locked against a takeover until the commit.
macro_rules! own {
    () => {
        "WITH own AS MATERIALIZED (
            SELECT l.lane_id, l.epoch FROM unnest($1::int2[], $2::int8[]) AS e(lane_id, epoch)
            JOIN lane l ON l.lane_id = e.lane_id AND l.epoch = e.epoch
            ORDER BY l.lane_id FOR SHARE OF l)"
    };
}

/// Messages, their parts and their recipients, where the lane is owned; answers the messages inserted. A message whose parts
/// were spooled needs the last of them: the log is written in order, so the last proves the others. (Asked so that it is one look-up
/// by key: EXISTS may become a hash of all parts.)
macro_rules! accept {
    ($conflict:literal) => {
        concat!(
            own!(),
            ", m AS (
            INSERT INTO message (lane_id, queue_id, accepted_at, octets, parts, reverse_path, account, traceparent,
                                 tracestate, envelope, content, tick)
            SELECT u.lane_id, u.queue_id, u.accepted_at, u.octets, u.parts, u.reverse_path, u.account, u.traceparent,
                   u.tracestate, u.envelope, u.content, u.tick
            FROM unnest($3::int2[], $4::int8[], $5::int8[], $6::int8[], $7::int8[], $8::int4[], $9::bool[],
                        $10::text[], $11::text[], $12::text[], $13::text[], $14::bytea[], $15::bytea[], $31::text[])
                 AS u(lane_id, epoch, queue_id, accepted_at, octets, parts, spooled, reverse_path, account, traceparent,
                      tracestate, envelope, content, tick)
            JOIN own ON own.lane_id = u.lane_id AND own.epoch = u.epoch
            WHERE NOT u.spooled OR (
                SELECT c.part_no FROM content_part c
                WHERE c.lane_id = u.lane_id AND c.queue_id = u.queue_id AND c.part_no = u.parts - 1) IS NOT NULL ",
            $conflict,
            " RETURNING lane_id, queue_id
        ), p AS (
            INSERT INTO content_part (lane_id, queue_id, part_no, octets)
            SELECT u.lane_id, u.queue_id, u.part_no, u.octets
            FROM unnest($16::int2[], $17::int8[], $18::int4[], $19::bytea[]) AS u(lane_id, queue_id, part_no, octets)
            JOIN m ON m.lane_id = u.lane_id AND m.queue_id = u.queue_id
        ), q AS (
            INSERT INTO delivery (lane_id, queue_id, rcpt_no, notify, expires_at, delay_notice_at, destination,
                                  forward_path, original, state, next_attempt_at, priority)
            SELECT u.lane_id, u.queue_id, u.rcpt_no, u.notify, u.expires_at, u.delay_notice_at, u.destination,
                   u.forward_path, u.original, (u.held_until IS NOT NULL)::int::int2, u.held_until, u.priority
            FROM unnest($20::int2[], $21::int8[], $22::int4[], $23::int2[], $24::int8[], $25::int8[], $26::text[],
                        $27::text[], $28::text[], $29::int8[], $30::int2[])
                 AS u(lane_id, queue_id, rcpt_no, notify, expires_at, delay_notice_at, destination, forward_path,
                      original, held_until, priority)
            JOIN m ON m.lane_id = u.lane_id AND m.queue_id = u.queue_id
        )
        SELECT lane_id, queue_id, true AS inserted FROM m
        UNION ALL SELECT lane_id, epoch, false FROM own"
        )
    };
}

/// The plain form fails where a key exists: an id given out twice must never pass for stored.
pub(super) const ACCEPT: Statement = statement("accept", accept!(""));

/// After a commit whose outcome is not known: what is there already is looked up with [`LOOK_UP`].
pub(super) const ACCEPT_REPEAT: Statement =
    statement("accept_repeat", accept!("ON CONFLICT (lane_id, queue_id) DO NOTHING"));

/// Which of the messages exist: pending, void, or ended with history.
pub(super) const LOOK_UP: Statement = statement(
    "look_up",
    "SELECT u.lane_id, u.queue_id, m.void
     FROM unnest($1::int2[], $2::int8[]) AS u(lane_id, queue_id)
     LEFT JOIN message m ON m.lane_id = u.lane_id AND m.queue_id = u.queue_id
     WHERE m.queue_id IS NOT NULL
        OR EXISTS (SELECT 1 FROM history h WHERE h.lane_id = u.lane_id AND h.queue_id = u.queue_id)",
);

/// Whether a message has ended, when a void row hides it from [`LOOK_UP`].
pub(super) const HISTORY_EXISTS: Statement =
    statement("history_exists", "SELECT EXISTS (SELECT 1 FROM history WHERE lane_id = $1 AND queue_id = $2)");

/// Locks the lanes of notices against a takeover.
pub(super) const FENCE: Statement = statement("fence", concat!(own!(), " SELECT lane_id, epoch FROM own"));

/// Final results: not fenced, for what happened, happened. The message goes with its last recipient: the
/// count of pending ones is as before the deletion, which is one statement with it. Parts are not looked for where
/// there are none, and never beyond the lanes at hand, whatever the planner believes of their table. Answers the recipients that
/// were still pending.
pub(super) const FINISH: Statement = statement(
    "finish",
    "WITH u AS MATERIALIZED (
        SELECT * FROM unnest($1::int2[], $2::int8[], $3::int4[], $4::int4[], $5::int8[], $6::int2[], $7::text[],
                             $8::text[], $9::text[])
               AS u(lane_id, queue_id, rcpt_no, attempt, at, action, forward_path, status, remote)
     ), d AS (
        DELETE FROM delivery q USING u
        WHERE q.lane_id = u.lane_id AND q.queue_id = u.queue_id AND q.rcpt_no = u.rcpt_no
        RETURNING u.*
     ), h AS (
        INSERT INTO history (lane_id, queue_id, at, rcpt_no, attempt, action, forward_path, status, remote, accepted_at,
                             octets, reverse_path, account, traceparent, tick)
        SELECT d.lane_id, d.queue_id, d.at, d.rcpt_no, d.attempt, d.action, d.forward_path, d.status, d.remote,
               m.accepted_at, m.octets, m.reverse_path, m.account, m.traceparent, m.tick
        FROM d LEFT JOIN message m ON m.lane_id = d.lane_id AND m.queue_id = d.queue_id
     ), ended AS (
        SELECT d.lane_id, d.queue_id FROM d GROUP BY d.lane_id, d.queue_id
        HAVING count(*) = (SELECT count(*) FROM delivery q WHERE q.lane_id = d.lane_id AND q.queue_id = d.queue_id)
     ), m AS (
        DELETE FROM message m USING ended e WHERE m.lane_id = e.lane_id AND m.queue_id = e.queue_id
        RETURNING m.lane_id, m.queue_id, m.parts
     ), p AS (
        DELETE FROM content_part c
        WHERE c.lane_id = ANY (ARRAY(SELECT m.lane_id FROM m WHERE m.parts > 0))
          AND (c.lane_id, c.queue_id) IN (SELECT m.lane_id, m.queue_id FROM m)
     )
     SELECT lane_id, queue_id, rcpt_no FROM d",
);

/// Delays, fenced. Answers the recipients that were pending with fewer attempts, and which lanes are owned.
pub(super) const DEFER: Statement = statement(
    "defer",
    concat!(
        own!(),
        ", u AS MATERIALIZED (
            SELECT * FROM unnest($3::int2[], $4::int8[], $5::int8[], $6::int4[], $7::int4[], $8::int8[], $9::int2[],
                                 $10::text[], $11::text[], $12::text[], $13::int8[], $14::int8[])
                   AS u(lane_id, epoch, queue_id, rcpt_no, attempt, at, action, forward_path, status, remote,
                        next_attempt_at, delay_notice_at)
        ), q AS (
            UPDATE delivery q
            SET state = 1, attempts = u.attempt, next_attempt_at = u.next_attempt_at,
                delay_notice_at = u.delay_notice_at, last_status = u.status, last_remote = u.remote
            FROM u JOIN own ON own.lane_id = u.lane_id AND own.epoch = u.epoch
            WHERE q.lane_id = u.lane_id AND q.queue_id = u.queue_id AND q.rcpt_no = u.rcpt_no
              AND q.attempts < u.attempt
            RETURNING u.*
        ), h AS (
            INSERT INTO history (lane_id, queue_id, at, rcpt_no, attempt, action, forward_path, status, remote)
            SELECT lane_id, queue_id, at, rcpt_no, attempt, action, forward_path, status, remote FROM q
        )
        SELECT lane_id, queue_id, rcpt_no FROM q
        UNION ALL SELECT lane_id, epoch, -1 FROM own"
    ),
);

/// Fresh recipients that have to wait for a place in memory.
pub(super) const PARK: Statement = statement(
    "park",
    concat!(
        own!(),
        " UPDATE delivery q SET state = 1, next_attempt_at = $5
          FROM own, unnest($3::int8[], $4::int4[]) AS u(queue_id, rcpt_no)
          WHERE q.lane_id = own.lane_id AND q.queue_id = u.queue_id AND q.rcpt_no = u.rcpt_no AND q.state = 0"
    ),
);

/// Recipients that somebody is at are left to him: this waits for no lock, so that it can be part of no deadlock.
pub(super) const HASTEN: Statement = statement(
    "hasten",
    "UPDATE delivery q SET next_attempt_at = $2
     FROM (SELECT lane_id, queue_id, rcpt_no FROM delivery
           WHERE lane_id = ANY($1::int2[]) AND state = 1 AND attempts > 0 AND next_attempt_at > $2
             AND (right(forward_path, length($3)) = $3 OR ($4 <> '' AND right(forward_path, length($4)) = $4))
           LIMIT $5 FOR UPDATE SKIP LOCKED) u
     WHERE q.lane_id = u.lane_id AND q.queue_id = u.queue_id AND q.rcpt_no = u.rcpt_no
     RETURNING q.destination",
);

/// Parts ahead of their message.
pub(super) const SPOOL: Statement = statement(
    "spool",
    "INSERT INTO content_part (lane_id, queue_id, part_no, octets)
     SELECT $1, $2, u.part_no, u.octets FROM unnest($3::int4[], $4::bytea[]) AS u(part_no, octets)
     ON CONFLICT (lane_id, queue_id, part_no) DO NOTHING",
);

/// The columns of a pending recipient, as `DeliveryRow` reads them.
macro_rules! delivery {
    () => {
        "SELECT q.lane_id, q.queue_id, q.rcpt_no, q.destination, q.attempts, q.next_attempt_at, q.expires_at,
                q.delay_notice_at, q.notify, q.forward_path, q.original, q.priority FROM delivery q "
    };
}

pub(super) const FRESH: Statement = statement(
    "fresh",
    concat!(
        delivery!(),
        "WHERE q.lane_id = $1 AND (q.queue_id, q.rcpt_no) > ($2, $3) AND q.state = 0
         ORDER BY q.lane_id, q.queue_id, q.rcpt_no LIMIT $4"
    ),
);

pub(super) const BACKLOG: Statement = statement(
    "backlog",
    "SELECT destination, min(next_attempt_at), count(*) FROM delivery
     WHERE lane_id = $1 AND state = 1 GROUP BY destination ORDER BY destination",
);

/// $4: the cursor's time, $5 to $7 its key.
pub(super) const DUE: Statement = statement(
    "due",
    concat!(
        "SELECT x.* FROM unnest($1::int2[]) AS l(lane_id) CROSS JOIN LATERAL (",
        delivery!(),
        "WHERE q.lane_id = l.lane_id AND q.destination = $2 AND q.state = 1 AND q.next_attempt_at <= $3
           AND q.next_attempt_at >= $4
           AND (q.next_attempt_at, q.lane_id, q.queue_id, q.rcpt_no) > ($4, $5::int2, $6, $7)
         ORDER BY q.next_attempt_at, q.queue_id, q.rcpt_no LIMIT $8) x"
    ),
);

pub(super) const EXPIRED: Statement = statement(
    "expired",
    concat!(
        delivery!(),
        "WHERE q.lane_id = $1 AND q.state <> 0 AND q.expires_at <= $2 ORDER BY q.expires_at LIMIT $3"
    ),
);

pub(super) const MESSAGE: Statement = statement(
    "message",
    "SELECT accepted_at, octets, traceparent, tracestate, envelope FROM message
     WHERE lane_id = $1 AND queue_id = $2 AND NOT void",
);

pub(super) const CONTENT: Statement = statement(
    "content",
    "SELECT octets, parts, content FROM message WHERE lane_id = $1 AND queue_id = $2 AND NOT void",
);

pub(super) const PARTS: Statement = statement(
    "parts",
    "SELECT octets FROM content_part
     WHERE lane_id = $1 AND queue_id = $2 AND part_no >= $3 AND part_no < $4 ORDER BY part_no",
);

pub(super) const DEPTH: Statement = statement(
    "depth",
    "SELECT count(*) FILTER (WHERE state = 0), count(*) FILTER (WHERE state <> 0), min(next_attempt_at)
     FROM delivery WHERE lane_id = ANY($1::int2[])",
);

/// A void row, so that the id can never be accepted.
pub(super) const VOID: Statement = statement(
    "void",
    "INSERT INTO message (lane_id, queue_id, accepted_at, octets, parts, void, reverse_path, traceparent, tracestate,
                          envelope)
     VALUES ($1, $2, $3, 0, 0, true, '', '', '', '') ON CONFLICT (lane_id, queue_id) DO NOTHING",
);

/// Whoever holds a key for longer than this stands still; nobody else is to stand with it.
pub(super) const KEY_PATIENCE: Statement = statement("key_patience", "SET LOCAL lock_timeout = '2s'");

/// In one order everywhere, so that nobody waits in a circle.
pub(super) const KEY_CLAIM: Statement = statement(
    "key_claim",
    "INSERT INTO idempotency_key (account, key, lane_id, queue_id, fingerprint, note, expires_at)
     SELECT u.account, u.key, u.lane_id, u.queue_id, u.fingerprint, u.note, u.expires_at
     FROM unnest($1::text[], $2::text[], $3::int2[], $4::int8[], $5::bytea[], $6::bytea[], $7::int8[])
          AS u(account, key, lane_id, queue_id, fingerprint, note, expires_at)
     ORDER BY u.account, u.key ON CONFLICT (account, key) DO NOTHING",
);

/// By the place of each key in the question.
pub(super) const KEY_LOOK_UP: Statement = statement(
    "key_look_up",
    "SELECT u.place, k.lane_id, k.queue_id, k.fingerprint, k.note
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u(account, key, place)
     JOIN idempotency_key k ON k.account = u.account AND k.key = u.key",
);

/// Only ever of keys that this transaction has claimed.
pub(super) const KEY_RELEASE: Statement = statement(
    "key_release",
    "DELETE FROM idempotency_key k USING unnest($1::text[], $2::text[]) AS u(account, key)
     WHERE k.account = u.account AND k.key = u.key",
);

pub(super) const KEY_RECALL: Statement = statement(
    "key_recall",
    "SELECT lane_id, queue_id, fingerprint, note FROM idempotency_key WHERE account = $1 AND key = $2",
);

pub(super) const KEY_FORGET: Statement = statement(
    "key_forget",
    "DELETE FROM idempotency_key WHERE (account, key) IN (
        SELECT account, key FROM idempotency_key WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2)",
);

pub(super) const SWEEP_HISTORY: Statement = statement(
    "sweep_history",
    "DELETE FROM history WHERE lane_id = $1 AND queue_id <= (
        SELECT max(queue_id) FROM (
            SELECT queue_id FROM history WHERE lane_id = $1 AND queue_id < $2 ORDER BY queue_id LIMIT $3) oldest)",
);

pub(super) const SWEEP_MESSAGES: Statement = statement(
    "sweep_messages",
    "DELETE FROM message m WHERE m.lane_id = $1 AND m.queue_id < $2 AND NOT EXISTS (
        SELECT 1 FROM delivery q WHERE q.lane_id = m.lane_id AND q.queue_id = m.queue_id)",
);

pub(super) const SWEEP_PARTS: Statement = statement(
    "sweep_parts",
    "DELETE FROM content_part c WHERE c.lane_id = $1 AND c.queue_id < $2 AND NOT EXISTS (
        SELECT 1 FROM message m WHERE m.lane_id = c.lane_id AND m.queue_id = c.queue_id)",
);

pub(super) const REGISTER: Statement = statement(
    "register",
    "INSERT INTO mta_instance (instance_id, lease_until) VALUES ($1, clock_timestamp() + $2 * interval '1 ms')",
);

pub(super) const HEARTBEAT: Statement = statement(
    "heartbeat",
    "UPDATE mta_instance SET lease_until = clock_timestamp() + $2 * interval '1 ms'
     WHERE instance_id = $1 AND NOT dead",
);

pub(super) const STANDING: Statement = statement(
    "standing",
    "SELECT (SELECT count(*) FROM mta_instance WHERE NOT dead), (SELECT count(*) FROM lane),
            array(SELECT lane_id FROM lane WHERE owner = $1 ORDER BY lane_id),
            array(SELECT epoch FROM lane WHERE owner = $1 ORDER BY lane_id)",
);

/// The row lock orders it against a late heartbeat.
pub(super) const BURY: Statement = statement(
    "bury",
    "UPDATE mta_instance SET dead = true WHERE NOT dead AND lease_until < clock_timestamp() - interval '2 s'",
);

pub(super) const FORGET: Statement = statement(
    "forget",
    "DELETE FROM mta_instance i WHERE i.dead AND NOT EXISTS (SELECT 1 FROM lane l WHERE l.owner = i.instance_id)",
);

/// A lane whose owner has no living row is free. One that is locked is in use this moment and waits for the next time.
pub(super) const TAKE: Statement = statement(
    "take",
    "WITH free AS MATERIALIZED (
        SELECT l.lane_id FROM lane l
        WHERE l.owner IS NULL
           OR NOT EXISTS (SELECT 1 FROM mta_instance i WHERE i.instance_id = l.owner AND NOT i.dead)
        ORDER BY random() LIMIT $2 FOR UPDATE OF l SKIP LOCKED)
     UPDATE lane SET owner = $1, epoch = lane.epoch + 1 FROM free
     WHERE lane.lane_id = free.lane_id
       AND EXISTS (SELECT 1 FROM mta_instance WHERE instance_id = $1 AND NOT dead)
     RETURNING lane.lane_id, lane.epoch, greatest(
        (SELECT max(m.queue_id) FROM message m WHERE m.lane_id = lane.lane_id),
        (SELECT max(h.queue_id) FROM history h WHERE h.lane_id = lane.lane_id), 0)",
);

pub(super) const RELEASE: Statement = statement(
    "release",
    "UPDATE lane SET owner = NULL, epoch = epoch + 1 WHERE owner = $1 AND lane_id = ANY($2::int2[])",
);

pub(super) const RETIRE: Statement = statement(
    "retire",
    "WITH me AS (DELETE FROM mta_instance WHERE instance_id = $1)
     UPDATE lane SET owner = NULL, epoch = epoch + 1 WHERE owner = $1",
);
