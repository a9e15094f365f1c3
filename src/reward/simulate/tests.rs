use serde_json::{Value, json};

use super::facts::PastCheck;
use super::*;
use crate::campaign::document::{self, Format};
use crate::referral::screening::Outcome as Screening;

const DAY: Timestamp = Timestamp::constant(1_893_456_000, 0);

fn campaign(change: impl FnOnce(&mut Value)) -> Campaign {
    let mut said = json!({
        "name": "Spring", "starts_at": "2029-12-01T00:00:00Z", "ends_at": "2030-03-01T00:00:00Z",
        "currency": "IDR", "budget_minor": 10_000,
        "rewards": { "loan": { "inviter": { "prizes": [
            { "amount_minor": 0, "per_million": 500_000 },
            { "amount_minor": 1_000, "per_million": 499_999 },
            { "amount_minor": 4_000, "per_million": 1 },
        ] } } },
        "apps": { "android_package": "com.example.app" },
        "default_language": "en",
        "texts": { "en": {
            "title": "Join", "description": "Join us.", "invitation": "{inviter} invites you",
            "invitation_without_name": "A friend invites you", "invitee_gets": "You get 10",
            "inviter_gets": "They get 20", "steps": ["Install the app"],
        } },
    });
    change(&mut said);
    document::parse(&said.to_string(), Format::Json).expect("a good document")
}

fn trigger(number: u32) -> PastTrigger {
    PastTrigger {
        id: number.into(),
        kind: "loan".to_owned(),
        user: format!("user-{number}"),
        occurred_at: DAY,
        at: DAY + SignedDuration::from_secs(number.into()),
        binding: number.into(),
        inviter: "ann".to_owned(),
        inviter_draw: None,
        invitee_draw: None,
    }
}

fn replay(said: Campaign, draws: Draws) -> Replay {
    Replay::new(&"spring".parse().expect("a name"), said, draws, None)
}

/// How many of ten rewards are granted before the budget ends, in this replay.
fn granted(mut replay: Replay, change: impl Fn(&mut PastTrigger)) -> Report {
    for number in 0..10 {
        let mut past = trigger(number);
        change(&mut past);
        replay.reach(&past, &mut |_| {});
    }
    replay.finish()
}

#[test]
fn a_draw_that_never_happened_counts_as_it_is_told_to() {
    for (draws, count) in [(Draws::Expected, 10), (Draws::Most, 2)] {
        let report = granted(replay(campaign(|_| {}), draws), |_| {});
        assert_eq!(report.all.granted, count, "{draws:?}");
        assert_eq!(report.all.over_budget, 10 - count, "{draws:?}");
        assert_eq!(report.budget_ended_at.is_some(), count < 10);
    }
    let report = granted(replay(campaign(|_| {}), Draws::Expected), |_| {});
    // Ten times 500.003, and five of ten come to nothing.
    assert_eq!(report.all.expected_minor(), 5_000);
    assert_eq!((report.all.least_minor, report.all.most_minor), (0, 40_000));
    assert_eq!((report.all.no_prize(), report.all.from_tables), (5, 10));
}

#[test]
fn what_was_really_drawn_gives_back_to_the_budget_when_it_did() {
    let version = Version(3);
    // One comes each second. The budget has room for two that were not drawn yet.
    for (seconds, count) in [(2, 10), (3, 7), (100, 2)] {
        let mut replay = replay(campaign(|_| {}), Draws::Expected);
        replay.learn(version, Some(Arc::new(campaign(|_| {}))));
        let after = SignedDuration::from_secs(seconds);
        let draw = PastDraw { version, amount_minor: 0, after };
        let report = granted(replay, |past| past.inviter_draw = Some(draw));
        assert_eq!(report.all.granted, count, "after {seconds} s");
        assert_eq!((report.all.drawn, report.all.no_prize()), (count, count));
        assert_eq!((report.all.least_minor, report.all.most_minor), (0, 0));
    }
}

#[test]
fn an_amount_that_was_drawn_under_another_promise_is_none_here() {
    let other =
        |said: &mut Value| said["rewards"]["loan"]["inviter"] = json!({ "amount_minor": 5 });
    for then in [Some(Arc::new(campaign(other))), None] {
        let mut replay = replay(campaign(|_| {}), Draws::Expected);
        replay.learn(Version(3), then);
        let draw = PastDraw {
            version: Version(3),
            amount_minor: 4_000,
            after: SignedDuration::from_hours(1),
        };
        let report = granted(replay, |past| past.inviter_draw = Some(draw));
        assert_eq!((report.all.drawn, report.all.from_tables), (0, 10));
    }
}

#[test]
fn nothing_is_earned_twice_nor_before_the_first_moment_that_counts() {
    let name = "spring".parse().expect("a name");
    let from = Some(DAY + SignedDuration::from_secs(5));
    let mut replay = Replay::new(&name, campaign(|_| {}), Draws::Expected, from);
    for number in 0..10 {
        replay.reach(&trigger(number), &mut |_| {});
    }
    let again = PastTrigger { at: DAY + SignedDuration::from_secs(60), ..trigger(1) };
    replay.reach(&again, &mut |_| panic!("it was earned before"));
    let early = PastTrigger { occurred_at: Timestamp::UNIX_EPOCH, ..trigger(11) };
    replay.reach(&early, &mut |_| panic!("the campaign had not begun"));
    let other = PastTrigger { kind: "other".to_owned(), ..trigger(12) };
    replay.reach(&other, &mut |_| panic!("it earns nothing"));
    let report = replay.finish();
    assert_eq!(report.all.granted, 5);
    let triggers = report.triggers;
    assert_eq!((triggers.replayed, triggers.earning, triggers.repeated), (8, 5, 1));
    assert_eq!((triggers.before_start, triggers.earning_nothing), (1, 1));
}

