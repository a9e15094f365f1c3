//! Compensations: asked for by one person, approved by another.

use maud::{Markup, html};

use super::form::Form;
use super::page::{
    Input, Page, Section, choice, done, errors, facts, input, pager, said, state, table, to, when,
};
use super::rewards::campaign_of;
use super::{Console, Outcome, ROOT, Visit, nowhere};
use crate::fault::{Fault, Reason};
use crate::http::auth::Scope;
use crate::http::problem::{Kind, Problem};
use crate::reward::compensations::service::{Error, Full};
use crate::reward::compensations::{NewCompensation, NewItem, State};
use crate::store::rewards::compensations::{Filter, Stored, StoredItem};

/// How many compensations a page has.
const PAGE: u32 = 50;

/// What is said after something was done.
const DONE: [(&str, &str); 3] = [
    ("requested", "The compensation was asked for. Somebody else has to approve it."),
    ("approve", "The compensation was approved and done; each item says what became of it."),
    ("reject", "The compensation was rejected."),
];

const CAMPAIGN: Input<'_> =
    Input { name: "campaign", label: "Campaign", hint: "", kind: "text", needed: true };

const FIELDS: [Input<'_>; 3] = [
    CAMPAIGN,
    Input {
        name: "reason",
        label: "Reason",
        hint: "A sentence for whoever approves it.",
        kind: "text",
        needed: true,
    },
    Input {
        name: "items",
        label: "What is owed",
        hint: "A line for each: the invitee, the kind of trigger, and inviter or invitee, with commas \
               between them, like: budi, credit_granted, inviter",
        kind: "area",
        needed: true,
    },
];

const REASON: Input<'_> = Input {
    name: "reason",
    label: "Reason",
    hint: "A sentence for whoever asks later.",
    kind: "text",
    needed: true,
};

/// The empty form.
pub(super) fn asked(visit: &Visit<'_>) -> Result<Outcome, Problem> {
    visit.need(&[Scope::Rewards])?;
    Ok(form(visit, &visit.query, &[]).into())
}

impl Console {
    /// The compensations that fit, newest first.
    pub(super) async fn list_compensations(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        visit.need(Section::Compensations.scopes())?;
        let query = &visit.query;
        let refuse = |why: &str| Problem::new(Kind::InvalidQuery, why);
        let state = query.given("state").map(|name| {
            State::named(&name).ok_or_else(|| refuse("There is no such state of a compensation."))
        });
        let before = query.given("cursor").map(|it| {
            it.parse().map_err(|_not_a_number| refuse("This page of the list is not there."))
        });
        let campaign = campaign_of(query).map_err(|why| refuse(&why))?;
        let filter = Filter { campaign, state: state.transpose()?, before: before.transpose()? };
        let page = self.rewards.compensations.list(&filter, PAGE).await?;
        let rows: Vec<Vec<Markup>> = page.compensations.iter().map(row).collect();
        let columns = [
            ("Compensation", false),
            ("State", false),
            ("Campaign", false),
            ("Why", false),
            ("Asked for", false),
        ];
        let mut states = vec![("", "Any")];
        states.extend(State::ALL.map(|state| (state.name(), state.name())));
        let campaign = Input { needed: false, ..CAMPAIGN };
        let next = page.next.map(|id| id.to_string());
        let main = html! {
            @if visit.may(&[Scope::Rewards]) {
                p { a.button href={ (ROOT) "/compensations/new" } { "Ask for a compensation" } }
            }
            form.filter role="search" action={ (ROOT) "/compensations" } {
                (choice(query, ("state", "State"), &states))
                (input(query, &[], &campaign))
                button.quiet { "Search" }
            }
            @if rows.is_empty() { p { "No compensation fits." } }
            @else { (table("Newest first", &columns, &rows)) }
            (pager("/compensations", query, next.as_deref()))
        };
        Ok(Page::new("Compensations", Section::Compensations, main).into())
    }

    /// Asks for what a form says, or gives the form back with what is wrong.
    pub(super) async fn request_compensation(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        visit.need(&[Scope::Rewards])?;
        let request = match new_compensation(visit.form) {
            Ok(request) => request,
            Err(faults) => return Ok(form(visit, visit.form, &faults).into()),
        };
        match self.rewards.compensations.request(visit.actor(), &request).await {
            Ok(requested) => {
                let id = requested.stored.id;
                Ok(Outcome::Goes(format!("{ROOT}/compensations/{id}?done=requested")))
            }
            Err(Error::Invalid(faults)) => Ok(form(visit, visit.form, &faults).into()),
            Err(error) => Err(error.into()),
        }
    }

