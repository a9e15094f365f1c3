//! Scratch cards: hidden until they are scratched, once; reminded of; and over after nine days.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};
use waypost::campaign::ScratchCard;
use waypost::campaign::document::{Format, parse};
use waypost::reward::cards::due::DueCards;

use super::support::cards::{DRAW, card, granted, log, reveal, show, tasks};
use super::support::engine::work;
use super::support::referrals::{Referrals, document, refusal};
use super::support::sandbox::{Sandbox, lines};
use super::support::{TestApi, eventually, quiet};

const DAY: Duration = Duration::from_hours(24);

/// The tests' campaign with these settings of cards.
fn with(scratch_card: &Value) -> (Value, ScratchCard) {
    let mut document = document(&json!([]));
    let fields = document.as_object_mut().expect("an object");
    fields.insert("scratch_card".to_owned(), scratch_card.clone());
    let campaign = parse(&document.to_string(), Format::Json).expect("good");
    (document, campaign.scratch_card)
}

fn due_cards(test: &Referrals) -> DueCards {
    test.api.rewards.due_cards(&test.api.store, &test.api.metrics)
}

async fn act(test: &Referrals) -> usize {
    due_cards(test).act(test.api.clock.now().into()).await.expect("done")
}

async fn page(test: &Referrals, user: &str) -> Value {
    let path = format!("/v1/campaigns/spring/users/{user}");
    let answer = test.api.call("GET", &path, "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()
}

async fn allow(test: &Referrals, user: &str, allowed: bool) {
    let path = format!("/v1/campaigns/spring/users/{user}/messages");
    let answer = test.api.call("PUT", &path, json!({ "allowed": allowed }).to_string()).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "allowed": allowed })));
}

#[tokio::test]
async fn an_amount_is_hidden_until_its_owner_scratches_the_card() {
    let test = Referrals::screened(json!([])).await;
    let id = card(&test, "ben", &ScratchCard::default()).await;
    let hidden = page(&test, "ben").await;
    assert_eq!(
        hidden["cards"],
        json!([{
            "id": id, "kind": "credit_granted", "side": "invitee", "state": "hidden", "currency": "IDR",
            "expires_at": "2030-01-10T00:00:00Z", "created_at": hidden["cards"][0]["created_at"],
        }])
    );
    for (id, user) in [
        (id.to_string(), "ann"),
        (id.to_string(), ""),
        ("999".to_owned(), "ben"),
        ("x".to_owned(), "ben"),
        ("99999999999999999999".to_owned(), "ben"),
    ] {
        let refused = reveal(&test, &id, user).await;
        assert_eq!(refusal(&refused), (404, "not-found".to_owned()), "{id} {user}");
    }
    let wrong = test.api.call("POST", &format!("/v1/rewards/{id}/reveal"), "{}").await;
    assert_eq!(refusal(&wrong), (422, "invalid-body".to_owned()));
    assert_eq!(log(&test, id).await, "grant>CREATE draw>DRAWN allot>NEW");
    let view = json!({
        "id": id, "campaign": "spring", "state": "revealed", "amount_minor": 1_000, "currency": "IDR",
    });
    for _ in 0..2 {
        let revealed = reveal(&test, id, "ben").await;
        assert_eq!((revealed.status, revealed.json()), (200, view.clone()));
    }
    assert_eq!(log(&test, id).await, "grant>CREATE draw>DRAWN allot>NEW reveal>REVEALED");
    assert_eq!(tasks(&test, id).await, "pay");
    let query = "SELECT operation_id, convert_from(request, 'UTF8') FROM reward_task";
    let row = test.api.database.connect().await.query_one(query, &[]).await.expect("a task");
    let (operation, request): (String, String) = (row.get(0), row.get(1));
    let name = operation.strip_suffix("-pay").expect("the id of a payout");
    let request: Value = serde_json::from_str(&request).expect("JSON");
    let expected = json!({
        "campaign": "spring", "reward": name, "beneficiary": "ben", "currency": "IDR", "amount_minor": 1_000,
    });
    assert_eq!(request, expected);
    assert_eq!(page(&test, "ben").await["cards"][0]["amount_minor"], 1_000);
    let figures = test.api.metrics.text();
    assert!(figures.contains("waypost_reward_moves_total{event=\"reveal\"} 1"), "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_card_that_is_scratched_many_times_at_once_is_scratched_once() {
    let api = TestApi::with_connections(16).await;
    let test = Referrals::on(api, &document(&json!([]))).await;
    let id = card(&test, "ben", &ScratchCard::default()).await;
    let answers = join_all((0..64).map(|_| reveal(&test, id, "ben"))).await;
    for answer in &answers {
        assert_eq!(
            (answer.status, &answer.json()["amount_minor"]),
            (200, &json!(1_000)),
            "{answer:?}"
        );
    }
    assert_eq!(log(&test, id).await, "grant>CREATE draw>DRAWN allot>NEW reveal>REVEALED");
    assert_eq!(tasks(&test, id).await, "pay");
    let promised = "SELECT promised_minor FROM campaign_account";
    assert_eq!(test.api.count(promised).await, 1_000);
}

/// Whether a reward comes there out of `NEW`, by which moves; what it is shown as; what scratching it is
/// answered with.
type Case = (bool, Vec<String>, &'static str, (u16, &'static str));

