//! Rewards: finding them, and why they stand where they stand.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::decisions;
use super::form::{Form, escaped};
use super::page::{
    Input, Page, Section, amount, choice, done, facts, input, number, pager, said, state, table,
    to, when,
};
use super::{Console, Outcome, ROOT, Visit};
use crate::campaign::{BadId, CampaignId};
use crate::fault::Fault;
use crate::http::auth::Scope;
use crate::http::problem::{Kind, Problem};
use crate::reward::explain::Finding;
use crate::reward::explain::chain::{
    BindingLink, DecisionLink, StepLink, Story, TaskLink, TriggerLink, Way,
};
use crate::reward::explain::service::{RewardChain, UserChain, standing};
use crate::reward::machine::State;
use crate::store::review::list::Listed;
use crate::store::rewards::desk::StoredReward;
use crate::store::rewards::desk::list::Filter;

/// How many rewards a page has.
const PAGE: u32 = 50;

/// What is said after something was done.
const DONE: [(&str, &str); 4] = [
    ("approve", "The reward was approved."),
    ("deny", "The reward was denied."),
    ("replay", "The reward goes on."),
    ("reverse", "The reward was taken back."),
];

impl Console {
    /// The rewards that fit, newest first.
    pub(super) async fn list_rewards(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        visit.need(Section::Rewards.scopes())?;
        let query = &visit.query;
        let listed = match filter(query) {
            Ok(filter) => Ok(self.rewards.desk.list(&filter, PAGE).await?),
            Err(why) => Err(why),
        };
        let main = html! {
            (search(query))
            @match listed {
                Err(why) => div.errors role="alert" { p { (why) } },
                Ok(listed) => {
                    @if listed.rewards.is_empty() { p { "No reward fits." } }
                    @else { (rows("Newest first", &listed.rewards)) }
                    @let next = listed.next.map(|id| id.to_string());
                    (pager("/rewards", query, next.as_deref()))
                }
            }
        };
        Ok(Page::new("Rewards", Section::Rewards, main).into())
    }

    /// Why a user has, or has not, earned something.
    pub(super) async fn explain_user(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        visit.need(Section::Rewards.scopes())?;
        let (campaign, user) = (visit.query.text("campaign"), visit.query.text("user"));
        let chain = self.rewards.explainer.user(campaign, user).await?;
        let UserChain { findings, code, way, triggers, counted, invitees, rewards } = chain;
        let invited: Vec<Vec<Markup>> = invitees.iter().map(invitee).collect();
        let main = html! {
            p.lead { "User " b { (user) } " in the campaign " b { (campaign) } }
            section { h2 { "Why" } (reasons(&findings)) }
            (facts(&[
                ("Code to share", code.as_ref().map(said)),
                ("Rewards as an inviter", Some(said(format!("{} of {}", counted.rewards, counted.cap)))),
            ]))
            (how_bound(&way))
            @if !triggers.is_empty() { section { h2 { "Reached" } (reached(&triggers)) } }
            @if !invited.is_empty() {
                section {
                    h2 { "Invited" }
                    (table("The latest first", &[("Invitee", false), ("State", false), ("When", false)], &invited))
                }
            }
            @if !rewards.is_empty() { section { h2 { "Rewards" } (rows("The latest first", &rewards)) } }
        };
        Ok(Page::new("Why a user earned what", Section::Rewards, main).into())
    }

    /// One reward, from the click to where it stands.
    pub(super) async fn show_reward(
        &self,
        visit: &Visit<'_>,
        id: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Rewards.scopes())?;
        self.reward_page(visit, reward_id(id)?, &Form::default(), &[]).await
    }

    /// The page of a reward, with a decision that came back because of these faults.
    pub(super) async fn reward_page(
        &self,
        visit: &Visit<'_>,
        id: i64,
        values: &Form,
        faults: &[Fault],
    ) -> Result<Outcome, Problem> {
        let RewardChain { reward, way, trigger, story, case } =
            self.rewards.explainer.reward(id).await?;
        let is_reviewed = case.as_ref().is_some_and(Listed::is_open);
        let why = Finding::of(&standing(&reward));
        let main = html! {
            (done(&visit.query, &DONE))
            p.lead { (state(reward.state.name())) " " (why.text) }
            (about(&reward, why.code))
            @if let Some(case) = &case { p { (reviewed(case)) } }
            @if visit.may(&[Scope::Rewards]) && !is_reviewed {
                (decisions::forms(visit, &reward, (values, faults)))
            }
            (how_bound(&way))
            @if let Some(trigger) = &trigger {
                section { h2 { "Trigger" } (reached(std::slice::from_ref(trigger))) }
            }
            (story_of(&story, &reward.currency))
        };
        Ok(Page::new(format!("Reward {id}"), Section::Rewards, main).with_faults(faults).into())
    }
}

