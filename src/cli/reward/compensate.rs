//! `waypost reward compensate`

use std::path::{Path, PathBuf};

use clap::Args;

use super::{Error, actor, fields, say, say_json};
use crate::api::compensations::FullCompensationView;
use crate::reward::compensations::service::{self, Compensations};
use crate::reward::compensations::{MOST_ITEMS, NewCompensation, NewItem};

/// Grant by hand what was owed: one asks, another approves.
#[derive(Debug, Args)]
pub(crate) struct Compensate {
    /// The campaign's name
    #[arg(long, required_unless_present_any = ["approve", "reject", "show"])]
    campaign: Option<String>,
    /// What is to be granted; may be given several times
    #[arg(long = "item", value_name = "INVITEE,KIND,SIDE", conflicts_with = "file")]
    items: Vec<String>,
    /// A file with an item on each line: .csv (invitee,kind,side) or .jsonl
    #[arg(long)]
    file: Option<PathBuf>,
    /// Approve what somebody else asked for
    #[arg(long, value_name = "ID", conflicts_with_all = ["reject", "show", "campaign", "items", "file"])]
    approve: Option<i64>,
    /// Reject what was asked for, or take it back
    #[arg(long, value_name = "ID", conflicts_with_all = ["show", "campaign", "items", "file"])]
    reject: Option<i64>,
    /// Show what was asked for, and what became of it
    #[arg(long, value_name = "ID", conflicts_with_all = ["campaign", "items", "file", "reason"])]
    show: Option<i64>,
    /// Why, in a sentence for whoever asks later
    #[arg(long, required_unless_present = "show")]
    reason: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Compensate {
    /// Asks, decides or shows.
    pub(crate) async fn run(self, compensations: &Compensations) -> Result<(), Error> {
        let reason = self.reason.unwrap_or_default();
        let full = if let Some(id) = self.approve {
            compensations.approve(&actor(), id, &reason).await
        } else if let Some(id) = self.reject {
            compensations.reject(&actor(), id, &reason).await
        } else if let Some(id) = self.show {
            compensations.get(id).await
        } else {
            let items = match &self.file {
                Some(path) => read(path)?,
                None => self.items.iter().map(|text| csv_item(text)).collect::<Result<_, _>>()?,
            };
            let campaign = self.campaign.unwrap_or_default();
            compensations.request(&actor(), &NewCompensation { campaign, reason, items }).await
        };
        let view = FullCompensationView::new(full.map_err(in_words)?);
        if self.json { say_json(&view) } else { say_whole(&view) }
    }
}

fn say_whole(view: &FullCompensationView) -> Result<(), Error> {
    let it = &view.compensation;
    let decided = it.decided_by.as_ref().map(|by| format!(" by {by}")).unwrap_or_default();
    let (id, state, campaign) = (it.id, it.state, &it.campaign);
    say(&format!(
        "compensation {id} in {campaign}: {state}{decided}; asked for by {}: {}",
        it.requested_by, it.reason
    ))?;
    for item in &view.items {
        let outcome = item.outcome.as_deref().unwrap_or("not decided");
        let reward = item.reward.map(|id| format!(" (reward {id})")).unwrap_or_default();
        say(&format!("  {} {} {}  {outcome}{reward}", item.invitee, item.kind, item.side))?;
    }
    Ok(())
}

/// The items of a file, written as the end of its name says.
fn read(path: &Path) -> Result<Vec<NewItem>, Error> {
    let refuse = |what: String| Error::Message(format!("{}: {what}", path.display()));
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(format!("cannot be read: {error}")))?;
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let item: fn(&str) -> Result<NewItem, Error> = match extension {
        "csv" => csv_item,
        "jsonl" => json_item,
        _ => {
            let what = "the name must end in .csv or .jsonl: that says how it is written";
            return Err(refuse(what.to_owned()));
        }
    };
    let lines = text.lines().map(str::trim).enumerate().filter(|(place, line)| {
        let is_heading = *place == 0 && extension == "csv" && *line == "invitee,kind,side";
        !line.is_empty() && !is_heading
    });
    let items = lines.map(|(place, line)| {
        item(line).map_err(|error| refuse(format!("line {}: {error}", place.saturating_add(1))))
    });
    // One more than is allowed is enough to be refused.
    items.take(MOST_ITEMS.saturating_add(1)).collect()
}

