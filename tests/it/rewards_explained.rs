//! Finding rewards, and explaining why somebody has, or has not, earned something.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::clock::Stopwatch;

use super::support::desk::{Desk, field, told, with};
use super::support::eventually;
use super::support::referrals::click;

/// Codes of findings, with what they are about, in short.
fn short(findings: &Value) -> Vec<String> {
    let findings = findings.as_array().expect("findings").iter();
    let words = findings.map(|it| {
        let parts = ["code", "invitee", "kind", "side", "reason"];
        let parts = parts.iter().filter_map(|name| it[name].as_str());
        parts.collect::<Vec<_>>().join(" ")
    });
    words.collect()
}

async fn why(desk: &Desk, user: &str) -> Vec<String> {
    let chain = desk.get(&format!("/v1/campaigns/spring/users/{user}/explain")).await;
    short(&field(&chain, "why"))
}

#[tokio::test]
async fn the_chain_of_a_reward_goes_from_the_click_to_the_money() {
    let desk = Desk::open(&with(|it| it["screening"] = json!([{ "check": "new_user" }]))).await;
    let test = &desk.test;
    let token = click(&desk.code, 4_711);
    let claim = test.claimed(&token, "install").await;
    let database = test.api.database.connect().await;
    let visit = "
        CREATE TABLE visit_of_that_day PARTITION OF visit FOR VALUES FROM ('2029-12-31') TO ('2030-01-01');
        INSERT INTO visit (id, link_id, at, kind, device, browser, country, click_id)
        SELECT 1, 1, clicked_at, 'person', 'android', 'Chrome', 'ID', click_id FROM claim";
    database.batch_execute(visit).await.expect("a visit");
    let bound = test.bind(json!({ "claim": claim, "invitee": "ben" })).await;
    assert_eq!(bound.status, 201, "{bound:?}");
    assert_eq!(test.reached("ben", "loan_disbursed").await.status, 201);
    let id: i64 = test.api.count("SELECT id FROM reward").await;
    for (event, target) in
        [("draw", "DRAWN"), ("allot", "NEW"), ("reveal", "REVEALED"), ("pay", "PAID")]
    {
        database.execute("SELECT walk($1, $2, $3)", &[&id, &event, &target]).await.expect("a step");
    }
    let chain = desk.get(&format!("/v1/rewards/{id}/explain")).await;
    assert_eq!(chain["why"]["code"], "paid");
    assert_eq!(
        chain["click"],
        json!({
            "at": "2029-12-31T23:00:00Z", "kind": "person", "device": "android",
            "browser": "Chrome", "country": "ID",
        })
    );
    assert_eq!(
        (&chain["claim"]["claim"], &chain["claim"]["source"]),
        (&json!(claim), &json!("play_store"))
    );
    let decision = &chain["decisions"][0];
    assert_eq!(decision["outcome"], "bound");
    let mut checks = decision["checks"].as_array().expect("checks").iter();
    assert!(checks.any(|it| it["check"] == "new_user"), "{decision}");
    assert_eq!(
        (&chain["binding"]["inviter"], &chain["binding"]["state"]),
        (&json!("ann"), &json!("bound"))
    );
    assert_eq!(chain["trigger"]["event_id"], "ben loan_disbursed");
    assert_eq!(chain["reward"]["trigger"], chain["trigger"]["id"]);
    let parts = |list: &Value, names: [&str; 3]| -> Vec<String> {
        let rows = list.as_array().expect("rows").iter();
        rows.map(|row| names.map(|name| row[name].to_string()).join(" ").replace('"', "")).collect()
    };
    assert_eq!(
        parts(&chain["log"], ["event", "to", "actor"]),
        [
            "grant CREATE waypost",
            "draw DRAWN waypost",
            "allot NEW waypost",
            "reveal REVEALED waypost",
            "pay PAID waypost",
        ]
    );
    assert_eq!(
        parts(&chain["ledger"], ["debit", "credit", "amount_minor"]),
        ["budget promised 2000", "promised paid 2000"]
    );
    assert_eq!(chain["tasks"], json!([]));
    let view = &chain["reward"];
    assert_eq!((&view["draw"], &view["amount_minor"]), (&json!({ "by": "amount" }), &json!(2_000)));
    assert_eq!(desk.get(&format!("/v1/rewards/{id}")).await, *view);
}

