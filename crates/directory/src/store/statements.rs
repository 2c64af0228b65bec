//! Every statement of the directory, each with the name that spans show. The two storages understand the same text; they
//! differ in their migrations only.

/// A statement and its name.
pub(super) struct Statement {
    pub(super) name: &'static str,
    pub(super) sql: &'static str,
}

pub(super) const PING: Statement = Statement { name: "ping", sql: "SELECT 1" };

pub(super) const SCHEMA_VERSION: Statement =
    Statement { name: "schema_version", sql: "SELECT max(version) FROM directory_migrations WHERE success" };

/// Everything that may decide where an address's mail goes, by primary keys: `$2` the local part, `$3` without its detail.
pub(super) const LOOK_UP: Statement = Statement {
    name: "look_up",
    sql: "SELECT d.shown, a.local_part, t.target \
          FROM directory_domains d \
          LEFT JOIN directory_addresses a ON a.domain = d.name AND a.local_part IN ($2, $3, '*') \
          LEFT JOIN directory_targets t ON t.domain = a.domain AND t.local_part = a.local_part \
          WHERE d.name = $1 ORDER BY a.local_part, t.position",
};

pub(super) const CREDENTIALS: Statement = Statement {
    name: "credentials",
    sql: "SELECT a.password, CASE WHEN a.scram_of = a.password THEN a.scram END, d.shown, a.created_at \
          FROM directory_addresses a JOIN directory_domains d ON d.name = a.domain \
          WHERE a.domain = $1 AND a.local_part = $2 AND a.password IS NOT NULL",
};

/// What an account may do, in one question: its own limits in every row, and in each an alias that leads directly to `$3`
/// (kind 0: domain, local part, shown domain) or a grant (kind 1: pattern, nothing, shown pattern); nulls where it has none.
pub(super) const RIGHTS_OF: Statement = Statement {
    name: "rights_of",
    sql: "SELECT q.messages_per_hour, q.messages_per_day, q.recipients_per_hour, q.recipients_per_day, \
                 q.octets_per_hour, q.octets_per_day, r.kind, r.minor, r.shown \
          FROM (SELECT 1 AS one) AS one \
          LEFT JOIN directory_quotas q ON q.domain = $1 AND q.local_part = $2 \
          LEFT JOIN ( \
              SELECT 0 AS kind, t.domain AS major, t.local_part AS minor, d.shown AS shown \
              FROM directory_targets t JOIN directory_domains d ON d.name = t.domain WHERE t.target_key = $3 \
              UNION ALL \
              SELECT 1 AS kind, g.pattern AS major, '' AS minor, g.shown AS shown \
              FROM directory_grants g WHERE g.domain = $1 AND g.local_part = $2 \
          ) AS r ON 1 = 1 ORDER BY r.kind, r.major, r.minor",
};

pub(super) const ADD_GRANT: Statement = Statement {
    name: "add_grant",
    sql: "INSERT INTO directory_grants (domain, local_part, pattern, shown, created_at) \
          SELECT domain, local_part, $3, $4, $5 FROM directory_addresses \
          WHERE domain = $1 AND local_part = $2 AND password IS NOT NULL ON CONFLICT DO NOTHING",
};

pub(super) const REMOVE_GRANT: Statement = Statement {
    name: "remove_grant",
    sql: "DELETE FROM directory_grants WHERE domain = $1 AND local_part = $2 AND pattern = $3",
};

/// The grants of all accounts, or of those of the domain `$1`.
pub(super) const GRANTS: Statement = Statement {
    name: "grants",
    sql: "SELECT domain, local_part, shown FROM directory_grants \
          WHERE ($1 IS NULL OR domain = $1) ORDER BY domain, local_part, pattern",
};

pub(super) const QUOTA: Statement = Statement {
    name: "quota",
    sql: "SELECT messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day, \
                 octets_per_hour, octets_per_day, ledger \
          FROM directory_quotas WHERE domain = $1 AND local_part = $2",
};

/// Makes an account's row, or locks it where it is there; no row where there is no such account.
pub(super) const CLAIM_QUOTA: Statement = Statement {
    name: "claim_quota",
    sql: "INSERT INTO directory_quotas (domain, local_part) \
          SELECT domain, local_part FROM directory_addresses \
          WHERE domain = $1 AND local_part = $2 AND password IS NOT NULL \
          ON CONFLICT (domain, local_part) DO UPDATE SET local_part = excluded.local_part \
          RETURNING messages_per_hour, messages_per_day, recipients_per_hour, recipients_per_day, \
                    octets_per_hour, octets_per_day, ledger",
};

pub(super) const WRITE_QUOTA: Statement = Statement {
    name: "write_quota",
    sql: "UPDATE directory_quotas SET messages_per_hour = $3, messages_per_day = $4, recipients_per_hour = $5, \
                 recipients_per_day = $6, octets_per_hour = $7, octets_per_day = $8, ledger = $9, used_at = $10 \
          WHERE domain = $1 AND local_part = $2",
};

/// Ledgers in which nothing counts any more.
pub(super) const SWEEP_LEDGERS: Statement = Statement {
    name: "sweep_ledgers",
    sql: "UPDATE directory_quotas SET ledger = '' WHERE ledger <> '' AND used_at < $1",
};

/// Rows that say nothing.
pub(super) const SWEEP_QUOTAS: Statement = Statement {
    name: "sweep_quotas",
    sql: "DELETE FROM directory_quotas WHERE used_at < $1 AND coalesce(messages_per_hour, messages_per_day, \
                 recipients_per_hour, recipients_per_day, octets_per_hour, octets_per_day) IS NULL",
};

