//! `waypost reward` does what the API does.

use serde_json::{Value, json};

use super::command_line::run;
use super::support::desk::{Desk, with};

async fn told(desk: &Desk, arguments: &[&str]) -> (bool, String) {
    let arguments: Vec<&str> = ["reward"].into_iter().chain(arguments.iter().copied()).collect();
    run(&desk.test.api.database, &arguments).await
}

async fn told_json(desk: &Desk, arguments: &[&str]) -> Value {
    let arguments: Vec<&str> = arguments.iter().copied().chain(["--json"]).collect();
    let (good, said) = told(desk, &arguments).await;
    assert!(good, "{said}");
    serde_json::from_str(&said).expect("JSON")
}

#[tokio::test]
async fn rewards_are_listed_shown_explained_and_decided_on() {
    let desk = Desk::open(&with(|_| {})).await;
    let held = desk.reward("REVIEW").await;
    let parked = desk.reward("PARKED REVEALED").await;
    let paid = desk.reward("PAID").await;
    let (_, all) = told(&desk, &["list"]).await;
    assert_eq!(all.lines().count(), 3, "{all}");
    let (_, listed) = told(&desk, &["list", "--state", "REVIEW", "--campaign", "spring"]).await;
    let expected = format!(
        "{held}  REVIEW  up to 2000 IDR  ann for loan_disbursed of invitee 1  inviter-cap: inviter-cap"
    );
    assert_eq!(listed, expected);
    let (_, listed) = told(&desk, &["park-list"]).await;
    assert!(
        listed.starts_with(&format!("{parked}  PARKED (was in REVEALED)  2000 IDR")),
        "{listed}"
    );
    let (id, parked, paid) = (held.to_string(), parked.to_string(), paid.to_string());
    assert_eq!(
        told_json(&desk, &["show", &id]).await,
        desk.get(&format!("/v1/rewards/{id}")).await
    );
    let (_, shown) = told(&desk, &["show", &id]).await;
    assert!(shown.contains("  state: REVIEW") && shown.contains("  most_minor: 2000"), "{shown}");
    let done = told_json(&desk, &["approve", &id, "--reason", "by phone"]).await;
    assert_eq!((&done["state"], &done["reason"]), (&json!("CREATE"), &json!("by phone")));
    let actor = done["actor"].as_str().expect("an actor");
    assert!(actor.starts_with("cli:"), "{actor}");
    let (good, said) = told(&desk, &["deny", &id, "--reason", "no"]).await;
    assert!(!good && said.contains("the reward is in CREATE"), "{said}");
    let vouched = ["replay", &parked, "--reason", "seen there", "--outcome", "applied"];
    assert_eq!(told_json(&desk, &vouched).await["state"], "PAID");
    assert_eq!(
        told_json(&desk, &["reverse", &paid, "--reason", "fraud"]).await["state"],
        "REVERSED"
    );
    let chain = told_json(&desk, &["explain", &parked]).await;
    assert_eq!(chain, desk.get(&format!("/v1/rewards/{parked}/explain")).await);
    let (_, text) = told(&desk, &["explain", &parked]).await;
    for part in ["paid (invitee", "PARKED > REVEALED  replay by cli:", "2000 promised > paid"] {
        assert!(text.contains(part), "{part} in {text}");
    }
    let who = ["explain", "--campaign", "spring", "--user", "ann"];
    assert_eq!(
        told_json(&desk, &who).await["why"],
        desk.get("/v1/campaigns/spring/users/ann/explain").await["why"]
    );
    let (_, text) = told(&desk, &who).await;
    assert!(text.starts_with("ann in spring: ") && text.contains("  reversed (invitee"), "{text}");
}

#[tokio::test]
async fn what_is_wrong_is_said_in_the_words_of_the_command_line() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben"]).await;
    let bad_item = "ben,loan_disbursed,both";
    let compensate = ["compensate", "--campaign", "spring", "--reason", "x"];
    let with = |more: &[&'static str]| [&compensate[..], more].concat();
    for (arguments, words) in [
        (vec!["approve", "1"], "--reason"),
        (vec!["approve", "1", "--reason", "x"], "there is no reward 1"),
        (vec!["approve", "1", "--reason", " "], "--reason must not be empty"),
        (vec!["replay", "1", "--reason", "x", "--outcome", "done"], "ask, not_applied, applied"),
        (vec!["list", "--state", "DONE"], "--state must be one of: REVIEW"),
        (vec!["list", "--user", "ann"], "--campaign"),
        (vec!["explain"], "required"),
        (vec!["explain", "1", "--user", "ann", "--campaign", "spring"], "cannot be used with"),
        (with(&["--item", bad_item]), "item 1: side must be inviter or invitee"),
        (with(&["--item", "ben,loan_disbursed"]), "must have three fields"),
        (with(&["--item", "eve,loan_disbursed,inviter"]), "item 1: invitee is bound to nobody"),
        (with(&[]), "the items give at least one item"),
        (with(&["--file", "lost.txt"]), "lost.txt"),
        (vec!["compensate", "--approve", "1"], "--reason"),
        (vec!["compensate", "--approve", "1", "--reason", "x"], "there is no compensation 1"),
    ] {
        let (good, said) = told(&desk, &arguments).await;
        assert!(!good && said.contains(words), "{arguments:?}: {said}");
    }
}

#[tokio::test]
async fn compensations_come_from_files_and_are_approved_by_somebody_else() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben", "eve, jr", "joe"]).await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("plain names").to_owned()
    };
    let sheet = file(
        "lost.csv",
        "invitee,kind,side\nben,loan_disbursed,inviter\n\n\"eve, jr\",credit_granted,invitee\r\n",
    );
    let lines = file(
        "lost.jsonl",
        "{\"invitee\": \"joe\", \"kind\": \"loan_disbursed\", \"side\": \"inviter\"}\n",
    );
    let ask = async |file: &str| {
        let asked =
            ["compensate", "--campaign", "spring", "--reason", "told too late", "--file", file];
        told_json(&desk, &asked).await
    };
    let asked = ask(&sheet).await;
    let invitees: Vec<&str> = asked["items"]
        .as_array()
        .expect("items")
        .iter()
        .filter_map(|it| it["invitee"].as_str())
        .collect();
    assert_eq!((invitees, &asked["state"]), (vec!["ben", "eve, jr"], &json!("requested")));
    let id = asked["id"].to_string();
    let approve = ["compensate", "--approve", &id, "--reason", "seen"];
    let (good, said) = told(&desk, &approve).await;
    assert!(!good && said.contains("somebody else has to approve it"), "{said}");
    let path = format!("/v1/compensations/{id}/approve");
    let done = desk.call(&desk.bob, "POST", &path, json!({ "reason": "seen" })).await;
    assert_eq!(done.status, 200, "{done:?}");
    let show = ["compensate", "--show", &id];
    assert_eq!(told_json(&desk, &show).await, done.json());
    let (_, text) = told(&desk, &show).await;
    assert!(text.contains("  ben loan_disbursed inviter  granted (reward "), "{text}");
    let second = ask(&lines).await["id"].to_string();
    let reject = ["compensate", "--reject", &second, "--reason", "by bank transfer"];
    assert_eq!(told_json(&desk, &reject).await["state"], "rejected");
    let broken = file("broken.csv", "invitee,kind,side\nben,loan_disbursed,inviter\nben\n");
    let (good, said) =
        told(&desk, &["compensate", "--campaign", "spring", "--reason", "x", "--file", &broken])
            .await;
    assert!(!good && said.contains("line 3: 'ben' must have three fields"), "{said}");
}
