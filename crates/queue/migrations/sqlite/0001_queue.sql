-- The same tables as on Postgres, with one lane and without leases: the lock file says who owns the queue.
-- Times are milliseconds since 1970, UTC.

-- One row per message with a pending recipient; a void one keeps an id from ever being accepted.
CREATE TABLE message (
    lane_id INTEGER NOT NULL,
    queue_id INTEGER NOT NULL,
    accepted_at INTEGER NOT NULL,
    octets INTEGER NOT NULL,
    parts INTEGER NOT NULL,
    void INTEGER NOT NULL DEFAULT 0,
    reverse_path TEXT NOT NULL,
    account TEXT,
    traceparent TEXT NOT NULL,
    tracestate TEXT NOT NULL,
    envelope BLOB NOT NULL,
    content BLOB,
    PRIMARY KEY (lane_id, queue_id)
) STRICT;

CREATE TABLE content_part (
    lane_id INTEGER NOT NULL,
    queue_id INTEGER NOT NULL,
    part_no INTEGER NOT NULL,
    octets BLOB NOT NULL,
    PRIMARY KEY (lane_id, queue_id, part_no)
) STRICT;

-- One row per pending recipient: there is no other truth about what is pending. state: 0 fresh, 1 deferred.
CREATE TABLE delivery (
    lane_id INTEGER NOT NULL,
    queue_id INTEGER NOT NULL,
    rcpt_no INTEGER NOT NULL,
    state INTEGER NOT NULL DEFAULT 0,
    notify INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_attempt_at INTEGER,
    expires_at INTEGER NOT NULL,
    delay_notice_at INTEGER,
    destination TEXT NOT NULL,
    forward_path TEXT NOT NULL,
    original TEXT,
    last_status TEXT,
    last_remote TEXT,
    PRIMARY KEY (lane_id, queue_id, rcpt_no)
) STRICT, WITHOUT ROWID;
CREATE INDEX delivery_due ON delivery (lane_id, destination, next_attempt_at) WHERE state = 1;
CREATE INDEX delivery_expiry ON delivery (lane_id, expires_at) WHERE state <> 0;

-- What happened. The last five columns stand in final rows only, for the message row goes with the last recipient.
CREATE TABLE history (
    lane_id INTEGER NOT NULL,
    queue_id INTEGER NOT NULL,
    at INTEGER NOT NULL,
    rcpt_no INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    action INTEGER NOT NULL,
    forward_path TEXT NOT NULL,
    status TEXT NOT NULL,
    remote TEXT,
    accepted_at INTEGER,
    octets INTEGER,
    reverse_path TEXT,
    account TEXT,
    traceparent TEXT
) STRICT;
CREATE INDEX history_message ON history (lane_id, queue_id);