/// What its case says about a reward.
fn reviewed(case: &Listed) -> String {
    let Listed { id, state, node, .. } = case;
    if case.is_open() {
        format!(
            "Case {id} decides on it, and is in {node}: waypost review inbox, or GET /v1/cases/{id}."
        )
    } else {
        format!("Case {id} was about it: {state}.")
    }
}

/// The number of a reward in a path. What is no number is not there.
pub(super) fn reward_id(id: &str) -> Result<i64, Problem> {
    id.parse().map_err(|_not_a_number| {
        Problem::new(Kind::NotFound, "The number of a reward is a whole number.")
    })
}

/// The campaign that a form names, if it names one.
pub(super) fn campaign_of(form: &Form) -> Result<Option<CampaignId>, String> {
    let campaign = form.given("campaign").map(|it| it.parse::<CampaignId>()).transpose();
    campaign.map_err(|bad: BadId| format!("Campaign: {bad}"))
}

/// Which rewards a query asks for, or what is wrong with it.
fn filter(query: &Form) -> Result<Filter, String> {
    let (campaign, user, invitee) =
        (campaign_of(query)?, query.given("user"), query.given("invitee"));
    if campaign.is_none() && (user.is_some() || invitee.is_some()) {
        return Err("Users are known within a campaign: name the campaign as well.".to_owned());
    }
    let unknown = || "There is no such state; choose one of the list.".to_owned();
    let state = query.given("state").map(|name| State::named(&name).ok_or_else(unknown));
    let before = query.given("cursor").map(|it| it.parse().map_err(|_not_a_number| it));
    let before = before.transpose().map_err(|_it| "This page of the list is not there.")?;
    Ok(Filter {
        campaign,
        state: state.transpose()?,
        user,
        invitee,
        kind: query.given("kind"),
        before,
    })
}

fn search(query: &Form) -> Markup {
    let mut states = vec![("", "Any")];
    states.extend(State::ALL.map(|state| (state.name(), state.name())));
    let field = |name, label| {
        let it = Input { name, label, hint: "", kind: "text", needed: false };
        input(query, &[], &it)
    };
    let about = format!(
        "{ROOT}/rewards/user{}",
        Form::default()
            .with("campaign", query.text("campaign"))
            .with("user", query.text("user"))
            .as_query()
    );
    html! {
        form.filter role="search" action={ (ROOT) "/rewards" } {
            (choice(query, ("state", "State"), &states))
            (field("campaign", "Campaign"))
            (field("user", "Who gets it"))
            (field("invitee", "Invitee"))
            (field("kind", "Kind of trigger"))
            button.quiet { "Search" }
        }
        @if !query.text("campaign").is_empty() && !query.text("user").is_empty() {
            p { a href=(about) { "Why " (query.text("user")) " earned what" } }
        }
    }
}

/// A table of rewards.
fn rows(caption: &str, rewards: &[StoredReward]) -> Markup {
    let columns = [
        ("Reward", false),
        ("State", false),
        ("Campaign", false),
        ("Who gets it", false),
        ("For", false),
        ("Amount", true),
        ("Since", false),
    ];
    let row = |reward: &StoredReward| {
        let money = match reward.amount_minor {
            Some(minor) => amount(minor, &reward.currency),
            None => format!("up to {}", amount(reward.most_minor, &reward.currency)),
        };
        vec![
            to(&format!("/rewards/{}", reward.id), reward.id.to_string()),
            state(reward.state.name()),
            said(reward.campaign.as_str()),
            said(&reward.beneficiary),
            said(format!("{} as {}", reward.kind, reward.side.name())),
            said(money),
            when(reward.changed_at),
        ]
    };
    let rows: Vec<Vec<Markup>> = rewards.iter().map(row).collect();
    table(caption, &columns, &rows)
}

/// Findings as a list.
fn reasons(findings: &[Finding]) -> Markup {
    html! {
        ul {
            @for it in findings {
                li {
                    @if let Some(invitee) = &it.invitee { b { (invitee) } ": " }
                    @if let Some(kind) = &it.kind { (kind) " " }
                    @if let Some(side) = it.side { "as " (side) ": " }
                    (it.text) " " code { (it.code) }
                    @if let Some(reason) = &it.reason { " (" (reason) ")" }
                    @if let Some(id) = it.reward { " " (to(&format!("/rewards/{id}"), format!("Reward {id}"))) }
                }
            }
        }
    }
}

fn about(reward: &StoredReward, code: &str) -> Markup {
    let currency = &reward.currency;
    let user = Form::default()
        .with("campaign", reward.campaign.as_str())
        .with("user", &reward.beneficiary)
        .as_query();
    facts(&[
        ("Why it stands there", Some(html! { code { (code) } })),
        ("Who gets it", Some(to(&format!("/rewards/user{user}"), &reward.beneficiary))),
        ("As", Some(said(reward.side.name()))),
        ("For", Some(said(&reward.kind))),
        ("Invitee", Some(said(&reward.invitee))),
        ("Inviter", Some(said(&reward.inviter))),
        ("Campaign", Some(html! { (reward.campaign) ", version " (reward.campaign_version) })),
        ("Amount in minor units", reward.amount_minor.map(|it| said(amount(it, currency)))),
        ("At most", Some(said(amount(reward.most_minor, currency)))),
        ("Parked in", reward.parked_in.map(|it| said(it.name()))),
        ("Why the last step", reward.reason.as_ref().map(said)),
        ("Last step by", Some(said(&reward.actor))),
        ("Began", Some(when(reward.created_at))),
        ("Last step", Some(when(reward.changed_at))),
        ("Card expires", reward.card_expires_at.map(when)),
        ("Reminders", reward.card_expires_at.map(|_| said(reward.reminders.to_string()))),
    ])
}

