//! What apps and backends send: typed as it stands in a body, then judged. Pure; knows no I/O.

use std::net::IpAddr;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::ToSchema;

use super::token::click_named;
use crate::campaign::Campaign;
use crate::fault::{Fault, Reason};
use crate::link::rules::time_of;

/// The longest name of a user, an installation or a device, in characters.
pub const LONGEST_NAME: usize = 128;
/// The longest name of a source, in characters: as long as that of an API key's owner.
pub const LONGEST_SOURCE: usize = 100;
/// The longest name of an event, in characters.
pub const LONGEST_EVENT: usize = 200;
/// How far a trigger's moment may lie ahead: clocks differ.
pub const AHEAD: SignedDuration = SignedDuration::from_mins(5);

/// A click token that an installed app hands back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimRequest {
    /// The token, or the whole referrer string in which the store handed it over.
    #[schema(max_length = 2048)]
    pub token: String,
    /// The installation, by a name that the app made for it when it first ran.
    #[schema(min_length = 1, max_length = 128)]
    pub install_id: String,
    /// How the token came into the app.
    #[schema(value_type = String, example = "play_store")]
    pub source: String,
    /// When the store's page was opened, by what the store says.
    #[serde(default)]
    #[schema(format = "date-time")]
    pub store_opened_at: Option<String>,
    /// When the installation began, by what the store says.
    #[serde(default)]
    #[schema(format = "date-time")]
    pub install_began_at: Option<String>,
    /// The host whose links the app opens; left out, the default domain's.
    #[serde(default)]
    #[schema(example = "go.example.com")]
    pub domain: Option<String>,
}

/// How a token came into the app.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// By the Play Install Referrer.
    PlayStore,
    /// By Huawei's install referrer.
    AppGallery,
    /// By Xiaomi's install referrer.
    GetApps,
    /// By Samsung's install referrer.
    GalaxyStore,
    /// By a link that iOS opened in the app.
    UniversalLink,
    /// By a link that Android opened in the app.
    AppLink,
    /// By what the person pasted.
    Paste,
    /// In any other way.
    Other,
}

impl Source {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::PlayStore,
        Self::AppGallery,
        Self::GetApps,
        Self::GalaxyStore,
        Self::UniversalLink,
        Self::AppLink,
        Self::Paste,
        Self::Other,
    ];

    /// Its name, in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::PlayStore => "play_store",
            Self::AppGallery => "app_gallery",
            Self::GetApps => "get_apps",
            Self::GalaxyStore => "galaxy_store",
            Self::UniversalLink => "universal_link",
            Self::AppLink => "app_link",
            Self::Paste => "paste",
            Self::Other => "other",
        }
    }
}

/// A claim whose fields are good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JudgedClaim {
    /// How the token came into the app.
    pub source: Source,
    /// When the store's page was opened.
    pub store_opened_at: Option<Timestamp>,
    /// When the installation began.
    pub install_began_at: Option<Timestamp>,
}

impl ClaimRequest {
    /// Judges all but the token and the domain.
    pub fn judge(&self) -> Result<JudgedClaim, Vec<Fault>> {
        let mut judge = Judge::default();
        judge.name("/install_id", &self.install_id, LONGEST_NAME);
        let source = Source::ALL.into_iter().find(|source| source.name() == self.source);
        if source.is_none() {
            let detail = format!("must be one of: {}", Source::ALL.map(Source::name).join(", "));
            judge.fault("/source", Reason::OutOfRange, detail);
        }
        let judged = JudgedClaim {
            source: source.unwrap_or(Source::Other),
            store_opened_at: judge.time("/store_opened_at", self.store_opened_at.as_deref()),
            install_began_at: judge.time("/install_began_at", self.install_began_at.as_deref()),
        };
        judge.end(judged)
    }
}

