use jiff::Timestamp;
use serde_json::json;

use super::*;
use crate::campaign::document::{self, Format};

/// What earns in this campaign: `credit_granted` for the invitee, `loan_disbursed` for the inviter.
fn campaign() -> Campaign {
    let text = json!({
        "name": "Spring", "starts_at": "2030-01-01T00:00:00Z", "ends_at": "2030-03-01T00:00:00Z",
        "currency": "IDR", "budget_minor": 1_000_000,
        "rewards": {
            "credit_granted": { "invitee": { "amount_minor": 1_000 } },
            "loan_disbursed": { "inviter": { "amount_minor": 2_000 } },
        },
        "apps": { "android_package": "com.example.app" },
        "default_language": "en",
        "texts": { "en": {
            "title": "Join", "description": "Join us.", "invitation": "{inviter} invites you",
            "invitation_without_name": "A friend invites you", "invitee_gets": "You get 10",
            "inviter_gets": "They get 20", "steps": ["Install the app"],
        } },
    });
    document::parse(&text.to_string(), Format::Json).expect("a good campaign")
}

fn time(text: &str) -> Timestamp {
    text.parse().expect("a time")
}

fn bound(state: &str) -> BindingLink {
    BindingLink {
        invitee: "budi".to_owned(),
        inviter: "rina".to_owned(),
        code: "7KQ2MX".to_owned(),
        state: state.to_owned(),
        campaign_version: 1,
        bound_at: time("2030-01-02T00:00:00Z"),
        claim: None,
    }
}

fn trigger(kind: &str, occurred_at: &str) -> TriggerLink {
    TriggerLink {
        id: 1,
        source: "bank".to_owned(),
        event_id: kind.to_owned(),
        kind: kind.to_owned(),
        user: "budi".to_owned(),
        occurred_at: time(occurred_at),
        received_at: time(occurred_at),
    }
}

fn decision(outcome: &str, reason: Option<&str>) -> DecisionLink {
    DecisionLink {
        decided_at: time("2030-01-02T00:00:00Z"),
        outcome: outcome.to_owned(),
        reason: reason.map(str::to_owned),
        code: None,
        campaign_version: Some(1),
        checks: json!([]),
    }
}

/// All findings in short: code, kind, side, reason.
fn short(findings: &[Finding]) -> Vec<String> {
    let words = findings.iter().map(|it| {
        [Some(it.code), it.kind.as_deref(), it.side, it.reason.as_deref()].into_iter().flatten()
    });
    words.map(|words| words.collect::<Vec<_>>().join(" ")).collect()
}

/// What is known of an invitee, and what is found.
type Case<'a> = (Option<&'a BindingLink>, &'a [DecisionLink], Vec<TriggerLink>, Vec<&'a str>);

#[test]
fn it_is_said_why_an_invitee_has_earned_nothing() {
    let promise = campaign();
    let in_time = "2030-01-03T00:00:00Z";
    let (bound, held) = (bound("bound"), bound("held"));
    let refused = [decision("refused", Some("self-referral"))];
    let granted = trigger("credit_granted", in_time);
    let disbursed = trigger("loan_disbursed", in_time);
    let early = trigger("credit_granted", "2029-12-31T23:59:59Z");
    let other = trigger("first_repayment", in_time);
    let no_loan = "no-trigger loan_disbursed inviter";
    let no_credit = "no-trigger credit_granted invitee";
    let no_side = "no-reward-for-side credit_granted inviter";
    let cases: Vec<Case<'_>> = vec![
        (None, &[], vec![], vec!["no-binding"]),
        (None, &refused, vec![], vec!["binding-refused self-referral"]),
        (
            None,
            &[],
            vec![granted.clone()],
            vec!["no-binding", "trigger-without-binding credit_granted"],
        ),
        (Some(&bound), &[], vec![], vec![no_loan, no_credit]),
        (Some(&held), &[], vec![], vec!["binding-held", no_loan, no_credit]),
        (
            Some(&bound),
            &[],
            vec![granted.clone()],
            vec![no_side, no_loan, "not-granted-yet credit_granted invitee"],
        ),
        (
            Some(&bound),
            &[],
            vec![early],
            vec![no_side, no_loan, "occurred-before-campaign credit_granted invitee"],
        ),
        (
            Some(&bound),
            &[],
            vec![disbursed],
            vec![
                "not-granted-yet loan_disbursed inviter",
                no_credit,
                "no-reward-for-side loan_disbursed invitee",
            ],
        ),
        (
            Some(&bound),
            &[],
            vec![other],
            vec![
                no_loan,
                "no-reward-for-side first_repayment inviter",
                no_credit,
                "no-reward-for-side first_repayment invitee",
            ],
        ),
    ];
    for (binding, decisions, triggers, expected) in cases {
        let invitee = Invitee {
            user: "budi",
            decisions,
            binding,
            promise: &promise,
            triggers: &triggers,
            rewards: &[],
        };
        let findings = invitee.findings(&Side::ALL);
        assert_eq!(short(&findings), expected, "{binding:?} {triggers:?}");
        assert!(findings.iter().all(|it| it.invitee.as_deref() == Some("budi")));
    }
}

