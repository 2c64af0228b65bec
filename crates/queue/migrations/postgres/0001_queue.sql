-- Times are milliseconds since 1970, UTC, from the clock of the instances; only leases use the database's clock.
-- No foreign keys, triggers, sequences or enums: nothing here may lock or order what need not be.

-- One row per running process.
CREATE TABLE mta_instance (
    instance_id uuid PRIMARY KEY,
    lease_until timestamptz NOT NULL,
    dead boolean NOT NULL DEFAULT false
) WITH (fillfactor = 50);

-- The shares of the queue. `epoch` grows with every change of owner and fences whoever has not noticed.
CREATE TABLE lane (
    lane_id int2 PRIMARY KEY,
    owner uuid,
    epoch int8 NOT NULL DEFAULT 0
) WITH (fillfactor = 50);
INSERT INTO lane (lane_id) SELECT generate_series(0, 255);

-- One row per message with a pending recipient; a void one keeps an id from ever being accepted.
CREATE TABLE message (
    lane_id int2 NOT NULL,
    queue_id int8 NOT NULL,
    accepted_at int8 NOT NULL,
    octets int8 NOT NULL,
    parts int4 NOT NULL,
    void boolean NOT NULL DEFAULT false,
    reverse_path text NOT NULL,
    account text,
    traceparent text NOT NULL,
    tracestate text NOT NULL,
    envelope bytea NOT NULL,
    content bytea,
    PRIMARY KEY (lane_id, queue_id)
) WITH (toast_tuple_target = 8160, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE message ALTER COLUMN content SET STORAGE EXTERNAL;
ALTER TABLE message ALTER COLUMN envelope SET STORAGE MAIN;

-- Content that does not fit the page of its message. A part fills one page, so that nothing is moved out of line.
CREATE TABLE content_part (
    lane_id int2 NOT NULL,
    queue_id int8 NOT NULL,
    part_no int4 NOT NULL,
    octets bytea NOT NULL,
    PRIMARY KEY (lane_id, queue_id, part_no)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000);
ALTER TABLE content_part ALTER COLUMN octets SET STORAGE PLAIN;

-- One row per pending recipient: there is no other truth about what is pending. state: 0 fresh, 1 deferred.
CREATE TABLE delivery (
    lane_id int2 NOT NULL,
    queue_id int8 NOT NULL,
    rcpt_no int4 NOT NULL,
    state int2 NOT NULL DEFAULT 0,
    notify int2 NOT NULL,
    attempts int4 NOT NULL DEFAULT 0,
    next_attempt_at int8,
    expires_at int8 NOT NULL,
    delay_notice_at int8,
    destination text NOT NULL,
    forward_path text NOT NULL,
    original text,
    last_status text,
    last_remote text,
    PRIMARY KEY (lane_id, queue_id, rcpt_no)
) WITH (fillfactor = 90, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 5000,
        autovacuum_vacuum_cost_delay = 0);
-- What is delivered at its first attempt never enters these.
-- The first has the whole order of a load, so that a load reads no more than it answers.
CREATE INDEX delivery_due ON delivery (lane_id, destination, next_attempt_at, queue_id, rcpt_no) WHERE state = 1;
CREATE INDEX delivery_expiry ON delivery (lane_id, expires_at) WHERE state <> 0;

-- What happened. The last five columns stand in final rows only, for the message row goes with the last recipient.
CREATE TABLE history (
    lane_id int2 NOT NULL,
    queue_id int8 NOT NULL,
    at int8 NOT NULL,
    rcpt_no int4 NOT NULL,
    attempt int4 NOT NULL,
    action int2 NOT NULL,
    forward_path text NOT NULL,
    status text NOT NULL,
    remote text,
    accepted_at int8,
    octets int8,
    reverse_path text,
    account text,
    traceparent text
);
CREATE INDEX history_message ON history (lane_id, queue_id);
