//! Rewards, from a trigger to the money: granted within cap and budget, and worked off by the engine.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::support::engine::work;
use super::support::referrals::{Referrals, document};
use super::support::sandbox::Sandbox;
use super::support::{eventually, quiet};

const PATIENCE: Duration = Duration::from_secs(30);

async fn bind(test: &Referrals, code: &str, invitee: &str) {
    let bound = test.bind(json!({ "code": code, "invitee": invitee })).await;
    assert_eq!(bound.status, 201, "{bound:?}");
}

/// States and how many rewards are in each, as `CREATE 2, NEW 1`.
async fn states(test: &Referrals) -> String {
    let database = test.api.database.connect().await;
    let row = database
        .query_one(
            "SELECT coalesce(string_agg(state || ' ' || count, ', ' ORDER BY state), '')
             FROM (SELECT state, count(*) FROM reward GROUP BY state) s",
            &[],
        )
        .await;
    row.expect("a row").get(0)
}

async fn until(test: &Referrals, wanted: &str) {
    eventually(wanted, PATIENCE, async || (states(test).await == wanted).then_some(())).await;
}

/// What is in the accounts: left, promised, paid. The ledger says the same.
async fn accounts(test: &Referrals) -> (i64, i64, i64) {
    let database = test.api.database.connect().await;
    let row = database
        .query_one("SELECT budget_minor, promised_minor, paid_minor FROM campaign_account", &[])
        .await
        .expect("a row");
    let accounts = (row.get(0), row.get(1), row.get(2));
    let row = database
        .query_one(
            "SELECT sum(CASE 'budget' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor ELSE 0 END)::bigint,
                    sum(CASE 'promised' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor ELSE 0 END)::bigint,
                    sum(CASE 'paid' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor ELSE 0 END)::bigint
             FROM ledger",
            &[],
        )
        .await
        .expect("a row");
    assert_eq!(accounts, (row.get(0), row.get(1), row.get(2)), "the books balance");
    accounts
}

fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut document = document(&json!([]));
    change(&mut document);
    document
}

