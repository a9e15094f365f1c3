-- Rewards: who earned what, where each of them stands, and the books.
--
-- Three things follow from one: whoever changes a row of `reward` writes its log, its entry in the ledger and the
-- balances of its campaign, because the triggers below do. No code can forget one of them, or write one without the others.

CREATE TABLE reward (
    id               bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    campaign_id      text        NOT NULL,
    -- The version whose promise it is.
    campaign_version integer     NOT NULL,
    invitee          text        NOT NULL,
    kind             text        NOT NULL,
    side             text        NOT NULL CHECK (side IN ('inviter', 'invitee')),
    beneficiary      text        NOT NULL,
    -- What it is owed for; none: granted by hand.
    trigger_id       bigint,
    currency         text        NOT NULL CHECK (currency ~ '^[A-Z]{3}$'),
    -- The most that it can come to, and what it came to.
    most_minor       bigint      NOT NULL CHECK (most_minor >= 0),
    amount_minor     bigint      CHECK (amount_minor BETWEEN 0 AND most_minor),
    -- How the amount was drawn.
    draw             jsonb,
    state            text        NOT NULL CHECK (state IN ('REVIEW', 'CREATE', 'DRAWN', 'NEW', 'REVEALED', 'PAID',
                                                          'NO_PRIZE', 'EXPIRED', 'DENIED', 'REVERSED', 'PARKED')),
    -- Where a parked one goes on.
    parked_in        text        CHECK (parked_in IN ('CREATE', 'DRAWN', 'REVEALED')),
    version          integer     NOT NULL DEFAULT 1,
    -- The last step: what happened, why, by whom; under which operation and lease; which lease was in force.
    event            text        NOT NULL,
    reason           text,
    actor            text        NOT NULL,
    operation_id     text,
    epoch            integer,
    lease_epoch      integer,
    created_at       timestamptz NOT NULL DEFAULT now(),
    changed_at       timestamptz NOT NULL DEFAULT now(),
    -- The scratch card: when something is next to be done about it, when it expires, how often its owner was reminded.
    card_due_at      timestamptz,
    card_expires_at  timestamptz,
    reminders        smallint    NOT NULL DEFAULT 0 CHECK (reminders >= 0),
    -- What the campaign owes, and what it has paid, for this one: a function of where it stands.
    promised_minor   bigint      NOT NULL GENERATED ALWAYS AS (CASE coalesce(parked_in, state)
                                     WHEN 'CREATE' THEN most_minor
                                     WHEN 'DRAWN' THEN amount_minor
                                     WHEN 'NEW' THEN amount_minor
                                     WHEN 'REVEALED' THEN amount_minor
                                     ELSE 0 END) STORED,
    paid_minor       bigint      NOT NULL GENERATED ALWAYS AS (CASE state WHEN 'PAID' THEN amount_minor ELSE 0 END) STORED,
    CONSTRAINT reward_key UNIQUE (campaign_id, invitee, kind, side),
    -- Versions and triggers are never deleted: to look them up again for each reward would cost more than it proves.
    FOREIGN KEY (campaign_id, invitee) REFERENCES binding,
    CHECK ((state = 'PARKED') = (parked_in IS NOT NULL)),
    CHECK ((amount_minor IS NOT NULL) =
           (coalesce(parked_in, state) IN ('DRAWN', 'NEW', 'REVEALED', 'PAID', 'NO_PRIZE', 'EXPIRED', 'REVERSED'))),
    CHECK (amount_minor IS NULL OR (amount_minor = 0) = (state = 'NO_PRIZE')),
    CHECK (state <> 'NEW' OR (card_due_at IS NOT NULL AND card_expires_at IS NOT NULL))
);
-- The user first: by the campaign alone nobody looks, though a planner without figures would.
CREATE INDEX reward_of_beneficiary ON reward (beneficiary, campaign_id, id);
CREATE INDEX reward_card_due ON reward (card_due_at) WHERE state = 'NEW';
-- Few at a time: those that wait for work or for people. Finished ones are not in it.
CREATE INDEX reward_open ON reward (state, id) WHERE state IN ('REVIEW', 'CREATE', 'DRAWN', 'REVEALED', 'PARKED');

