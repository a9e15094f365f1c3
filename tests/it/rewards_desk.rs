//! What operators do about rewards: every state against every act, again and at once, within cap and budget.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::api::problem;
use super::support::TestApi;
use super::support::desk::{Desk, states, told, with};

const REASON: &str = "checked by phone";

/// From which state to which.
type Leads = &'static [(&'static str, &'static str)];

/// Everything that can be done, and where it leads from those states in which it can be.
const ACTS: [(&str, Option<&str>, Leads); 6] = [
    ("approve", None, &[("REVIEW", "CREATE")]),
    ("deny", None, &[("REVIEW", "DENIED")]),
    ("reverse", None, &[("NEW", "REVERSED"), ("PAID", "REVERSED")]),
    (
        "replay",
        Some("ask"),
        &[("PARKED CREATE", "CREATE"), ("PARKED DRAWN", "DRAWN"), ("PARKED REVEALED", "REVEALED")],
    ),
    (
        "replay",
        Some("not_applied"),
        &[("PARKED CREATE", "CREATE"), ("PARKED DRAWN", "DRAWN"), ("PARKED REVEALED", "REVEALED")],
    ),
    ("replay", Some("applied"), &[("PARKED DRAWN", "NEW"), ("PARKED REVEALED", "PAID")]),
];

