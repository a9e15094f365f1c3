//! What people see and do in the console.

use serde_json::json;

use crate::support::console::{Browser, Operators};
use crate::support::html::Page;

/// What would run if a page took it for more than a text.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";

/// Names and values.
type Lines<'a> = &'a [(&'a str, &'a str)];

/// The faults that a page says, by the fields that they are tied to.
fn faults(page: &Page) -> Vec<String> {
    let invalid = page.elements.iter().filter(|it| it.attributes.contains_key("aria-invalid"));
    invalid.filter_map(|it| it.attributes.get("id").cloned()).collect()
}

#[tokio::test]
async fn a_link_is_made_found_and_shown_with_its_clicks() {
    let operators = Operators::open().await;
    let browser = operators.sign_in_with(&["links"]).await;
    let form = [
        ("target", "https://example.com/sale"),
        ("slug", "spring-sale"),
        ("title", HOSTILE),
        ("tags", "news, spring"),
        ("status", "307"),
        ("max_clicks", "5000"),
        ("forward_query", "yes"),
    ];
    let made = browser.submit("/console/links/new", &form).await;
    let place = "/console/links/of/spring-sale?done=made";
    assert_eq!((made.status, made.header("location")), (303, place), "{}", made.text());
    let database = operators.desk.test.api.database.connect().await;
    let clicked = database
        .execute(
            "INSERT INTO click_day (link_id, dimension, day, value, total, people, bots)
             SELECT id, 'all', day::date, '', 1234, 1230, 3
             FROM link, unnest(ARRAY['2029-12-30', '2030-01-01']) AS u (day)",
            &[],
        )
        .await;
    assert_eq!(clicked.expect("two days"), 2);
    let page = browser.page(place).await;
    for said in
        ["The link was made.", "https://go.example/spring-sale", "307", "5,000 in all", HOSTILE]
    {
        assert!(page.text.contains(said), "{said} is not in {}", page.text);
    }
    let names = page.names();
    assert!(
        names.contains(&"svg")
            && !page.elements.iter().any(|it| it.attributes.contains_key("onerror"))
    );
    let chart = page.elements.iter().find(|it| it.name == "svg").expect("a chart");
    let spoken = chart.attributes.get("aria-label").expect("words");
    assert!(spoken.contains("2,460 in all, 1,230 on the day with most"), "{spoken}");
    for (path, kind) in [("qr.svg", "image/svg+xml"), ("qr.png", "image/png")] {
        let picture = browser.get(&format!("/console/links/of/spring-sale/{path}")).await;
        assert_eq!((picture.status, picture.header("content-type")), (200, kind));
    }
    for (query, found) in [
        ("", true),
        ("?q=sale", true),
        ("?tag=news", true),
        ("?q=winter", false),
        ("?tag=sprin", false),
    ] {
        let page = browser.page(&format!("/console/links{query}")).await;
        assert_eq!(page.links().contains(&"/console/links/of/spring-sale"), found, "{query}");
    }
    // The same sums, over all links, on the first page.
    let page = browser.page("/console").await;
    let chart = page.elements.iter().find(|it| it.name == "svg").expect("a chart");
    assert!(chart.attributes.get("aria-label").is_some_and(|it| it.contains("2,460 in all")));
    let audit = "SELECT actor || ' ' || action FROM audit WHERE action LIKE 'link.%'";
    assert_eq!(operators.desk.text(audit).await, "olga link.create");
}