    /// One compensation with its items.
    pub(super) async fn show_compensation(
        &self,
        visit: &Visit<'_>,
        id: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Compensations.scopes())?;
        self.compensation_page(visit, compensation_id(id)?, &[]).await
    }

    async fn compensation_page(
        &self,
        visit: &Visit<'_>,
        id: i64,
        faults: &[Fault],
    ) -> Result<Outcome, Problem> {
        let Full { stored, items } = self.rewards.compensations.get(id).await?;
        let own = stored.requested_by == visit.actor();
        let rows: Vec<Vec<Markup>> = items.iter().map(item).collect();
        let columns =
            [("Invitee", false), ("Kind", false), ("Side", false), ("What became of it", false)];
        let main = html! {
            (done(&visit.query, &DONE))
            (about(&stored))
            @if stored.state == State::Requested && visit.may(&[Scope::Rewards]) {
                section {
                    h2 { "Decide" }
                    @if own { p { "You asked for it yourself: somebody else has to approve it. You may reject it." } }
                    (errors(faults))
                    form.narrow method="post" action={ (ROOT) "/compensations/" (id) "/reject" } {
                        (visit.token())
                        (input(visit.form, faults, &REASON))
                        div.acts {
                            // First, since the key Enter takes the first button.
                            button.risky { "Reject" }
                            @if !own {
                                button formaction={ (ROOT) "/compensations/" (id) "/approve" } { "Approve and do it" }
                            }
                        }
                    }
                }
            }
            section { h2 { "Items" } (table("In the order of the request", &columns, &rows)) }
        };
        let title = format!("Compensation {id}");
        Ok(Page::new(title, Section::Compensations, main).with_faults(faults).into())
    }

    /// Approves or rejects a compensation.
    pub(super) async fn decide_on_compensation(
        &self,
        visit: &Visit<'_>,
        id: &str,
        act: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(&[Scope::Rewards])?;
        let id = compensation_id(id)?;
        let (compensations, reason) =
            (&self.rewards.compensations, visit.form.text("reason").trim());
        let decided = match act {
            "approve" => compensations.approve(visit.actor(), id, reason).await,
            "reject" => compensations.reject(visit.actor(), id, reason).await,
            _ => return Err(nowhere()),
        };
        match decided {
            Ok(_) => Ok(Outcome::Goes(format!("{ROOT}/compensations/{id}?done={act}"))),
            Err(Error::Invalid(faults)) => self.compensation_page(visit, id, &faults).await,
            Err(error) => Err(error.into()),
        }
    }
}

fn compensation_id(id: &str) -> Result<i64, Problem> {
    id.parse().map_err(|_not_a_number| {
        Problem::new(Kind::NotFound, "The number of a compensation is a whole number.")
    })
}

fn form(visit: &Visit<'_>, values: &Form, faults: &[Fault]) -> Page {
    let main = html! {
        (errors(faults))
        form.wide method="post" action={ (ROOT) "/compensations/new" } {
            (visit.token())
            @for field in &FIELDS { (input(values, faults, field)) }
            div.acts {
                button { "Ask for it" }
                a.button.quiet href={ (ROOT) "/compensations" } { "Cancel" }
            }
        }
        p.soft { "Nothing is granted before somebody else has approved it." }
    };
    Page::new("Ask for a compensation", Section::Compensations, main).with_faults(faults)
}

/// What a form asks for. Whether it is owed is judged where all compensations are.
fn new_compensation(form: &Form) -> Result<NewCompensation, Vec<Fault>> {
    let (mut faults, mut items) = (Vec::new(), Vec::new());
    let lines = form.text("items").lines().filter(|line| !line.trim().is_empty());
    for (place, line) in lines.enumerate() {
        // An invitee's name may have commas; kinds and sides have none.
        let mut parts = line.rsplitn(3, ',').map(|part| part.trim().to_owned());
        if let (Some(side), Some(kind), Some(invitee)) = (parts.next(), parts.next(), parts.next())
        {
            items.push(NewItem { invitee, kind, side });
        } else {
            let detail = "must have three parts: the invitee, the kind, and inviter or invitee";
            faults.push(Fault::new(format!("/items/{place}"), Reason::WrongType, detail));
        }
    }
    let text = |name: &str| form.text(name).trim().to_owned();
    let request = NewCompensation { campaign: text("campaign"), reason: text("reason"), items };
    if faults.is_empty() { Ok(request) } else { Err(faults) }
}

fn row(it: &Stored) -> Vec<Markup> {
    vec![
        to(&format!("/compensations/{}", it.id), it.id.to_string()),
        state(it.state.name()),
        said(it.campaign.as_str()),
        said(&it.reason),
        html! { div { (when(it.requested_at)) " by " (it.requested_by) } },
    ]
}

fn about(it: &Stored) -> Markup {
    let decided = it.decided.as_ref();
    facts(&[
        ("State", Some(state(it.state.name()))),
        ("Campaign", Some(said(it.campaign.as_str()))),
        ("Why it was asked for", Some(said(&it.reason))),
        ("Asked for", Some(html! { (when(it.requested_at)) " by " (it.requested_by) })),
        ("Decided", decided.map(|it| html! { (when(it.at)) " by " (it.by) })),
        ("Why it was decided so", decided.map(|it| said(&it.reason))),
    ])
}

fn item(it: &StoredItem) -> Vec<Markup> {
    let outcome = html! {
        div {
            @match &it.outcome {
                Some(outcome) => (outcome),
                None => "nobody has decided",
            }
            @if let Some(id) = it.reward_id { " " (to(&format!("/rewards/{id}"), format!("Reward {id}"))) }
        }
    };
    vec![said(&it.invitee), said(&it.kind), said(it.side.name()), outcome]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_is_an_item_and_names_may_have_commas() {
        let read = |items: &str| new_compensation(&Form::default().with("items", items));
        let request = read("budi, credit_granted , inviter\n\n a, b ,k,invitee").expect("good");
        let items: Vec<(&str, &str, &str)> = request
            .items
            .iter()
            .map(|it| (it.invitee.as_str(), it.kind.as_str(), it.side.as_str()))
            .collect();
        assert_eq!(items, [("budi", "credit_granted", "inviter"), ("a, b", "k", "invitee")]);
        let faults = read("budi, k, inviter\nsiti, k").expect_err("a line with two parts");
        assert_eq!(faults.first().expect("a fault").pointer, "/items/1");
    }
}
