-- Reviews: what people have to approve, by whom, and what became of each case.

-- Versions of flows. They are never changed: cases follow theirs to the end.
CREATE TABLE review_flow (
    subject    text        NOT NULL CHECK (subject IN ('reward', 'compensation', 'cap_lift', 'reversal', 'activation')),
    version    integer     NOT NULL CHECK (version >= 1),
    format     text        NOT NULL CHECK (format IN ('toml', 'json')),
    document   text        NOT NULL,
    -- The same content is the same version.
    hash       bytea       NOT NULL CHECK (octet_length(hash) = 32),
    created_by text        NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (subject, version),
    UNIQUE (subject, hash)
);
CREATE TRIGGER review_flow_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON review_flow EXECUTE FUNCTION is_written_once();

-- Which version new cases follow; none: the one that comes with the program.
CREATE TABLE review_flow_in_force (
    subject text    PRIMARY KEY,
    version integer NOT NULL,
    since   timestamptz NOT NULL DEFAULT now(),
    FOREIGN KEY (subject, version) REFERENCES review_flow
);

-- Which roles people have.
CREATE TABLE review_role (
    actor      text        NOT NULL CHECK (char_length(actor) BETWEEN 1 AND 128),
    role       text        NOT NULL CHECK (role ~ '^[a-z][a-z0-9-]{0,39}$'),
    granted_by text        NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, role)
);

-- Where each case stands: what its history comes to, for whoever looks for cases.
CREATE TABLE review_case (
    id           bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    subject      text        NOT NULL,
    -- Which one of these: its number, or a name.
    subject_key  text        NOT NULL CHECK (char_length(subject_key) BETWEEN 1 AND 200),
    flow_version integer     NOT NULL,
    requester    text,
    state        text        NOT NULL CHECK (state IN ('open', 'executing', 'executed', 'rejected', 'withdrawn')),
    node         text        NOT NULL,
    epoch        integer     NOT NULL CHECK (epoch >= 1),
    version      integer     NOT NULL CHECK (version >= 1),
    opened_at    timestamptz NOT NULL,
    entered_at   timestamptz NOT NULL,
    due_at       timestamptz,
    FOREIGN KEY (subject, flow_version) REFERENCES review_flow,
    CHECK ((state = 'executing') = (node = 'execute' AND state <> 'executed')),
    CHECK (due_at IS NULL OR state = 'open')
);
-- One subject, one case, until that is closed.
CREATE UNIQUE INDEX review_case_of_subject ON review_case (subject, subject_key) WHERE state IN ('open', 'executing');
CREATE INDEX review_case_of_subject_ever ON review_case (subject, subject_key, id);
CREATE INDEX review_case_due ON review_case (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX review_case_open ON review_case (state, id) WHERE state IN ('open', 'executing');

-- The history of each case, without gaps; never changed. The case is nothing else.
CREATE TABLE review_event (
    case_id bigint      NOT NULL REFERENCES review_case,
    version integer     NOT NULL CHECK (version >= 1),
    at      timestamptz NOT NULL,
    actor   text        NOT NULL,
    event   text        NOT NULL,
    detail  jsonb       NOT NULL,
    PRIMARY KEY (case_id, version)
);
CREATE FUNCTION review_event_follows() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version > 1 AND NOT EXISTS (
        SELECT FROM review_event WHERE case_id = NEW.case_id AND version = NEW.version - 1) THEN
        RAISE EXCEPTION 'the history of case % has a gap before version %', NEW.case_id, NEW.version;
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER review_event_follows BEFORE INSERT ON review_event FOR EACH ROW EXECUTE FUNCTION review_event_follows();
CREATE TRIGGER review_event_is_kept BEFORE UPDATE OR DELETE OR TRUNCATE ON review_event EXECUTE FUNCTION is_written_once();

-- What one person has to do. Closed, it stays.
CREATE TABLE review_task (
    case_id   bigint      NOT NULL REFERENCES review_case,
    number    integer     NOT NULL CHECK (number >= 1),
    node      text        NOT NULL,
    epoch     integer     NOT NULL,
    holder    text,
    state     text        NOT NULL CHECK (state IN ('open', 'done', 'superseded')),
    opened_at timestamptz NOT NULL,
    due_at    timestamptz,
    closed_at timestamptz,
    PRIMARY KEY (case_id, number),
    CHECK ((state = 'open') = (closed_at IS NULL)),
    CHECK (state <> 'done' OR holder IS NOT NULL)
);
CREATE INDEX review_task_of_holder ON review_task (holder) WHERE state = 'open';
CREATE FUNCTION review_task_is_kept() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'UPDATE' OR OLD.state <> 'open' THEN
        RAISE EXCEPTION 'a task that is closed is never changed, and none is deleted';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER review_task_is_kept BEFORE UPDATE OR DELETE ON review_task FOR EACH ROW EXECUTE FUNCTION review_task_is_kept();