#[tokio::test]
async fn work_is_explained_without_its_bytes() {
    let desk = Desk::open(&with(|_| {})).await;
    for (state, step, when) in [
        ("PARKED REVEALED", "pay", "parked_at"),
        ("REVEALED", "pay", "due_at"),
        ("NEW", "remind", "due_at"),
    ] {
        let id = desk.reward(state).await;
        let path = format!("/v1/rewards/{id}/explain");
        let answer = desk.call(&desk.ada, "GET", &path, Value::Null).await;
        assert!(!answer.text().contains("bytes"), "{answer:?}");
        let task = answer.json()["tasks"][0].clone();
        assert_eq!(
            (&task["step"], &task["operation_id"]),
            (&json!(step), &json!(format!("op-{step}-{id}")))
        );
        assert!(task[when].is_string(), "{task}");
    }
}

#[tokio::test]
async fn it_is_said_why_somebody_has_earned_nothing() {
    let document = with(|it| {
        it["screening"] =
            json!([{ "check": "inviter_velocity", "mode": "hold", "most": 3, "hours": 1 }]);
    });
    let desk = Desk::open(&document).await;
    let test = &desk.test;
    let bind = async |invitee: &str, code: &str| {
        test.bind(json!({ "code": code, "invitee": invitee })).await.status
    };
    assert_eq!(why(&desk, "nobody").await, ["no-code inviter", "no-binding nobody"]);
    assert_eq!(why(&desk, "ann").await, ["nobody-invited inviter", "no-binding ann"]);
    assert_eq!(bind("ann", &desk.code).await, 422);
    let expected = ["nobody-invited inviter", "binding-refused ann self-referral"];
    assert_eq!(why(&desk, "ann").await, expected);
    assert_eq!(test.reached("zoe", "credit_granted").await.status, 201);
    let expected =
        ["no-code inviter", "no-binding zoe", "trigger-without-binding zoe credit_granted"];
    assert_eq!(why(&desk, "zoe").await, expected);
    for invitee in ["ben", "eve", "joe", "kim"] {
        assert_eq!(bind(invitee, &desk.code).await, 201, "{invitee}");
    }
    assert_eq!(test.reached("ben", "credit_granted").await.status, 201);
    let expected = [
        "no-code inviter",
        "being-drawn ben credit_granted invitee",
        "no-reward-for-side ben credit_granted inviter",
        "no-trigger ben loan_disbursed inviter",
    ];
    assert_eq!(why(&desk, "ben").await, expected);
    let early = json!({
        "event_id": "early", "kind": "credit_granted", "user": "eve",
        "occurred_at": "2029-11-30T23:59:59Z",
    });
    assert_eq!(test.trigger(early).await.status, 201);
    let expected = [
        "no-code inviter",
        "no-reward-for-side eve credit_granted inviter",
        "no-trigger eve loan_disbursed inviter",
        "occurred-before-campaign eve credit_granted invitee",
    ];
    assert_eq!(why(&desk, "eve").await, expected);
    // Ann has had her three; the binding of the fourth is held, and so is what it brings.
    assert_eq!(test.reached("kim", "loan_disbursed").await.status, 201);
    let expected = [
        "no-code inviter",
        "binding-held kim",
        "binding-held kim loan_disbursed inviter binding-held",
        "no-trigger kim credit_granted invitee",
        "no-reward-for-side kim loan_disbursed invitee",
    ];
    assert_eq!(why(&desk, "kim").await, expected);
    let ann = why(&desk, "ann").await;
    assert!(ann.contains(&"no-trigger joe loan_disbursed inviter".to_owned()), "{ann:?}");
    assert!(
        ann.contains(&"binding-held kim loan_disbursed inviter binding-held".to_owned()),
        "{ann:?}"
    );
    let unknown =
        desk.call(&desk.ada, "GET", "/v1/campaigns/autumn/users/ann/explain", Value::Null);
    assert_eq!(told(&unknown.await), "404 not-found");
}

