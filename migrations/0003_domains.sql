-- What a domain says besides how it reads slugs: how long the generated ones are, and where people go
-- instead of the small pages.

ALTER TABLE domain
    -- NULL: as the setting links.slug_length says.
    ADD COLUMN slug_length smallint    CHECK (slug_length BETWEEN 5 AND 10),
    -- NULL: the small page.
    ADD COLUMN root_url    text        CHECK (octet_length(root_url) BETWEEN 1 AND 8192),
    ADD COLUMN unknown_url text        CHECK (octet_length(unknown_url) BETWEEN 1 AND 8192),
    ADD COLUMN gone_url    text        CHECK (octet_length(gone_url) BETWEEN 1 AND 8192),
    ADD COLUMN updated_at  timestamptz NOT NULL DEFAULT now();
UPDATE domain SET updated_at = created_at;
