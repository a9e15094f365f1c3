//! Rewards in any state, put into the tables as the engine would have put them, and people who decide on
//! them.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use waypost::campaign::document::Format;

use super::referrals::{Referrals, document, refusal};
use super::{Answer, TestApi};

/// See the module.
pub struct Desk {
    /// The campaign `spring`, with a code of `ann`; its API's key is that of `backend`, who may everything.
    pub test: Referrals,
    /// The key of `ada`, who decides on rewards.
    pub ada: String,
    /// The key of `bob`, who decides on rewards as well.
    pub bob: String,
    /// Ann's code.
    pub code: String,
    invitees: AtomicU32,
}

/// The flow of compensations in tests: one other person approves.
const ONE_APPROVAL: &str = r#"
name = "One approval"
subject = "compensation"
roles = ["approver"]
start = "approval"
[nodes.approval]
roles = ["approver"]
quorum = 1
next = "execute"
[nodes.execute]
guards = ["approval"]
"#;

/// Moves a reward on as the engine or a card's owner would, with its task. In SQL, so that a test has any
/// number of rewards at once.
const WALK: &str = "
CREATE FUNCTION walk(which bigint, happened text, target text, parked text DEFAULT NULL) RETURNS void LANGUAGE sql AS $$
    DELETE FROM reward_task WHERE reward_id = which;
    UPDATE reward SET state = target, parked_in = parked, version = version + 1, event = happened, reason = NULL,
        actor = 'waypost', operation_id = NULL, epoch = 3, lease_epoch = 3, changed_at = now(),
        amount_minor = CASE happened WHEN 'draw' THEN most_minor WHEN 'blank' THEN 0 ELSE amount_minor END,
        draw = CASE happened WHEN 'draw' THEN '{\"by\": \"amount\"}' ELSE draw END,
        card_due_at = CASE happened WHEN 'allot' THEN '2030-01-10T00:00:00Z' ELSE card_due_at END,
        card_expires_at = CASE happened WHEN 'allot' THEN '2030-01-10T00:00:00Z' ELSE card_expires_at END
    WHERE id = which;
    INSERT INTO reward_task (reward_id, step, operation_id, request)
    SELECT which, step, 'op-' || step || '-' || which, 'bytes'::bytea
    FROM (VALUES ('DRAWN', 'allot'), ('NEW', 'remind'), ('REVEALED', 'pay')) AS due (state, step) WHERE state = target;
    INSERT INTO parked_task (reward_id, step, attempts, first_sent_at, operation_id, request)
    SELECT which, step, 25, '2029-12-31T00:00:00Z'::timestamptz,
           CASE WHEN step <> 'draw' THEN 'op-' || step || '-' || which END, CASE WHEN step <> 'draw' THEN 'bytes'::bytea END
    FROM (VALUES ('CREATE', 'draw'), ('DRAWN', 'allot'), ('REVEALED', 'pay')) AS due (state, step) WHERE state = parked;
$$";

/// How a reward gets from nothing to a state: what happens, and where that leads.
const WAYS: [(&str, &[(&str, &str)]); 13] = [
    ("REVIEW", &[]),
    ("DENIED", &[("deny", "DENIED")]),
    ("CREATE", &[]),
    ("NO_PRIZE", &[("blank", "NO_PRIZE")]),
    ("DRAWN", &[("draw", "DRAWN")]),
    ("NEW", &[("draw", "DRAWN"), ("allot", "NEW")]),
    ("EXPIRED", &[("draw", "DRAWN"), ("allot", "NEW"), ("expire", "EXPIRED")]),
    ("REVERSED", &[("draw", "DRAWN"), ("allot", "NEW"), ("reverse", "REVERSED")]),
    ("REVEALED", &[("draw", "DRAWN"), ("allot", "NEW"), ("reveal", "REVEALED")]),
    ("PAID", &[("draw", "DRAWN"), ("allot", "NEW"), ("reveal", "REVEALED"), ("pay", "PAID")]),
    ("PARKED CREATE", &[("park", "PARKED CREATE")]),
    ("PARKED DRAWN", &[("draw", "DRAWN"), ("park", "PARKED DRAWN")]),
    (
        "PARKED REVEALED",
        &[("draw", "DRAWN"), ("allot", "NEW"), ("reveal", "REVEALED"), ("park", "PARKED REVEALED")],
    ),
];

