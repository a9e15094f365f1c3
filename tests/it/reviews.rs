//! Reviews over the API: a held reward and a compensation go from node to node, jump, and are carried out.

use serde_json::{Value, json};

use crate::command_line::run;
use crate::support::desk::{Desk, field, told, with};
use crate::support::reviews::Reviewers;

async fn reviewers() -> Reviewers {
    Reviewers::at(Desk::open(&with(|_| {})).await).await
}

fn names(list: &Value, field_name: &str) -> Vec<String> {
    let all = list.as_array().expect("a list").iter();
    all.map(|it| field(it, field_name).as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test]
async fn a_held_reward_is_granted_once_everybody_has_approved() {
    let people = reviewers().await;
    people.desk.bind(&["ben"]).await;
    let reward = people.desk.held("ben", "inviter-cap").await;
    let case = people.case_of(reward).await;
    assert_eq!(people.place(case).await, "open risk 1");
    let seen = people.case(case).await;
    assert_eq!(seen["facts"]["hold_reason"], json!("inviter-cap"));
    assert_eq!(seen["facts"]["amount_minor"], json!(2_000));
    assert_eq!(field(&seen, "missing_guard"), json!("risk"));
    let explained = people.desk.get(&format!("/v1/rewards/{reward}/explain")).await;
    assert_eq!(
        (&explained["case"]["id"], &explained["case"]["node"]),
        (&json!(case), &json!("risk"))
    );
    // Nobody goes round it.
    for act in ["approve", "deny"] {
        let answer = people.desk.act(&people.desk.ada, reward, act, json!({ "reason": "x" })).await;
        assert_eq!(told(&answer), "409 under-review");
        assert!(answer.text().contains(&format!("/v1/cases/{case}/approve")), "{answer:?}");
    }
    assert_eq!(people.approve("fin", case).await, "409 case-refused no-role");
    assert_eq!(people.approve("rae", case).await, "200");
    assert_eq!(people.place(case).await, "open finance 1");
    assert_eq!(people.desk.state(reward).await, "REVIEW");
    assert_eq!(people.approve("fin", case).await, "200");
    assert_eq!(people.place(case).await, "executed execute 1");
    assert_eq!(people.desk.state(reward).await, "CREATE");
    let by = "SELECT actor || ': ' || reason FROM reward";
    assert_eq!(people.desk.text(by).await, format!("fin: case {case}: checked"));
    assert_eq!(people.approve("fin", case).await, "409 case-refused case-closed");
    let events = names(&people.case(case).await["history"], "event");
    let expected = "opened passed entered approved entered approved entered executed";
    assert_eq!(events.join(" "), expected);
    assert_eq!(people.api().rewards.reviews.round().await.expect("a round"), 0);
    let audit = "SELECT string_agg(action, ' ' ORDER BY id) FROM audit WHERE subject = 'case:' || ";
    let audit = people.desk.text(&format!("{audit}{case}")).await;
    assert_eq!(audit, "case.open case.act case.act case.act");
}

#[tokio::test]
async fn a_rejected_reward_is_denied_with_the_reason() {
    let people = reviewers().await;
    people.desk.bind(&["ben"]).await;
    let reward = people.desk.held("ben", "binding-held").await;
    let case = people.case_of(reward).await;
    let answer = people.act("rae", case, "reject", json!({ "reason": "it is a bot" })).await;
    assert_eq!(told(&answer), "200");
    assert_eq!(people.place(case).await, "rejected rejected 1");
    assert_eq!(people.desk.state(reward).await, "DENIED");
    let by = "SELECT actor || ': ' || reason FROM reward";
    assert_eq!(people.desk.text(by).await, format!("rae: case {case}: it is a bot"));
}

#[tokio::test]
async fn what_the_budget_does_not_allow_begins_anew() {
    let people = Reviewers::at(Desk::open(&with(|it| it["budget_minor"] = json!(100_000))).await);
    let people = people.await;
    people.desk.bind(&["ben"]).await;
    let reward = people.desk.held("ben", "budget-exhausted").await;
    let database = people.api().database.connect().await;
    database.execute("SELECT fund_campaign('spring', 0)", &[]).await.expect("no money left");
    let case = people.case_of(reward).await;
    assert_eq!(people.approve("rae", case).await, "200");
    assert_eq!(people.approve("fin", case).await, "200");
    // Nothing was done, and all have to approve again.
    assert_eq!(people.place(case).await, "open risk 2");
    assert_eq!(people.desk.state(reward).await, "REVIEW");
    database.execute("SELECT fund_campaign('spring', 9000)", &[]).await.expect("money");
    assert_eq!(people.approve("rae", case).await, "200");
    assert_eq!(people.approve("fin", case).await, "200");
    assert_eq!(people.place(case).await, "executed execute 2");
    assert_eq!(people.desk.state(reward).await, "CREATE");
}

#[tokio::test]
async fn a_case_jumps_where_its_flow_allows_it() {
    let people = reviewers().await;
    people.desk.bind(&["ben"]).await;
    let reward = people.desk.held("ben", "inviter-cap").await;
    let case = people.case_of(reward).await;
    assert_eq!(people.approve("rae", case).await, "200");
    let jump = |from: &str, to: &str, dry_run: bool| json!({ "from": from, "to": to, "reason": "look again", "dry_run": dry_run });
    for (name, body, expected) in [
        ("rae", jump("finance", "risk", false), "409 case-refused jump-forbidden"),
        ("lea", jump("risk", "finance", false), "409 case-refused not-here"),
        ("lea", jump("finance", "execute", false), "409 case-refused into-execute"),
        ("lea", jump("finance", "rejected", false), "409 case-refused not-a-jump"),
        ("lea", jump("finance", "nowhere", false), "409 case-refused no-such-node"),
        ("lea", jump("finance", "finance", false), "409 case-refused same-node"),
        ("sue", jump("finance", "evidence", false), "409 case-refused jump-forbidden"),
        ("lea", json!({ "from": "finance", "to": "risk", "reason": "" }), "422 invalid-body"),
    ] {
        let answer = people.act(name, case, "jumps", body).await;
        assert!(told(&answer).starts_with(expected), "{answer:?}");
    }
    let path = format!("/v1/cases/{case}/jumps");
    let legal = people.call("sue", "GET", &path, Value::Null).await.json();
    let line = legal["targets"].as_array().expect("targets").iter().map(|it| {
        let reason = field(it, "reason").as_str().unwrap_or("legal").to_owned();
        format!("{} {reason}", field(it, "node").as_str().unwrap_or_default())
    });
    let expected = "auto-screen jump-forbidden, evidence jump-forbidden, execute into-execute, \
                    risk legal, senior-risk legal, rejected not-a-jump";
    assert_eq!(line.collect::<Vec<String>>().join(", "), expected);
    let before = people.case(case).await;
    let dry = people.act("sue", case, "jumps", jump("finance", "risk", true)).await;
    assert_eq!(names(&dry.json()["events"], "event").join(" "), "jumped entered");
    assert_eq!(dry.json()["case"]["epoch"], json!(2));
    assert_eq!(people.case(case).await, before, "a dry run changes nothing");
    let stale = json!({ "from": "finance", "to": "risk", "reason": "x", "expected_version": 1 });
    let stale = people.call("sue", "POST", &path, stale).await;
    assert_eq!(told(&stale), "409 case-refused stale-version");
    let done = people.act("sue", case, "jumps", jump("finance", "risk", false)).await;
    assert_eq!(told(&done), "200");
    assert_eq!(people.place(case).await, "open risk 2");
    let states = names(&people.case(case).await["tasks"], "state").join(" ");
    assert_eq!(states, "done superseded open");
    assert_eq!(people.approve("ron", case).await, "200");
    assert_eq!(people.approve("fin", case).await, "200");
    assert_eq!(people.desk.state(reward).await, "CREATE");
}

#[tokio::test]
async fn tasks_are_claimed_released_and_delegated_and_evidence_is_asked_for() {
    let people = reviewers().await;
    people.desk.bind(&["ben"]).await;
    let case = people.case_of(people.desk.held("ben", "inviter-cap").await).await;
    let none = || json!({});
    for (name, what, body, expected) in [
        ("rae", "claim", none(), "200"),
        ("ron", "claim", none(), "409 case-refused tasks-taken"),
        ("ron", "approve", json!({ "reason": "x" }), "409 case-refused tasks-taken"),
        ("rae", "claim", none(), "409 case-refused already-claimed"),
        ("rae", "delegate", json!({ "to": "pat" }), "409 case-refused no-role"),
        ("rae", "delegate", json!({ "to": "ron" }), "200"),
        ("rae", "release", none(), "409 case-refused no-task"),
        ("ron", "release", none(), "200"),
        ("fin", "questions", json!({ "question": "who?" }), "409 case-refused no-role"),
        ("ron", "questions", json!({ "question": "who is she?" }), "200"),
        ("ron", "approve", json!({ "reason": "x" }), "409 case-refused evidence-wanted"),
        ("pat", "evidence", json!({ "text": "a cousin" }), "409 case-refused no-role"),
        ("fin", "evidence", json!({ "text": "x", "url": "ftp://x" }), "422 invalid-body"),
        ("fin", "evidence", json!({ "text": "a cousin", "url": "https://files.example/1" }), "200"),
        ("ron", "claim", none(), "200"),
    ] {
        let answer = people.act(name, case, what, body).await;
        assert_eq!(told(&answer), expected, "{name} {what}: {answer:?}");
    }
    assert_eq!(people.place(case).await, "open risk 1");
    let mine = async |name: &str| {
        let page = people.call(name, "GET", "/v1/cases?mine=true&state=open", Value::Null).await;
        page.json()["cases"].as_array().expect("cases").len()
    };
    assert_eq!((mine("ron").await, mine("rae").await), (1, 0));
    for bad in ["state=x", "subject=x", "mine=x", "cursor=x", "other=1"] {
        let answer = people.call("rae", "GET", &format!("/v1/cases?{bad}"), Value::Null).await;
        assert_eq!(told(&answer), "400 invalid-query", "{bad}");
    }
}

#[tokio::test]
async fn flows_have_versions_and_a_case_keeps_its_own() {
    let people = reviewers().await;
    people.desk.bind(&["ben", "eve"]).await;
    let old = people.case_of(people.desk.held("ben", "inviter-cap").await).await;
    let usual = include_str!("../../config/flows/reward.toml");
    let put = async |document: &str| {
        let key = people.api().add_key("ops", &["reviews", "admin"]).await;
        let authorization = format!("Bearer {key}");
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/toml")];
        people.api().send("POST", "/v1/review/flows", &headers, document.to_owned()).await
    };
    assert_eq!(put(usual).await.status, 200, "it was stored when it was first needed");
    let bad = put(&usual.replace("next = \"finance\"", "next = \"risk\"")).await;
    assert_eq!(told(&bad), "422 invalid-body");
    assert!(bad.text().contains("goes-in-circles") && bad.text().contains("line"), "{bad:?}");
    let double = put(&usual.replacen("quorum = 1", "quorum = 2", 1)).await;
    assert_eq!((double.status, field(&double.json(), "version")), (201, json!(2)));
    let activate = "/v1/review/flows/reward/versions/2/activate";
    assert_eq!(people.call("rae", "POST", activate, Value::Null).await.status, 403);
    let admin = people.api().add_key("ops", &["admin"]).await;
    assert_eq!(people.desk.call(&admin, "POST", activate, Value::Null).await.status, 200);
    for gone in
        ["/v1/review/flows/reward/versions/9/activate", "/v1/review/flows/x/versions/1/activate"]
    {
        assert_eq!(people.desk.call(&admin, "POST", gone, Value::Null).await.status, 404);
    }
    let new = people.case_of(people.desk.held("eve", "inviter-cap").await).await;
    assert_eq!(people.approve("rae", old).await, "200");
    assert_eq!(people.place(old).await, "open finance 1");
    assert_eq!(people.approve("rae", new).await, "200");
    assert_eq!(people.approve("rae", new).await, "409 case-refused already-approved");
    assert_eq!(people.approve("ron", new).await, "200");
    assert_eq!(people.place(new).await, "open finance 1");
}

#[tokio::test]
async fn roles_are_given_and_taken_by_those_who_may() {
    let people = reviewers().await;
    let path = "/v1/review/people/pat/roles/risk";
    assert_eq!(people.call("lea", "PUT", path, Value::Null).await.status, 403);
    let admin = people.api().add_key("ops", &["admin"]).await;
    let set = async |method: &str, path: &str| {
        people.desk.call(&admin, method, path, Value::Null).await.status
    };
    assert_eq!((set("PUT", path).await, set("PUT", path).await), (204, 204));
    let listed = people.call("rae", "GET", "/v1/review/roles", Value::Null).await.json();
    assert!(names(&listed["roles"], "actor").contains(&"pat".to_owned()));
    assert_eq!(set("PUT", "/v1/review/people/pat/roles/No").await, 422);
    people.desk.bind(&["ben"]).await;
    let case = people.case_of(people.desk.held("ben", "inviter-cap").await).await;
    assert_eq!((set("DELETE", path).await, set("DELETE", path).await), (204, 204));
    assert_eq!(people.approve("pat", case).await, "409 case-refused no-role");
    let audit =
        "SELECT string_agg(action, ' ' ORDER BY id) FROM audit WHERE subject = 'person:pat'";
    assert_eq!(people.desk.text(audit).await, "role.grant role.revoke");
}

#[tokio::test]
async fn the_command_line_sets_flows_and_roles_and_lists_what_waits() {
    let people = reviewers().await;
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("flow.toml");
    let put = async |document: &str| {
        std::fs::write(&file, document).expect("written");
        let path = file.to_str().expect("a plain path");
        run(&people.api().database, &["review", "flow", "put", path, "--activate"]).await
    };
    let flow = include_str!("../../config/flows/reward.toml").replace("quorum = 1", "quorum = 2");
    let (good, said) = put(&flow.replace("\nstart = ", "\nbegin = ")).await;
    assert!(!good && said.contains("line "), "{said}");
    let flow = flow.replace(
        "[nodes.evidence]\nroles = [\"risk\", \"senior-risk\", \"finance\", \"lead\"]\nquorum = 2",
        "[nodes.evidence]\nroles = [\"lead\"]\nquorum = 1",
    );
    let (good, said) = put(&flow).await;
    assert!(good && said.ends_with("new cases about 'reward' follow version 1"), "{said}");
    people.desk.bind(&["ben"]).await;
    let case = people.case_of(people.desk.held("ben", "inviter-cap").await).await;
    let told = async |arguments: &[&str]| run(&people.api().database, arguments).await;
    let (_, inbox) = told(&["review", "inbox", "--subject", "reward", "--node", "risk"]).await;
    assert!(inbox.starts_with(&format!("case {case}  reward ")), "{inbox}");
    assert_eq!(told(&["review", "inbox", "--node", "finance"]).await, (true, String::new()));
    let (_, said) = told(&["review", "role", "grant", "pat", "risk"]).await;
    assert_eq!(said, "'pat' has the role 'risk' now");
    assert_eq!(people.approve("pat", case).await, "200");
    let (_, said) = told(&["review", "role", "revoke", "pat", "risk"]).await;
    assert_eq!(said, "'pat' has the role 'risk' no more");
    let (good, said) = told(&["review", "role", "grant", "pat", "Risk"]).await;
    assert!(!good && said.contains("the role must be"), "{said}");
    let (good, said) = told(&["review", "flow", "activate", "loans", "1"]).await;
    assert!(!good && said.contains("the subject must be one of: reward"), "{said}");
}