fn body(outcome: Option<&str>) -> Value {
    match outcome {
        Some(outcome) => json!({ "reason": REASON, "outcome": outcome }),
        None => json!({ "reason": REASON }),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_state_answers_every_act_as_it_must() {
    for (act, outcome, leads) in ACTS {
        let desk = Desk::open(&with(|_| {})).await;
        for state in states() {
            let id = desk.reward(state).await;
            let what = format!("{act} {outcome:?} from {state}");
            let answer = desk.act(&desk.ada, id, act, body(outcome)).await;
            let lead = leads.iter().find(|(from, _)| *from == state);
            let Some((_, to)) = lead else {
                let bare = state.split(' ').next().unwrap_or_default();
                let expected = format!("409 reward-in-other-state {bare}");
                assert_eq!(told(&answer), expected, "{what}");
                assert_eq!(desk.state(id).await, state, "{what}");
                continue;
            };
            assert_eq!(told(&answer), "200", "{what}: {answer:?}");
            let view = answer.json();
            assert_eq!(view["state"], *to, "{what}");
            assert_eq!((&view["actor"], &view["reason"]), (&json!("ada"), &json!(REASON)));
            assert_eq!(desk.state(id).await, *to, "{what}");
            // The same person again, and somebody else.
            let again = desk.act(&desk.ada, id, act, body(outcome)).await;
            assert_eq!((told(&again).as_str(), again.json()), ("200", view), "{what}");
            let other = desk.act(&desk.bob, id, act, body(outcome)).await;
            assert_eq!(told(&other), format!("409 reward-in-other-state {to}"), "{what}");
        }
        desk.accounts().await;
        let audits =
            desk.text("SELECT count(*)::text FROM audit WHERE action LIKE 'reward.%'").await;
        assert_eq!(audits, leads.len().to_string(), "{act}: each is written down once");
        // Work that is open has a task, what is parked a parked one, and nothing else has any.
        let astray = "
            SELECT coalesce(string_agg(id || ' ' || state, ', '), '') FROM reward r
            LEFT JOIN reward_task t ON t.reward_id = r.id LEFT JOIN parked_task p ON p.reward_id = r.id
            WHERE (p.reward_id IS NOT NULL) <> (state = 'PARKED')
               OR (t.step IS DISTINCT FROM CASE state WHEN 'CREATE' THEN 'draw' WHEN 'DRAWN' THEN 'allot'
                                                      WHEN 'REVEALED' THEN 'pay' END)
                   AND NOT (state = 'CREATE' AND version = 1) AND NOT (state = 'NEW')";
        assert_eq!(desk.text(astray).await, "", "{act} {outcome:?}");
    }
}

#[tokio::test]
async fn a_refusal_says_what_is_possible_instead() {
    let desk = Desk::open(&with(|_| {})).await;
    for (state, act, words) in [
        ("PARKED CREATE", "approve", "PARKED (it was in CREATE)"),
        ("PARKED CREATE", "deny", "replay it with the outcome ask or not_applied"),
        ("PAID", "approve", "possible is: reverse"),
        ("DENIED", "deny", "possible is: grant it by a compensation"),
        ("NO_PRIZE", "reverse", "possible is: nothing"),
    ] {
        let id = desk.reward(state).await;
        let answer = desk.act(&desk.ada, id, act, body(None)).await;
        assert!(answer.text().contains(words), "{state} {act}: {answer:?}");
    }
}

#[tokio::test]
async fn a_replayed_reward_has_its_task_again() {
    let desk = Desk::open(&with(|_| {})).await;
    let task = async |id: i64| {
        desk.text(&format!(
            "SELECT concat_ws(' ', step, attempts, epoch, operation_id, convert_from(request, 'UTF8'),
                              to_char(first_sent_at AT TIME ZONE 'UTC', 'YYYY-MM-DD'))
             FROM reward_task WHERE reward_id = {id}"
        ))
        .await
    };
    for (state, outcome, expected) in [
        ("PARKED DRAWN", None, "allot 0 3 op-allot-ID op-allot-ID bytes 2029-12-31"),
        ("PARKED REVEALED", Some("ask"), "pay 0 3 op-pay-ID op-pay-ID bytes 2029-12-31"),
        ("PARKED REVEALED", Some("not_applied"), "pay 0 3 op-pay-ID op-pay-ID bytes"),
        ("PARKED CREATE", Some("not_applied"), "draw 0 3"),
    ] {
        let id = desk.reward(state).await;
        let answer = desk.act(&desk.ada, id, "replay", body(outcome)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let expected = expected.replacen("op-allot-ID ", "", 1).replacen("op-pay-ID ", "", 1);
        assert_eq!(task(id).await, expected.replace("ID", &id.to_string()), "{state} {outcome:?}");
    }
    let audit = "SELECT string_agg(detail ->> 'outcome', ' ' ORDER BY id) FROM audit
                 WHERE action = 'reward.replay'";
    assert_eq!(desk.text(audit).await, "ask ask not_applied not_applied");
}

#[tokio::test]
async fn a_replay_that_was_meant_differently_is_not_the_same_call() {
    let desk = Desk::open(&with(|_| {})).await;
    let id = desk.reward("PARKED REVEALED").await;
    let first = desk.act(&desk.ada, id, "replay", body(Some("ask"))).await;
    assert_eq!(told(&first), "200");
    let other = desk.act(&desk.ada, id, "replay", body(Some("not_applied"))).await;
    assert_eq!(told(&other), "409 reward-in-other-state REVEALED");
    let same = desk.act(&desk.ada, id, "replay", body(None)).await;
    assert_eq!(told(&same), "200");
}

#[tokio::test]
async fn what_is_vouched_for_goes_on_as_if_it_had_been_answered() {
    let desk = Desk::open(&with(|_| {})).await;
    let log = async |id: i64| {
        desk.text(&format!(
            "SELECT string_agg(event || '>' || to_state || ' ' || actor || ' ' || coalesce(operation_id, '-'),
                               ', ' ORDER BY version)
             FROM reward_log WHERE reward_id = {id} AND actor = 'ada'"
        ))
        .await
    };
    let allotted = desk.reward("PARKED DRAWN").await;
    let answer = desk.act(&desk.ada, allotted, "replay", body(Some("applied"))).await;
    let view = answer.json();
    // The whole life of a card, from the present of the tests on.
    assert_eq!(view["card"]["expires_at"], "2030-01-10T00:00:00Z");
    assert_eq!(view["card"]["reminders"], 0);
    let expected =
        format!("replay>DRAWN ada op-allot-{allotted}, allot>NEW ada op-allot-{allotted}");
    assert_eq!(log(allotted).await, expected);
    assert_eq!(desk.accounts().await, (1_000_000_000 - 2_000, 2_000, 0));
    let paid = desk.reward("PARKED REVEALED").await;
    assert_eq!(told(&desk.act(&desk.ada, paid, "replay", body(Some("applied"))).await), "200");
    let expected = format!("replay>REVEALED ada op-pay-{paid}, pay>PAID ada op-pay-{paid}");
    assert_eq!(log(paid).await, expected);
    assert_eq!(desk.accounts().await, (1_000_000_000 - 4_000, 2_000, 2_000));
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward_task").await, 0);
}

#[tokio::test]
async fn taking_back_releases_the_money_and_the_reminder() {
    let desk = Desk::open(&with(|_| {})).await;
    let (card, paid) = (desk.reward("NEW").await, desk.reward("PAID").await);
    assert_eq!(desk.accounts().await, (1_000_000_000 - 4_000, 2_000, 2_000));
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward_task").await, 1);
    for id in [card, paid] {
        assert_eq!(told(&desk.act(&desk.ada, id, "reverse", body(None)).await), "200");
    }
    assert_eq!(desk.accounts().await, (1_000_000_000, 0, 0));
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward_task").await, 0);
    let entries = format!(
        "SELECT string_agg(debit || '>' || credit, ' ' ORDER BY reward_version) FROM ledger
         WHERE reward_id = {paid}"
    );
    assert_eq!(desk.text(&entries).await, "budget>promised promised>paid paid>budget");
}

#[tokio::test]
async fn an_approved_draw_is_asked_of_the_payment_service_if_the_campaign_says_so() {
    for (reward, operation) in [
        (json!({ "amount_minor": 2_000 }), ""),
        (json!({ "payment_service_up_to_minor": 2_000 }), "up_to_minor\":2000"),
    ] {
        let document = with(|it| it["rewards"]["loan_disbursed"]["inviter"] = reward.clone());
        let desk = Desk::open(&document).await;
        let id = desk.reward("REVIEW").await;
        assert_eq!(told(&desk.act(&desk.ada, id, "approve", body(None)).await), "200");
        let query = "SELECT concat_ws(' ', operation_id, convert_from(request, 'UTF8'))
                     FROM reward_task WHERE step = 'draw'";
        let task = desk.text(query).await;
        assert!(task.contains(operation) && task.is_empty() == operation.is_empty(), "{task}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_approvals_at_once_one_approves() {
    let api = TestApi::with_connections(16).await;
    let desk = Desk::on(api, &with(|_| {})).await;
    let id = desk.reward("REVIEW").await;
    let key = |number: usize| if number.is_multiple_of(2) { &desk.ada } else { &desk.bob };
    let all =
        join_all((0..64).map(|number| desk.act(key(number), id, "approve", body(None)))).await;
    let good = all.iter().filter(|it| it.status == 200).count();
    let refused = all.iter().filter(|it| told(it).starts_with("409 reward-in-other-state"));
    assert_eq!((good, refused.count()), (32, 32), "{all:?}");
    assert_eq!(desk.accounts().await, (1_000_000_000 - 2_000, 2_000, 0));
    let tally = "SELECT rewards || ' ' || lifted FROM inviter_tally";
    assert_eq!(desk.text(tally).await, "1 0");
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward_task").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn cap_and_budget_are_exact_under_64_approvals_at_once() {
    let api = TestApi::with_connections(16).await;
    let document = with(|it| {
        it["budget_minor"] = json!(2_000 * 40 + 1_999);
        it["caps"] = json!({ "rewards_per_inviter": 7 });
    });
    let desk = Desk::on(api, &document).await;
    let invitees: Vec<String> = (0..64).map(|number| format!("invitee-{number}")).collect();
    desk.bind(&invitees.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let ids = join_all(invitees.iter().map(|it| desk.held(it, "inviter-cap"))).await;
    let all = join_all(ids.iter().map(|id| desk.act(&desk.ada, *id, "approve", body(None)))).await;
    let told: Vec<String> = all.iter().map(told).collect();
    let count = |wanted: &str| told.iter().filter(|it| *it == wanted).count();
    assert_eq!((count("200"), count("409 budget-exhausted")), (40, 24), "{told:?}");
    assert_eq!(desk.accounts().await, (1_999, 80_000, 0));
    let tally = "SELECT rewards || ' ' || lifted || ' ' || allowed FROM inviter_tally";
    assert_eq!(desk.text(tally).await, "40 33 7");
    let lifted = "SELECT count(*)::text FROM audit WHERE detail -> 'lifted' = 'true'";
    assert_eq!(desk.text(lifted).await, "33");
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward_task").await, 40);
    let words = all.iter().find(|it| it.status == 409).expect("a refusal").text();
    assert!(words.contains("2000") && words.contains("1999"), "{words}");
}

#[tokio::test]
async fn bad_requests_are_told_and_change_nothing() {
    let desk = Desk::open(&with(|_| {})).await;
    let id = desk.reward("PARKED REVEALED").await;
    for (body, pointer, reason) in [
        (json!({}), "/reason", "required"),
        (json!({ "reason": " " }), "/reason", "empty"),
        (json!({ "reason": "x".repeat(501) }), "/reason", "too-long"),
        (json!({ "reason": "a\u{1b}b" }), "/reason", "control-character"),
        (json!({ "reason": REASON, "outcome": "done" }), "/outcome", "out-of-range"),
        (json!({ "reason": REASON, "force": true }), "/force", "unknown-field"),
    ] {
        let answer = desk.act(&desk.ada, id, "replay", body.clone()).await;
        let expected = vec![(pointer.to_owned(), reason.to_owned())];
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{body}");
    }
    for (path, expected) in [
        ("/v1/rewards/x/approve", "404 not-found"),
        ("/v1/rewards/99999999999999999999/approve", "404 not-found"),
        ("/v1/rewards/999999/approve", "404 not-found"),
        ("/v1/rewards/1/approve?force=1", "400 invalid-query"),
    ] {
        let answer = desk.call(&desk.ada, "POST", path, body(None)).await;
        assert_eq!(told(&answer), expected, "{path}");
    }
    assert_eq!(desk.state(id).await, "PARKED REVEALED");
    assert_eq!(desk.test.api.count("SELECT count(*) FROM audit WHERE actor = 'ada'").await, 0);
}

#[tokio::test]
async fn who_reviews_may_look_and_not_decide() {
    let desk = Desk::open(&with(|_| {})).await;
    let id = desk.reward("REVIEW").await;
    let reviewer = desk.test.api.add_key("rea", &["reviews"]).await;
    let stranger = desk.test.api.add_key("app", &["referrals", "triggers", "campaigns"]).await;
    for path in ["/v1/rewards", "/v1/rewards/ID", "/v1/rewards/ID/explain"]
        .map(|path| path.replace("ID", &id.to_string()))
        .into_iter()
        .chain(["/v1/campaigns/spring/users/ann/explain".to_owned()])
    {
        let seen = desk.call(&reviewer, "GET", &path, Value::Null).await;
        assert_eq!(seen.status, 200, "{path}");
        let refused = desk.call(&stranger, "GET", &path, Value::Null).await;
        assert_eq!(told(&refused), "403 forbidden", "{path}");
        assert!(refused.text().contains("'rewards' or 'reviews'"), "{refused:?}");
    }
    for act in ["approve", "deny", "replay", "reverse"] {
        let answer = desk.act(&reviewer, id, act, body(None)).await;
        assert_eq!(told(&answer), "403 forbidden", "{act}");
    }
    assert_eq!(desk.state(id).await, "REVIEW");
}