/// Somebody signed up, and brought a code or a claim.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BindingRequest {
    /// The code, as it was typed. Either this or `claim`.
    #[serde(default)]
    #[schema(max_length = 64, example = "7KQ-2MX")]
    pub code: Option<String>,
    /// The claim, by its name. Either this or `code`.
    #[serde(default)]
    #[schema(format = "uuid")]
    pub claim: Option<String>,
    /// Who signed up, by the name that the app's backend has for them.
    #[schema(min_length = 1, max_length = 128)]
    pub invitee: String,
    /// On which device, by any stable name; only a keyed hash of it is stored. Left out, it is the
    /// installation of the claim.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 128)]
    pub device: Option<String>,
    /// From which address; only its network is stored.
    #[serde(default)]
    #[schema(example = "203.0.113.7")]
    pub address: Option<String>,
}

/// What somebody brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Brought {
    /// A code, as it was typed.
    Code(String),
    /// The claim of this click.
    Claim(u128),
}

/// A binding whose fields are good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JudgedBinding {
    /// What the invitee brought.
    pub brought: Brought,
    /// From which address.
    pub address: Option<IpAddr>,
}

impl BindingRequest {
    /// Judges all of it.
    pub fn judge(&self) -> Result<JudgedBinding, Vec<Fault>> {
        let mut judge = Judge::default();
        judge.name("/invitee", &self.invitee, LONGEST_NAME);
        if let Some(device) = &self.device {
            judge.name("/device", device, LONGEST_NAME);
        }
        let brought = match (&self.code, &self.claim) {
            (Some(code), None) => Brought::Code(code.clone()),
            (None, Some(claim)) => {
                let click = click_named(claim);
                if click.is_none() {
                    let detail = "is not the name of a claim; take it from the answer of \
                                  POST /v1/claims";
                    judge.fault("/claim", Reason::BadCharacter, detail);
                }
                Brought::Claim(click.unwrap_or_default())
            }
            (given, _) => {
                let (reason, detail) = if given.is_some() {
                    (Reason::Conflict, "does not go together with 'claim': send one of them")
                } else {
                    (Reason::Required, "is needed, or 'claim' instead of it")
                };
                judge.fault("/code", reason, detail);
                Brought::Code(String::new())
            }
        };
        let address = self.address.as_deref().and_then(|text| {
            let address = text.parse::<IpAddr>().ok();
            if address.is_none() {
                let detail = "is no address; write it like 203.0.113.7 or 2001:db8::7";
                judge.fault("/address", Reason::BadCharacter, detail);
            }
            address
        });
        judge.end(JudgedBinding { brought, address })
    }
}

/// A backend tells that a user reached something.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TriggerRequest {
    /// Who tells it; left out, the owner of the API key. Names of events are unique within a source.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 100)]
    pub source: Option<String>,
    /// Names the event: the same event, sent again, is the same trigger.
    #[schema(min_length = 1, max_length = 200)]
    pub event_id: String,
    /// What was reached: a kind that the campaign knows.
    #[schema(example = "credit_granted")]
    pub kind: String,
    /// Who reached it.
    #[schema(min_length = 1, max_length = 128)]
    pub user: String,
    /// When it happened.
    #[schema(format = "date-time")]
    pub occurred_at: String,
    /// The amount that it was about, in minor units.
    #[serde(default)]
    #[schema(minimum = 0)]
    pub amount_minor: Option<i64>,
    /// What the amount is in; left out, the campaign's currency.
    #[serde(default)]
    #[schema(example = "IDR")]
    pub currency: Option<String>,
}

/// A trigger whose fields are good.
#[derive(Clone, Debug, PartialEq)]
pub struct JudgedTrigger {
    /// Who tells it.
    pub source: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// All that was told.
    pub body: Value,
    /// The same in one form that stays: two bodies that say the same have the same text.
    pub canonical: String,
}

