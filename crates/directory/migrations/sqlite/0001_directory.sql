-- Names and local parts are stored as they are compared: domains as A-labels, local parts in lower case.
CREATE TABLE directory_domains (
    name       TEXT PRIMARY KEY,
    shown      TEXT NOT NULL,               -- as it was given, perhaps with UTF-8
    created_at INTEGER NOT NULL             -- milliseconds since 1970
) STRICT, WITHOUT ROWID;

-- Accounts and aliases share one key, so that an address can never be both.
CREATE TABLE directory_addresses (
    domain     TEXT NOT NULL REFERENCES directory_domains (name),
    local_part TEXT NOT NULL,               -- '*' catches what nothing else of the domain takes
    password   TEXT,                        -- an account's, as a PHC string; an alias has none
    created_at INTEGER NOT NULL,
    PRIMARY KEY (domain, local_part)
) STRICT, WITHOUT ROWID;

-- Who gets the postmaster's mail where nobody was named for it: the oldest account.
CREATE INDEX directory_accounts_of_domain ON directory_addresses (domain, created_at, local_part) WHERE password IS NOT NULL;
CREATE INDEX directory_accounts_by_age ON directory_addresses (created_at, domain, local_part) WHERE password IS NOT NULL;

CREATE TABLE directory_targets (
    domain     TEXT NOT NULL,
    local_part TEXT NOT NULL,
    position   INTEGER NOT NULL,
    target     TEXT NOT NULL,               -- as it was given: elsewhere, case may matter
    target_key TEXT NOT NULL,               -- as it is compared, to find the aliases of an account
    PRIMARY KEY (domain, local_part, position),
    FOREIGN KEY (domain, local_part) REFERENCES directory_addresses (domain, local_part) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE INDEX directory_targets_by_key ON directory_targets (target_key);
