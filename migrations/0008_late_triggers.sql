-- What the sweeper could not grant yet, and indexes that leave the planner no wrong choice.

-- Triggers that the sweeper found to have earned something, and that could not be granted it: their users were locked by
-- others, or something failed. They are tried again in each round, and hold up nobody meanwhile.
CREATE TABLE late_trigger (
    trigger_id bigint      PRIMARY KEY REFERENCES trigger_event (id),
    since      timestamptz NOT NULL DEFAULT now(),
    -- What went wrong the last time.
    reason     text        NOT NULL
);

-- No campaign in it: while the table is new and without figures, a planner takes any index with the right columns anywhere
-- in it, and would read all rewards of a campaign for those of one invitee.
DROP INDEX reward_of_beneficiary;
CREATE INDEX reward_of_beneficiary ON reward (beneficiary, id);

-- One for each kind of work: while the payment service is away, its backlog is not in the way of reminders, nor the other
-- way round.
DROP INDEX reward_task_due;
CREATE INDEX reward_task_payment_due ON reward_task (due_at) WHERE step <> 'remind';
CREATE INDEX reward_task_reminder_due ON reward_task (due_at) WHERE step = 'remind';