-- What became of each reward, step by step. Written by the database itself; never changed.
CREATE TABLE reward_log (
    reward_id    bigint      NOT NULL,
    version      integer     NOT NULL CHECK (version >= 1),
    from_state   text        NOT NULL,
    event        text        NOT NULL,
    to_state     text        NOT NULL,
    reason       text,
    actor        text        NOT NULL,
    operation_id text,
    -- The lease under which a worker did it, and the one that was in force: the same.
    epoch        integer,
    lease_epoch  integer,
    amount_minor bigint,
    at           timestamptz NOT NULL,
    PRIMARY KEY (reward_id, version),
    CHECK ((version = 1) = (from_state = '')),
    -- All legal moves; `waypost::reward::machine` has the same list, and a test compares them.
    CONSTRAINT reward_log_moves CHECK (from_state || ' ' || event || ' ' || to_state IN (
        ' grant CREATE', ' hold REVIEW',
        'REVIEW approve CREATE', 'REVIEW deny DENIED', 'DENIED compensate CREATE',
        'CREATE draw DRAWN', 'CREATE blank NO_PRIZE', 'DRAWN allot NEW',
        'NEW remind NEW', 'NEW reveal REVEALED', 'NEW expire EXPIRED', 'EXPIRED compensate NEW',
        'REVEALED pay PAID',
        'CREATE park PARKED', 'DRAWN park PARKED', 'REVEALED park PARKED',
        'PARKED replay CREATE', 'PARKED replay DRAWN', 'PARKED replay REVEALED',
        'NEW reverse REVERSED', 'PAID reverse REVERSED'))
);

-- The books: amounts that moved from one account (`debit`) to another (`credit`). Never changed.
CREATE TABLE ledger (
    campaign_id    text        NOT NULL REFERENCES campaign,
    -- Which step of which reward it belongs to; none: the budget of the campaign was set.
    reward_id      bigint,
    reward_version integer,
    debit          text        NOT NULL,
    credit         text        NOT NULL,
    amount_minor   bigint      NOT NULL CHECK (amount_minor > 0),
    at             timestamptz NOT NULL DEFAULT now(),
    UNIQUE (reward_id, reward_version),
    CHECK ((reward_id IS NULL) = (reward_version IS NULL)),
    CHECK ((debit, credit) IN (('funds', 'budget'), ('budget', 'funds')) = (reward_id IS NULL)),
    CONSTRAINT ledger_moves CHECK ((debit, credit) IN (
        ('funds', 'budget'), ('budget', 'funds'), ('budget', 'promised'), ('promised', 'budget'),
        ('promised', 'paid'), ('paid', 'budget')))
);
CREATE INDEX ledger_of_budget ON ledger (campaign_id) WHERE reward_id IS NULL;

-- What is in each account of a campaign: the sum of its ledger. What is left of the budget is never below nothing, so no
-- campaign can promise more than it has.
CREATE TABLE campaign_account (
    campaign_id    text   PRIMARY KEY REFERENCES campaign,
    budget_minor   bigint NOT NULL DEFAULT 0 CONSTRAINT budget_is_not_exceeded CHECK (budget_minor >= 0),
    promised_minor bigint NOT NULL DEFAULT 0 CHECK (promised_minor >= 0),
    paid_minor     bigint NOT NULL DEFAULT 0 CHECK (paid_minor >= 0)
) WITH (fillfactor = 20);

