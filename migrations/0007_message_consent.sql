-- Scratch cards and the books, in use: who wants to be written to, and what the comparison with the payment service
-- looks up.

-- Who said whether messages may be sent to them. For all others the campaign says it.
CREATE TABLE message_consent (
    campaign_id text        NOT NULL REFERENCES campaign,
    user_id     text        NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 128),
    allowed     boolean     NOT NULL,
    actor       text        NOT NULL,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (campaign_id, user_id)
);

-- Payouts of ours, by what the payment service knows them by, and by their day.
CREATE INDEX reward_log_payout ON reward_log (operation_id) INCLUDE (reward_id, amount_minor, at) WHERE event = 'pay';
CREATE INDEX reward_log_paid_at ON reward_log (at, reward_id) INCLUDE (operation_id, amount_minor) WHERE event = 'pay';

-- The sweeper looks at each reward once more, too: whether its inviter's tally has counted it.
ALTER TABLE sweep_position DROP CONSTRAINT sweep_position_what_check;
ALTER TABLE sweep_position ADD CONSTRAINT sweep_position_what_check CHECK (what IN ('trigger', 'binding', 'reward'));
INSERT INTO sweep_position (what) VALUES ('reward');
