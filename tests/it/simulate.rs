//! What a campaign would have cost: simulated, and compared with what really happened.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};
use waypost::campaign::CampaignId;
use waypost::campaign::document::Format;
use waypost::campaign::service::{CampaignService, Draft};
use waypost::config::Config;
use waypost::reward::simulate::report::{Report, Sums};
use waypost::reward::simulate::service::{COMMAND_LINE, Error, Limits, Question, Simulator, span};
use waypost::reward::simulate::{Amount, Draws, Judged, Outcome};

use super::support::engine::work;
use super::support::referrals::{Referrals, document};
use super::support::sandbox::Sandbox;
use super::support::waypost::Waypost;
use super::support::{Answer, eventually, quiet};

const PATIENCE: Duration = Duration::from_secs(30);

/// Prizes that add up to a million.
fn prizes(most: i64) -> Value {
    json!({ "prizes": [
        { "amount_minor": 0, "per_million": 400_000 },
        { "amount_minor": 700, "per_million": 400_000 },
        { "amount_minor": most, "per_million": 200_000 },
    ] })
}

/// A campaign in which a [`crowd`] meets its cap and, later, the end of its budget; with all ways of drawing, and
/// a check that holds.
fn mixed() -> Value {
    let checks = json!([
        { "check": "device", "mode": "hold" },
        { "check": "inviter_velocity", "most": 8, "hours": 24, "mode": "hold" },
        { "check": "new_user", "mode": "observe" },
    ]);
    let rewards = json!({
        "credit_granted": { "inviter": prizes(3_000), "invitee": { "amount_minor": 1_111 } },
        "loan_disbursed": { "inviter": { "amount_minor": 2_003 }, "invitee": prizes(9_000) },
        "card_linked": { "invitee": { "payment_service_up_to_minor": 5_000 } },
    });
    let said = with(document(&checks), "budget_minor", json!(150_000));
    let said = with(said, "caps", json!({ "rewards_per_inviter": 9 }));
    with(said, "rewards", rewards)
}

/// A document in which one field of the top level is another.
fn with(mut said: Value, field: &str, value: Value) -> Value {
    said.as_object_mut().expect("a document").insert(field.to_owned(), value);
    said
}

/// What is known of a reward: reason or amount.
type Rewards = BTreeMap<(String, String, String, String), (String, Option<i64>)>;

async fn bind(test: &Referrals, code: &str, invitee: &str, device: Option<&str>) {
    let mut body = json!({ "code": code, "invitee": invitee });
    if let Some(device) = device {
        body = with(body, "device", json!(device));
    }
    let bound = test.bind(body).await;
    // Under some documents a device is reason enough for no binding.
    assert!(matches!(bound.status, 201 | 422), "{bound:?}");
}

async fn reach(test: &Referrals, user: &str, kind: &str, number: u32) {
    let event = format!("{user} {kind} {number}");
    let is_early = ("user-00".."user-20").contains(&user);
    let at = if is_early { "2029-12-30T12:00:00Z" } else { "2029-12-31T12:00:00Z" };
    let body = json!({ "event_id": event, "kind": kind, "user": user, "occurred_at": at });
    let told = test.trigger(body).await;
    assert!(matches!(told.status, 200 | 201), "{told:?}");
    test.api.clock.advance(Duration::from_millis(1));
}

/// Sixty people are invited by five, of whom one knows a third of them, and reach things: some before they are bound,
/// some twice, some on one device. The clock moves more slowly than the hours do, so that all of it has happened
/// before anything is drawn.
async fn crowd(test: &Referrals) {
    let mut codes = Vec::new();
    for inviter in 0..5 {
        codes.push(test.code(&format!("inviter-{inviter}")).await);
    }
    for number in 0_u32..60 {
        let user = format!("user-{number:02}");
        let is_late = number % 5 == 2;
        if is_late {
            reach(test, &user, "credit_granted", 1).await;
            reach(test, &user, "loan_disbursed", 1).await;
        }
        let inviter = if number.is_multiple_of(3) { 0 } else { number % 5 };
        let device = number.is_multiple_of(7).then_some("a device of many");
        let code = codes.get(usize::try_from(inviter).expect("small")).expect("a code");
        bind(test, code, &user, device).await;
        test.api.clock.advance(Duration::from_millis(1));
        reach(test, &user, "credit_granted", 2).await;
        if number % 2 == 1 {
            reach(test, &user, "loan_disbursed", 2).await;
            // The same event again, and another one of the same kind.
            reach(test, &user, "loan_disbursed", 2).await;
            reach(test, &user, "loan_disbursed", 3).await;
        }
        if number % 4 == 1 {
            reach(test, &user, "card_linked", 1).await;
        }
    }
    reach(test, "a stranger", "credit_granted", 1).await;
}

