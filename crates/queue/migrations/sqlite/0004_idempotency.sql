-- Which message was accepted under which idempotency key; written in the transaction that accepts the message. `note` is
-- what whoever repeats the request is told.
CREATE TABLE idempotency_key (
    account TEXT NOT NULL,
    key TEXT NOT NULL,
    lane_id INTEGER NOT NULL,
    queue_id INTEGER NOT NULL,
    fingerprint BLOB NOT NULL,
    note BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (account, key)
) STRICT, WITHOUT ROWID;
CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at);
