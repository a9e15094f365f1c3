use std::collections::HashSet;

use super::*;
use crate::campaign::document::{Format, parse};

fn campaign(screening: Vec<Screen>) -> Campaign {
    let text = include_str!("../../../config/campaigns/demo.toml");
    Campaign { screening, ..parse(text, Format::Toml).expect("a good document") }
}

fn screen(check: CheckKind, mode: Mode) -> Screen {
    let (most, hours, url, without_answer) = (None, None, None, None);
    Screen { check, mode, most, hours, url, without_answer }
}

/// Nothing stands against it.
fn good() -> Facts {
    Facts {
        invitation: Invitation::Good,
        runs: true,
        top: Top::Another,
        was_customer: false,
        counted: BTreeMap::new(),
        installed_before_click: None,
        eligibility: Eligibility::Yes,
        eligibility_reason: None,
    }
}

/// Who asks, why they are refused, and what is mended then.
type Step = (Subject<'static>, Reason, fn(&mut Facts));

const SUBJECT: Subject<'static> = Subject { invitee: "ben", inviter: Some("ann") };

fn said(decision: &Decision) -> String {
    let said = decision.findings.iter().map(|it| format!("{}: {}", it.check, it.said));
    said.collect::<Vec<_>>().join(", ")
}

#[test]
fn what_is_always_refused_is_refused_in_this_order() {
    let everything = Facts {
        invitation: Invitation::Disabled,
        runs: false,
        top: Top::Invitee,
        was_customer: true,
        ..good()
    };
    let with_self = Subject { invitee: "ann", inviter: Some("ann") };
    let blocked = campaign(vec![screen(CheckKind::NewUser, Mode::Block)]);
    let mut facts = everything;
    let steps: [Step; 6] = [
        (with_self, Reason::CodeDisabled, |it| it.invitation = Invitation::Good),
        (with_self, Reason::CampaignNotRunning, |it| it.runs = true),
        (with_self, Reason::SelfReferral, |_| {}),
        (SUBJECT, Reason::Cycle, |it| it.top = Top::OutOfSight),
        (SUBJECT, Reason::ChainTooLong, |it| it.top = Top::Another),
        (SUBJECT, Reason::NotANewUser, |it| it.was_customer = false),
    ];
    for (subject, reason, mend) in steps {
        let decision = decide(&subject, &facts, &blocked);
        assert_eq!(decision.outcome, Outcome::Refused(reason), "{}", said(&decision));
        assert_eq!(decision.findings.last().map(|it| it.said), Some(reason.name()));
        mend(&mut facts);
    }
    let decision = decide(&SUBJECT, &facts, &blocked);
    assert_eq!(decision.outcome, Outcome::Bound);
    let all = "invitation: pass, campaign: pass, self: pass, cycle: pass, new_user: pass";
    assert_eq!(said(&decision), all);
}

#[test]
fn codes_and_claims_that_lead_nowhere_are_told_apart() {
    let subject = Subject { invitee: "ben", inviter: None };
    for (invitation, reason) in [
        (Invitation::UnknownCode, Reason::UnknownCode),
        (Invitation::UnknownClaim, Reason::UnknownClaim),
        (Invitation::Used, Reason::ClaimUsed),
    ] {
        let decision = decide(&subject, &Facts { invitation, ..good() }, &campaign(vec![]));
        assert_eq!(decision.outcome, Outcome::Refused(reason));
    }
}

/// A check, what it goes by, and what it finds.
fn findings() -> Vec<(Screen, Facts, Option<Reason>)> {
    let counted = |kind, count| Facts { counted: BTreeMap::from([(kind, count)]), ..good() };
    let limited =
        |check, most| Screen { most: Some(most), hours: Some(1), ..screen(check, Mode::Block) };
    let device = screen(CheckKind::Device, Mode::Block);
    vec![
        (
            screen(CheckKind::NewUser, Mode::Block),
            Facts { was_customer: true, ..good() },
            Some(Reason::NotANewUser),
        ),
        (screen(CheckKind::NewUser, Mode::Block), good(), None),
        (device.clone(), counted(CheckKind::Device, 1), Some(Reason::DeviceAlreadyUsed)),
        (device.clone(), counted(CheckKind::Device, 0), None),
        (device, good(), None),
        (limited(CheckKind::Device, 3), counted(CheckKind::Device, 2), None),
        (
            limited(CheckKind::Device, 3),
            counted(CheckKind::Device, 3),
            Some(Reason::DeviceAlreadyUsed),
        ),
        (limited(CheckKind::DeviceVelocity, 5), counted(CheckKind::DeviceVelocity, 4), None),
        (
            limited(CheckKind::DeviceVelocity, 5),
            counted(CheckKind::DeviceVelocity, 5),
            Some(Reason::DeviceVelocity),
        ),
        (
            limited(CheckKind::NetworkVelocity, 5),
            counted(CheckKind::NetworkVelocity, 6),
            Some(Reason::NetworkVelocity),
        ),
        (limited(CheckKind::NetworkVelocity, 5), good(), None),
        (limited(CheckKind::InviterVelocity, 5), counted(CheckKind::InviterVelocity, 4), None),
        (
            limited(CheckKind::InviterVelocity, 5),
            counted(CheckKind::InviterVelocity, 5),
            Some(Reason::InviterVelocity),
        ),
        (
            screen(CheckKind::InstallOrder, Mode::Block),
            Facts { installed_before_click: Some(true), ..good() },
            Some(Reason::InstalledBeforeClick),
        ),
        (
            screen(CheckKind::InstallOrder, Mode::Block),
            Facts { installed_before_click: Some(false), ..good() },
            None,
        ),
        (screen(CheckKind::InstallOrder, Mode::Block), good(), None),
        (
            screen(CheckKind::Eligibility, Mode::Block),
            Facts { eligibility: Eligibility::No, ..good() },
            Some(Reason::NotEligible),
        ),
    ]
}

#[test]
fn each_check_finds_what_it_is_for_and_the_mode_says_what_follows() {
    for (screen, facts, reason) in findings() {
        for (mode, expected) in [
            (Mode::Observe, Outcome::Bound),
            (Mode::Hold, reason.map_or(Outcome::Bound, Outcome::Held)),
            (Mode::Block, reason.map_or(Outcome::Bound, Outcome::Refused)),
        ] {
            let screen = Screen { mode, ..screen.clone() };
            let decision = decide(&SUBJECT, &facts, &campaign(vec![screen.clone()]));
            assert_eq!(decision.outcome, expected, "{screen:?} {facts:?}");
            let finding = decision.findings.last().expect("a finding");
            assert_eq!((finding.mode, finding.rule), (Some(mode), RULES));
            if let Some(reason) = reason {
                assert_eq!(finding.said, reason.name());
            } else {
                assert!(matches!(finding.said, "pass" | "unknown"), "{finding:?}");
            }
        }
    }
}

#[test]
fn a_refusal_counts_more_than_a_hold_and_the_first_hold_gives_the_name() {
    let facts = Facts {
        was_customer: true,
        installed_before_click: Some(true),
        counted: BTreeMap::from([(CheckKind::Device, 9)]),
        ..good()
    };
    let holds = [CheckKind::NewUser, CheckKind::InstallOrder].map(|it| screen(it, Mode::Hold));
    let decision = decide(&SUBJECT, &facts, &campaign(holds.to_vec()));
    assert_eq!(decision.outcome, Outcome::Held(Reason::NotANewUser));
    let device = screen(CheckKind::Device, Mode::Block);
    let after = screen(CheckKind::Eligibility, Mode::Block);
    let chain = [holds.to_vec(), vec![device, after]].concat();
    let decision = decide(&SUBJECT, &facts, &campaign(chain));
    assert_eq!(decision.outcome, Outcome::Refused(Reason::DeviceAlreadyUsed));
    assert_eq!(decision.findings.len(), ALWAYS.len() + 3, "the last check was not reached");
}

#[test]
fn without_the_service_the_setting_decides() {
    for (answer, setting, mode, expected) in [
        (Eligibility::NotAsked, WithoutAnswer::Pass, Mode::Block, Outcome::Ask),
        (Eligibility::Yes, WithoutAnswer::TryLater, Mode::Block, Outcome::Bound),
        (Eligibility::No, WithoutAnswer::Pass, Mode::Block, Outcome::Refused(Reason::NotEligible)),
        (Eligibility::No, WithoutAnswer::Pass, Mode::Observe, Outcome::Bound),
        (Eligibility::NoAnswer, WithoutAnswer::Pass, Mode::Block, Outcome::Bound),
        (
            Eligibility::NoAnswer,
            WithoutAnswer::Hold,
            Mode::Block,
            Outcome::Held(Reason::EligibilityUnknown),
        ),
        (Eligibility::NoAnswer, WithoutAnswer::TryLater, Mode::Hold, Outcome::TryLater),
    ] {
        let screen =
            Screen { without_answer: Some(setting), ..screen(CheckKind::Eligibility, mode) };
        let facts = Facts { eligibility: answer, ..good() };
        let decision = decide(&SUBJECT, &facts, &campaign(vec![screen]));
        assert_eq!(decision.outcome, expected, "{answer:?} {setting:?} {mode:?}");
    }
}

#[test]
fn what_a_check_said_is_kept_in_a_form_that_stays() {
    let device = Screen { most: Some(2), ..screen(CheckKind::Device, Mode::Hold) };
    let eligibility = screen(CheckKind::Eligibility, Mode::Observe);
    let facts = Facts {
        counted: BTreeMap::from([(CheckKind::Device, 2)]),
        eligibility: Eligibility::No,
        eligibility_reason: Some("on a list".to_owned()),
        ..good()
    };
    let decision = decide(&SUBJECT, &facts, &campaign(vec![device, eligibility]));
    let kept = decision.findings.get(ALWAYS.len() - 1..).expect("the last of them");
    let json = kept.iter().map(|it| serde_json::to_string(it).expect("JSON"));
    insta::assert_snapshot!(json.collect::<Vec<_>>().join("\n"), @r#"
    {"check":"cycle","rule":1,"said":"pass"}
    {"check":"device","rule":1,"said":"device-already-used","mode":"hold","counted":2,"most":2}
    {"check":"eligibility","rule":1,"said":"not-eligible","mode":"observe","detail":"on a list"}
    "#);
}

#[test]
fn every_reason_has_a_name_of_its_own_and_is_explained() {
    let page = include_str!("../../../docs/referrals.md");
    let names: HashSet<&str> = Reason::ALL.into_iter().map(Reason::name).collect();
    assert_eq!(names.len(), Reason::ALL.len());
    for reason in Reason::ALL {
        assert_eq!(Reason::named(reason.name()), Some(reason));
        let row = format!("| `{}` |", reason.name());
        assert!(page.contains(&row), "docs/referrals.md lacks {row}");
    }
    assert_eq!(Reason::named("pass"), None);
}