#[tokio::test]
async fn cap_budget_and_every_end_are_explained_to_the_inviter() {
    let document = with(|it| {
        it["caps"] = json!({ "rewards_per_inviter": 1 });
        it["budget_minor"] = json!(20_000);
    });
    let desk = Desk::open(&document).await;
    desk.bind(&["ben", "eve", "joe"]).await;
    for invitee in ["ben", "eve"] {
        assert_eq!(desk.test.reached(invitee, "loan_disbursed").await.status, 201);
    }
    let database = desk.test.api.database.connect().await;
    let spent = "SELECT fund_campaign('spring', 2000)";
    database.batch_execute(spent).await.expect("a budget");
    assert_eq!(desk.test.reached("joe", "credit_granted").await.status, 201);
    let ann = why(&desk, "ann").await;
    for expected in [
        "inviter-cap inviter",
        "being-drawn ben loan_disbursed inviter",
        "inviter-cap eve loan_disbursed inviter inviter-cap",
    ] {
        assert!(ann.contains(&expected.to_owned()), "{expected} in {ann:?}");
    }
    let joe = why(&desk, "joe").await;
    let expected = "budget-exhausted joe credit_granted invitee budget-exhausted";
    assert!(joe.contains(&expected.to_owned()), "{joe:?}");
    let page = desk.get("/v1/campaigns/spring/users/ann/explain").await;
    assert_eq!(page["tally"], json!({ "rewards": 1, "lifted": 0, "cap": 1 }));
    assert_eq!(page["code"], desk.code);
    assert_eq!(page["invitees"].as_array().map(Vec::len), Some(3));
    assert_eq!(page["rewards"].as_array().map(Vec::len), Some(2));
}

async fn listed(desk: &Desk, query: &str) -> (Vec<i64>, Option<String>) {
    let page = desk.get(&format!("/v1/rewards?{query}")).await;
    let all = field(&page, "rewards");
    let ids = all.as_array().expect("a list").iter().filter_map(|it| field(it, "id").as_i64());
    (ids.collect(), field(&page, "next_cursor").as_str().map(str::to_owned))
}

#[tokio::test]
async fn rewards_are_found_newest_first_by_all_that_they_have() {
    let desk = Desk::open(&with(|_| {})).await;
    let mut ids = Vec::new();
    for state in ["REVIEW", "PAID", "PARKED DRAWN", "REVIEW", "NEW"] {
        ids.insert(0, desk.reward(state).await);
    }
    let [new, review, parked, paid, first] = ids[..] else { panic!("five") };
    let one = |id: i64| (vec![id], None);
    assert_eq!(listed(&desk, "").await, (ids.clone(), None));
    assert_eq!(listed(&desk, "campaign=spring&kind=loan_disbursed").await, (ids.clone(), None));
    assert_eq!(listed(&desk, "campaign=spring&user=ann").await, (ids.clone(), None));
    assert_eq!(listed(&desk, "kind=credit_granted").await, (vec![], None));
    assert_eq!(listed(&desk, "campaign=autumn").await, (vec![], None));
    assert_eq!(listed(&desk, "campaign=spring&user=ben").await, (vec![], None));
    assert_eq!(listed(&desk, "campaign=spring&invitee=invitee+2").await, one(paid));
    assert_eq!(listed(&desk, "campaign=spring&user=ann&state=NEW").await, one(new));
    assert_eq!(listed(&desk, "state=REVIEW").await, (vec![review, first], None));
    assert_eq!(listed(&desk, "state=PARKED&campaign=spring").await, one(parked));
    assert_eq!(listed(&desk, "state=PARKED&kind=credit_granted").await, (vec![], None));
    assert_eq!(listed(&desk, "state=PAID").await, one(paid));
    for query in ["", "campaign=spring&user=ann"] {
        let (page, cursor) = listed(&desk, &format!("{query}&limit=2")).await;
        assert_eq!(page, ids[..2]);
        let query = format!("{query}&limit=3&cursor={}", cursor.expect("more"));
        assert_eq!(listed(&desk, &query).await, (ids[2..].to_vec(), None), "{query}");
    }
    let (page, cursor) = listed(&desk, "state=REVIEW&limit=1").await;
    assert_eq!((page, cursor), (vec![review], Some(review.to_string())));
    for bad in
        ["state=DONE", "state=paid", "user=ann", "invitee=x", "cursor=-", "limit=1001", "q=x"]
    {
        let answer = desk.call(&desk.ada, "GET", &format!("/v1/rewards?{bad}"), Value::Null).await;
        assert_eq!(told(&answer), "400 invalid-query", "{bad}");
    }
}

