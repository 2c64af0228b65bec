-- Which message was accepted under which idempotency key; written in the transaction that accepts the message. `note` is
-- what whoever repeats the request is told.
CREATE TABLE idempotency_key (
    account text NOT NULL,
    key text NOT NULL,
    lane_id int2 NOT NULL,
    queue_id int8 NOT NULL,
    fingerprint bytea NOT NULL,
    note bytea NOT NULL,
    expires_at int8 NOT NULL,
    PRIMARY KEY (account, key)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
CREATE INDEX idempotency_key_expiry ON idempotency_key (expires_at);