/// Draws everything that is granted.
async fn draw_all(test: &Referrals) {
    let sandbox = Sandbox::start(&[]).await;
    let _working = work(test, &sandbox);
    eventually("all is drawn", PATIENCE, async || {
        let open = "SELECT count(*) FROM reward WHERE state IN ('CREATE', 'DRAWN')";
        (test.api.count(open).await == 0).then_some(())
    })
    .await;
}

/// What became of each reward: why it is in review, or how much it came to.
async fn happened(test: &Referrals) -> Rewards {
    let rows = test
        .api
        .database
        .connect()
        .await
        .query(
            "SELECT invitee, kind, side, beneficiary, coalesce(reason, ''), amount_minor, state
             FROM reward",
            &[],
        )
        .await
        .expect("rewards");
    let one = |row: &tokio_postgres::Row| {
        let key = (row.get(0), row.get(1), row.get(2), row.get(3));
        let is_held = row.get::<_, String>(6) == "REVIEW";
        let reason = if is_held { row.get(4) } else { String::new() };
        (key, (reason, row.get(5)))
    };
    rows.iter().map(one).collect()
}

fn name() -> CampaignId {
    "spring".parse().expect("a name")
}

/// Simulates a document: the report, and what becomes of each reward.
async fn simulate(
    test: &Referrals,
    said: &Value,
    draws: Draws,
    (from, to): (Option<&str>, Option<&str>),
) -> (Report, Rewards) {
    let campaigns = CampaignService::new(test.api.store.clone(), &Config::default());
    let campaign = &name();
    let written = said.to_string();
    let said = campaigns.suppose(Draft { campaign, text: &written, format: Format::Json }).await;
    let question = Question {
        campaign,
        said: said.expect("a good document"),
        draws,
        span: span(from, to).expect("good days"),
        limits: COMMAND_LINE,
    };
    let mut rewards = Rewards::new();
    let simulator = Simulator::new(test.api.store.clone());
    let report = simulator
        .simulate(question, &mut |judged| {
            let key = &judged.owed.key;
            let (reason, amount) = match judged.outcome {
                Outcome::Granted(Amount::Fixed(minor) | Amount::Drawn(minor)) => ("", Some(minor)),
                Outcome::Granted(Amount::Table { .. } | Amount::UpTo(_)) => ("", None),
                Outcome::Review(reason) => (reason, None),
                Outcome::Refused(_) => return,
            };
            let key = (
                key.invitee.clone(),
                key.kind.clone(),
                key.side.name().to_owned(),
                judged.owed.beneficiary.clone(),
            );
            let before = rewards.insert(key, (reason.to_owned(), amount));
            assert_eq!(before, None, "a reward was told of twice");
        })
        .await
        .expect("a simulation");
    (report, rewards)
}

/// How many rewards are as they are for each reason; granted ones have none.
fn by_reason(rewards: &Rewards) -> BTreeMap<&str, usize> {
    let mut counts = BTreeMap::new();
    for (reason, _) in rewards.values() {
        *counts.entry(reason.as_str()).or_default() += 1;
    }
    counts
}