#[tokio::test]
async fn a_link_that_is_no_good_comes_back_with_its_faults_at_the_fields() {
    let operators = Operators::open().await;
    let browser = operators.sign_in_with(&["links"]).await;
    let target = ("target", "https://example.com/");
    let taken = browser.submit("/console/links/new", &[target, ("slug", "taken")]).await;
    assert_eq!(taken.status, 303);
    let cases: &[(Lines<'_>, u16, &[&str])] = &[
        (&[], 422, &["target"]),
        (&[("target", "javascript:alert(1)")], 422, &["target"]),
        (&[target, ("slug", "a b"), ("expires_at", "soon")], 422, &["slug", "expires_at"]),
        (&[target, ("max_clicks", "many")], 422, &["max_clicks"]),
        (&[target, ("domain", "nowhere.example")], 422, &["domain"]),
        (&[target, ("slug", "taken")], 409, &["slug"]),
    ];
    for (form, status, fields) in cases {
        let answer = browser.submit("/console/links/new", form).await;
        assert_eq!(answer.status, *status, "{form:?}: {}", answer.text());
        let page = Page::read(&answer.text());
        assert_eq!(faults(&page), *fields, "{form:?}");
        assert!(page.text.contains("Nothing was changed yet"));
        // What was filled in is still there.
        for (name, value) in *form {
            let field = page
                .elements
                .iter()
                .find(|it| it.attributes.get("id").is_some_and(|id| id == name));
            assert_eq!(
                field.expect("the field").attributes.get("value").map(String::as_str),
                Some(*value)
            );
        }
    }
    assert_eq!(operators.desk.test.api.count("SELECT count(*) FROM link").await, 1);
}

async fn decide(
    browser: &Browser<'_>,
    id: i64,
    act: &str,
    fields: &[(&str, &str)],
) -> (u16, String) {
    let answer = browser.submit(&format!("/console/rewards/{id}/{act}"), fields).await;
    (answer.status, answer.header("location").to_owned())
}

#[tokio::test]
async fn rewards_are_found_explained_and_decided_on() {
    let operators = Operators::open().await;
    let desk = &operators.desk;
    let browser = operators.sign_in(&desk.ada).await;
    let (held, parked, paid) = (
        desk.reward("REVIEW").await,
        desk.reward("PARKED REVEALED").await,
        desk.reward("PAID").await,
    );
    for (query, expected) in [
        ("", vec![paid, parked, held]),
        ("?state=REVIEW", vec![held]),
        ("?campaign=spring&user=ann", vec![paid, parked, held]),
        ("?campaign=spring&invitee=invitee+2", vec![parked]),
        ("?campaign=other", vec![]),
    ] {
        let page = browser.page(&format!("/console/rewards{query}")).await;
        let links = page.links();
        let shown: Vec<i64> = links
            .iter()
            .filter_map(|it| it.strip_prefix("/console/rewards/")?.parse().ok())
            .collect();
        assert_eq!(shown, expected, "{query}");
    }
    let page = browser.page("/console/rewards?user=ann").await;
    assert!(page.text.contains("name the campaign as well"), "{}", page.text);
    let page = browser.page(&format!("/console/rewards/{held}")).await;
    for said in ["REVIEW", "inviter-cap", "invitee 1", "Approve", "Deny"] {
        assert!(page.text.contains(said), "{said} is not in {}", page.text);
    }
    assert!(!page.text.contains("Take back"), "{}", page.text);
    // A decision without a reason comes back; with one, it is done and written down.
    let refused = browser.submit(&format!("/console/rewards/{held}/approve"), &[]).await;
    assert_eq!(refused.status, 422);
    assert_eq!(faults(&Page::read(&refused.text())), ["reason-approve"]);
    let done = decide(&browser, held, "approve", &[("reason-approve", "checked by phone")]).await;
    assert_eq!(done, (303, format!("/console/rewards/{held}?done=approve")));
    assert_eq!(desk.state(held).await, "CREATE");
    let page = browser.page(&done.1).await;
    assert!(
        page.text.contains("The reward was approved.") && page.text.contains("checked by phone")
    );
    let replay = [("reason-replay", "their outage is over"), ("outcome", "not_applied")];
    assert_eq!(decide(&browser, parked, "replay", &replay).await.0, 303);
    assert_eq!(desk.state(parked).await, "REVEALED");
    assert_eq!(decide(&browser, paid, "reverse", &[("reason-reverse", "a mistake")]).await.0, 303);
    assert_eq!(desk.state(paid).await, "REVERSED");
    let late = desk.reward("REVIEW").await;
    assert_eq!(decide(&browser, late, "deny", &[("reason-deny", "a fake")]).await.0, 303);
    // What cannot be done any more is refused, and says what can.
    let again = browser
        .submit(&format!("/console/rewards/{late}/approve"), &[("reason-approve", "I was wrong")])
        .await;
    assert_eq!(again.status, 409);
    assert!(again.text().contains("grant it by a compensation"), "{}", again.text());
    let audit = "SELECT string_agg(concat_ws(' ', actor, action), ', ' ORDER BY id) FROM audit
                 WHERE action LIKE 'reward.%'";
    let expected = "ada reward.approve, ada reward.replay, ada reward.reverse, ada reward.deny";
    assert_eq!(desk.text(audit).await, expected);
    desk.accounts().await;
    let page = browser.page("/console/rewards/user?campaign=spring&user=ann").await;
    assert!(page.text.contains("invitee 1") && page.text.contains("Rewards as an inviter"));
    let page = browser.page("/console").await;
    for said in ["REVERSED", "Budget", "Promised", "Paid"] {
        let spoken = page.elements.iter().filter_map(|it| it.attributes.get("aria-label"));
        assert!(
            page.text.contains(said) || spoken.into_iter().any(|it| it.contains(said)),
            "{said}"
        );
    }
}

#[tokio::test]
async fn a_compensation_is_asked_for_by_one_and_approved_by_another() {
    let operators = Operators::open().await;
    let desk = &operators.desk;
    desk.bind(&["budi", "siti"]).await;
    let (ada, bob) = (operators.sign_in(&desk.ada).await, operators.sign_in(&desk.bob).await);
    let form = |items| [("campaign", "spring"), ("reason", "told too late"), ("items", items)];
    for (items, said) in [
        ("budi, loan_disbursed", "Number 1: must have three parts"),
        (
            "budi, loan_disbursed, inviter\nnobody, loan_disbursed, inviter",
            "Line 2: invitee is bound to nobody",
        ),
        ("budi, loan_disbursed, both", "Line 1: side must be inviter or invitee"),
    ] {
        let answer = ada.submit("/console/compensations/new", &form(items)).await;
        assert_eq!(answer.status, 422, "{items}");
        let page = Page::read(&answer.text());
        assert_eq!(faults(&page), ["items"]);
        assert!(page.text.contains(said), "{said} is not in {}", page.text);
    }
    let items = "budi, loan_disbursed, inviter\r\nsiti, loan_disbursed, inviter";
    let asked = ada.submit("/console/compensations/new", &form(items)).await;
    assert_eq!(asked.status, 303, "{}", asked.text());
    let place = asked.header("location").to_owned();
    let path = place.split('?').next().expect("a path").to_owned();
    let page = ada.page(&place).await;
    assert!(page.text.contains("somebody else has to approve it"), "{}", page.text);
    let reason = [("reason", "right")];
    let own = ada.submit(&format!("{path}/approve"), &reason).await;
    assert_eq!(own.status, 409, "{}", own.text());
    let nothing = bob.submit(&format!("{path}/approve"), &[]).await;
    assert_eq!(
        (nothing.status, faults(&Page::read(&nothing.text()))),
        (422, vec!["reason".to_owned()])
    );
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward").await, 0);
    let done = bob.submit(&format!("{path}/approve"), &reason).await;
    assert_eq!(done.status, 303, "{}", done.text());
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward").await, 2);
    let page = bob.page(done.header("location")).await;
    assert!(page.text.contains("executed") && page.text.contains("granted"), "{}", page.text);
    let page = bob.page("/console/compensations?state=executed&campaign=spring").await;
    assert!(page.links().contains(&path.as_str()));
    let page = bob.page("/console/compensations?state=rejected").await;
    assert!(!page.links().contains(&path.as_str()));
}

#[tokio::test]
async fn a_version_is_looked_at_compared_and_activated_once_its_differences_were_seen() {
    let operators = Operators::open().await;
    let desk = &operators.desk;
    let browser = operators.sign_in_with(&["campaigns"]).await;
    let mut document = crate::support::referrals::document(&json!([]));
    for (budget, name) in [(2_000_000_000_i64, "Spring"), (3_000_000_000, HOSTILE)] {
        document["budget_minor"] = budget.into();
        document["name"] = name.into();
        let path = "/v1/campaigns/spring/versions";
        let put = desk.call(&desk.test.api.key, "POST", path, document.clone()).await;
        assert_eq!(put.status, 201, "{put:?}");
    }
    let page = browser.page("/console/campaigns").await;
    assert!(page.links().contains(&"/console/campaigns/spring"));
    let page = browser.page("/console/campaigns/spring").await;
    assert!(page.links().contains(&"/console/campaigns/spring/3"), "{:?}", page.links());
    let page = browser.page("/console/campaigns/spring/diff?from=1&to=2").await;
    for said in ["/budget_minor", "1000000000", "2000000000"] {
        assert!(page.text.contains(said), "{said} is not in {}", page.text);
    }
    assert!(browser.page("/console/campaigns/spring/3").await.text.contains(HOSTILE));
    let page = browser.page("/console/campaigns/spring/2/activate").await;
    assert!(page.text.contains("is active now") && page.text.contains("/budget_minor"));
    let active = async || {
        desk.text("SELECT version::text FROM campaign_version WHERE state = 'active'").await
    };
    // What was shown must still be so.
    for (shown, status, now) in [("", 409, "1"), ("3", 409, "1"), ("1", 303, "2"), ("1", 409, "2")]
    {
        let form = [("active", shown)];
        let answer = browser.submit("/console/campaigns/spring/2/activate", &form).await;
        assert_eq!(answer.status, status, "{shown}: {}", answer.text());
        assert_eq!(active().await, now, "{shown}");
    }
    let page = browser.page("/console/campaigns/spring?done=activated").await;
    assert!(page.text.contains("The version is active."));
    let audit = "SELECT actor || ' ' || (detail ->> 'version') FROM audit
                 WHERE action = 'campaign.activate' ORDER BY id DESC LIMIT 1";
    assert_eq!(desk.text(audit).await, "olga 2");
    for path in
        ["/console/campaigns/nowhere", "/console/campaigns/spring/9", "/console/campaigns/spring/x"]
    {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}