-- How many rewards an inviter was granted, of how many that were allowed when the last one was counted. What is
-- granted beyond the cap by people is in `lifted`.
CREATE TABLE inviter_tally (
    campaign_id text    NOT NULL REFERENCES campaign,
    inviter     text    NOT NULL,
    rewards     integer NOT NULL DEFAULT 0 CHECK (rewards >= 0),
    lifted      integer NOT NULL DEFAULT 0 CHECK (lifted >= 0),
    allowed     integer NOT NULL DEFAULT 0 CHECK (allowed >= 0),
    PRIMARY KEY (campaign_id, inviter),
    CONSTRAINT cap_is_not_exceeded CHECK (rewards <= allowed + lifted)
);

-- Work that is due: small and hot. A row is there while a step has to be done, and no longer. `due_at` is when it may be
-- taken up, and while somebody works on it, when that lease ends. Each lease has an epoch of its own.
CREATE TABLE reward_task (
    reward_id     bigint      NOT NULL,
    step          text        NOT NULL CHECK (step IN ('draw', 'allot', 'pay', 'remind')),
    due_at        timestamptz NOT NULL DEFAULT now(),
    epoch         integer     NOT NULL DEFAULT 0,
    attempts      integer     NOT NULL DEFAULT 0 CHECK (attempts >= 0),
    -- The first time that the request may have been sent: the payment service forgets it some time later.
    first_sent_at timestamptz,
    -- What is sent, each time the same; none: a draw that needs nobody else.
    operation_id  text        CHECK (operation_id ~ '^[A-Za-z0-9_-]{1,64}$'),
    request       bytea,
    PRIMARY KEY (reward_id, step),
    CHECK ((operation_id IS NULL) = (request IS NULL)),
    CHECK (step = 'draw' OR operation_id IS NOT NULL)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000,
        autovacuum_vacuum_cost_delay = 0);
CREATE INDEX reward_task_due ON reward_task (due_at);

-- Work that stopped, in need of a person: the task as it was, to be gone on with under the same operation.
CREATE TABLE parked_task (
    reward_id     bigint      PRIMARY KEY REFERENCES reward,
    step          text        NOT NULL CHECK (step IN ('draw', 'allot', 'pay')),
    attempts      integer     NOT NULL,
    first_sent_at timestamptz,
    operation_id  text,
    request       bytea,
    parked_at     timestamptz NOT NULL DEFAULT now(),
    CHECK ((operation_id IS NULL) = (request IS NULL))
);

-- How far the sweeper has looked: each trigger and each binding is looked at once more, a while after it came.
CREATE TABLE sweep_position (
    what     text   PRIMARY KEY CHECK (what IN ('trigger', 'binding')),
    position bigint NOT NULL DEFAULT 0
);
INSERT INTO sweep_position (what) VALUES ('trigger'), ('binding');

-- What was granted by hand: asked for by one person, approved by another.
CREATE TABLE compensation (
    id           bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    campaign_id  text        NOT NULL REFERENCES campaign,
    reason       text        NOT NULL CHECK (char_length(reason) BETWEEN 1 AND 500),
    state        text        NOT NULL DEFAULT 'requested' CHECK (state IN ('requested', 'executed', 'rejected')),
    requested_by text        NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT now(),
    decided_by   text,
    decided_at   timestamptz,
    decision     text        CHECK (char_length(decision) BETWEEN 1 AND 500),
    CHECK ((state = 'requested') = (decided_by IS NULL)),
    CHECK ((decided_by IS NULL) = (decided_at IS NULL)),
    CONSTRAINT nobody_approves_their_own CHECK (state <> 'executed' OR decided_by <> requested_by)
);
CREATE TABLE compensation_item (
    compensation_id bigint  NOT NULL REFERENCES compensation,
    number          integer NOT NULL CHECK (number >= 1),
    invitee         text    NOT NULL,
    kind            text    NOT NULL,
    side            text    NOT NULL CHECK (side IN ('inviter', 'invitee')),
    -- What became of it, once it was decided on: a stable code, and the reward that it is about.
    outcome         text,
    reward_id       bigint  REFERENCES reward,
    PRIMARY KEY (compensation_id, number),
    UNIQUE (compensation_id, invitee, kind, side)
);