/// Every state that a reward can stand in.
pub fn states() -> impl Iterator<Item = &'static str> {
    WAYS.into_iter().map(|(state, _)| state)
}

/// A campaign's document as `change` makes it.
pub fn with(change: impl FnOnce(&mut Value)) -> Value {
    let mut document = document(&json!([]));
    change(&mut document);
    document
}

impl Desk {
    /// In a campaign that is as this document says.
    pub async fn open(document: &Value) -> Self {
        Self::on(TestApi::new().await, document).await
    }

    /// On this API.
    pub async fn on(api: TestApi, document: &Value) -> Self {
        let test = Referrals::on(api, document).await;
        let database = test.api.database.connect().await;
        database.batch_execute(WALK).await.expect("a function");
        let budget = document.get("budget_minor").and_then(Value::as_i64).expect("a budget");
        database
            .execute("SELECT fund_campaign('spring', $1)", &[&budget])
            .await
            .expect("a funded campaign");
        let reviews = &test.api.rewards.reviews;
        let flow = reviews.put_flow("a test", (ONE_APPROVAL, Format::Toml)).await.expect("a flow");
        let (subject, version) = (flow.0.subject, flow.0.version);
        reviews.activate_flow("a test", subject, version).await.expect("an active flow");
        for person in ["ada", "bob"] {
            reviews.set_role("a test", (person, "approver"), true).await.expect("a role");
        }
        let ada = test.api.add_key("ada", &["rewards"]).await;
        let bob = test.api.add_key("bob", &["rewards"]).await;
        let code = test.code("ann").await;
        Self { test, ada, bob, code, invitees: AtomicU32::new(1) }
    }

    /// Binds these invitees to ann, without asking anybody.
    pub async fn bind(&self, invitees: &[&str]) {
        let database = self.test.api.database.connect().await;
        database
            .execute(
                "INSERT INTO binding (campaign_id, invitee, inviter, code, campaign_version, state)
                 SELECT 'spring', invitee, 'ann', $1, 1, 'bound' FROM unnest($2::text[]) AS u (invitee)",
                &[&self.code, &invitees],
            )
            .await
            .expect("bindings");
    }

    /// A reward of ann's for this invitee's loan, held for this reason. Its number.
    pub async fn held(&self, invitee: &str, reason: &str) -> i64 {
        self.begun(invitee, ("REVIEW", "hold", Some(reason))).await
    }

