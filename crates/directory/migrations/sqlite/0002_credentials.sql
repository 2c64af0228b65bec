-- SCRAM keys (RFC 5802) beside the password's hash. They count only while scram_of equals password: a program that knows no
-- SCRAM changes password alone, and the keys of the old password must not outlive it.
ALTER TABLE directory_addresses ADD COLUMN scram TEXT;
ALTER TABLE directory_addresses ADD COLUMN scram_of TEXT;

-- What is secret and the same for all that serve this directory; made where it is missing.
CREATE TABLE directory_secrets (
    name   TEXT PRIMARY KEY,
    secret BLOB NOT NULL
) STRICT, WITHOUT ROWID;