-- The comparison of our books with the payment service's list of a day.
CREATE TABLE reconciled_day (
    day           date        PRIMARY KEY,
    payouts       bigint      NOT NULL,
    amount_minor  bigint      NOT NULL,
    differences   integer     NOT NULL,
    reconciled_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE reconciliation_difference (
    day          date   NOT NULL,
    operation_id text   NOT NULL,
    -- What is wrong: a stable code.
    difference   text   NOT NULL,
    reward_id    bigint,
    detail       jsonb  NOT NULL,
    seen_at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (day, operation_id, difference)
);

-- Writes what rewards moved into the ledger and the accounts.
CREATE FUNCTION book_rewards(campaigns text[], rewards bigint[], versions integer[], more_promised bigint[], more_paid bigint[])
RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    changed integer;
BEGIN
    -- Balances in one order, whatever the order of the rewards: two statements never wait for each other in a circle.
    PERFORM FROM campaign_account WHERE campaign_id = ANY (campaigns) ORDER BY campaign_id FOR UPDATE;
    INSERT INTO ledger (campaign_id, reward_id, reward_version, debit, credit, amount_minor)
    SELECT campaign_id, reward_id, version,
           CASE WHEN promised > 0 THEN 'budget' WHEN paid < 0 THEN 'paid' ELSE 'promised' END,
           CASE WHEN promised > 0 THEN 'promised' WHEN paid > 0 THEN 'paid' ELSE 'budget' END,
           greatest(abs(promised), abs(paid))
    FROM unnest(campaigns, rewards, versions, more_promised, more_paid) AS e (campaign_id, reward_id, version, promised, paid);
    UPDATE campaign_account a
    SET budget_minor = a.budget_minor - e.promised - e.paid,
        promised_minor = a.promised_minor + e.promised,
        paid_minor = a.paid_minor + e.paid
    FROM (SELECT campaign_id, sum(promised)::bigint AS promised, sum(paid)::bigint AS paid
          FROM unnest(campaigns, more_promised, more_paid) AS e (campaign_id, promised, paid) GROUP BY campaign_id) e
    WHERE a.campaign_id = e.campaign_id;
    GET DIAGNOSTICS changed = ROW_COUNT;
    IF changed <> (SELECT count(DISTINCT c) FROM unnest(campaigns) AS e (c)) THEN
        RAISE EXCEPTION 'a campaign without a budget cannot promise anything';
    END IF;
END $$;

CREATE FUNCTION reward_was_granted() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    moved record;
BEGIN
    IF EXISTS (SELECT FROM new_rows WHERE version <> 1) THEN
        RAISE EXCEPTION 'a reward begins with version 1';
    END IF;
    INSERT INTO reward_log (reward_id, version, from_state, event, to_state, reason, actor, operation_id, epoch, lease_epoch,
                            amount_minor, at)
    SELECT id, 1, '', event, state, reason, actor, operation_id, epoch, lease_epoch, amount_minor, changed_at FROM new_rows;
    SELECT array_agg(campaign_id) AS campaigns, array_agg(id) AS ids, array_agg(version) AS versions,
           array_agg(promised_minor) AS promised, array_agg(paid_minor) AS paid INTO moved
    FROM new_rows WHERE promised_minor <> 0 OR paid_minor <> 0;
    IF moved.ids IS NOT NULL THEN
        PERFORM book_rewards(moved.campaigns, moved.ids, moved.versions, moved.promised, moved.paid);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER reward_was_granted AFTER INSERT ON reward REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION reward_was_granted();

-- Nobody knows how many rows a set of moves has; taken for few, they would be compared each with each.
CREATE FUNCTION reward_was_moved() RETURNS trigger LANGUAGE plpgsql SET enable_nestloop = off AS $$
DECLARE
    moved record;
BEGIN
    -- A row whose version stays is one whose card was planned anew, and nothing else.
    IF EXISTS (SELECT FROM new_rows n JOIN old_rows o USING (id)
               WHERE n.version NOT IN (o.version, o.version + 1)
                  OR (n.version = o.version AND (n.state, n.parked_in, n.amount_minor, n.event, n.reminders)
                      IS DISTINCT FROM (o.state, o.parked_in, o.amount_minor, o.event, o.reminders))
                  OR (n.campaign_id, n.campaign_version, n.invitee, n.kind, n.side, n.beneficiary, n.currency, n.most_minor, n.created_at)
                     IS DISTINCT FROM
                     (o.campaign_id, o.campaign_version, o.invitee, o.kind, o.side, o.beneficiary, o.currency, o.most_minor, o.created_at)
                  OR (o.amount_minor IS NOT NULL AND n.amount_minor IS DISTINCT FROM o.amount_minor)) THEN
        RAISE EXCEPTION 'a reward goes on one version at a time, and keeps who gets what';
    END IF;
    INSERT INTO reward_log (reward_id, version, from_state, event, to_state, reason, actor, operation_id, epoch, lease_epoch,
                            amount_minor, at)
    SELECT n.id, n.version, o.state, n.event, n.state, n.reason, n.actor, n.operation_id, n.epoch, n.lease_epoch,
           n.amount_minor, n.changed_at
    FROM new_rows n JOIN old_rows o USING (id) WHERE n.version > o.version;
    SELECT array_agg(n.campaign_id) AS campaigns, array_agg(n.id) AS ids, array_agg(n.version) AS versions,
           array_agg(n.promised_minor - o.promised_minor) AS promised, array_agg(n.paid_minor - o.paid_minor) AS paid INTO moved
    FROM new_rows n JOIN old_rows o USING (id)
    WHERE n.promised_minor <> o.promised_minor OR n.paid_minor <> o.paid_minor;
    IF moved.ids IS NOT NULL THEN
        PERFORM book_rewards(moved.campaigns, moved.ids, moved.versions, moved.promised, moved.paid);
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER reward_was_moved AFTER UPDATE ON reward REFERENCING OLD TABLE AS old_rows NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION reward_was_moved();

-- The budget is set by activating a version: another row of the ledger.
CREATE FUNCTION fund_campaign(campaign text, wanted_minor bigint) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    missing bigint;
BEGIN
    INSERT INTO campaign_account (campaign_id) VALUES (campaign) ON CONFLICT (campaign_id) DO NOTHING;
    SELECT wanted_minor - budget_minor - promised_minor - paid_minor INTO missing
    FROM campaign_account WHERE campaign_id = campaign FOR UPDATE;
    IF missing = 0 THEN
        RETURN;
    END IF;
    INSERT INTO ledger (campaign_id, debit, credit, amount_minor)
    VALUES (campaign, CASE WHEN missing > 0 THEN 'funds' ELSE 'budget' END, CASE WHEN missing > 0 THEN 'budget' ELSE 'funds' END,
            abs(missing));
    UPDATE campaign_account SET budget_minor = budget_minor + missing WHERE campaign_id = campaign;
END $$;

CREATE FUNCTION is_written_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '% is written by the database, and never changed', TG_TABLE_NAME;
END $$;
CREATE TRIGGER reward_log_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON reward_log EXECUTE FUNCTION is_written_once();
CREATE TRIGGER ledger_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON ledger EXECUTE FUNCTION is_written_once();
CREATE TRIGGER reward_is_kept BEFORE DELETE OR TRUNCATE ON reward EXECUTE FUNCTION is_written_once();
CREATE TRIGGER reward_log_is_written_by_moves BEFORE INSERT ON reward_log
    WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION is_written_once();