/// How somebody came to be bound: the click, the claim, what was decided, the binding.
fn how_bound(way: &Way) -> Markup {
    let decision = |it: &DecisionLink| {
        vec![
            when(it.decided_at),
            state(&it.outcome),
            said(it.reason.as_deref().unwrap_or("nothing stood against it")),
            said(it.code.as_deref().unwrap_or("–")),
        ]
    };
    let decisions: Vec<Vec<Markup>> = way.decisions.iter().map(decision).collect();
    let columns = [("When", false), ("Outcome", false), ("Why", false), ("Code", false)];
    html! {
        section {
            h2 { "Way to the binding" }
            (facts(&[
                ("Click", way.click.as_ref().map(|it| html! {
                    (when(it.at)) ", " (it.kind) ", " (it.device) ", " (it.browser)
                })),
                ("Claim", way.claim.as_ref().map(|it| html! {
                    (when(it.claimed_at)) ", by " (it.source)
                })),
                ("Binding", way.binding.as_ref().map(|it| html! {
                    (state(&it.state)) " " (when(it.bound_at)) ", to " (it.inviter) " by the code " (it.code)
                })),
            ]))
            @if way.binding.is_none() { p { "Nobody is bound." } }
            @if !decisions.is_empty() { (table("What was decided, the latest first", &columns, &decisions)) }
        }
    }
}

fn reached(triggers: &[TriggerLink]) -> Markup {
    let row = |it: &TriggerLink| {
        vec![
            said(&it.kind),
            when(it.occurred_at),
            when(it.received_at),
            said(&it.source),
            said(&it.event_id),
        ]
    };
    let rows: Vec<Vec<Markup>> = triggers.iter().map(row).collect();
    let columns =
        [("Kind", false), ("Happened", false), ("Told", false), ("By", false), ("Event", false)];
    table("What the backends told", &columns, &rows)
}

fn invitee(binding: &BindingLink) -> Vec<Markup> {
    vec![said(&binding.invitee), state(&binding.state), when(binding.bound_at)]
}

/// Every step, every entry of the books, and what is still to be done.
fn story_of(story: &Story, currency: &str) -> Markup {
    let money: BTreeMap<i32, Vec<String>> =
        story.entries.iter().fold(BTreeMap::new(), |mut money: BTreeMap<i32, Vec<String>>, it| {
            let words =
                format!("{} {} → {}", amount(it.amount_minor, currency), it.debit, it.credit);
            money.entry(it.version).or_default().push(words);
            money
        });
    let step = |it: &StepLink| {
        let books = money.get(&it.version).map(|it| it.join("; ")).unwrap_or_default();
        vec![
            said(it.version.to_string()),
            when(it.at),
            html! { div { @if let Some(from) = &it.from { (from) " " } (it.event) " → " (it.to) } },
            html! { div { (it.actor) @if let Some(reason) = &it.reason { ": " (reason) } } },
            said(if books.is_empty() { "–".to_owned() } else { books }),
        ]
    };
    let steps: Vec<Vec<Markup>> = story.steps.iter().map(step).collect();
    let columns = [
        ("Step", true),
        ("When", false),
        ("What", false),
        ("By whom, and why", false),
        ("Books", false),
    ];
    html! {
        section {
            h2 { "Log" }
            (table("Every step", &columns, &steps))
        }
        @if !story.tasks.is_empty() {
            section {
                h2 { "To be done" }
                @let columns = [("What", false), ("Due or parked", false), ("Attempts", true), ("Operation", false)];
                @let rows: Vec<Vec<Markup>> = story.tasks.iter().map(task).collect();
                (table("Work that is due or stopped", &columns, &rows))
            }
        }
    }
}

fn task(it: &TaskLink) -> Vec<Markup> {
    let moment = html! {
        div {
            @if let Some(due) = it.due_at { "due " (when(due)) }
            @if let Some(parked) = it.parked_at { "parked " (when(parked)) }
        }
    };
    let operation = it.operation_id.as_deref().unwrap_or("–");
    vec![said(&it.step), moment, said(number(it.attempts.into())), html! { code { (operation) } }]
}

/// Where the rewards of a campaign are listed.
pub(super) fn of_campaign(campaign: &CampaignId) -> String {
    format!("/rewards?campaign={}", escaped(campaign.as_str()))
}
