//! Quiet hours: when nobody is written to. Pure.

use jiff::civil::Time;
use jiff::{Timestamp, Zoned};

use crate::campaign::QuietHours;

/// The first moment from `at` on that is not in the quiet hours: `at` itself, or their end.
pub fn first_loud(quiet: Option<&QuietHours>, at: Timestamp) -> Timestamp {
    let Some(quiet) = quiet else { return at };
    let local = local(quiet, at);
    if !is_quiet(quiet, local.time()) {
        return at;
    }
    next(&local, quiet.to.time())
}

/// The first moment after `at`, which is not in the quiet hours, that is in them; `None`: there are no
/// quiet hours.
pub fn next_quiet(quiet: Option<&QuietHours>, at: Timestamp) -> Option<Timestamp> {
    let quiet = quiet?;
    Some(next(&local(quiet, at), quiet.from.time()))
}

fn local(quiet: &QuietHours, at: Timestamp) -> Zoned {
    at.to_zoned(quiet.time_zone.time_zone().clone())
}

fn is_quiet(quiet: &QuietHours, time: Time) -> bool {
    let (from, to) = (quiet.from.time(), quiet.to.time());
    if from < to { from <= time && time < to } else { from <= time || time < to }
}

/// The next moment after `local` at which clocks there show `time`. Where clocks are set back, and show it
/// twice, it is the second time; where they are set forward and never show it, it is as much later.
fn next(local: &Zoned, time: Time) -> Timestamp {
    let today = local.date();
    let days = [Some(today), today.tomorrow().ok()];
    let moments = days.into_iter().flatten().filter_map(|day| {
        let shown = local.time_zone().to_ambiguous_zoned(day.to_datetime(time));
        shown.later().ok().map(|shown| shown.timestamp())
    });
    // Time ends in the year 9999, and with it every card.
    moments.into_iter().find(|it| *it > local.timestamp()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use proptest::prelude::*;

    use super::*;
    use crate::campaign::{TimeOfDay, Zone};

    fn hours(from: &str, to: &str, zone: &str) -> QuietHours {
        QuietHours {
            from: TimeOfDay::parse(from).expect("a time"),
            to: TimeOfDay::parse(to).expect("a time"),
            time_zone: Zone::parse(zone).expect("a zone"),
        }
    }

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    #[test]
    fn what_falls_into_the_night_comes_in_the_morning() {
        let night = hours("21:00", "09:00", "Asia/Jakarta");
        let noon = hours("12:00", "14:00", "Asia/Jakarta");
        for (quiet, moment, loud) in [
            (&night, "2027-01-01T20:59:59+07:00", "2027-01-01T20:59:59+07:00"),
            (&night, "2027-01-01T21:00:00+07:00", "2027-01-02T09:00:00+07:00"),
            (&night, "2027-01-02T00:00:00+07:00", "2027-01-02T09:00:00+07:00"),
            (&night, "2027-01-02T08:59:59+07:00", "2027-01-02T09:00:00+07:00"),
            (&night, "2027-01-02T09:00:00+07:00", "2027-01-02T09:00:00+07:00"),
            (&noon, "2027-01-02T11:59:59+07:00", "2027-01-02T11:59:59+07:00"),
            (&noon, "2027-01-02T12:00:00+07:00", "2027-01-02T14:00:00+07:00"),
        ] {
            assert_eq!(first_loud(Some(quiet), at(moment)), at(loud), "{moment}");
        }
        assert_eq!(first_loud(None, at("2027-01-02T00:00:00Z")), at("2027-01-02T00:00:00Z"));
        let next = next_quiet(Some(&night), at("2027-01-02T09:00:00+07:00"));
        assert_eq!(next, Some(at("2027-01-02T21:00:00+07:00")));
        assert_eq!(next_quiet(None, at("2027-01-02T00:00:00Z")), None);
    }

    #[test]
    fn clocks_that_are_set_forward_or_back_do_not_end_the_night_too_early() {
        // Forward from 02:00 to 03:00: 02:30 is never shown.
        let gap = hours("22:00", "02:30", "Europe/Berlin");
        let loud = first_loud(Some(&gap), at("2027-03-28T00:30:00+01:00"));
        assert_eq!(loud, at("2027-03-28T03:30:00+02:00"));
        // Back from 03:00 to 02:00: 02:30 is shown twice.
        let fold = hours("22:00", "02:30", "Europe/Berlin");
        let loud = first_loud(Some(&fold), at("2027-10-31T01:00:00+02:00"));
        assert_eq!(loud, at("2027-10-31T02:30:00+01:00"));
    }

    proptest! {
        #[test]
        fn the_first_loud_moment_is_loud_and_within_a_day(
            seconds in 1_700_000_000_i64..2_500_000_000,
            from in 0_u32..1_440,
            length in 1_u32..1_440,
            zone in prop::sample::select(vec![
                "Asia/Jakarta", "Europe/Berlin", "America/Santiago", "Australia/Lord_Howe",
                "Asia/Kolkata", "Africa/Casablanca", "UTC",
            ]),
        ) {
            let clock = |minute: u32| format!("{:02}:{:02}", minute / 60, minute % 60);
            let to = (from + length) % 1_440;
            prop_assume!(to != from);
            let quiet = hours(&clock(from), &clock(to), zone);
            let moment = Timestamp::from_second(seconds).expect("a moment");
            let loud = first_loud(Some(&quiet), moment);
            prop_assert!(loud >= moment);
            prop_assert!(loud.duration_since(moment) <= SignedDuration::from_hours(26));
            prop_assert_eq!(first_loud(Some(&quiet), loud), loud);
            let night = next_quiet(Some(&quiet), loud).expect("there are quiet hours");
            prop_assert!(night > loud);
        }
    }
}