/// One step further, by the settings of a move.
fn to(set: &str) -> String {
    const MOVE: &str = "version = version + 1, reason = NULL, operation_id = NULL WHERE id = $1";
    format!("UPDATE reward SET {set}, {MOVE}")
}

/// Every state out of which a card may be asked for.
fn cases() -> Vec<Case> {
    let not_ready = |shown: &'static str| (409, shown);
    vec![
        (false, vec![], "preparing", not_ready("preparing")),
        (false, vec![DRAW.to_owned()], "preparing", not_ready("preparing")),
        (
            false,
            vec![to("state = 'PARKED', parked_in = 'CREATE', event = 'park'")],
            "preparing",
            not_ready("preparing"),
        ),
        (
            false,
            vec![to("state = 'NO_PRIZE', event = 'blank', amount_minor = 0")],
            "no_prize",
            not_ready("no_prize"),
        ),
        (
            true,
            vec![to("state = 'REVERSED', event = 'reverse'")],
            "withdrawn",
            not_ready("withdrawn"),
        ),
        (true, vec![to("state = 'EXPIRED', event = 'expire'")], "expired", (409, "card-expired")),
        (
            true,
            vec![
                to("state = 'REVEALED', event = 'reveal'"),
                to("state = 'PARKED', parked_in = 'REVEALED', event = 'park'"),
            ],
            "revealed",
            (200, "revealed"),
        ),
        (
            true,
            vec![to("state = 'REVEALED', event = 'reveal'"), to("state = 'PAID', event = 'pay'")],
            "paid",
            (200, "paid"),
        ),
    ]
}

#[tokio::test]
async fn every_state_is_shown_and_answered_as_what_it_is_for_the_owner() {
    let test = Referrals::screened(json!([])).await;
    let database = test.api.database.connect().await;
    let settings = ScratchCard::default();
    for (number, (is_new, moves, shown, (status, word))) in cases().into_iter().enumerate() {
        let user = format!("user-{number}");
        let id = granted(&test, &user).await;
        if is_new {
            show(&test, id, &settings).await;
        }
        for statement in &moves {
            assert_eq!(
                database.execute(statement, &[&id]).await.expect("a move"),
                1,
                "{statement}"
            );
        }
        let answer = reveal(&test, id, &user).await;
        if status == 200 {
            assert_eq!((answer.status, &answer.json()["state"]), (200, &json!(word)), "{moves:?}");
        } else {
            assert_eq!(refusal(&answer), (status, word.to_owned()), "{moves:?}");
        }
        let told = &page(&test, &user).await["cards"][0];
        assert_eq!(told["state"], shown, "{moves:?}");
        let amount = told.get("amount_minor");
        assert_eq!(amount.is_some(), matches!(shown, "revealed" | "paid"), "{moves:?}");
    }
    // Held ones and denied ones.
    let id = granted(&test, "held").await;
    let database = &database;
    let held = database
        .execute(
            "INSERT INTO reward (campaign_id, campaign_version, invitee, kind, side, beneficiary, currency,
                                 most_minor, state, event, reason, actor)
             SELECT campaign_id, campaign_version, invitee, 'other', side, beneficiary, currency, most_minor,
                    'REVIEW', 'hold', 'cap-reached', 'waypost' FROM reward WHERE id = $1",
            &[&id],
        )
        .await;
    assert_eq!(held.expect("held"), 1);
    let shown = async || page(&test, "held").await["cards"][0]["state"].clone();
    assert_eq!(shown().await, "preparing");
    let deny = to("state = 'DENIED', event = 'deny'")
        .replace("id = $1", "id = (SELECT max(id) FROM reward)");
    assert_eq!(database.execute(&deny, &[]).await.expect("denied"), 1);
    assert_eq!(shown().await, "withdrawn");
}

