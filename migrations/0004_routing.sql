-- What a link can do besides leading to one target: rules, a limit of clicks, previews.

ALTER TABLE link
    -- Where some visitors are led instead, in the JSON form of the API; NULL: nobody.
    ADD COLUMN rules       jsonb  CHECK (jsonb_typeof(rules) = 'array' AND jsonb_array_length(rules) BETWEEN 1 AND 32),
    -- How often the link can be opened, and how often it was since it has such a limit. The second may be larger
    -- than the first: the limit can be lowered.
    ADD COLUMN max_clicks  bigint CHECK (max_clicks BETWEEN 1 AND 9007199254740992),
    ADD COLUMN clicks_used bigint NOT NULL DEFAULT 0 CHECK (clicks_used >= 0),
    ADD COLUMN description text   CHECK (char_length(description) BETWEEN 1 AND 500),
    ADD COLUMN image       text   CHECK (octet_length(image) BETWEEN 1 AND 8192);

-- A browser that remembers the redirect would open the link without being counted.
ALTER TABLE link ADD CONSTRAINT limited_links_are_asked_for_each_time
    CHECK (max_clicks IS NULL OR (status IN (302, 307) AND cache_seconds IS NULL));