#[tokio::test]
async fn the_same_document_simulated_gives_what_happened_to_the_cent() {
    let _quiet = quiet().await;
    let test = Referrals::screened(json!([])).await;
    test.activate(&mixed()).await;
    crowd(&test).await;
    draw_all(&test).await;
    let really = happened(&test).await;
    // Else there is nothing to compare.
    let reasons = by_reason(&really);
    for reason in ["", "inviter-cap", "budget-exhausted", "binding-held"] {
        assert!(reasons.get(reason).is_some_and(|count| *count >= 3), "{reasons:?}");
    }
    let (report, rewards) = simulate(&test, &mixed(), Draws::Expected, (None, None)).await;
    assert_eq!(rewards, really);
    let spent = test.api.count("SELECT promised_minor + paid_minor FROM campaign_account").await;
    let all = report.all;
    assert_eq!((all.least_minor, all.expected_minor(), all.most_minor), (spent, spent, spent));
    assert_eq!(all.from_tables + all.asked, 0, "all of it was really drawn");
    let states = |state: &str| format!("SELECT count(*) FROM reward WHERE state = '{state}'");
    for (state, count) in [("REVIEW", all.in_review()), ("NO_PRIZE", all.no_prize())] {
        assert_eq!(test.api.count(&states(state)).await, i64::try_from(count).expect("few"));
    }
    let held = test.api.count("SELECT count(*) FROM binding WHERE state = 'held'").await;
    let bindings = &report.bindings;
    assert_eq!(bindings.held.values().sum::<u64>(), u64::try_from(held).expect("some"));
    assert!(bindings.held.len() == 2 && bindings.not_replayed.is_empty(), "{bindings:?}");
    assert_eq!(report.triggers.without_binding, 1);
    // Each kind, each side and each day adds up to the whole.
    let parts = report.rewards.values().map(Sums::expected_minor);
    assert_eq!(parts.sum::<i64>(), spent);
    assert_eq!(report.days.values().map(Sums::expected_minor).sum::<i64>(), spent);
    assert_eq!(report.days.len(), 1);
}

/// Documents that differ from [`mixed`], each in something else.
fn others() -> Vec<(&'static str, Value)> {
    let changed = |mut said: Value, pointer: &str, value: Value| {
        *said.pointer_mut(pointer).unwrap_or_else(|| panic!("no {pointer}")) = value;
        said
    };
    let change = |pointer: &str, value: Value| changed(mixed(), pointer, value);
    let fixed = json!({ "amount_minor": 17 });
    let dearer = change("/rewards/credit_granted/invitee/amount_minor", json!(4_444));
    let other_amounts = changed(dearer, "/rewards/loan_disbursed/inviter", fixed);
    vec![
        ("a lower cap", change("/caps/rewards_per_inviter", json!(2))),
        ("a higher cap", change("/caps/rewards_per_inviter", json!(1_000))),
        ("a lower budget", change("/budget_minor", json!(40_000))),
        ("a higher budget", change("/budget_minor", json!(10_000_000))),
        ("other amounts", other_amounts),
        ("other prizes", change("/rewards/loan_disbursed/invitee", prizes(2_000))),
        ("a side that gets nothing", change("/rewards/loan_disbursed/inviter", Value::Null)),
        ("a check that blocks", change("/screening/0/mode", json!("block"))),
        ("a check that only observes", change("/screening/0/mode", json!("observe"))),
        ("a check that is stricter", change("/screening/1/most", json!(4))),
        ("a later beginning", change("/starts_at", json!("2029-12-31T00:00:00Z"))),
        ("an earlier end", change("/ends_at", json!("2030-01-01T00:00:00.120Z"))),
    ]
}

#[tokio::test]
async fn another_document_simulated_gives_what_a_live_run_of_it_gives() {
    let _quiet = quiet().await;
    let test = Referrals::screened(json!([])).await;
    test.activate(&mixed()).await;
    crowd(&test).await;
    let before = happened(&test).await;
    let (_, same) = simulate(&test, &mixed(), Draws::Most, (None, None)).await;
    for (what, said) in others() {
        let live = Referrals::screened(json!([])).await;
        live.activate(&said).await;
        crowd(&live).await;
        // Nothing is drawn there, so all that is promised stays promised, and here it counts with the most.
        let (report, rewards) = simulate(&test, &said, Draws::Most, (None, None)).await;
        let reasons = |rewards: &Rewards| -> BTreeMap<_, _> {
            rewards.iter().map(|(key, (reason, _))| (key.clone(), reason.clone())).collect()
        };
        assert_eq!(reasons(&rewards), reasons(&happened(&live).await), "{what}");
        assert_ne!(rewards, same, "{what} makes a difference");
        let promised = live.api.count("SELECT promised_minor FROM campaign_account").await;
        assert_eq!(report.all.most_minor, promised, "{what}");
        for ((kind, side), sums) in &report.rewards {
            let side = side.name();
            let query = format!(
                "SELECT coalesce(sum(promised_minor), 0)::bigint FROM reward
                 WHERE kind = '{kind}' AND side = '{side}'"
            );
            let promised = live.api.count(&query).await;
            assert_eq!(sums.most_minor, promised, "{what}: {kind} {side}");
            // What needs no luck is the same to the cent.
            if said["rewards"][kind][side].get("amount_minor").is_some() {
                let amounts = (sums.least_minor, sums.expected_minor());
                assert_eq!(amounts, (promised, promised), "{what}: {kind} {side}");
            }
        }
    }
    assert_eq!(happened(&test).await, before, "nothing was changed by looking");
}

