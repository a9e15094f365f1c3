//! Scratch cards: when their owners are reminded, when they expire, and what apps are told of them. Pure;
//! beside it [`service`] reveals cards, and [`mod@due`] does what their plans say.
//!
//! A card lives for some days from the moment at which it is there to be scratched. Its reminders are spread
//! evenly over that life, and moved out of the campaign's quiet hours. The row of a card has only the next
//! moment at which something is to be done, and the last one, at which it expires; what is to be done then
//! follows from the campaign's version that was promised.

use jiff::{SignedDuration, Timestamp};

use super::machine::State;
use crate::campaign::ScratchCard;

pub mod due;
pub mod quiet;
pub mod service;

/// The two moments of a card that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// When something is next to be done about it: a reminder, or else its end.
    pub due_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
}

/// The plan of a card that is there to be scratched from this moment on.
pub fn plan(card: &ScratchCard, new_at: Timestamp) -> Plan {
    let expires_at = later(new_at, life(card));
    Plan {
        due_at: next_reminder(card, expires_at, new_at).map_or(expires_at, |it| it.at),
        expires_at,
    }
}

/// What is to be done about a card that is due.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// It has expired.
    Expire,
    /// Its owner is reminded, if they may be.
    Remind {
        /// Which of the card's reminders it is, from 1.
        number: u32,
        /// How many whole days are left; 0: less than one.
        days_left: i64,
        /// When something is next to be done about it.
        next: Timestamp,
    },
    /// Nothing any more: a reminder that waits comes too late.
    TooLate {
        /// When something is next to be done about it.
        next: Timestamp,
    },
}

/// What is to be done about a card that was due at `due_at`, now. Of several reminders that were missed
/// only the last is sent.
pub fn due(card: &ScratchCard, plan: Plan, now: Timestamp) -> Due {
    let Plan { due_at, expires_at } = plan;
    if now >= expires_at {
        return Due::Expire;
    }
    let quiet = card.quiet_hours.as_ref();
    let missed = reminders(card, expires_at).filter(|it| due_at <= it.at && it.at <= now).last();
    let next = next_reminder(card, expires_at, now).map_or(expires_at, |it| it.at);
    match missed {
        None => Due::TooLate { next },
        // Nobody was there to send it before the night.
        Some(_) if quiet::first_loud(quiet, now) > now => Due::TooLate { next },
        Some(reminder) => {
            // What was not sent until the night has begun is not sent in the night.
            let night = quiet::next_quiet(quiet, now).unwrap_or(expires_at);
            let number = reminder.number;
            Due::Remind { number, days_left: days_left(expires_at, now), next: next.min(night) }
        }
    }
}

/// A reminder of a card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Reminder {
    number: u32,
    at: Timestamp,
}

/// All reminders of a card that come before it expires, in their order.
fn reminders(card: &ScratchCard, expires_at: Timestamp) -> impl Iterator<Item = Reminder> {
    let (life, quiet) = (life(card), card.quiet_hours.as_ref());
    let begin = later(expires_at, -life);
    let parts = i64::from(card.reminders) + 1;
    let all = (1..=card.reminders).map(move |number| {
        let after = SignedDuration::from_secs(life.as_secs() * i64::from(number) / parts);
        Reminder { number, at: quiet::first_loud(quiet, later(begin, after)) }
    });
    all.filter(move |it| it.at < expires_at)
}

fn next_reminder(card: &ScratchCard, expires_at: Timestamp, after: Timestamp) -> Option<Reminder> {
    reminders(card, expires_at).find(|it| it.at > after)
}

fn days_left(expires_at: Timestamp, now: Timestamp) -> i64 {
    expires_at.duration_since(now).as_hours() / 24
}

fn life(card: &ScratchCard) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(card.life_days))
}

/// Time ends in the year 9999.
fn later(at: Timestamp, by: SignedDuration) -> Timestamp {
    at.checked_add(by)
        .unwrap_or_else(|_| if by.is_negative() { Timestamp::MIN } else { Timestamp::MAX })
}

/// What apps are told of a card. How a reward comes about, and what it comes to before its owner has
/// scratched the card, is not for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// It is not there yet: it is looked at, drawn or recorded, or stopped on the way.
    Preparing,
    /// It is there to be scratched.
    Hidden,
    /// It was scratched, and the money is on its way.
    Revealed,
    /// The money was moved.
    Paid,
    /// The draw gave nothing.
    NoPrize,
    /// It was not scratched in time.
    Expired,
    /// People said no, or took it back.
    Withdrawn,
}

impl Shown {
    /// What a reward in this state is shown as; `parked_in` is where a parked one goes on.
    pub fn of(state: State, parked_in: Option<State>) -> Self {
        match state {
            State::New => Self::Hidden,
            State::Revealed => Self::Revealed,
            State::Paid => Self::Paid,
            State::NoPrize => Self::NoPrize,
            State::Expired => Self::Expired,
            State::Denied | State::Reversed => Self::Withdrawn,
            State::Parked if parked_in == Some(State::Revealed) => Self::Revealed,
            State::Review | State::Create | State::Drawn | State::Parked => Self::Preparing,
        }
    }

