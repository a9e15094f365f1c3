-- Who is signed in to the console. A session is known by the SHA-256 of its id, which only the browser has: who reads
-- this table signs in to nothing. It ends with its time, with being left alone, and with its key.
CREATE TABLE console_session (
    id_hash      bytea       PRIMARY KEY CHECK (octet_length(id_hash) = 32),
    key_id       text        NOT NULL REFERENCES api_key,
    created_at   timestamptz NOT NULL,
    last_seen_at timestamptz NOT NULL CHECK (last_seen_at >= created_at),
    expires_at   timestamptz NOT NULL CHECK (expires_at > created_at)
) WITH (fillfactor = 70);
CREATE INDEX console_session_by_end ON console_session (expires_at);
CREATE INDEX console_session_of_key ON console_session (key_id, created_at);
