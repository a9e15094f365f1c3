-- Campaigns, referral codes, clicks that lead through an app store, bindings, triggers.

-- A referral activity. Its number stands for it in records and tokens.
CREATE TABLE campaign (
    id         text        PRIMARY KEY CHECK (id ~ '^[a-z0-9]+(-[a-z0-9]+)*$' AND length(id) <= 40),
    number     integer     NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- What a campaign was, is or may become. A document never changes; its state does, and may go back to active.
CREATE TABLE campaign_version (
    campaign_id  text        NOT NULL REFERENCES campaign,
    version      integer     NOT NULL CHECK (version >= 1),
    state        text        NOT NULL DEFAULT 'draft' CHECK (state IN ('draft', 'active', 'retired')),
    format       text        NOT NULL CHECK (format IN ('toml', 'json')),
    document     text        NOT NULL CHECK (octet_length(document) BETWEEN 1 AND 262144),
    hash         bytea       NOT NULL CHECK (octet_length(hash) = 32),
    created_by   text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    activated_at timestamptz,
    retired_at   timestamptz,
    PRIMARY KEY (campaign_id, version),
    -- The same content again is the same version.
    UNIQUE (campaign_id, hash),
    CHECK ((state = 'draft') = (activated_at IS NULL)),
    CHECK ((state = 'retired') = (retired_at IS NOT NULL))
);
CREATE UNIQUE INDEX campaign_version_active ON campaign_version (campaign_id) WHERE state = 'active';

CREATE FUNCTION keep_campaign_document() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'a version of a campaign never changes its document';
END $$;
CREATE TRIGGER campaign_document_is_kept BEFORE UPDATE OF campaign_id, version, format, document, hash, created_by, created_at
    ON campaign_version FOR EACH ROW EXECUTE FUNCTION keep_campaign_document();

-- Grows with every activation and retirement, in the same transaction: processes ask for it twice a second.
CREATE TABLE campaign_change (
    id     smallint PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    number bigint   NOT NULL
);
INSERT INTO campaign_change (number) VALUES (0);

-- Codes that were generated in advance, in the order in which they are handed out. Those before the position were.
CREATE TABLE code_pool (
    length    smallint PRIMARY KEY CHECK (length BETWEEN 6 AND 10),
    generated bigint   NOT NULL DEFAULT 0 CHECK (generated >= 0),
    position  bigint   NOT NULL DEFAULT 0 CHECK (position BETWEEN 0 AND generated)
);
CREATE TABLE pooled_code (
    length   smallint NOT NULL REFERENCES code_pool,
    position bigint   NOT NULL CHECK (position >= 0),
    code     text     NOT NULL UNIQUE CHECK (code ~ '^[0-9A-HJ-NP-Z]+$' AND char_length(code) = length),
    PRIMARY KEY (length, position)
);

-- The code that a user shares. An operator can give another one; the old one goes on leading to the same user.
CREATE TABLE referral_code (
    code        text        PRIMARY KEY CHECK (code ~ '^[0-9A-HJ-NP-Z]{4,20}$'),
    -- Clicks are counted by it, as those of links.
    id          bigint      NOT NULL UNIQUE DEFAULT nextval('link_id'),
    version     bigint      NOT NULL DEFAULT nextval('link_version'),
    campaign_id text        NOT NULL REFERENCES campaign,
    user_id     text        NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 128),
    -- What the landing page shows of the user's name: masked before it is stored.
    shown_name  text        CHECK (char_length(shown_name) BETWEEN 1 AND 64),
    vanity      boolean     NOT NULL DEFAULT false,
    current     boolean     NOT NULL DEFAULT true,
    disabled    boolean     NOT NULL DEFAULT false,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX referral_code_of_user ON referral_code (campaign_id, user_id) WHERE current;
CREATE INDEX referral_code_by_user ON referral_code (campaign_id, user_id);

-- Which click a visit was, when it was one of a landing page: claims and bindings refer to it.
ALTER TABLE visit ADD COLUMN click_id uuid;
CREATE INDEX visit_by_click ON visit (click_id) WHERE click_id IS NOT NULL;

-- Keys that sign click tokens. A key signs from a moment at which every process knows it.
CREATE TABLE click_token_key (
    id         integer     PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    secret     bytea       NOT NULL CHECK (octet_length(secret) = 32),
    signs_from timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- An installed app handed a click token back: once for each click.
CREATE TABLE claim (
    click_id         uuid        PRIMARY KEY,
    campaign_id      text        NOT NULL,
    campaign_version integer     NOT NULL,
    code             text        NOT NULL REFERENCES referral_code,
    domain_id        integer     NOT NULL,
    clicked_at       timestamptz NOT NULL,
    install_id       text        NOT NULL CHECK (char_length(install_id) BETWEEN 1 AND 128),
    source           text        NOT NULL CHECK (source IN (
        'play_store', 'app_gallery', 'get_apps', 'galaxy_store', 'universal_link', 'app_link', 'paste', 'other')),
    -- What the store said: when its page was opened, and when the installation began.
    store_opened_at  timestamptz,
    install_began_at timestamptz,
    claimed_at       timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (campaign_id, campaign_version) REFERENCES campaign_version
);
CREATE INDEX claim_by_install ON claim (campaign_id, install_id);

-- Who was invited by whom: one for each invitee in a campaign, for ever.
CREATE TABLE binding (
    campaign_id      text        NOT NULL,
    invitee          text        NOT NULL CHECK (char_length(invitee) BETWEEN 1 AND 128),
    id               bigint      NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
    inviter          text        NOT NULL,
    code             text        NOT NULL REFERENCES referral_code,
    click_id         uuid        UNIQUE REFERENCES claim,
    campaign_version integer     NOT NULL,
    state            text        NOT NULL CHECK (state IN ('bound', 'held')),
    -- Keyed hashes, not the things themselves.
    device           bytea       CHECK (octet_length(device) = 16),
    network          inet,
    bound_at         timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (campaign_id, invitee),
    CHECK (invitee <> inviter),
    FOREIGN KEY (campaign_id, campaign_version) REFERENCES campaign_version
);
CREATE INDEX binding_by_inviter ON binding (campaign_id, inviter);
CREATE INDEX binding_by_device ON binding (campaign_id, device, bound_at) WHERE device IS NOT NULL;
CREATE INDEX binding_by_network ON binding (campaign_id, network, bound_at) WHERE network IS NOT NULL;

-- What was decided when somebody asked for a binding, and why. Append only.
CREATE TABLE binding_decision (
    id               bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    campaign_id      text        NOT NULL REFERENCES campaign,
    campaign_version integer,
    invitee          text        NOT NULL,
    inviter          text,
    code             text,
    click_id         uuid,
    outcome          text        NOT NULL CHECK (outcome IN ('bound', 'held', 'refused')),
    -- The stable code of what decided it; none: nothing stood against it.
    reason           text        CHECK (reason IS NOT NULL OR outcome = 'bound'),
    -- What each check said, with the version of its rule, in order.
    checks           jsonb       NOT NULL DEFAULT '[]',
    device           bytea       CHECK (octet_length(device) = 16),
    network          inet,
    decided_at       timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX binding_decision_by_invitee ON binding_decision (campaign_id, invitee, id);
CREATE INDEX binding_decision_by_device ON binding_decision (campaign_id, device, decided_at) WHERE device IS NOT NULL;
CREATE INDEX binding_decision_by_network ON binding_decision (campaign_id, network, decided_at) WHERE network IS NOT NULL;

-- What backends told us that users reached. The same event again, with the same body, is the same trigger.
CREATE TABLE trigger_event (
    campaign_id text        NOT NULL REFERENCES campaign,
    source      text        NOT NULL CHECK (char_length(source) BETWEEN 1 AND 100),
    event_id    text        NOT NULL CHECK (char_length(event_id) BETWEEN 1 AND 200),
    id          bigint      NOT NULL UNIQUE GENERATED ALWAYS AS IDENTITY,
    kind        text        NOT NULL CHECK (kind ~ '^[a-z][a-z0-9_]*$' AND length(kind) <= 40),
    user_id     text        NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 128),
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    body_hash   bytea       NOT NULL CHECK (octet_length(body_hash) = 32),
    body        jsonb       NOT NULL,
    PRIMARY KEY (campaign_id, source, event_id)
);
CREATE INDEX trigger_event_of_user ON trigger_event (campaign_id, user_id, kind, occurred_at);
