//! What a campaign is: one referral activity, with its dates, rewards, limits, texts and apps. Pure
//! words and rules; knows no I/O, but for [`service`], [`live`], [`pinned`] and [`zookeeper`].
//!
//! A campaign is a [`document`] with numbered versions: a version never changes, and everything that
//! happens keeps the number of the one that it happened under. [`rules`] judges what the types of the
//! fields cannot; [`words`] are what a landing page says in each language besides the campaign's texts.
//!
//! [`service`] stores, activates and retires versions; [`live`] is the table of campaigns that each
//! process has, [`pinned`] what an older version said. [`zookeeper`] lets another place than our own
//! API say which versions are active.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use url::Url;

pub mod changes;
pub mod document;
pub mod live;
pub mod pinned;
pub mod rules;
pub mod service;
pub mod values;
pub mod words;
pub mod zookeeper;

pub use values::{Color, Currency, Moment, TimeOfDay, Zone};
use words::Words;

/// Names a campaign in the API, on the command line and in the database.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct CampaignId(String);

/// The longest name of a campaign.
const LONGEST_ID: usize = 40;

impl CampaignId {
    /// The name as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for CampaignId {
    type Err = BadId;

    fn from_str(text: &str) -> Result<Self, BadId> {
        let good = |part: &str| {
            let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
            !part.is_empty() && part.bytes().all(plain)
        };
        if text.len() <= LONGEST_ID && text.split('-').all(good) {
            Ok(Self(text.to_owned()))
        } else {
            Err(BadId)
        }
    }
}

impl fmt::Display for CampaignId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text that no campaign can have as its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "a campaign's name is 1 to 40 small letters and digits, with single hyphens in between, such as \
     'spring-2027'"
)]
pub struct BadId;

/// Stands for a campaign in records and tokens, where its name would be too long.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CampaignNumber(pub i32);

/// Which version of a campaign, from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Version(pub i32);

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What has become of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// It was never active.
    Draft,
    /// It is what counts now: one version of a campaign at most.
    Active,
    /// It was active once, and may be again.
    Retired,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Draft, Self::Active, Self::Retired];

    /// Its name, in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Active => "active",
            Self::Retired => "retired",
        }
    }
}

/// One version of a campaign, read and judged. Made by [`document::parse`] alone.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Campaign {
    /// What operators call it.
    pub name: String,
    /// From when on codes can be bound.
    pub starts_at: Moment,
    /// Until when, this moment not included.
    pub ends_at: Moment,
    /// The host that share URLs begin with; none: the default domain's.
    #[serde(default)]
    pub domain: Option<String>,
    /// How many symbols codes have.
    #[serde(default = "usual::code_length")]
    pub code_length: u8,
    /// What amounts are in.
    pub currency: Currency,
    /// All that may ever be promised, in minor units of the currency.
    pub budget_minor: i64,
    /// Who counts as new.
    #[serde(default)]
    pub new_user: NewUser,
    /// How much one inviter can earn.
    #[serde(default)]
    pub caps: Caps,
    /// What is earned when an invitee reaches something, by the kind of trigger.
    pub rewards: BTreeMap<String, Sides>,
    /// How rewards are shown.
    #[serde(default)]
    pub scratch_card: ScratchCard,
    /// What stands between a code and its binding, in this order.
    #[serde(default)]
    pub screening: Vec<Screen>,
    /// Where the app is found.
    pub apps: Apps,
    /// Where in the app a claim leads; `{code}` stands for the code.
    #[serde(default = "usual::deep_link_path")]
    pub deep_link_path: String,
    /// The colour of buttons and emphasis on the landing page.
    #[serde(default)]
    pub accent_color: Color,
    /// A picture for previews of the landing page in chats.
    #[serde(default)]
    pub image: Option<String>,
    /// The conditions, for whoever wants to read them.
    #[serde(default)]
    pub terms_url: Option<String>,
    /// The language of those whom none of the others suits.
    pub default_language: String,
    /// What the landing page says, by language: `en`, `pt-br`.
    pub texts: BTreeMap<String, Texts>,
}

/// Who counts as new: somebody who reached none of these since then.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct NewUser {
    /// Kinds of triggers.
    pub without: Vec<String>,
    /// Since when they count.
    pub since: Since,
}

