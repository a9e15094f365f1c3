-- Clicks: a row for each visit, by the day, and what the visits of a link add up to.

-- Totals, added to in the transaction that stores the visits. Prefetches are the rest: total - people - bots.
ALTER TABLE link_clicks ADD COLUMN people bigint NOT NULL DEFAULT 0 CHECK (people >= 0);
ALTER TABLE link_clicks ADD COLUMN bots bigint NOT NULL DEFAULT 0 CHECK (bots >= 0);
-- Until now nobody told bots from people.
UPDATE link_clicks SET people = total;
ALTER TABLE link_clicks ADD CHECK (people + bots <= total);

-- A batch of clicks is stored once, by its id. Its number is part of the ids of its visits; until it is rolled up,
-- its visits are missing in click_hour and click_day.
ALTER TABLE click_batch ADD COLUMN number bigint NOT NULL GENERATED ALWAYS AS IDENTITY;
ALTER TABLE click_batch ADD COLUMN first_at timestamptz;
ALTER TABLE click_batch ADD COLUMN last_at timestamptz;
ALTER TABLE click_batch ADD COLUMN rolled_up boolean NOT NULL DEFAULT true;
ALTER TABLE click_batch ALTER COLUMN rolled_up SET DEFAULT false;
ALTER TABLE click_batch ADD CHECK (rolled_up OR (first_at IS NOT NULL AND last_at IS NOT NULL));
CREATE INDEX click_batch_to_roll_up ON click_batch (number) WHERE NOT rolled_up;

-- One row a visit, unless the visitor asked not to be tracked. The id is the number of its batch * 16384 + its place
-- in the batch. A partition holds one day (UTC) and is dropped when the day is too old.
CREATE TABLE visit (
    id      bigint      NOT NULL,
    link_id bigint      NOT NULL,
    at      timestamptz NOT NULL,
    kind    text        NOT NULL CHECK (kind IN ('person', 'bot', 'preview', 'prefetch')),
    device  text        NOT NULL,
    browser text        NOT NULL,
    country text        CHECK (length(country) = 2),
    referrer text       CHECK (length(referrer) BETWEEN 1 AND 253),
    network inet
) PARTITION BY RANGE (at);
CREATE INDEX visit_by_link ON visit (link_id, at, id);
CREATE INDEX visit_by_id ON visit (id);

-- Visits without a row, added up, until their batch is rolled up.
CREATE TABLE visit_without_row (
    batch   bigint      NOT NULL,
    link_id bigint      NOT NULL,
    hour    timestamptz NOT NULL,
    kind    text        NOT NULL CHECK (kind IN ('person', 'bot', 'preview', 'prefetch')),
    visits  bigint      NOT NULL CHECK (visits > 0)
);
CREATE INDEX visit_without_row_by_batch ON visit_without_row (batch);

-- Visits added up by the hour.
CREATE TABLE click_hour (
    link_id bigint      NOT NULL,
    hour    timestamptz NOT NULL,
    total   bigint      NOT NULL,
    people  bigint      NOT NULL,
    bots    bigint      NOT NULL,
    PRIMARY KEY (link_id, hour),
    CHECK (people >= 0 AND bots >= 0 AND people + bots <= total)
) WITH (fillfactor = 70);
CREATE INDEX click_hour_by_age ON click_hour USING brin (hour);

-- Visits added up by the day (UTC), for each value that they have in a dimension. In each dimension the values of a
-- day add up to the same. '' is not known or not told; '*' is every referrer beyond the day's first hundred.
CREATE TABLE click_day (
    link_id   bigint NOT NULL,
    dimension text   NOT NULL CHECK (dimension IN ('all', 'device', 'browser', 'country', 'referrer')),
    day       date   NOT NULL,
    value     text   NOT NULL,
    total     bigint NOT NULL,
    people    bigint NOT NULL,
    bots      bigint NOT NULL,
    PRIMARY KEY (link_id, dimension, day, value),
    CHECK (people >= 0 AND bots >= 0 AND people + bots <= total),
    CHECK (dimension <> 'all' OR value = '')
) WITH (fillfactor = 70);
