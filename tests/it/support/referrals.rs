//! An API with one campaign, `spring`, and with what people do in it.

use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};
use waypost::campaign::{CampaignNumber, Version};
use waypost::link::DomainId;
use waypost::referral::token::ClickToken;

use super::api::{NOW, token_key};
use super::{Answer, TestApi};

/// See the module.
pub struct Referrals {
    /// The API; its key may do everything.
    pub api: TestApi,
    codes: AtomicU32,
}

/// A campaign's document with this list of checks, around the tests' present.
pub fn document(screening: &Value) -> Value {
    json!({
        "name": "Spring", "starts_at": "2029-12-01T00:00:00Z", "ends_at": "2030-03-01T00:00:00Z",
        "currency": "IDR", "budget_minor": 1_000_000_000, "deep_link_path": "/invite/{code}",
        "rewards": {
            "credit_granted": { "invitee": { "amount_minor": 1_000 } },
            "loan_disbursed": { "inviter": { "amount_minor": 2_000 } },
        },
        "screening": screening,
        "apps": { "android_package": "com.example.app" },
        "default_language": "en",
        "texts": { "en": {
            "title": "Join", "description": "Join us.", "invitation": "{inviter} invites you",
            "invitation_without_name": "A friend invites you", "invitee_gets": "You get 10",
            "inviter_gets": "They get 20", "steps": ["Install the app"],
        } },
    })
}

impl Referrals {
    /// With these checks.
    pub async fn screened(screening: Value) -> Self {
        Self::on(TestApi::new().await, &document(&screening)).await
    }

    /// On this API, with this document.
    pub async fn on(mut api: TestApi, document: &Value) -> Self {
        api.key = api.add_key("backend", &["admin"]).await;
        let test = Self { api, codes: AtomicU32::new(1) };
        test.activate(document).await;
        test
    }

    /// Makes a document the active version of the campaign.
    pub async fn activate(&self, document: &Value) {
        let put =
            self.api.call("POST", "/v1/campaigns/spring/versions", document.to_string()).await;
        assert!(matches!(put.status, 200 | 201), "{put:?}");
        let version = put.json().get("version").cloned().unwrap_or_default();
        let path = format!("/v1/campaigns/spring/versions/{version}/activate");
        let activated = self.api.call("POST", &path, "").await;
        assert_eq!(activated.status, 200, "{activated:?}");
        self.api.read_campaigns().await;
    }

    /// A new code of a user.
    pub async fn code(&self, user: &str) -> String {
        let code = format!("{:06}", self.codes.fetch_add(1, Ordering::Relaxed));
        let database = self.api.database.connect().await;
        database
            .execute("UPDATE referral_code SET current = false WHERE user_id = $1", &[&user])
            .await
            .expect("earlier codes");
        let name = format!("{}•••", user.get(..1).unwrap_or_default());
        database
            .execute(
                "INSERT INTO referral_code (code, campaign_id, user_id, shown_name)
                 VALUES ($1, 'spring', $2, $3)",
                &[&code, &user, &name],
            )
            .await
            .expect("a code");
        code
    }

    /// `POST /v1/campaigns/spring/bindings`.
    pub async fn bind(&self, body: Value) -> Answer {
        self.api.call("POST", "/v1/campaigns/spring/bindings", body.to_string()).await
    }

    /// Tells that a user reached something, a second ago.
    pub async fn reached(&self, user: &str, kind: &str) -> Answer {
        let event = format!("{user} {kind}");
        let at = "2029-12-31T23:59:59Z";
        self.trigger(json!({ "event_id": event, "kind": kind, "user": user, "occurred_at": at }))
            .await
    }

    /// `POST /v1/campaigns/spring/triggers`.
    pub async fn trigger(&self, body: Value) -> Answer {
        self.api.call("POST", "/v1/campaigns/spring/triggers", body.to_string()).await
    }

    /// `POST /v1/claims`.
    pub async fn claim(&self, body: Value) -> Answer {
        self.api.call("POST", "/v1/claims", body.to_string()).await
    }

    /// Claims a click on a code's page by an installation; the claim's name.
    pub async fn claimed(&self, click: &ClickToken, install: &str) -> String {
        let body = json!({ "token": minted(click), "install_id": install, "source": "play_store" });
        let answer = self.claim(body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        answer.json().get("claim").and_then(Value::as_str).expect("a name").to_owned()
    }

    /// Statuses and reasons of all decisions about an invitee, in their order.
    pub async fn decisions(&self, invitee: &str) -> Vec<String> {
        let rows = self
            .api
            .database
            .connect()
            .await
            .query(
                "SELECT concat_ws(' ', outcome, reason) FROM binding_decision
                 WHERE invitee = $1 ORDER BY id",
                &[&invitee],
            )
            .await
            .expect("rows");
        rows.iter().map(|row| row.get(0)).collect()
    }
}

/// A click on a code's page, an hour before the tests' present.
pub fn click(code: &str, number: u128) -> ClickToken {
    ClickToken {
        click_id: number,
        campaign: CampaignNumber(1),
        version: Version(1),
        domain: DomainId::DEFAULT,
        code: code.to_owned(),
        clicked_at_seconds: NOW.0 / 1_000 - 3_600,
    }
}

/// Its token.
pub fn minted(click: &ClickToken) -> String {
    click.mint(&token_key())
}

/// Status, and the reason or else the name of a problem.
pub fn refusal(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    let part = |name: &str| body.get(name).and_then(Value::as_str).map(str::to_owned);
    let kind = part("type").unwrap_or_default().replace("urn:waypost:problem:", "");
    (answer.status, part("reason").unwrap_or(kind))
}
