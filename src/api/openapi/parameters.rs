//! The parameters that routes have in paths, queries and headers.

use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::{Value, json};

use crate::api::campaigns::{MOST_VERSIONS, USUAL_VERSIONS};
use crate::api::clicks::{LARGEST_REPORT, LARGEST_VISIT_PAGE, USUAL_REPORT, USUAL_VISIT_PAGE};
use crate::api::links::{LARGEST_PAGE, USUAL_PAGE};
use crate::api::rewards::{MOST_REWARDS, USUAL_REWARDS};
use crate::clicks::report::By;
use crate::qr::{ErrorCorrection, MARGINS, Options, SIZES};
use crate::review::case::Place;
use crate::review::flow::Subject;
use crate::reward::compensations;
use crate::reward::machine::State;
use crate::reward::simulate::Draws;

/// What each part of a path is that differs from one request to the next.
fn path_part(name: &str) -> Option<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    Some(match name {
        "slug" => ("The link's slug; a '/' in it as %2F", text()),
        "host" => ("The domain's host", text()),
        "campaign" => ("The campaign's name", text()),
        "version" => ("The number of the version", json!({ "type": "integer", "minimum": 1 })),
        "user" => ("Your own name for the user; a '/' in it as %2F", text()),
        "code" => ("The referral code, as it is or as somebody types it", text()),
        "key" => ("The name of the key", text()),
        "subject" => ("What the flow decides on", subjects()),
        "role" => ("The role", text()),
        "id" => ("Its number", json!({ "type": "integer", "minimum": 1 })),
        _ => return None,
    })
}

/// What a picture can be told.
fn of_pictures(name: &str) -> Option<(&'static str, Value)> {
    let usual = Options::default();
    Some(match name {
        "size" => ("Width and height in pixels", whole_number(&SIZES, usual.size)),
        "margin" => {
            let description = "Width of the quiet zone around the code, in modules";
            (description, whole_number(&MARGINS, usual.margin))
        }
        "error_correction" => {
            let letters = ErrorCorrection::ALL.map(ErrorCorrection::letter);
            let usual = usual.error_correction.letter();
            let description = "How much of the code may be lost: about 7, 15, 25 or 30 per cent; \
                               small letters do as well";
            (description, json!({ "type": "string", "enum": letters, "default": usual }))
        }
        _ => return None,
    })
}

/// Days of reports by whole days.
fn of_days(name: &str) -> Option<(&'static str, Value)> {
    let day = json!({ "type": "string", "format": "date" });
    match name {
        "from day" => Some(("The first day (UTC); left out, 31 days before 'to'", day)),
        "to day" => {
            Some(("The first day that does not belong to it any more; left out, tomorrow", day))
        }
        "from day of the past" => {
            let description = "The first day (UTC) that counts; left out, the beginning. What was \
                               earned before is not earned again";
            Some((description, day))
        }
        "to day of the past" => {
            let description =
                "The first day (UTC) that does not belong to it any more; left out, it ends now";
            Some((description, day))
        }
        _ => None,
    }
}

/// What a list of rewards or compensations can be told.
fn of_rewards(name: &str) -> Option<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    Some(match name {
        "campaign of rewards" => ("Only those of this campaign", text()),
        "state of rewards" => {
            let names = State::ALL.map(State::name);
            ("Only those in this state", json!({ "type": "string", "enum": names }))
        }
        "user of rewards" => ("Only those that this user gets; needs 'campaign'", text()),
        "invitee" => ("Only those for this invitee's binding; needs 'campaign'", text()),
        "kind" => ("Only those for this kind of trigger", text()),
        "state of compensations" => {
            let names = compensations::State::ALL.map(compensations::State::name);
            ("Only those that stand here", json!({ "type": "string", "enum": names }))
        }
        "draws" => {
            let names = Draws::ALL.map(Draws::name);
            let description = "What draws that never happened count as in the budget: what they \
                               give on average, or the most";
            let usual = Draws::default().name();
            (description, json!({ "type": "string", "enum": names, "default": usual }))
        }
        "limit of rewards" => {
            let description = "How many a page has at most; it may have fewer, and yet not be \
                               the last";
            (description, whole_number(&(1..=MOST_REWARDS), USUAL_REWARDS))
        }
        _ => return None,
    })
}

