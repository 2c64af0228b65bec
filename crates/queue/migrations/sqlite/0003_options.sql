-- What MAIL asked for beyond time: rows of an older program are of normal priority and without a token.
ALTER TABLE delivery ADD COLUMN priority INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN tick TEXT;
ALTER TABLE history ADD COLUMN tick TEXT;