fn past(checks: &[(&str, &str, Option<i64>)]) -> PastBinding {
    let check = |(check, said, counted): &(&str, &str, Option<i64>)| PastCheck {
        check: (*check).to_owned(),
        said: (*said).to_owned(),
        counted: *counted,
    };
    PastBinding {
        id: 1,
        invitee: "ben".to_owned(),
        inviter: "ann".to_owned(),
        bound_at: DAY,
        rules: Some(Version(1)),
        checks: checks.iter().map(check).collect(),
        was_customer: false,
        installed_before_click: None,
    }
}

fn screened(screening: Value) -> Campaign {
    campaign(|said| said["screening"] = screening)
}

/// What checks say, and which of them have nothing to go by.
fn judged(past: &PastBinding, then: Value, now: Value) -> String {
    let found = facts::screen(past, Some(&screened(then)), &screened(now));
    format!("{:?} {:?}", found.outcome, found.not_replayed)
}

#[test]
fn what_was_counted_is_judged_anew_as_far_as_it_was_counted() {
    let used = |most: u32, mode: &str| json!([{ "check": "device", "most": most, "mode": mode }]);
    let asked = |hours: u32| json!([{ "check": "device_velocity", "most": 1, "hours": hours }]);
    let on = |counted| past(&[("device", "pass", counted)]);
    let lately = |counted| past(&[("device_velocity", "pass", counted)]);
    for (past, then, now, wanted) in [
        (on(Some(1)), used(2, "hold"), used(1, "hold"), "Held(DeviceAlreadyUsed) []"),
        (on(Some(1)), used(2, "hold"), used(1, "block"), "Refused(DeviceAlreadyUsed) []"),
        (on(Some(1)), used(2, "hold"), used(2, "hold"), "Bound []"),
        // It was counted up to two only: whether there were three is not known.
        (on(Some(2)), used(2, "hold"), used(3, "hold"), "Bound [Device]"),
        (on(Some(1)), used(2, "hold"), used(3, "hold"), "Bound []"),
        // Nothing to count by is nothing to count by.
        (on(None), used(1, "hold"), used(1, "hold"), "Bound []"),
        (lately(Some(5)), asked(24), asked(24), "Refused(DeviceVelocity) []"),
        (lately(Some(5)), asked(24), asked(12), "Bound [DeviceVelocity]"),
        (past(&[]), json!([]), asked(24), "Bound [DeviceVelocity]"),
    ] {
        let about = format!("{past:?} {then} {now}");
        assert_eq!(judged(&past, then, now), wanted, "{about}");
    }
}

#[test]
fn the_eligibility_service_said_what_it_said_and_another_one_nothing() {
    let ours = json!([{ "check": "eligibility", "url": "https://one.example/", "without_answer": "hold" }]);
    let another = json!([{ "check": "eligibility", "url": "https://two.example/", "without_answer": "hold" }]);
    for (said, now, wanted) in [
        ("pass", &ours, "Bound []"),
        ("not-eligible", &ours, "Refused(NotEligible) []"),
        ("eligibility-unknown", &ours, "Held(EligibilityUnknown) []"),
        ("not-eligible", &another, "Bound [Eligibility]"),
    ] {
        let past = past(&[("eligibility", said, None)]);
        assert_eq!(judged(&past, ours.clone(), now.clone()), wanted, "{said}");
    }
}

#[test]
fn dates_customers_and_installations_are_looked_at_anew() {
    let checks = json!([{ "check": "new_user" }, { "check": "install_order", "mode": "hold" }]);
    let outcome = |change: fn(&mut PastBinding), said: &Campaign| {
        let mut past = past(&[]);
        change(&mut past);
        let found = facts::screen(&past, None, said);
        assert_eq!(found.not_replayed, [], "all of it is stored elsewhere");
        found.outcome
    };
    let said = screened(checks);
    assert_eq!(outcome(|_| {}, &said), Screening::Bound);
    assert_eq!(
        outcome(|past| past.was_customer = true, &said),
        Screening::Refused(Reason::NotANewUser)
    );
    assert_eq!(
        outcome(|past| past.installed_before_click = Some(true), &said),
        Screening::Held(Reason::InstalledBeforeClick)
    );
    let later = campaign(|said| said["starts_at"] = json!("2030-01-02T00:00:00Z"));
    assert_eq!(outcome(|_| {}, &later), Screening::Refused(Reason::CampaignNotRunning));
}

#[test]
fn a_fraction_of_a_minor_unit_is_a_whole_one_in_the_budget() {
    for (millionths, whole) in [(0, 0), (1, 1), (1_000_000, 1), (1_000_001, 2)] {
        assert_eq!(whole_above(millionths), whole);
    }
}
