//! The sandbox does wrong what it is told to do wrong, and nothing else.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use waypost::clock::Stopwatch;

use super::support::sandbox::{Sandbox, draw, lines, times_applied, transfer};
use super::support::send;

/// A sandbox with one certain fault, and its journal.
async fn with_fault(directory: &Path, fault: &str) -> (Sandbox, PathBuf) {
    let journal = directory.join(fault);
    let fault = format!("{fault}=1");
    let arguments = ["--fault", fault.as_str(), "--delay-ms", "300"];
    (Sandbox::with_journal(&journal, &arguments).await, journal)
}

#[tokio::test]
async fn each_fault_that_is_none_of_the_service_leaves_the_operation_applied_once_or_not_at_all() {
    let directory = tempfile::tempdir().expect("a directory");
    for (fault, status, applied) in [
        ("drop-before", None, 0),
        ("drop-after", None, 1),
        ("delay", Some(200), 1),
        ("error-before", Some(503), 0),
        ("error-after", Some(500), 1),
    ] {
        let (sandbox, journal) = with_fault(directory.path(), fault).await;
        let took = Stopwatch::start();
        let answer = sandbox.post("/payouts", "f", &transfer("rina", 5)).await;
        let took = took.elapsed();
        assert_eq!(answer.as_ref().ok().map(|it| it.status), status, "{fault}: {answer:?}");
        assert_eq!(times_applied(&journal, "f"), applied, "{fault}");
        assert_eq!(took >= Duration::from_millis(300), fault == "delay", "{fault}: {took:?}");
        if let Ok(answer) = &answer {
            assert_eq!(answer.header("retry-after").is_empty(), fault != "error-before", "{fault}");
        }
        assert_eq!(lines(&journal).last().expect("a line")["faults"], json!([fault]));
        let asked = sandbox.get("/operations/f").await.ok().map(|it| it.status);
        assert_eq!(asked, status, "{fault} strikes questions too");
        sandbox.set_faults(&json!({})).await;
        let known = sandbox.get("/operations/f").await.expect("an answer").status;
        assert_eq!(known, if applied == 1 { 200 } else { 404 }, "{fault}");
        let again = sandbox.post("/payouts", "f", &transfer("rina", 5)).await.expect("an answer");
        assert_eq!((again.status, times_applied(&journal, "f")), (200, 1), "{fault}");
    }
}

#[tokio::test]
async fn what_waits_for_a_delay_is_applied_before_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let arguments = ["--fault", "delay=1", "--delay-ms", "600000"];
    let sandbox = Sandbox::with_journal(&journal, &arguments).await;
    let body = transfer("rina", 5);
    let late = sandbox.post("/payouts", "late", &body);
    let applied =
        super::support::eventually("it is applied", Duration::from_secs(20), async || {
            (times_applied(&journal, "late") == 1).then_some(())
        });
    tokio::select! {
        answer = late => panic!("an answer too early: {answer:?}"),
        () = applied => {}
    }
}

#[tokio::test]
async fn a_service_that_forgets_pays_twice_and_knows_nothing() {
    let directory = tempfile::tempdir().expect("a directory");
    let (sandbox, journal) = with_fault(directory.path(), "forget").await;
    for body in [transfer("rina", 5), transfer("rina", 5), transfer("rina", 6)] {
        let answer = sandbox.post("/payouts", "f", &body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(sandbox.get("/operations/f").await.expect("an answer").status, 404);
    assert_eq!(times_applied(&journal, "f"), 3);
    let time = lines(&journal)[0]["at"].as_str().expect("a time").to_owned();
    let day: jiff::civil::Date = time.split('T').next().expect("a day").parse().expect("a day");
    let mut payouts = 0;
    // Midnight may pass in the middle.
    for day in [day, day.tomorrow().expect("a day")] {
        let page = sandbox.get(&format!("/days/{day}")).await.expect("an answer").json();
        payouts += page["payouts"].as_array().expect("a list").len();
    }
    assert_eq!(payouts, 3, "the days tell of each payout");
}

#[tokio::test]
async fn a_service_that_is_not_idempotent_draws_anew_but_knows_other_bytes() {
    let directory = tempfile::tempdir().expect("a directory");
    let (sandbox, journal) = with_fault(directory.path(), "not-idempotent").await;
    let post = async |body| sandbox.post("/draws", "n", &body).await.expect("an answer");
    let first = post(draw(1_000_000_000)).await;
    let second = post(draw(1_000_000_000)).await;
    assert_eq!((first.status, second.status), (200, 200));
    assert_ne!(first.body, second.body, "drawn once only");
    assert_eq!(post(draw(5)).await.status, 409);
    assert_eq!(times_applied(&journal, "n"), 2);
    assert_eq!(lines(&journal)[3]["decision"], "applied-again");
}

#[tokio::test]
async fn a_seed_gives_the_same_faults_and_amounts_again() {
    let arguments = ["--seed", "7", "--fault", "error-before=0.5"];
    let mut runs = Vec::new();
    for _ in 0..2 {
        let sandbox = Sandbox::start(&arguments).await;
        let mut answers = Vec::new();
        for number in 0..20 {
            let answer = sandbox.post("/draws", &format!("d{number}"), &draw(1_000_000)).await;
            answers.push(answer.expect("an answer").text());
        }
        // It says so once it serves already.
        super::support::eventually("the seed is told", Duration::from_secs(20), async || {
            sandbox.log().contains("error-before=0.5").then_some(())
        })
        .await;
        assert!(sandbox.log().contains("seed: 7"), "{}", sandbox.log());
        runs.push(answers);
    }
    assert_eq!(runs[0], runs[1]);
    let failed = runs[0].iter().filter(|text| text.contains("unavailable")).count();
    assert!((2..=18).contains(&failed), "{failed} of 20 at 0.5");
}

#[tokio::test]
async fn faults_can_be_changed_while_it_runs() {
    let sandbox = Sandbox::start(&["--fault", "drop-after=1", "--seed", "9"]).await;
    let shown = sandbox.get("/faults").await.expect("an answer").json();
    assert_eq!((&shown["faults"]["drop-after"], &shown["seed"]), (&json!(1.0), &json!(9)));
    sandbox.set_faults(&json!({ "error-after": 1, "delay-ms": 5 })).await;
    let shown = sandbox.get("/faults").await.expect("an answer").json();
    assert_eq!(shown["faults"]["drop-after"], 0.0, "what is not named is off");
    assert_eq!(shown["faults"]["delay-ms"], 5);
    let answer = sandbox.post("/draws", "d", &draw(5)).await.expect("an answer");
    assert_eq!(answer.status, 500);
    for (body, said) in [
        (json!({ "drop": 1 }), "/drop"),
        (json!({ "delay": 1.5 }), "/delay"),
        (json!({ "delay": "often" }), "/delay"),
        (json!({ "delay-ms": 600_001 }), "/delay-ms"),
        (json!([1]), "object"),
    ] {
        let headers = [("content-type", "application/json")];
        let answer = send(sandbox.address(), "PUT", "/faults", &headers, body.to_string()).await;
        assert_eq!(answer.status, 422, "{body}: {answer:?}");
        assert!(answer.text().contains(said), "{body}: {answer:?}");
    }
    let shown = sandbox.get("/faults").await.expect("an answer").json();
    assert_eq!(shown["faults"]["error-after"], 1.0, "a bad request changed something");
}