pub(super) const OLDEST_ACCOUNT_OF_DOMAIN: Statement = Statement {
    name: "oldest_account_of_domain",
    sql: "SELECT a.local_part, d.shown FROM directory_addresses a JOIN directory_domains d ON d.name = a.domain \
          WHERE a.domain = $1 AND a.password IS NOT NULL ORDER BY a.created_at, a.local_part LIMIT 1",
};

pub(super) const OLDEST_ACCOUNT: Statement = Statement {
    name: "oldest_account",
    sql: "SELECT a.local_part, d.shown FROM directory_addresses a JOIN directory_domains d ON d.name = a.domain \
          WHERE a.password IS NOT NULL ORDER BY a.created_at, a.domain, a.local_part LIMIT 1",
};

pub(super) const OLDEST_DOMAIN: Statement = Statement {
    name: "oldest_domain",
    sql: "SELECT shown FROM directory_domains ORDER BY created_at, name LIMIT 1",
};

pub(super) const ADD_DOMAIN: Statement = Statement {
    name: "add_domain",
    sql: "INSERT INTO directory_domains (name, shown, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
};

pub(super) const REMOVE_DOMAIN: Statement =
    Statement { name: "remove_domain", sql: "DELETE FROM directory_domains WHERE name = $1" };

pub(super) const DOMAINS: Statement =
    Statement { name: "domains", sql: "SELECT shown FROM directory_domains ORDER BY name" };

pub(super) const ADD_ACCOUNT: Statement = Statement {
    name: "add_account",
    sql: "INSERT INTO directory_addresses (domain, local_part, password, scram, scram_of, created_at) \
          VALUES ($1, $2, $3, $4, $3, $5) \
          ON CONFLICT DO NOTHING",
};

pub(super) const SET_PASSWORD: Statement = Statement {
    name: "set_password",
    sql: "UPDATE directory_addresses SET password = $3, scram = $4, scram_of = $3 \
          WHERE domain = $1 AND local_part = $2 AND password IS NOT NULL",
};

/// Only while the password is still the one that the keys were made of.
pub(super) const SET_SCRAM: Statement = Statement {
    name: "set_scram",
    sql: "UPDATE directory_addresses SET scram = $4, scram_of = $3 \
          WHERE domain = $1 AND local_part = $2 AND password = $3",
};

pub(super) const DROP_SCRAM: Statement = Statement {
    name: "drop_scram",
    sql: "UPDATE directory_addresses SET scram = NULL, scram_of = NULL WHERE scram IS NOT NULL",
};

pub(super) const SECRET: Statement =
    Statement { name: "secret", sql: "SELECT secret FROM directory_secrets WHERE name = $1" };

pub(super) const ADD_SECRET: Statement = Statement {
    name: "add_secret",
    sql: "INSERT INTO directory_secrets (name, secret) VALUES ($1, $2) ON CONFLICT DO NOTHING",
};

pub(super) const REMOVE_ACCOUNT: Statement = Statement {
    name: "remove_account",
    sql: "DELETE FROM directory_addresses WHERE domain = $1 AND local_part = $2 AND password IS NOT NULL",
};

/// All accounts, or those of the domain `$1`.
pub(super) const ACCOUNTS: Statement = Statement {
    name: "accounts",
    sql: "SELECT a.domain, a.local_part, d.shown, a.created_at, \
                 q.messages_per_hour, q.messages_per_day, q.recipients_per_hour, q.recipients_per_day, \
                 q.octets_per_hour, q.octets_per_day \
          FROM directory_addresses a JOIN directory_domains d ON d.name = a.domain \
          LEFT JOIN directory_quotas q ON q.domain = a.domain AND q.local_part = a.local_part \
          WHERE a.password IS NOT NULL AND ($1 IS NULL OR a.domain = $1) ORDER BY a.domain, a.local_part",
};

/// Shown domain and age of one account.
pub(super) const ACCOUNT: Statement = Statement {
    name: "account",
    sql: "SELECT d.shown, a.created_at FROM directory_addresses a JOIN directory_domains d ON d.name = a.domain \
          WHERE a.domain = $1 AND a.local_part = $2 AND a.password IS NOT NULL",
};

/// Makes the alias, or locks it where it is there; says whether the address is an account's instead.
pub(super) const CLAIM_ALIAS: Statement = Statement {
    name: "claim_alias",
    sql: "INSERT INTO directory_addresses (domain, local_part, created_at) VALUES ($1, $2, $3) \
          ON CONFLICT (domain, local_part) DO UPDATE SET local_part = excluded.local_part \
          RETURNING CASE WHEN password IS NULL THEN 0 ELSE 1 END",
};

pub(super) const CLEAR_TARGETS: Statement = Statement {
    name: "clear_targets",
    sql: "DELETE FROM directory_targets WHERE domain = $1 AND local_part = $2",
};

pub(super) const ADD_TARGET: Statement = Statement {
    name: "add_target",
    sql: "INSERT INTO directory_targets (domain, local_part, position, target, target_key) \
          VALUES ($1, $2, $3, $4, $5)",
};

pub(super) const REMOVE_ALIAS: Statement = Statement {
    name: "remove_alias",
    sql: "DELETE FROM directory_addresses WHERE domain = $1 AND local_part = $2 AND password IS NULL",
};

/// All aliases, or those of the domain `$1`, a row for each target.
pub(super) const ALIASES: Statement = Statement {
    name: "aliases",
    sql: "SELECT t.local_part, d.shown, t.target, t.target_key \
          FROM directory_targets t JOIN directory_domains d ON d.name = t.domain \
          WHERE ($1 IS NULL OR t.domain = $1) ORDER BY t.domain, t.local_part, t.position",
};
