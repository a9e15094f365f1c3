//! Rewards as the engine would have left them, without an engine.

use jiff::Timestamp;
use serde_json::json;
use waypost::campaign::ScratchCard;
use waypost::reward::cards::{Plan, plan};

use super::referrals::Referrals;

/// What the engine does to a reward in `CREATE`: the amount is drawn, and recorded for the user.
pub const DRAW: &str =
    "UPDATE reward SET state = 'DRAWN', event = 'draw', amount_minor = most_minor,
    version = version + 1, actor = 'waypost', reason = NULL, operation_id = NULL WHERE id = $1";

/// Has ann invite somebody who reaches `credit_granted`; the reward of the invitee, which is in `CREATE`.
pub async fn granted(test: &Referrals, invitee: &str) -> i64 {
    let code = test.code("ann").await;
    let bound = test.bind(json!({ "code": code, "invitee": invitee })).await;
    assert_eq!(bound.status, 201, "{bound:?}");
    let told = test.reached(invitee, "credit_granted").await;
    assert_eq!(told.status, 201, "{told:?}");
    let query = "SELECT id FROM reward WHERE invitee = $1 AND side = 'invitee'";
    let database = test.api.database.connect().await;
    database.query_one(query, &[&invitee]).await.expect("a reward").get(0)
}

/// The same, moved on to `NEW` at the test's present, as a card of this kind.
pub async fn card(test: &Referrals, invitee: &str, settings: &ScratchCard) -> i64 {
    let id = granted(test, invitee).await;
    show(test, id, settings).await;
    id
}

/// Moves a reward on from `CREATE` to `NEW`.
pub async fn show(test: &Referrals, id: i64, settings: &ScratchCard) {
    let Plan { due_at, expires_at } = plan(settings, Timestamp::from(test.api.clock.now()));
    let database = test.api.database.connect().await;
    for statement in ["DELETE FROM reward_task WHERE reward_id = $1", DRAW] {
        let changed = database.execute(statement, &[&id]).await;
        assert_eq!(changed.expect("a row"), 1, "{statement}");
    }
    let allot = "UPDATE reward SET state = 'NEW', event = 'allot', version = version + 1,
                                   card_due_at = $2, card_expires_at = $3 WHERE id = $1";
    let changed = database.execute(allot, &[&id, &due_at, &expires_at]).await;
    assert_eq!(changed.expect("a move"), 1);
}

/// `POST /v1/rewards/{id}/reveal`.
pub async fn reveal(test: &Referrals, id: impl std::fmt::Display, user: &str) -> super::Answer {
    let path = format!("/v1/rewards/{id}/reveal");
    test.api.call("POST", &path, json!({ "user": user }).to_string()).await
}

/// All steps of a reward, as `grant>CREATE draw>DRAWN`.
pub async fn log(test: &Referrals, id: i64) -> String {
    let query = "SELECT string_agg(event || '>' || to_state, ' ' ORDER BY version) FROM reward_log
                 WHERE reward_id = $1";
    test.api.database.connect().await.query_one(query, &[&id]).await.expect("a row").get(0)
}

/// All tasks of a reward, as `pay remind`.
pub async fn tasks(test: &Referrals, id: i64) -> String {
    let query = "SELECT coalesce(string_agg(step, ' ' ORDER BY step), '') FROM reward_task
                 WHERE reward_id = $1";
    test.api.database.connect().await.query_one(query, &[&id]).await.expect("a row").get(0)
}