/// Since when a trigger makes somebody a user who is not new.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Since {
    /// Since the campaign started: former customers are welcome back.
    CampaignStart,
    /// As far back as triggers were seen.
    Ever,
}

/// How much one inviter can earn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Caps {
    /// Rewards of one inviter; what comes after them is looked at by people.
    pub rewards_per_inviter: u32,
}

/// Who of a binding gets a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Side {
    /// Whoever shared the code.
    Inviter,
    /// Whoever signed up with it.
    Invitee,
}

impl Side {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Inviter, Self::Invitee];

    /// Its name, in the API, in campaigns and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Inviter => "inviter",
            Self::Invitee => "invitee",
        }
    }

    /// The side with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|side| side.name() == name)
    }
}

/// What a trigger earns, on both sides.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sides {
    /// Whoever shared the code.
    #[serde(default)]
    pub inviter: Option<Reward>,
    /// Whoever signed up with it.
    #[serde(default)]
    pub invitee: Option<Reward>,
}

/// How an amount comes about: exactly one of these is given.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reward {
    /// Always the same amount, in minor units.
    #[serde(default)]
    pub amount_minor: Option<i64>,
    /// Drawn from a table whose chances add up to a million.
    #[serde(default)]
    pub prizes: Option<Vec<Prize>>,
    /// Whatever the payment service says, up to this amount in minor units.
    #[serde(default)]
    pub payment_service_up_to_minor: Option<i64>,
}

impl Reward {
    /// The most that it can come to, in minor units.
    pub fn most_minor(&self) -> i64 {
        let prizes = self.prizes.iter().flatten().map(|prize| prize.amount_minor);
        let others = self.amount_minor.into_iter().chain(self.payment_service_up_to_minor);
        prizes.chain(others).max().unwrap_or(0)
    }
}

/// One line of a prize table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prize {
    /// In minor units; 0 is no prize.
    pub amount_minor: i64,
    /// How many of a million draws give this prize.
    pub per_million: u32,
}

/// How rewards are shown.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ScratchCard {
    /// After how many days an unopened card expires.
    pub life_days: u32,
    /// How often its owner is reminded.
    pub reminders: u32,
    /// Whether those are reminded who never said whether they want to be.
    pub reminders_by_default: bool,
    /// When nobody is reminded.
    pub quiet_hours: Option<QuietHours>,
}

/// Hours of each day in which nobody is written to.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct QuietHours {
    /// From when on.
    pub from: TimeOfDay,
    /// Until when, this minute not included. Earlier than `from`: on the next day.
    pub to: TimeOfDay,
    /// Whose hours they are.
    pub time_zone: Zone,
}

/// One check of the chain, and what follows when it finds something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Screen {
    /// What is looked at.
    pub check: CheckKind,
    /// What follows.
    #[serde(default)]
    pub mode: Mode,
    /// How many are fine, where the check counts something.
    #[serde(default)]
    pub most: Option<u32>,
    /// Within how many hours, where the check counts in a window.
    #[serde(default)]
    pub hours: Option<u32>,
    /// Whom to ask, for [`CheckKind::Eligibility`].
    #[serde(default)]
    pub url: Option<String>,
    /// What follows when nobody answers, for [`CheckKind::Eligibility`].
    #[serde(default)]
    pub without_answer: Option<WithoutAnswer>,
}

/// What a check looks at. (Unknown code, a campaign that does not run, an invitee who invites himself,
/// and a circle of invitations are always refused; they are no matter of a campaign's taste.)
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Whether the invitee is new, by the campaign's rule.
    NewUser,
    /// How many invitees were bound on this device, ever.
    Device,
    /// How many bindings were asked for on this device lately.
    DeviceVelocity,
    /// How many bindings were asked for from this network lately.
    NetworkVelocity,
    /// How many invitees an inviter has had lately.
    InviterVelocity,
    /// Whether the installation began before the click that is said to have led to it.
    InstallOrder,
    /// What the configured service says of the invitee.
    Eligibility,
}

/// What follows when a check finds something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// It is written down, and that is all.
    Observe,
    /// The binding holds, and people look at it before anything is paid.
    Hold,
    /// There is no binding.
    #[default]
    Block,
}