#[tokio::test]
async fn a_trigger_becomes_rewards_and_the_rewards_are_recorded_by_the_payment_service() {
    let _quiet = quiet().await;
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let test = Referrals::screened(json!([])).await;
    test.activate(&with(|it| {
        it["rewards"] = json!({
            "credit_granted": { "invitee": { "amount_minor": 1_000 } },
            "loan_disbursed": {
                "inviter": { "payment_service_up_to_minor": 2_000 },
                "invitee": { "prizes": [{ "amount_minor": 0, "per_million": 1_000_000 }] },
            },
        });
    }))
    .await;
    let code = test.code("ann").await;
    bind(&test, &code, "ben").await;
    assert_eq!(test.reached("ben", "loan_disbursed").await.status, 201);
    assert_eq!(states(&test).await, "CREATE 2");
    assert_eq!(accounts(&test).await, (999_998_000, 2_000, 0));
    let _working = work(&test, &sandbox);
    assert_eq!(test.reached("ben", "credit_granted").await.status, 201);
    until(&test, "NEW 2, NO_PRIZE 1").await;
    assert_eq!(test.api.count("SELECT count(*) FROM reward_task").await, 0);
    let drawn = test.api.count("SELECT amount_minor FROM reward WHERE side = 'inviter'").await;
    assert_eq!(accounts(&test).await, (1_000_000_000 - drawn - 1_000, drawn + 1_000, 0));
    let log = "SELECT string_agg(event || '>' || to_state, ' ' ORDER BY version) FROM reward_log
               WHERE reward_id = (SELECT id FROM reward WHERE side = 'inviter')";
    let row = test.api.database.connect().await.query_one(log, &[]).await.expect("a row");
    assert_eq!(row.get::<_, String>(0), "grant>CREATE draw>DRAWN allot>NEW");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_inviter_gets_exactly_as_many_rewards_as_the_cap_allows() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    let invitees: Vec<String> = (0..64).map(|number| format!("invitee-{number}")).collect();
    for invitee in &invitees {
        bind(&test, &code, invitee).await;
    }
    let told = join_all(invitees.iter().map(|it| test.reached(it, "loan_disbursed"))).await;
    assert!(told.iter().all(|it| it.status == 201), "{told:?}");
    assert_eq!(states(&test).await, "CREATE 20, REVIEW 44");
    let held = "SELECT count(*) FROM reward WHERE reason = 'inviter-cap'";
    assert_eq!(test.api.count(held).await, 44);
    assert_eq!(test.api.count("SELECT rewards::bigint FROM inviter_tally").await, 20);
    assert_eq!(accounts(&test).await, (1_000_000_000 - 40_000, 40_000, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_campaign_never_promises_more_than_its_budget() {
    let test = Referrals::screened(json!([])).await;
    test.activate(&with(|it| it["budget_minor"] = json!(10_500))).await;
    let code = test.code("ann").await;
    let invitees: Vec<String> = (0..32).map(|number| format!("invitee-{number}")).collect();
    for invitee in &invitees {
        bind(&test, &code, invitee).await;
    }
    join_all(invitees.iter().map(|it| test.reached(it, "credit_granted"))).await;
    assert_eq!(states(&test).await, "CREATE 10, REVIEW 22");
    assert_eq!(accounts(&test).await, (500, 10_000, 0));
    // Nor can the budget be lowered below what is promised; raised, it can.
    let lower = with(|it| it["budget_minor"] = json!(9_999)).to_string();
    let put = test.api.call("POST", "/v1/campaigns/spring/versions", lower).await;
    assert_eq!(put.status, 422, "{put:?}");
    assert!(put.text().contains("at least 10000"), "{put:?}");
    test.activate(&with(|it| it["budget_minor"] = json!(20_000))).await;
    assert_eq!(accounts(&test).await, (10_000, 10_000, 0));
}

#[tokio::test]
async fn a_promise_is_kept_as_it_was_when_the_invitee_was_bound() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    bind(&test, &code, "ben").await;
    test.activate(&with(|it| {
        it["rewards"] = json!({ "credit_granted": { "invitee": { "amount_minor": 5 } } });
    }))
    .await;
    test.reached("ben", "credit_granted").await;
    assert_eq!(test.api.count("SELECT most_minor FROM reward").await, 1_000);
    bind(&test, &code, "cat").await;
    test.reached("cat", "credit_granted").await;
    assert_eq!(test.api.count("SELECT most_minor FROM reward WHERE invitee = 'cat'").await, 5);
}

#[tokio::test]
async fn what_was_told_before_the_binding_is_granted_with_it_and_once() {
    let test = Referrals::screened(json!([])).await;
    let told = test.reached("ben", "loan_disbursed").await;
    let id = told.json()["id"].as_i64().expect("a number");
    assert_eq!(states(&test).await, "");
    let code = test.code("ann").await;
    bind(&test, &code, "ben").await;
    assert_eq!(states(&test).await, "CREATE 1");
    for _ in 0..2 {
        test.api.rewards.granting.grant_late(&[id]).await.expect("granted");
        assert_eq!(states(&test).await, "CREATE 1");
    }
}

#[tokio::test]
async fn the_database_refuses_what_must_not_be() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    bind(&test, &code, "ben").await;
    test.reached("ben", "credit_granted").await;
    let database = test.api.database.connect().await;
    let move_to = "UPDATE reward SET event = 'pay', state = 'PAID', amount_minor = 1000, version = version + ";
    for (statement, refusal) in [
        (format!("{move_to} 1"), "reward_log_moves"),
        (format!("{move_to} 2"), "one version at a time"),
        ("UPDATE reward SET beneficiary = 'eve', version = version + 1".to_owned(), "keeps who gets what"),
        ("UPDATE reward_log SET actor = 'eve'".to_owned(), "never changed"),
        ("DELETE FROM ledger".to_owned(), "never changed"),
        ("DELETE FROM reward".to_owned(), "never changed"),
        (
            "INSERT INTO reward_log VALUES (1, 9, 'NEW', 'reveal', 'REVEALED', NULL, 'eve', NULL, NULL, NULL, 1, now())".to_owned(),
            "written by the database",
        ),
        ("SELECT fund_campaign('spring', 999)".to_owned(), "budget_is_not_exceeded"),
        ("UPDATE inviter_tally SET rewards = 1".to_owned(), ""),
    ] {
        match database.execute(&statement, &[]).await {
            Err(error) => {
                let said = error.as_db_error().map(ToString::to_string).unwrap_or_default();
                let constraint = error.as_db_error().and_then(|it| it.constraint()).unwrap_or("");
                assert!(said.contains(refusal) || constraint == refusal, "{statement}: {said}");
            }
            Ok(rows) => assert!(refusal.is_empty() && rows == 0, "{statement} was done"),
        }
    }
}
