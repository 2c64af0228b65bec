//! Domains, accounts, aliases and credentials on Postgres and on SQLite