/// What follows when the eligibility service does not answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WithoutAnswer {
    /// As if it had found nothing.
    Pass,
    /// People look at it.
    Hold,
    /// The caller is told to try again later.
    TryLater,
}

/// Where the app is found. At least one of them is there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Apps {
    /// The package on Android, for Google Play and other stores that know it by that name.
    pub android_package: Option<String>,
    /// The number in the App Store, as in `id123456789`, without `id`.
    pub ios_app_id: Option<String>,
    /// Further stores on Android, in the order in which they are offered.
    pub stores: Vec<Store>,
}

/// A store on Android besides Google Play.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Store {
    /// Which.
    pub kind: StoreKind,
    /// The app's name there: `C` and digits in AppGallery, the package elsewhere.
    #[serde(default)]
    pub app_id: Option<String>,
    /// What people call it, for [`StoreKind::Other`].
    #[serde(default)]
    pub name: Option<String>,
    /// Where it is, for [`StoreKind::Other`]; `{referrer}` stands for the escaped referrer.
    #[serde(default)]
    pub url: Option<String>,
}

/// Stores on Android besides Google Play.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StoreKind {
    /// Huawei's.
    AppGallery,
    /// Xiaomi's.
    GetApps,
    /// Samsung's.
    GalaxyStore,
    /// Any other, by its address.
    Other,
}

/// What the landing page says in one language. `{inviter}` stands for the masked name of whoever
/// shared the code.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// The page's title, also in previews.
    pub title: String,
    /// A sentence or two, also in previews.
    pub description: String,
    /// The headline when the inviter's name is known; has `{inviter}` in it.
    pub invitation: String,
    /// The headline when it is not.
    pub invitation_without_name: String,
    /// What whoever opens the page gets.
    pub invitee_gets: String,
    /// What the friend gets.
    pub inviter_gets: String,
    /// What to do, step by step.
    pub steps: Vec<String>,
    /// What the page says once the campaign is over, instead of the usual words.
    #[serde(default)]
    pub ended: Option<String>,
    /// Buttons and labels, for a language in which Waypost has none.
    #[serde(default)]
    pub words: Option<Words>,
}

impl Default for NewUser {
    fn default() -> Self {
        Self { without: vec!["credit_granted".to_owned()], since: Since::CampaignStart }
    }
}

impl Default for Caps {
    fn default() -> Self {
        Self { rewards_per_inviter: 20 }
    }
}

impl Default for ScratchCard {
    fn default() -> Self {
        Self { life_days: 9, reminders: 3, reminders_by_default: true, quiet_hours: None }
    }
}

impl Campaign {
    /// Whether codes can be bound at this moment, by the dates.
    pub fn runs_at(&self, now: jiff::Timestamp) -> bool {
        self.starts_at.at() <= now && now < self.ends_at.at()
    }

    /// What share URLs begin with: the root of the campaign's domain. That of the default domain is
    /// `public_url`.
    pub fn share_base(&self, public_url: &Url) -> Url {
        let own = self.domain.as_deref().filter(|host| public_url.host_str() != Some(host));
        let own = own.and_then(|host| Url::parse(&format!("https://{host}/")).ok());
        own.unwrap_or_else(|| public_url.clone())
    }

    /// What reaching something of this kind earns on one side.
    pub fn earned(&self, kind: &str, side: Side) -> Option<&Reward> {
        let sides = self.rewards.get(kind)?;
        match side {
            Side::Inviter => sides.inviter.as_ref(),
            Side::Invitee => sides.invitee.as_ref(),
        }
    }

    /// The kinds of triggers that mean something to this campaign.
    pub fn knows_trigger(&self, kind: &str) -> bool {
        self.rewards.contains_key(kind) || self.new_user.without.iter().any(|known| known == kind)
    }

    /// What stands on buttons and labels in a language of this campaign.
    pub fn words(&self, language: &str) -> Option<&Words> {
        let own = self.texts.get(language).and_then(|texts| texts.words.as_ref());
        own.or_else(|| words::built_in(language))
    }
}

mod usual {
    pub(super) fn code_length() -> u8 {
        6
    }

    pub(super) fn deep_link_path() -> String {
        "/r/{code}".to_owned()
    }
}