    /// Its name in the API.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Preparing => "preparing",
            Self::Hidden => "hidden",
            Self::Revealed => "revealed",
            Self::Paid => "paid",
            Self::NoPrize => "no_prize",
            Self::Expired => "expired",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether the owner knows what it has come to.
    pub const fn tells_amount(self) -> bool {
        match self {
            Self::Revealed | Self::Paid => true,
            Self::Preparing | Self::Hidden | Self::NoPrize | Self::Expired | Self::Withdrawn => {
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::campaign::{QuietHours, TimeOfDay, Zone};

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    fn card(reminders: u32, quiet: bool) -> ScratchCard {
        let time = |text| TimeOfDay::parse(text).expect("a time");
        let quiet_hours = quiet.then(|| QuietHours {
            from: time("21:00"),
            to: time("09:00"),
            time_zone: Zone::parse("Asia/Jakarta").expect("a zone"),
        });
        ScratchCard { reminders, quiet_hours, ..ScratchCard::default() }
    }

    /// All that is done about a card, by somebody who is always there in time.
    fn walk(card: &ScratchCard, new_at: Timestamp) -> Vec<String> {
        let mut plan = plan(card, new_at);
        let mut done = Vec::new();
        loop {
            let now = plan.due_at;
            let what = due(card, plan, now);
            match what {
                Due::Expire => {
                    done.push(format!("{now} expire"));
                    return done;
                }
                Due::Remind { number, days_left, next } => {
                    done.push(format!("{now} {number} {days_left}"));
                    plan.due_at = next;
                }
                Due::TooLate { next } => {
                    done.push(format!("{now} too late"));
                    plan.due_at = next;
                }
            }
            assert!(plan.due_at > now, "{what:?} at {now} goes round in a circle");
        }
    }

    #[test]
    fn reminders_are_spread_over_the_life_of_a_card() {
        let expected = [
            "2027-01-03T12:00:00Z 1 6",
            "2027-01-05T18:00:00Z 2 4",
            "2027-01-08T00:00:00Z 3 2",
            "2027-01-10T06:00:00Z expire",
        ];
        assert_eq!(walk(&card(3, false), at("2027-01-01T06:00:00Z")), expected);
        let expected = ["2027-01-10T06:00:00Z expire"];
        assert_eq!(walk(&card(0, true), at("2027-01-01T06:00:00Z")), expected);
    }

    #[test]
    fn reminders_wait_for_the_morning_and_are_given_up_in_the_evening() {
        let expected = [
            "2027-01-03T12:00:00Z 1 6",
            "2027-01-03T14:00:00Z too late",
            "2027-01-06T02:00:00Z 2 4",
            "2027-01-06T14:00:00Z too late",
            "2027-01-08T02:00:00Z 3 2",
            "2027-01-08T14:00:00Z too late",
            "2027-01-10T06:00:00Z expire",
        ];
        assert_eq!(walk(&card(3, true), at("2027-01-01T06:00:00Z")), expected);
    }

    #[test]
    fn a_reminder_that_would_come_after_the_end_does_not_come() {
        let short = ScratchCard { life_days: 1, ..card(3, true) };
        // From 03:00 there until 03:00: after 6, 12 and 18 hours, and the last of these is at 21:00.
        let expected = [
            "2027-01-01T02:00:00Z 1 0",
            "2027-01-01T08:00:00Z 2 0",
            "2027-01-01T14:00:00Z too late",
            "2027-01-01T20:00:00Z expire",
        ];
        assert_eq!(walk(&short, at("2027-01-01T03:00:00+07:00")), expected);
        // From 20:00 there until 20:00: two reminders wait for the morning, and the later one is sent.
        let expected =
            ["2027-01-02T02:00:00Z 2 0", "2027-01-02T07:00:00Z 3 0", "2027-01-02T13:00:00Z expire"];
        assert_eq!(walk(&short, at("2027-01-01T20:00:00+07:00")), expected);
    }

    #[test]
    fn of_missed_reminders_the_last_one_is_sent() {
        let card = card(3, false);
        let plan = plan(&card, at("2027-01-01T06:00:00Z"));
        let due_now = due(&card, plan, at("2027-01-06T00:00:00Z"));
        let next = at("2027-01-08T00:00:00Z");
        assert_eq!(due_now, Due::Remind { number: 2, days_left: 4, next });
        assert_eq!(due(&card, plan, plan.expires_at), Due::Expire);
    }

    #[test]
    fn who_comes_back_at_night_sends_nothing() {
        let card = card(1, true);
        let plan = plan(&card, at("2027-01-01T06:00:00Z"));
        let night = due(&card, plan, at("2027-01-06T16:00:00Z"));
        assert_eq!(night, Due::TooLate { next: plan.expires_at });
    }

    #[test]
    fn amounts_are_told_of_cards_that_were_scratched_only() {
        for state in State::ALL {
            for parked_in in [None, Some(State::Create), Some(State::Drawn), Some(State::Revealed)]
            {
                let shown = Shown::of(state, parked_in);
                let scratched = matches!(state, State::Revealed | State::Paid)
                    || (state == State::Parked && parked_in == Some(State::Revealed));
                assert_eq!(shown.tells_amount(), scratched, "{state} {parked_in:?}");
            }
        }
    }
}