#[tokio::test]
async fn a_card_is_reminded_of_three_times_and_over_after_nine_days() {
    let _quiet = quiet().await;
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let test = Referrals::screened(json!([])).await;
    let _working = work(&test, &sandbox);
    let id = granted(&test, "ben").await;
    let reminders = async |wanted: i64| {
        let query = "SELECT reminders::bigint FROM reward WHERE state = 'NEW'
                     AND NOT EXISTS (SELECT FROM reward_task)";
        let sent = async || {
            let rows = test.api.database.connect().await.query(query, &[]).await.expect("rows");
            rows.first().and_then(|row| (row.get::<_, i64>(0) == wanted).then_some(()))
        };
        eventually("the card is reminded of", Duration::from_secs(30), sent).await;
    };
    reminders(0).await;
    let mut acted = Vec::new();
    for hour in 1..=9 * 24 {
        test.api.clock.advance(Duration::from_hours(1));
        if act(&test).await > 0 {
            acted.push(hour);
            if hour < 9 * 24 {
                reminders(i64::try_from(acted.len()).expect("few")).await;
            }
        }
    }
    assert_eq!(acted, [54, 108, 162, 216]);
    let steps = "grant>CREATE draw>DRAWN allot>NEW remind>NEW remind>NEW remind>NEW expire>EXPIRED";
    assert_eq!(log(&test, id).await, steps);
    let accounts = "SELECT budget_minor FROM campaign_account WHERE promised_minor = 0";
    assert_eq!(test.api.count(accounts).await, 1_000_000_000, "nothing is promised any more");
    let messages: Vec<Value> = lines(&journal)
        .into_iter()
        .filter(|line| line["line"] == "applied" && line["kind"] == "message")
        .collect();
    let ids: BTreeSet<&str> =
        messages.iter().filter_map(|it| it["operation_id"].as_str()).collect();
    assert_eq!(ids.len(), 3, "each reminder has an id of its own: {messages:?}");
    let told = |it: &&Value| it["message"] == "scratch-card-reminder" && it["beneficiary"] == "ben";
    assert!(messages.iter().all(|it| told(&it)), "{messages:?}");
    let refused = reveal(&test, id, "ben").await;
    assert_eq!(refusal(&refused), (409, "card-expired".to_owned()));
    assert_eq!(page(&test, "ben").await["cards"][0]["state"], "expired");
}

#[tokio::test]
async fn who_wants_no_messages_gets_none() {
    let test = Referrals::screened(json!([])).await;
    let settings = ScratchCard::default();
    let (wanted, unwanted) =
        (card(&test, "ben", &settings).await, card(&test, "cleo", &settings).await);
    assert_eq!(page(&test, "cleo").await["messages"], json!({ "allowed": true }));
    allow(&test, "cleo", false).await;
    assert_eq!(page(&test, "cleo").await["messages"], json!({ "allowed": false }));
    test.api.clock.advance(DAY * 3);
    assert_eq!(act(&test).await, 2);
    assert_eq!(tasks(&test, wanted).await, "remind");
    assert_eq!(tasks(&test, unwanted).await, "");
    let figures = test.api.metrics.text();
    for line in ["{outcome=\"queued\"} 1", "{outcome=\"unwanted\"} 1"] {
        assert!(figures.contains(&format!("waypost_reward_reminders_total{line}")), "{figures}");
    }
    // Whoever changes their mind, does so before the message goes out.
    allow(&test, "ben", false).await;
    assert_eq!(tasks(&test, wanted).await, "");
    for (path, body, kind) in [
        ("/v1/campaigns/autumn/users/ben/messages", "{\"allowed\":true}", (404, "not-found")),
        ("/v1/campaigns/spring/users/ben/messages", "{\"allowed\":1}", (422, "invalid-body")),
        ("/v1/campaigns/spring/users/ben/messages", "{}", (422, "invalid-body")),
    ] {
        let refused = test.api.call("PUT", path, body).await;
        assert_eq!(refusal(&refused), (kind.0, kind.1.to_owned()), "{path} {body}");
    }
}