#[test]
fn where_a_reward_stands_is_its_explanation() {
    let promise = campaign();
    let (invitee, kind, side) = ("budi", "credit_granted", Side::Invitee);
    for (state, reason, expected) in [
        (State::Review, Some("inviter-cap"), "inviter-cap"),
        (State::Review, Some("budget-exhausted"), "budget-exhausted"),
        (State::Review, Some("binding-held"), "binding-held"),
        (State::Review, Some("paid"), "in-review"),
        (State::Review, None, "in-review"),
        (State::Create, None, "being-drawn"),
        (State::Drawn, None, "being-allotted"),
        (State::New, None, "card-waits"),
        (State::Revealed, None, "being-paid"),
        (State::Paid, None, "paid"),
        (State::NoPrize, None, "no-prize"),
        (State::Expired, None, "card-expired"),
        (State::Denied, Some("inviter-cap"), "denied"),
        (State::Reversed, None, "reversed"),
        (State::Parked, None, "parked"),
    ] {
        let rewards = [Standing { id: 7, invitee, kind, side, state, reason }];
        let invitee = Invitee {
            user: invitee,
            decisions: &[],
            binding: Some(&bound("bound")),
            promise: &promise,
            triggers: &[trigger(kind, "2030-01-03T00:00:00Z")],
            rewards: &rewards,
        };
        let findings = invitee.findings(&[Side::Invitee]);
        let first = findings.first().expect("a finding");
        assert_eq!((first.code, first.reward), (expected, Some(7)), "{state} {reason:?}");
        assert_eq!(short(&findings[1..]), ["no-trigger loan_disbursed invitee"; 0]);
        // The inviter's side has nothing to do with it.
        assert!(invitee.findings(&[Side::Inviter]).iter().all(|it| it.reward.is_none()));
    }
}

#[test]
fn an_inviter_is_told_of_code_invitees_and_cap() {
    let counted = |rewards, lifted| Counted { rewards, lifted, cap: 20 };
    for (has_code, invited_any, tally, expected) in [
        (false, false, counted(0, 0), &["no-code inviter"][..]),
        (true, false, counted(0, 0), &["nobody-invited inviter"]),
        (true, true, counted(19, 0), &[]),
        (true, true, counted(20, 0), &["inviter-cap inviter"]),
        (true, true, counted(20, 1), &[]),
        (false, true, counted(21, 1), &["no-code inviter", "inviter-cap inviter"]),
    ] {
        let findings = of_inviter(has_code, invited_any, tally);
        assert_eq!(short(&findings), expected, "{has_code} {invited_any} {tally:?}");
    }
}

#[test]
fn every_code_has_a_name_of_its_own_and_stands_in_the_documentation() {
    let page = include_str!("../../../docs/rewards.md");
    let names: std::collections::BTreeSet<&str> = Code::ALL.into_iter().map(Code::name).collect();
    assert_eq!(names.len(), Code::ALL.len());
    for code in Code::ALL {
        assert!(page.contains(&format!("| `{}` |", code.name())), "{}", code.name());
        assert!(code.explain().ends_with('.'), "{}", code.name());
    }
}
