-- Names and local parts are stored as they are compared: domains as A-labels, local parts in lower case. COLLATE "C" keeps
-- their order the same on every server.
CREATE TABLE directory_domains (
    name       TEXT COLLATE "C" PRIMARY KEY,
    shown      TEXT NOT NULL,               -- as it was given, perhaps with UTF-8
    created_at BIGINT NOT NULL              -- milliseconds since 1970
);

-- Accounts and aliases share one key, so that an address can never be both.
CREATE TABLE directory_addresses (
    domain     TEXT COLLATE "C" NOT NULL REFERENCES directory_domains (name),
    local_part TEXT COLLATE "C" NOT NULL,   -- '*' catches what nothing else of the domain takes
    password   TEXT,                        -- an account's, as a PHC string; an alias has none
    created_at BIGINT NOT NULL,
    PRIMARY KEY (domain, local_part)
);

-- Who gets the postmaster's mail where nobody was named for it: the oldest account.
CREATE INDEX directory_accounts_of_domain ON directory_addresses (domain, created_at, local_part) WHERE password IS NOT NULL;
CREATE INDEX directory_accounts_by_age ON directory_addresses (created_at, domain, local_part) WHERE password IS NOT NULL;

CREATE TABLE directory_targets (
    domain     TEXT COLLATE "C" NOT NULL,
    local_part TEXT COLLATE "C" NOT NULL,
    position   INTEGER NOT NULL,
    target     TEXT NOT NULL,               -- as it was given: elsewhere, case may matter
    target_key TEXT COLLATE "C" NOT NULL,   -- as it is compared, to find the aliases of an account
    PRIMARY KEY (domain, local_part, position),
    FOREIGN KEY (domain, local_part) REFERENCES directory_addresses (domain, local_part) ON DELETE CASCADE
);

CREATE INDEX directory_targets_by_key ON directory_targets (target_key);