/// The names of all subjects of reviews.
fn subjects() -> Value {
    json!({ "type": "string", "enum": Subject::ALL.map(Subject::name) })
}

/// What a list of cases can be told.
fn of_cases(name: &str) -> Option<(&'static str, Value)> {
    let text = || json!({ "type": "string" });
    Some(match name {
        "subject of cases" => ("Only those about one of these", subjects()),
        "key of cases" => ("Only those about the one with this number or name", text()),
        "state of cases" => {
            ("Only those in this state", json!({ "type": "string", "enum": Place::STATES }))
        }
        "node" => ("Only those in this node", text()),
        "mine" => {
            let schema = json!({ "type": "boolean", "default": false });
            ("Only those in which you have an open task", schema)
        }
        _ => return None,
    })
}

/// Parameters of a query without which there is no answer.
const NEEDED: [&str; 2] = ["from version", "to version"];

/// The parameters that routes have, each described once.
pub(super) fn parameter(full_name: &str) -> Value {
    // Parameters of one name may differ between routes.
    let name = full_name.split(' ').next().unwrap_or(full_name);
    let described = |place: &str, (description, schema): (&str, Value)| {
        json!({
            "name": name, "in": place, "required": place == "path" || NEEDED.contains(&full_name),
            "description": description, "schema": schema,
        })
    };
    if let Some(part) = path_part(full_name) {
        return described("path", part);
    }
    let option = of_pictures(full_name).or_else(|| of_days(full_name));
    if let Some(option) = option.or_else(|| of_rewards(full_name)).or_else(|| of_cases(full_name)) {
        return described("query", option);
    }
    let (place, description, schema) = match full_name {
        "domain" => ("query", "The host of the link's domain", json!({ "type": "string" })),
        "q" => {
            let description = "Only links with this text in slug, target or title";
            ("query", description, json!({ "type": "string" }))
        }
        "tag" => {
            let description = "Only links with this tag; given several times, with all of them";
            ("query", description, json!({ "type": "array", "items": { "type": "string" } }))
        }
        "limit" => {
            ("query", "How many links a page has", whole_number(&(1..=LARGEST_PAGE), USUAL_PAGE))
        }
        "limit of visits" => {
            let schema = whole_number(&(1..=LARGEST_VISIT_PAGE), USUAL_VISIT_PAGE);
            ("query", "How many visits a page has", schema)
        }
        "limit of values" => {
            let schema = whole_number(&(1..=LARGEST_REPORT), USUAL_REPORT);
            ("query", "How many values a report has; the rest is one group, '*'", schema)
        }
        "limit of versions" => {
            let schema = whole_number(&(1..=MOST_VERSIONS), USUAL_VERSIONS);
            ("query", "How many versions a page has", schema)
        }
        "from version" => ("query", "The number of the one version", json!({ "type": "integer" })),
        "to version" => ("query", "The number of the other version", json!({ "type": "integer" })),
        "dry_run" => {
            let description = "Whether the document is only judged, and not stored";
            ("query", description, json!({ "type": "boolean", "default": false }))
        }
        "by" => {
            let schema =
                json!({ "type": "string", "enum": By::ALL.map(By::name), "default": "day" });
            ("query", "What the groups of the report are", schema)
        }
        "from" => {
            let description = "The first moment: a time of RFC 3339, or a day (UTC) such as \
                               2030-01-31. In a report it must be a whole day, by hour a whole hour";
            ("query", description, json!({ "type": "string" }))
        }
        "to" => {
            let description = "The first moment that does not belong to it any more";
            ("query", description, json!({ "type": "string" }))
        }
        "cursor" => ("query", "The next_cursor of the page before", json!({ "type": "string" })),
        _ => {
            let description = "The same request, sent again with the same key within a day, is \
                               answered the same and done once";
            ("header", description, json!({ "type": "string", "minLength": 1, "maxLength": 255 }))
        }
    };
    described(place, (description, schema))
}

/// The schema of a whole number in `range`; left out, `usual`.
fn whole_number<T: Serialize>(range: &RangeInclusive<T>, usual: T) -> Value {
    json!({
        "type": "integer", "minimum": range.start(), "maximum": range.end(), "default": usual,
    })
}