#[tokio::test]
async fn a_campaign_may_remind_only_those_who_asked_for_it() {
    let (document, settings) = with(&json!({ "reminders_by_default": false }));
    let test = Referrals::on(TestApi::new().await, &document).await;
    let (silent, wanted) =
        (card(&test, "ben", &settings).await, card(&test, "cleo", &settings).await);
    allow(&test, "cleo", true).await;
    test.api.clock.advance(DAY * 3);
    assert_eq!(act(&test).await, 2);
    assert_eq!(
        (tasks(&test, silent).await, tasks(&test, wanted).await),
        (String::new(), "remind".to_owned())
    );
}

#[tokio::test]
async fn a_reminder_that_was_not_sent_by_the_evening_is_given_up() {
    let night = json!({ "from": "21:00", "to": "09:00", "time_zone": "Asia/Jakarta" });
    let (document, settings) = with(&json!({ "quiet_hours": night }));
    let test = Referrals::on(TestApi::new().await, &document).await;
    // At 07:00 there; the first reminder would come at 13:00, two days later.
    let id = card(&test, "ben", &settings).await;
    test.api.clock.advance(Duration::from_hours(54));
    assert_eq!(act(&test).await, 1);
    assert_eq!(tasks(&test, id).await, "remind");
    test.api.clock.advance(Duration::from_hours(8));
    assert_eq!(act(&test).await, 1);
    assert_eq!(tasks(&test, id).await, "", "it is 21:00");
    assert_eq!(act(&test).await, 0);
    let figures = test.api.metrics.text();
    assert!(
        figures.contains("waypost_reward_reminders_total{outcome=\"too_late\"} 1"),
        "{figures}"
    );
    assert_eq!(log(&test, id).await, "grant>CREATE draw>DRAWN allot>NEW");
}

#[tokio::test]
async fn a_reminder_that_waits_is_replaced_by_the_next_one_and_goes_when_the_card_is_scratched() {
    let test = Referrals::screened(json!([])).await;
    let id = card(&test, "ben", &ScratchCard::default()).await;
    let waiting = async || -> (String, i32, String) {
        let query = "SELECT operation_id, epoch, convert_from(request, 'UTF8') FROM reward_task
                     WHERE step = 'remind'";
        let row = test.api.database.connect().await.query_one(query, &[]).await.expect("a task");
        (row.get(0), row.get(1), row.get(2))
    };
    test.api.clock.advance(Duration::from_hours(54));
    assert_eq!(act(&test).await, 1);
    let first = waiting().await;
    let name = first.0.strip_suffix("-remind-1").expect("the id of a reminder");
    let message: Value = serde_json::from_str(&first.2).expect("JSON");
    let expected = json!({
        "campaign": "spring", "user": "ben", "kind": "scratch-card-reminder", "language": "en",
        "reward": name, "values": { "days_left": "6" },
    });
    assert_eq!(message, expected);
    test.api.clock.advance(Duration::from_hours(54));
    assert_eq!(act(&test).await, 1);
    let second = waiting().await;
    assert!(second.0.ends_with("-remind-2") && second.1 > first.1, "{second:?}");
    assert!(second.2.contains("\"days_left\":\"4\""), "{second:?}");
    assert_eq!(reveal(&test, id, "ben").await.status, 200);
    assert_eq!(tasks(&test, id).await, "pay");
}

#[tokio::test]
async fn a_card_that_was_given_back_is_reminded_of_by_messages_of_their_own() {
    let test = Referrals::screened(json!([])).await;
    let settings = ScratchCard::default();
    let id = card(&test, "ben", &settings).await;
    test.api.clock.advance(DAY * 9);
    assert_eq!(act(&test).await, 1);
    let database = test.api.database.connect().await;
    let give_back = "UPDATE reward SET state = 'NEW', event = 'compensate', version = version + 1,
                     card_due_at = card_due_at + interval '54 hours',
                     card_expires_at = card_expires_at + interval '9 days' WHERE id = $1";
    assert_eq!(database.execute(give_back, &[&id]).await.expect("a move"), 1);
    test.api.clock.advance(Duration::from_hours(54));
    assert_eq!(act(&test).await, 1);
    let row = database.query_one("SELECT operation_id FROM reward_task", &[]).await;
    let operation: String = row.expect("a task").get(0);
    assert!(operation.ends_with("-remind-4"), "{operation}");
}

