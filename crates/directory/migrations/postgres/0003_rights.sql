-- What an account may send as besides its own addresses and aliases.
CREATE TABLE directory_grants (
    domain     TEXT COLLATE "C" NOT NULL,   -- of the account
    local_part TEXT COLLATE "C" NOT NULL,
    pattern    TEXT COLLATE "C" NOT NULL,   -- as it is compared
    shown      TEXT NOT NULL,               -- as it was given: an address, '*@domain' or '*@*'
    created_at BIGINT NOT NULL,
    PRIMARY KEY (domain, local_part, pattern),
    FOREIGN KEY (domain, local_part) REFERENCES directory_addresses (domain, local_part) ON DELETE CASCADE
);

-- How much an account may submit, and what it has submitted: one row at most for each account.
CREATE TABLE directory_quotas (
    domain              TEXT COLLATE "C" NOT NULL,
    local_part          TEXT COLLATE "C" NOT NULL,
    messages_per_hour   BIGINT,             -- null as configured for all, 0 without limit
    messages_per_day    BIGINT,
    recipients_per_hour BIGINT,
    recipients_per_day  BIGINT,
    octets_per_hour     BIGINT,
    octets_per_day      BIGINT,
    ledger              TEXT NOT NULL DEFAULT '',   -- what counts now; see src/ledger.rs
    used_at             BIGINT NOT NULL DEFAULT 0,  -- when the ledger was written
    PRIMARY KEY (domain, local_part),
    FOREIGN KEY (domain, local_part) REFERENCES directory_addresses (domain, local_part) ON DELETE CASCADE
);