#[tokio::test]
async fn what_was_drawn_in_time_is_spent_again() {
    let _quiet = quiet().await;
    let test = Referrals::screened(json!([])).await;
    let mut said = document(&json!([]));
    said["budget_minor"] = json!(25_000);
    said["rewards"] = json!({ "credit_granted": { "invitee": { "prizes": [
        { "amount_minor": 1_000, "per_million": 999_999 },
        { "amount_minor": 10_000, "per_million": 1 },
    ] } } });
    test.activate(&said).await;
    let code = test.code("ann").await;
    for number in 0..12 {
        let user = format!("user-{number}");
        bind(&test, &code, &user, None).await;
        reach(&test, &user, "credit_granted", 1).await;
        // The first four come before anything is drawn: two of them are too much.
        if number >= 3 {
            draw_all(&test).await;
            test.api.clock.advance(Duration::from_hours(1));
        }
    }
    let really = happened(&test).await;
    assert_eq!(by_reason(&really).get("budget-exhausted"), Some(&2), "{really:?}");
    let (report, rewards) = simulate(&test, &said, Draws::Expected, (None, None)).await;
    assert_eq!(rewards, really);
    assert!(report.budget_ended_at.is_some());
}

#[tokio::test]
async fn days_are_counted_apart_and_nothing_is_earned_again() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    let day = Duration::from_hours(24);
    for number in 0..3 {
        let user = format!("user-{number}");
        bind(&test, &code, &user, None).await;
        reach(&test, &user, "credit_granted", 1).await;
        reach(&test, "user-0", "credit_granted", number + 2).await;
        test.api.clock.advance(day);
    }
    let said = document(&json!([]));
    let counts = async |from: Option<&str>, to: Option<&str>| {
        let (report, _) = simulate(&test, &said, Draws::Expected, (from, to)).await;
        let days = report.days.iter().map(|(day, sums)| format!("{day} {}", sums.granted));
        (days.collect::<Vec<_>>().join(", "), report.triggers.repeated, report.bindings.replayed)
    };
    let all = "2030-01-01 1, 2030-01-02 1, 2030-01-03 1";
    assert_eq!(counts(None, None).await, (all.to_owned(), 3, 3));
    let second = (Some("2030-01-02"), Some("2030-01-03"));
    assert_eq!(counts(second.0, second.1).await, ("2030-01-02 1".to_owned(), 1, 1));
    assert_eq!(counts(Some("2030-02-01"), None).await, (String::new(), 0, 0));
}

#[tokio::test]
async fn a_check_with_nothing_to_go_by_is_named_and_so_is_who_was_refused() {
    let test = Referrals::screened(json!([{ "check": "device" }])).await;
    let code = test.code("ann").await;
    bind(&test, &code, "ben", Some("one")).await;
    bind(&test, &code, "cat", Some("one")).await;
    bind(&test, &code, "dan", Some("two")).await;
    let said = document(&json!([
        { "check": "device", "mode": "observe" },
        { "check": "network_velocity", "most": 1, "hours": 1 },
    ]));
    let (report, _) = simulate(&test, &said, Draws::Expected, (None, None)).await;
    let bindings = report.bindings;
    assert_eq!(bindings.replayed, 2);
    assert_eq!(bindings.not_replayed, BTreeMap::from([("network_velocity", 2)]));
    let refused = BTreeMap::from([("device-already-used".to_owned(), 1)]);
    assert_eq!(bindings.refused_then, refused);
}