fn json_item(line: &str) -> Result<NewItem, Error> {
    serde_json::from_str(line).map_err(|error| {
        let what = "is no item; write it like {\"invitee\": \"budi\", \"kind\": \"credit_granted\", \
                    \"side\": \"inviter\"}";
        Error::Message(format!("{what}: {error}"))
    })
}

fn csv_item(line: &str) -> Result<NewItem, Error> {
    let fields = csv_fields(line).unwrap_or_default();
    let [invitee, kind, side]: [String; 3] = fields.try_into().map_err(|_other_count| {
        let what = "must have three fields, as in budi,credit_granted,inviter; a name with a comma \
                    or a quote stands in quotes";
        Error::Message(format!("'{line}' {what}"))
    })?;
    Ok(NewItem { invitee, kind, side })
}

/// The fields of a line of RFC 4180; `None`: a quote is missing, or stands where it must not.
fn csv_fields(line: &str) -> Option<Vec<String>> {
    let (mut fields, mut field) = (Vec::new(), String::new());
    let mut letters = line.chars().peekable();
    loop {
        if field.is_empty() && letters.next_if_eq(&'"').is_some() {
            loop {
                match letters.next()? {
                    '"' if letters.next_if_eq(&'"').is_some() => field.push('"'),
                    '"' => break,
                    letter => field.push(letter),
                }
            }
            if !matches!(letters.peek(), None | Some(',')) {
                return None;
            }
        }
        match letters.next() {
            Some(',') => fields.push(std::mem::take(&mut field)),
            Some('"') => return None,
            Some(letter) => field.push(letter),
            None => {
                fields.push(field);
                return Some(fields);
            }
        }
    }
}

fn in_words(error: service::Error) -> Error {
    match error {
        service::Error::Invalid(faults) => fields::explain(faults, |field, place| match field {
            "items" if place.is_empty() => Some("the items".to_owned()),
            "items" => {
                // Counted from 1, as lines are.
                let (number, field) = place.split_once('/').unwrap_or((place, ""));
                let number = number.parse::<usize>().map_or(0, |it| it.saturating_add(1));
                Some(format!("item {number}: {field}"))
            }
            _ => None,
        }),
        service::Error::Store(error) => Error::Store(error),
        service::Error::NotFound(_)
        | service::Error::UnderReview(_)
        | service::Error::OwnRequest
        | service::Error::Decided(..) => Error::Message(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_spreadsheets_write_them() {
        for (line, fields) in [
            ("a,b,c", Some(vec!["a", "b", "c"])),
            ("\"a, b\",c,d", Some(vec!["a, b", "c", "d"])),
            ("\"say \"\"hi\"\"\",c,d", Some(vec!["say \"hi\"", "c", "d"])),
            ("a,,", Some(vec!["a", "", ""])),
            ("\"\",b,c", Some(vec!["", "b", "c"])),
            ("ä b,c,d", Some(vec!["ä b", "c", "d"])),
            ("\"a,b,c", None),
            ("a\"b,c,d", None),
            ("\"a\"b,c,d", None),
        ] {
            let fields = fields.map(|all| all.into_iter().map(str::to_owned).collect());
            assert_eq!(csv_fields(line), fields, "{line}");
        }
        assert!(csv_item("a,b").is_err());
        let item = csv_item("budi,credit_granted,inviter").expect("three fields");
        assert_eq!((item.invitee.as_str(), item.side.as_str()), ("budi", "inviter"));
    }
}