/// 30,000 rewards of 30,000 invitees of a thousand inviters, all paid but for a few.
const MANY: &str = "
    INSERT INTO referral_code (code, campaign_id, user_id)
    SELECT 'Z' || lpad(n::text, 5, '0'), 'spring', 'inviter-' || n FROM generate_series(0, 999) n;
    INSERT INTO binding (campaign_id, invitee, inviter, code, campaign_version, state)
    SELECT 'spring', 'invitee-' || n, 'inviter-' || n % 1000, 'Z' || lpad((n % 1000)::text, 5, '0'), 1, 'bound'
    FROM generate_series(1, 30000) n;
    INSERT INTO trigger_event (campaign_id, source, event_id, kind, user_id, occurred_at, body_hash, body)
    SELECT 'spring', 'bank', n::text, 'loan_disbursed', 'invitee-' || n, '2029-12-31', decode(repeat('00', 32), 'hex'), '{}'
    FROM generate_series(1, 30000) n;
    INSERT INTO reward (campaign_id, campaign_version, invitee, kind, side, beneficiary, currency, most_minor, state,
                        event, actor)
    SELECT 'spring', 1, 'invitee-' || n, 'loan_disbursed', 'inviter', 'inviter-' || n % 1000, 'IDR', 2000,
           CASE WHEN n % 10000 = 5 THEN 'REVIEW' ELSE 'CREATE' END, CASE WHEN n % 10000 = 5 THEN 'hold' ELSE 'grant' END,
           'waypost'
    FROM generate_series(1, 30000) n;
    DO $$ BEGIN
        FOR low IN 1..30000 BY 250 LOOP
            UPDATE reward SET state = 'NO_PRIZE', event = 'blank', version = 2, amount_minor = 0
            WHERE id >= low AND id < low + 250 AND state = 'CREATE';
        END LOOP;
    END $$;
    ANALYZE;";

#[tokio::test]
async fn nothing_is_looked_through_from_end_to_end() {
    let desk = Desk::open(&with(|_| {})).await;
    let database = desk.test.api.database.connect().await;
    database.batch_execute(MANY).await.expect("many rewards");
    let tables = "('reward', 'reward_log', 'ledger', 'binding', 'binding_decision', 'trigger_event', 'referral_code')";
    let looks = format!(
        "SELECT coalesce(sum(seq_scan), 0)::bigint FROM pg_stat_user_tables WHERE relname IN {tables}"
    );
    let uses = "SELECT coalesce(sum(idx_scan), 0)::bigint FROM pg_stat_user_indexes WHERE indexrelname = 'reward_open'";
    database.batch_execute("SELECT pg_stat_force_next_flush()").await.expect("figures");
    let before = desk.test.api.count(&looks).await;
    let began = Stopwatch::start();
    let (page, _) = listed(&desk, "state=REVIEW&campaign=spring").await;
    assert_eq!(page.len(), 3);
    let (page, _) = listed(&desk, "campaign=spring&user=inviter-77").await;
    assert_eq!(page.len(), 30);
    let id = page[0];
    let explained = desk.get("/v1/campaigns/spring/users/inviter-77/explain").await;
    assert_eq!(explained["invitees"].as_array().map(Vec::len), Some(30));
    assert_eq!(desk.get(&format!("/v1/rewards/{id}/explain")).await["why"]["code"], "no-prize");
    // A list that has to look at all of them looks at so many at a time.
    let mut pages = 0;
    let mut query = "state=DENIED&limit=10".to_owned();
    loop {
        let (page, cursor) = listed(&desk, &query).await;
        pages += 1;
        assert!(page.is_empty());
        let Some(cursor) = cursor else { break };
        query = format!("state=DENIED&limit=10&cursor={cursor}");
    }
    assert_eq!(pages, 2);
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    // The figures of other connections come within a second or so.
    eventually("the index is used", Duration::from_secs(20), async || {
        (desk.test.api.count(uses).await > 0).then_some(())
    })
    .await;
    assert_eq!(desk.test.api.count(&looks).await, before);
}