#[tokio::test]
async fn more_than_may_be_replayed_at_once_is_refused() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    for user in ["ben", "cat"] {
        bind(&test, &code, user, None).await;
        reach(&test, user, "credit_granted", 1).await;
    }
    reach(&test, "cat", "credit_granted", 2).await;
    let campaigns = CampaignService::new(test.api.store.clone(), &Config::default());
    let (campaign, written) = (&name(), document(&json!([])).to_string());
    let draft = Draft { campaign, text: &written, format: Format::Json };
    let said = campaigns.suppose(draft).await.expect("a good document");
    let question = |most: i64, budget: Duration| Question {
        campaign,
        said: said.clone(),
        draws: Draws::Expected,
        span: span(None, None).expect("good days"),
        limits: Limits { most, budget, remedy: "wait" },
    };
    let simulator = Simulator::new(test.api.store.clone());
    for (most, budget, refusal) in [
        (1, PATIENCE, Some("more than 1 bindings until then; wait")),
        (2, PATIENCE, Some("more than 2 triggers until then; wait")),
        (3, Duration::ZERO, Some("it took longer than 0 s; wait")),
        (3, PATIENCE, None),
    ] {
        let outcome = simulator.simulate(question(most, budget), &mut |_| {}).await;
        match (outcome.err().map(|error| error.to_string()), refusal) {
            (None, None) => {}
            (Some(said), Some(refusal)) => assert!(said.ends_with(refusal), "{said}"),
            other => panic!("{most}: {other:?}"),
        }
    }
    let (mut first, mut second) = (|_: &Judged<'_>| {}, |_: &Judged<'_>| {});
    let (first, second) = tokio::join!(
        simulator.simulate(question(3, PATIENCE), &mut first),
        simulator.simulate(question(3, PATIENCE), &mut second),
    );
    assert!(first.is_ok() && matches!(second, Err(Error::Busy)), "{second:?}");
}

async fn ask(test: &Referrals, path: &str, body: &Value) -> Answer {
    test.api.call("POST", path, body.to_string()).await
}

#[tokio::test]
async fn the_api_simulates_documents_and_versions_and_stores_nothing() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    bind(&test, &code, "ben", None).await;
    reach(&test, "ben", "credit_granted", 1).await;
    let mut said = document(&json!([]));
    said["rewards"]["credit_granted"]["invitee"]["amount_minor"] = json!(5);
    // Less than what is promised already can be reckoned with, though not be activated.
    said["budget_minor"] = json!(2_000);
    let answer = ask(&test, "/v1/campaigns/spring/simulate?draws=most", &said).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    assert_eq!(answer["all"]["expected_minor"], 5, "{answer}");
    assert_eq!(answer["days"][0]["day"], "2030-01-01", "{answer}");
    assert_eq!(answer["rewards"].as_array().map(Vec::len), Some(2), "{answer}");
    assert_eq!((&answer["draws"], &answer["currency"]), (&json!("most"), &json!("IDR")));
    assert_eq!(test.api.count("SELECT count(*) FROM campaign_version").await, 1);
    let answer = ask(&test, "/v1/campaigns/spring/versions/1/simulate", &Value::Null).await;
    assert_eq!(answer.json()["all"]["expected_minor"], 1_000, "{answer:?}");
}

#[tokio::test]
async fn bad_questions_are_refused_in_words() {
    let test = Referrals::screened(json!([])).await;
    let good = document(&json!([]));
    let with = |name: &str, value: Value| with(good.clone(), name, value);
    for (path, body, status, words) in [
        ("winter/simulate", good.clone(), 404, "there is no campaign 'winter'"),
        ("spring/simulate", with("budget_minor", json!(-1)), 422, "/budget_minor"),
        ("spring/simulate", with("extra", json!(1)), 422, "/extra"),
        ("spring/simulate", with("currency", json!("USD")), 422, "was IDR when the campaign"),
        (
            "spring/simulate?from=2030-01-02&to=2030-01-02",
            good.clone(),
            400,
            "must be later than 'from'",
        ),
        (
            "spring/simulate?from=2030-1-2",
            good.clone(),
            400,
            "'from' must be a day such as 2030-01-31",
        ),
        ("spring/simulate?to=tomorrow", good.clone(), 400, "'to' must be a day such as 2030-01-31"),
        ("spring/simulate?draws=least", good.clone(), 400, "'draws' must be expected or most"),
        ("spring/simulate?until=2030-01-02", good.clone(), 400, "unknown parameter 'until'"),
        ("spring/versions/7/simulate", Value::Null, 404, "has no version 7"),
        ("winter/versions/1/simulate", Value::Null, 404, "there is no campaign 'winter'"),
    ] {
        let answer = ask(&test, &format!("/v1/campaigns/{path}"), &body).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
        assert!(answer.text().contains(words), "{path}: {}", answer.text());
    }
    // Each fault has its line.
    let faulty = serde_json::to_string_pretty(&with("budget_minor", json!(-1))).expect("JSON");
    let line = faulty.lines().position(|line| line.contains("budget_minor")).expect("a line");
    let answer = test.api.call("POST", "/v1/campaigns/spring/simulate", faulty).await;
    assert_eq!(answer.json()["errors"][0]["line"], json!(line + 1), "{answer:?}");
}