    async fn begun(
        &self,
        invitee: &str,
        (state, event, reason): (&str, &str, Option<&str>),
    ) -> i64 {
        let database = self.test.api.database.connect().await;
        let row = database
            .query_one(
                "INSERT INTO reward (campaign_id, campaign_version, invitee, kind, side, beneficiary, currency,
                                     most_minor, state, event, reason, actor)
                 VALUES ('spring', 1, $1, 'loan_disbursed', 'inviter', 'ann', 'IDR', 2000, $2, $3, $4, 'waypost')
                 RETURNING id",
                &[&invitee, &state, &event, &reason],
            )
            .await;
        row.expect("a reward").get(0)
    }

    /// A reward of ann's in one of [`states`], for an invitee of its own. Its number.
    pub async fn reward(&self, state: &str) -> i64 {
        let invitee = format!("invitee {}", self.invitees.fetch_add(1, Ordering::Relaxed));
        self.bind(&[&invitee]).await;
        self.reward_for(&invitee, state).await
    }

    /// The same for an invitee who is bound.
    pub async fn reward_for(&self, invitee: &str, state: &str) -> i64 {
        let (_, way) = WAYS.into_iter().find(|(name, _)| *name == state).expect("a state");
        let first = match state {
            "REVIEW" | "DENIED" => ("REVIEW", "hold", Some("inviter-cap")),
            _ => ("CREATE", "grant", None),
        };
        let id = self.begun(invitee, first).await;
        let database = self.test.api.database.connect().await;
        for (event, target) in way {
            let (target, parked) = match target.split_once(' ') {
                Some((target, parked)) => (target, Some(parked)),
                None => (*target, None),
            };
            database
                .execute("SELECT walk($1, $2, $3, $4)", &[&id, event, &target, &parked])
                .await
                .expect("a step");
        }
        id
    }

    /// A request with this key.
    pub async fn call(&self, key: &str, method: &str, path: &str, body: Value) -> Answer {
        let authorization = format!("Bearer {key}");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.test.api.send(method, path, &headers, body).await
    }

    /// `GET` with ada's key; it must be there.
    pub async fn get(&self, path: &str) -> Value {
        let answer = self.call(&self.ada, "GET", path, Value::Null).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        answer.json()
    }

    /// `POST /v1/rewards/{id}/{act}`.
    pub async fn act(&self, key: &str, id: i64, act: &str, body: Value) -> Answer {
        self.call(key, "POST", &format!("/v1/rewards/{id}/{act}"), body).await
    }

    /// Where a reward stands: its state, and where it is parked.
    pub async fn state(&self, id: i64) -> String {
        let query = format!("SELECT concat_ws(' ', state, parked_in) FROM reward WHERE id = {id}");
        self.text(&query).await
    }

    /// The one text that a query gives.
    pub async fn text(&self, query: &str) -> String {
        let database = self.test.api.database.connect().await;
        database.query_one(query, &[]).await.expect("a row").get(0)
    }

    /// What is in the accounts: left, promised, paid. The books say the same.
    pub async fn accounts(&self) -> (i64, i64, i64) {
        let database = self.test.api.database.connect().await;
        let query = "
            SELECT a.budget_minor, a.promised_minor, a.paid_minor, l.budget, l.promised, l.paid,
                   r.promised, r.paid
            FROM campaign_account a,
                 (SELECT coalesce(sum(CASE 'budget' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor END), 0)::bigint AS budget,
                         coalesce(sum(CASE 'promised' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor END), 0)::bigint AS promised,
                         coalesce(sum(CASE 'paid' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor END), 0)::bigint AS paid
                  FROM ledger) l,
                 (SELECT coalesce(sum(promised_minor), 0)::bigint AS promised,
                         coalesce(sum(paid_minor), 0)::bigint AS paid FROM reward) r";
        let row = database.query_one(query, &[]).await.expect("a row");
        let accounts = (row.get(0), row.get(1), row.get(2));
        assert_eq!(accounts, (row.get(3), row.get(4), row.get(5)), "the ledger adds up");
        assert_eq!((accounts.1, accounts.2), (row.get(6), row.get(7)), "and so do the rewards");
        accounts
    }
}

/// A field of an object; null, if it is not there.
pub fn field(object: &Value, name: &str) -> Value {
    object.get(name).cloned().unwrap_or_default()
}

/// Status, and the name of a problem with its reason, if it has one.
pub fn told(answer: &Answer) -> String {
    let kind = answer.json().get("type").and_then(Value::as_str).map(str::to_owned);
    let kind = kind.unwrap_or_default().replace("urn:waypost:problem:", "");
    let (status, reason) = refusal(answer);
    match (kind.as_str(), reason) {
        ("", _) => status.to_string(),
        (kind, reason) if kind == reason => format!("{status} {kind}"),
        (kind, reason) => format!("{status} {kind} {reason}"),
    }
}