/// Makes so many cards at once, by statements for all of them.
async fn many_cards(test: &Referrals, count: i32) {
    let code = test.code("ann").await;
    let database = test.api.database.connect().await;
    let statements = [
        "INSERT INTO binding (campaign_id, invitee, inviter, code, campaign_version, state)
         SELECT 'spring', 'user-' || n, 'ann', $2, 1, 'bound' FROM generate_series(1, $1::int) n",
        "INSERT INTO reward (campaign_id, campaign_version, invitee, kind, side, beneficiary, currency,
                             most_minor, state, event, actor)
         SELECT 'spring', 1, 'user-' || n, 'credit_granted', 'invitee', 'user-' || n, 'IDR', 1000,
                'CREATE', 'grant', 'waypost' || left($2, 0) FROM generate_series(1, $1::int) n",
        "UPDATE reward SET state = 'DRAWN', event = 'draw', amount_minor = most_minor, version = version + 1
         WHERE $1::int > 0 AND $2::text <> ''",
        "UPDATE reward SET state = 'NEW', event = 'allot', version = version + 1,
                card_due_at = '2030-01-10T00:00:00Z', card_expires_at = '2030-01-10T00:00:00Z'
         WHERE $1::int > 0 AND $2::text <> ''",
    ];
    for statement in statements {
        let changed = database.execute(statement, &[&count, &code]).await.expect("rows");
        assert_eq!(changed, u64::try_from(count).expect("a count"), "{statement}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_processes_at_once_let_each_card_expire_once_or_its_owner_scratch_it() {
    const CARDS: i32 = 1_800;
    let _quiet = quiet().await;
    let api = TestApi::with_connections(16).await;
    let test = Arc::new(Referrals::on(api, &document(&json!([]))).await);
    many_cards(&test, CARDS).await;
    // Owners scratch a moment before the end, and processes come a moment after it: whoever is first, wins.
    let last_moment: jiff::Timestamp = "2030-01-09T23:59:59Z".parse().expect("a moment");
    let end: jiff::Timestamp = "2030-01-10T00:00:00Z".parse().expect("a moment");
    let until_then =
        u64::try_from(last_moment.as_second()).expect("late") - test.api.clock.now().0 / 1_000;
    test.api.clock.advance(Duration::from_secs(until_then));
    let processes = (0..4).map(|_| {
        let test = Arc::clone(&test);
        tokio::spawn(async move {
            let (cards, mut expired) = (due_cards(&test), 0);
            loop {
                let more = cards.act(end).await.expect("done");
                expired += more;
                let left = "SELECT count(*) FROM reward WHERE state = 'NEW'";
                if more == 0 && test.api.count(left).await == 0 {
                    return expired;
                }
            }
        })
    });
    let owners = (1..=64).map(|number| {
        let test = Arc::clone(&test);
        tokio::spawn(async move {
            let user = format!("user-{}", number * 28);
            let query = format!("SELECT id FROM reward WHERE beneficiary = '{user}'");
            let id = test.api.count(&query).await;
            reveal(&test, id, &user).await.status
        })
    });
    let (processes, owners) = (processes.collect::<Vec<_>>(), owners.collect::<Vec<_>>());
    let expired: usize = join_all(processes).await.into_iter().map(|it| it.expect("ended")).sum();
    let owners: Vec<u16> =
        join_all(owners).await.into_iter().map(|it| it.expect("ended")).collect();
    let revealed = owners.iter().filter(|status| **status == 200).count();
    assert!(owners.iter().all(|status| matches!(status, 200 | 409)), "{owners:?}");
    assert_eq!(expired + revealed, usize::try_from(CARDS).expect("a count"));
    let log = "SELECT count(*) FROM reward_log WHERE event = 'expire'";
    assert_eq!(usize::try_from(test.api.count(log).await), Ok(expired));
    let promised = "SELECT promised_minor FROM campaign_account";
    assert_eq!(usize::try_from(test.api.count(promised).await), Ok(revealed * 1_000));
    let open = "SELECT count(*) FROM reward_task WHERE step = 'pay'";
    assert_eq!(usize::try_from(test.api.count(open).await), Ok(revealed));
}