#[tokio::test]
async fn the_command_prints_a_table_or_json_or_each_reward() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    for user in ["ben", "cat"] {
        bind(&test, &code, user, None).await;
        reach(&test, user, "credit_granted", 1).await;
        reach(&test, user, "loan_disbursed", 1).await;
    }
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("draft.json");
    let mut said = document(&json!([]));
    said["caps"] = json!({ "rewards_per_inviter": 1 });
    std::fs::write(&file, said.to_string()).expect("written");
    let file = file.to_str().expect("a plain path");
    let url = test.api.database.url();
    let run = async |arguments: &[&str]| {
        let arguments = [&["campaign", "simulate"], arguments].concat();
        Waypost::run(&arguments, &[("DATABASE_URL", url.as_str())]).await
    };
    let (code, table) = run(&["spring", "--document", file]).await;
    assert_eq!(code, Some(0), "{table}");
    for words in [
        "spring: IDR, in minor units; a budget of 1000000000, a cap of 1",
        "bindings: 2, of which 2 bound, held: 0, refused: 0",
        "triggers: 4, of which 4 earn something",
        "in review: 1 over the cap, 0 over the budget, 0 of held bindings; up to 2000 together",
    ] {
        assert!(table.contains(words), "{words}\n{table}");
    }
    let columns = |name: &str| -> Vec<String> {
        let line = table.lines().find(|line| line.starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name}\n{table}"));
        line.trim_start_matches(name).split_whitespace().map(str::to_owned).collect()
    };
    assert_eq!(columns("loan_disbursed inviter"), ["1", "0", "1", "0", "2000", "2000", "2000"]);
    assert_eq!(columns("2030-01-01"), ["3", "0", "1", "0", "4000", "4000", "4000"]);
    assert_eq!(columns("all"), ["3", "0", "1", "0", "4000", "4000", "4000"]);
    let (code, printed) = run(&["spring", "--document", file, "--json"]).await;
    let printed: Value = serde_json::from_str(&printed).unwrap_or_else(|_| panic!("{printed}"));
    assert_eq!((code, &printed["all"]["granted"]), (Some(0), &json!(3)), "{printed}");
    let (code, printed) = run(&["spring", "--version", "1", "--rewards"]).await;
    let lines = printed.lines().map(|line| serde_json::from_str(line).expect("JSON"));
    let lines: Vec<Value> = lines.collect();
    assert_eq!((code, lines.len()), (Some(0), 4), "{printed}");
    assert_eq!(lines[1]["beneficiary"], "ann", "{printed}");
    assert_eq!(
        (&lines[1]["outcome"], &lines[1]["amount_minor"]),
        (&json!("granted"), &json!(2_000))
    );
    for (arguments, words) in [
        (&["spring"][..], "--document"),
        (&["spring", "--document", file, "--version", "1"], "cannot be used with"),
        (&["spring", "--version", "9"], "has no version 9"),
        (&["winter", "--document", file], "there is no campaign 'winter'"),
        (&["spring", "--document", "/no/such.toml"], "cannot be read"),
        (
            &["spring", "--document", file, "--from", "2030-02-01", "--to", "2030-01-01"],
            "--to must be later than 'from', 2030-02-01",
        ),
    ] {
        let (code, said) = run(arguments).await;
        assert_ne!(code, Some(0), "{said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
    said["currency"] = json!("usd");
    std::fs::write(file, serde_json::to_string_pretty(&said).expect("JSON")).expect("written");
    let (_, refusal) = run(&["spring", "--document", file]).await;
    assert!(refusal.contains("nothing was simulated:"), "{refusal}");
    let place = refusal.contains(&format!("{file}:")) && refusal.contains("/currency");
    assert!(place, "{refusal}");
}
