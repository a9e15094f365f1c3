//! People with roles, and what they do to cases.

use serde_json::{Value, json};
use waypost::review::case::SubjectRef;
use waypost::review::flow::Subject;

use super::desk::{Desk, field, told};
use super::{Answer, TestApi};

/// People of the flows that come with the program. All have keys with the scope `reviews`.
pub struct Reviewers {
    /// The desk that they sit at.
    pub desk: Desk,
    keys: Vec<(&'static str, String)>,
}

/// Who has which roles.
const PEOPLE: [(&str, &[&str]); 6] = [
    ("rae", &["risk"]),
    ("ron", &["risk"]),
    ("sue", &["senior-risk"]),
    ("fin", &["finance"]),
    ("lea", &["lead"]),
    ("pat", &[]),
];

impl Reviewers {
    /// At this desk.
    pub async fn at(desk: Desk) -> Self {
        let mut keys = Vec::new();
        for (name, roles) in PEOPLE {
            for role in roles {
                let reviews = &desk.test.api.rewards.reviews;
                reviews.set_role("a test", (name, role), true).await.expect("a role");
            }
            keys.push((name, desk.test.api.add_key(name, &["reviews"]).await));
        }
        Self { desk, keys }
    }

    /// The API.
    pub fn api(&self) -> &TestApi {
        &self.desk.test.api
    }

    /// A request of this person's.
    pub async fn call(&self, name: &str, method: &str, path: &str, body: Value) -> Answer {
        let (_, key) = self.keys.iter().find(|(other, _)| *other == name).expect("somebody");
        self.desk.call(key, method, path, body).await
    }

    /// The case with this number.
    pub async fn case(&self, id: i64) -> Value {
        let answer = self.call("pat", "GET", &format!("/v1/cases/{id}"), Value::Null).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()
    }

    /// Does something to a case as it is now.
    pub async fn act(&self, name: &str, id: i64, what: &str, mut body: Value) -> Answer {
        let version = field(&self.case(id).await, "version");
        if let Value::Object(fields) = &mut body {
            fields.insert("expected_version".to_owned(), version);
        }
        self.call(name, "POST", &format!("/v1/cases/{id}/{what}"), body).await
    }

    /// Approves a case; status, and what refused it.
    pub async fn approve(&self, name: &str, id: i64) -> String {
        told(&self.act(name, id, "approve", json!({ "reason": "checked" })).await)
    }

    /// Where a case stands, in which epoch.
    pub async fn place(&self, id: i64) -> String {
        let case = self.case(id).await;
        let part = |name| field(&case, name).as_str().unwrap_or_default().to_owned();
        format!("{} {} {}", part("state"), part("node"), field(&case, "epoch"))
    }

    /// Looks for what has no case; the case of this reward.
    pub async fn case_of(&self, reward: i64) -> i64 {
        self.api().rewards.reviews.round().await.expect("a round");
        let subject = SubjectRef { subject: Subject::Reward, key: reward.to_string() };
        let found = self.api().rewards.reviews.open_case_of(&subject).await.expect("an answer");
        found.expect("a case")
    }
}