impl TriggerRequest {
    /// Judges all of it. `actor` is the source when none is named.
    pub fn judge(
        &self,
        actor: &str,
        campaign: &Campaign,
        now: Timestamp,
    ) -> Result<JudgedTrigger, Vec<Fault>> {
        let mut judge = Judge::default();
        let source = self.source.as_deref().unwrap_or(actor);
        judge.name("/source", source, LONGEST_SOURCE);
        judge.name("/event_id", &self.event_id, LONGEST_EVENT);
        judge.name("/user", &self.user, LONGEST_NAME);
        if !campaign.knows_trigger(&self.kind) {
            let mut known: Vec<&str> = campaign.rewards.keys().map(String::as_str).collect();
            known.extend(campaign.new_user.without.iter().map(String::as_str));
            known.sort_unstable();
            known.dedup();
            let detail = format!("means nothing to this campaign; it knows: {}", known.join(", "));
            judge.fault("/kind", Reason::OutOfRange, detail);
        }
        let occurred_at = judge.time("/occurred_at", Some(&self.occurred_at));
        if occurred_at.is_some_and(|at| at.duration_since(now) > AHEAD) {
            let detail = "lies more than 5 minutes ahead: send what has happened";
            judge.fault("/occurred_at", Reason::OutOfRange, detail);
        }
        self.judge_amount(&mut judge, campaign);
        let occurred_at = occurred_at.unwrap_or(now);
        let currency = self.amount_minor.map(|_| campaign.currency.code());
        let body = json!({
            "event_id": self.event_id, "kind": self.kind, "user": self.user,
            "occurred_at": occurred_at, "amount_minor": self.amount_minor, "currency": currency,
        });
        let fields =
            json!([self.event_id, self.kind, self.user, occurred_at, self.amount_minor, currency]);
        let canonical = fields.to_string();
        judge.end(JudgedTrigger { source: source.to_owned(), occurred_at, body, canonical })
    }

    fn judge_amount(&self, judge: &mut Judge, campaign: &Campaign) {
        if self.amount_minor.is_some_and(|amount| amount < 0) {
            let detail = "must be 0 or more, in minor units";
            judge.fault("/amount_minor", Reason::OutOfRange, detail);
        }
        let currency = campaign.currency.code();
        match &self.currency {
            Some(_) if self.amount_minor.is_none() => {
                let detail = "means nothing without 'amount_minor'";
                judge.fault("/currency", Reason::Conflict, detail);
            }
            Some(other) if other != currency => {
                let detail = format!("must be the campaign's: {currency}");
                judge.fault("/currency", Reason::OutOfRange, detail);
            }
            Some(_) | None => {}
        }
    }
}

/// Judges the name of a user that stands in a path.
pub fn judge_user(user: &str) -> Result<(), Vec<Fault>> {
    let mut judge = Judge::default();
    judge.name("", user, LONGEST_NAME);
    judge.end(())
}

/// Collects what is wrong.
#[derive(Debug, Default)]
struct Judge(Vec<Fault>);

impl Judge {
    fn fault(&mut self, pointer: &str, reason: Reason, detail: impl Into<String>) {
        self.0.push(Fault::new(pointer, reason, detail));
    }

    /// A name that others made up: any characters that can be printed.
    fn name(&mut self, pointer: &str, name: &str, longest: usize) {
        let count = name.chars().count();
        if name.trim().is_empty() {
            self.fault(pointer, Reason::Empty, "must not be empty");
        } else if count > longest {
            let detail = format!("has {count} characters; at most {longest} are allowed");
            self.fault(pointer, Reason::TooLong, detail);
        } else if name.chars().any(char::is_control) {
            let detail = "has a control character; remove it";
            self.fault(pointer, Reason::ControlCharacter, detail);
        }
    }

    fn time(&mut self, pointer: &str, text: Option<&str>) -> Option<Timestamp> {
        let text = text?;
        let time = time_of(text);
        if time.is_none() {
            let detail = "is not a time; write it like 2030-01-31T12:00:00Z";
            self.fault(pointer, Reason::NotATime, detail);
        }
        time
    }

    fn end<T>(self, judged: T) -> Result<T, Vec<Fault>> {
        if self.0.is_empty() { Ok(judged) } else { Err(self.0) }
    }
}
