//! What makes a campaign good, beyond the types of its fields: every fault is told, each with its place.

use std::collections::BTreeMap;

use url::Url;

use super::words::{self, Words};
use super::{Apps, Campaign, CheckKind, Reward, ScratchCard, Screen, Sides, StoreKind, Texts};
use crate::fault::{Fault, Reason};

/// What the chances of a prize table add up to.
const MILLION: u64 = 1_000_000;
/// The longest URL, in bytes, the most languages and the most further stores. With the limits on texts they keep
/// every page under 10 KB, and rendering them quick.
const LONGEST_URL: usize = 200;
const MOST_LANGUAGES: usize = 12;
const MOST_STORES: usize = 4;
/// The largest amount, in minor units: what every program that reads JSON can still count exactly.
const MOST_MINOR: i64 = 9_007_199_254_740_991;

/// All that is wrong with a campaign.
pub fn judge(campaign: &Campaign) -> Vec<Fault> {
    let mut judge = Judge(Vec::new());
    judge.frame(campaign);
    judge.rewards(campaign);
    judge.scratch_card(&campaign.scratch_card);
    judge.screening(&campaign.screening);
    judge.apps(&campaign.apps);
    judge.texts(campaign);
    judge.0
}

/// All that is wrong with the words of a language that stand at `pointer`.
pub(super) fn judge_words(pointer: &str, words: &Words) -> Vec<Fault> {
    let mut judge = Judge(Vec::new());
    judge.words(pointer, words);
    judge.0
}

struct Judge(Vec<Fault>);

impl Judge {
    fn fault(&mut self, pointer: impl Into<String>, reason: Reason, detail: impl Into<String>) {
        self.0.push(Fault::new(pointer, reason, detail));
    }

    /// A text that people read: not empty, not too long, without control characters.
    fn text(&mut self, pointer: &str, text: &str, longest: usize) {
        let length = text.chars().count();
        if text.trim().is_empty() {
            self.fault(pointer, Reason::Empty, "must say something");
        } else if length > longest {
            let detail = format!("has {length} characters; at most {longest} are allowed");
            self.fault(pointer, Reason::TooLong, detail);
        } else if text.chars().any(char::is_control) {
            let detail = "has a control character or a line break; remove it";
            self.fault(pointer, Reason::ControlCharacter, detail);
        }
    }

    /// The place-holders of a text: all of `wanted` have to be there, and no others.
    fn holders(&mut self, pointer: &str, text: &str, wanted: &[&str]) {
        for name in wanted {
            if !text.contains(&format!("{{{name}}}")) {
                let detail = format!("must have {{{name}}} in it, where that is to stand");
                self.fault(pointer, Reason::PlaceHolder, detail);
            }
        }
        for rest in text.split('{').skip(1) {
            let name = rest.split('}').next().unwrap_or(rest);
            if !wanted.contains(&name) || !rest.contains('}') {
                let name: String = name.chars().take(40).collect();
                let known = match wanted {
                    [] => "write it without braces".to_owned(),
                    known => format!("only {{{}}} does", known.join("} and {")),
                };
                let detail = format!("'{{{name}}}' stands for nothing here; {known}");
                self.fault(pointer, Reason::PlaceHolder, detail);
            }
        }
    }

    fn url(&mut self, pointer: &str, text: &str, schemes: &[&str]) {
        let good = Url::parse(text).is_ok_and(|url| {
            schemes.contains(&url.scheme()) && url.has_host() && url.username().is_empty()
        });
        if text.len() > LONGEST_URL {
            let detail = format!("has {} bytes; at most {LONGEST_URL} are allowed", text.len());
            self.fault(pointer, Reason::TooLong, detail);
        } else if !good || text.chars().any(char::is_control) {
            let detail = format!(
                "must be an absolute URL that begins with {}://, without a user name",
                schemes.join(":// or ")
            );
            self.fault(pointer, Reason::NotAUrl, detail);
        }
    }

    fn frame(&mut self, campaign: &Campaign) {
        self.text("/name", &campaign.name, 100);
        if campaign.ends_at.at() <= campaign.starts_at.at() {
            let detail = "must be later than starts_at: the campaign would never run";
            self.fault("/ends_at", Reason::WrongOrder, detail);
        }
        if !(6..=10).contains(&campaign.code_length) {
            self.fault("/code_length", Reason::OutOfRange, "must be from 6 to 10");
        }
        if !(0..=MOST_MINOR).contains(&campaign.budget_minor) {
            let detail = format!("must be from 0 to {MOST_MINOR}, in minor units");
            self.fault("/budget_minor", Reason::OutOfRange, detail);
        }
        if let Some(domain) = &campaign.domain
            && (url::Host::parse(domain).is_err() || *domain != domain.to_ascii_lowercase())
        {
            let detail = "must be a host in small letters, as 'waypost domain list' shows it";
            self.fault("/domain", Reason::NotAHost, detail);
        }
        for (at, kind) in campaign.new_user.without.iter().enumerate() {
            self.kind(&format!("/new_user/without/{at}"), kind);
        }
        if !(1..=10_000).contains(&campaign.caps.rewards_per_inviter) {
            let detail = "must be from 1 to 10,000";
            self.fault("/caps/rewards_per_inviter", Reason::OutOfRange, detail);
        }
        self.text("/deep_link_path", &campaign.deep_link_path, 200);
        if !campaign.deep_link_path.starts_with('/') {
            self.fault("/deep_link_path", Reason::BadPath, "must begin with '/'");
        }
        // White letters stand on the accent colour: WCAG 2.2 wants 4.5 of them.
        let contrast = campaign.accent_color.contrast_with_white();
        if contrast < 4.5 {
            let detail = format!(
                "is too light: white letters on it have a contrast of {contrast:.1}, and people need \
                 4.5 to read them; take a darker shade"
            );
            self.fault("/accent_color", Reason::OutOfRange, detail);
        }
        for (pointer, url) in [("/image", &campaign.image), ("/terms_url", &campaign.terms_url)] {
            if let Some(url) = url {
                self.url(pointer, url, &["https", "http"]);
            }
        }
    }

    fn kind(&mut self, pointer: &str, kind: &str) {
        let begins = kind.starts_with(|letter: char| letter.is_ascii_lowercase());
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
        if !begins || !kind.bytes().all(plain) || kind.len() > 40 {
            let detail = "a kind of trigger is 1 to 40 small letters, digits and '_', such as \
                          'loan_disbursed', and begins with a letter";
            self.fault(pointer, Reason::BadCharacter, detail);
        }
    }

    fn rewards(&mut self, campaign: &Campaign) {
        if campaign.rewards.is_empty() {
            self.fault("/rewards", Reason::Empty, "must have at least one kind of trigger");
        }
        for (kind, sides) in &campaign.rewards {
            let pointer = format!("/rewards/{kind}");
            self.kind(&pointer, kind);
            let Sides { inviter, invitee } = sides;
            if inviter.is_none() && invitee.is_none() {
                let detail = "must reward somebody: give inviter, invitee or both";
                self.fault(&pointer, Reason::Required, detail);
            }
            for (side, reward) in [("inviter", inviter), ("invitee", invitee)] {
                if let Some(reward) = reward {
                    self.reward(&format!("{pointer}/{side}"), reward, campaign.budget_minor);
                }
            }
        }
    }

    fn reward(&mut self, pointer: &str, reward: &Reward, budget: i64) {
        let Reward { amount_minor, prizes, payment_service_up_to_minor } = reward;
        let given =
            [amount_minor.is_some(), prizes.is_some(), payment_service_up_to_minor.is_some()];
        if given.into_iter().filter(|given| *given).count() != 1 {
            let detail = "must have exactly one of amount_minor, prizes and \
                          payment_service_up_to_minor";
            self.fault(pointer, Reason::Conflict, detail);
        }
        let amounts = [
            ("amount_minor", amount_minor),
            ("payment_service_up_to_minor", payment_service_up_to_minor),
        ];
        for (field, amount) in amounts {
            if amount.is_some_and(|amount| !(1..=MOST_MINOR).contains(&amount)) {
                let detail = format!("must be from 1 to {MOST_MINOR}, in minor units");
                self.fault(format!("{pointer}/{field}"), Reason::OutOfRange, detail);
            }
        }
        if let Some(prizes) = prizes {
            let pointer = format!("{pointer}/prizes");
            for (at, prize) in prizes.iter().enumerate() {
                if !(0..=MOST_MINOR).contains(&prize.amount_minor) {
                    let detail = format!("must be from 0 to {MOST_MINOR}, in minor units");
                    let pointer = format!("{pointer}/{at}/amount_minor");
                    self.fault(pointer, Reason::OutOfRange, detail);
                }
                if prize.per_million == 0 {
                    let detail = "must be at least 1: nobody would ever draw this prize";
                    self.fault(format!("{pointer}/{at}/per_million"), Reason::OutOfRange, detail);
                }
            }
            let sum: u64 = prizes.iter().map(|prize| u64::from(prize.per_million)).sum();
            if sum != MILLION {
                let detail = format!(
                    "the chances add up to {sum} per million; they must add up to {MILLION} (a line \
                     with amount_minor = 0 is 'no prize')"
                );
                self.fault(&pointer, Reason::DoesNotAddUp, detail);
            }
            if prizes.len() > 100 {
                self.fault(&pointer, Reason::TooMany, "at most 100 prizes are allowed");
            }
        }
        if reward.most_minor() > budget {
            let detail = format!(
                "can come to {}, and budget_minor is only {budget}; raise that, or lower this",
                reward.most_minor()
            );
            self.fault(pointer, Reason::OutOfRange, detail);
        }
    }

    fn scratch_card(&mut self, card: &ScratchCard) {
        if !(1..=365).contains(&card.life_days) {
            self.fault("/scratch_card/life_days", Reason::OutOfRange, "must be from 1 to 365 days");
        }
        if card.reminders > 10 {
            self.fault("/scratch_card/reminders", Reason::OutOfRange, "must be from 0 to 10");
        }
        if card.quiet_hours.as_ref().is_some_and(|quiet| quiet.from == quiet.to) {
            let detail = "must be another time than 'from'; who wants no reminders at all, sets \
                          reminders = 0";
            self.fault("/scratch_card/quiet_hours/to", Reason::Conflict, detail);
        }
    }

    fn screening(&mut self, screening: &[Screen]) {
        let mut seen = BTreeMap::new();
        for (at, screen) in screening.iter().enumerate() {
            let pointer = format!("/screening/{at}");
            if let Some(before) = seen.insert(screen.check, at) {
                let detail = format!("stands at /screening/{before} already");
                self.fault(format!("{pointer}/check"), Reason::Conflict, detail);
            }
            let counts = matches!(
                screen.check,
                CheckKind::Device
                    | CheckKind::DeviceVelocity
                    | CheckKind::NetworkVelocity
                    | CheckKind::InviterVelocity
            );
            let in_window = counts && screen.check != CheckKind::Device;
            let asks = screen.check == CheckKind::Eligibility;
            let needed = |given: bool, wanted: bool, optional: bool| given == wanted || optional;
            for (field, given, wanted, optional) in [
                ("most", screen.most.is_some(), counts, screen.check == CheckKind::Device),
                ("hours", screen.hours.is_some(), in_window, false),
                ("url", screen.url.is_some(), asks, false),
                ("without_answer", screen.without_answer.is_some(), asks, false),
            ] {
                if !needed(given, wanted, optional) {
                    let (reason, detail) = if wanted {
                        (Reason::Required, "is needed by this check")
                    } else {
                        (Reason::Conflict, "means nothing to this check; remove it")
                    };
                    self.fault(format!("{pointer}/{field}"), reason, detail);
                }
            }
            if screen.most.is_some_and(|most| !(1..=1_000_000).contains(&most)) {
                let detail = "must be from 1 to 1,000,000";
                self.fault(format!("{pointer}/most"), Reason::OutOfRange, detail);
            }
            if screen.hours.is_some_and(|hours| !(1..=8_784).contains(&hours)) {
                let detail = "must be from 1 to 8,784 hours, which is a year";
                self.fault(format!("{pointer}/hours"), Reason::OutOfRange, detail);
            }
            if let Some(url) = &screen.url {
                self.url(&format!("{pointer}/url"), url, &["https", "http"]);
            }
        }
    }

    fn apps(&mut self, apps: &Apps) {
        let Apps { android_package, ios_app_id, stores } = apps;
        if android_package.is_none() && ios_app_id.is_none() && stores.is_empty() {
            let detail = "must say where the app is found: android_package, ios_app_id or stores";
            self.fault("/apps", Reason::Required, detail);
        }
        if android_package.as_ref().is_some_and(|package| !is_package(package)) {
            self.fault("/apps/android_package", Reason::BadCharacter, PACKAGE);
        }
        if let Some(id) = ios_app_id
            && (id.is_empty() || id.len() > 20 || !id.bytes().all(|byte| byte.is_ascii_digit()))
        {
            let detail = "must be the digits after 'id' in the App Store's address of the app";
            self.fault("/apps/ios_app_id", Reason::BadCharacter, detail);
        }
        if stores.len() > MOST_STORES {
            let detail = format!("has {} stores; at most {MOST_STORES} are allowed", stores.len());
            self.fault("/apps/stores", Reason::TooMany, detail);
        }
        for (at, store) in stores.iter().enumerate() {
            let pointer = format!("/apps/stores/{at}");
            let is_other = store.kind == StoreKind::Other;
            for (field, given, wanted) in [
                ("app_id", store.app_id.is_some(), !is_other),
                ("name", store.name.is_some(), is_other),
                ("url", store.url.is_some(), is_other),
            ] {
                if given != wanted {
                    let (reason, detail) = if wanted {
                        (Reason::Required, "is needed for this kind of store")
                    } else {
                        (Reason::Conflict, "means nothing for this kind of store; remove it")
                    };
                    self.fault(format!("{pointer}/{field}"), reason, detail);
                }
            }
            if let Some(id) = &store.app_id {
                let digits = id.strip_prefix('C').unwrap_or_default();
                let is_number = !digits.is_empty() && digits.bytes().all(|it| it.is_ascii_digit());
                let good =
                    if store.kind == StoreKind::AppGallery { is_number } else { is_package(id) };
                if !good || id.len() > 150 {
                    let detail = if store.kind == StoreKind::AppGallery {
                        "must be 'C' and digits, as in AppGallery's address of the app"
                    } else {
                        PACKAGE
                    };
                    self.fault(format!("{pointer}/app_id"), Reason::BadCharacter, detail);
                }
            }
            if let Some(name) = &store.name {
                self.text(&format!("{pointer}/name"), name, 40);
            }
            if let Some(url) = &store.url {
                let pointer = format!("{pointer}/url");
                self.url(&pointer, &url.replace("{referrer}", "x"), &["https", "http"]);
                self.holders(&pointer, url, &["referrer"]);
            }
        }
    }

    fn texts(&mut self, campaign: &Campaign) {
        let languages = campaign.texts.len();
        if languages > MOST_LANGUAGES {
            let detail = format!("has {languages} languages; at most {MOST_LANGUAGES} are allowed");
            self.fault("/texts", Reason::TooMany, detail);
        }
        if !campaign.texts.contains_key(&campaign.default_language) {
            let detail = format!(
                "there are no texts in '{}': add [texts.{}]",
                campaign.default_language, campaign.default_language
            );
            self.fault("/default_language", Reason::NoTexts, detail);
        }
        for (language, texts) in &campaign.texts {
            let pointer = format!("/texts/{language}");
            if !is_language(language) {
                let detail = "must be a language in small letters, like 'en' or 'pt-br'";
                self.fault(&pointer, Reason::NotALanguage, detail);
            } else if campaign.words(language).is_none() {
                let known: Vec<&str> = words::languages().collect();
                let detail = format!(
                    "Waypost has no words for buttons and labels in '{language}', only in {}: add \
                     [texts.{language}.words]",
                    known.join(", ")
                );
                self.fault(&pointer, Reason::NoTexts, detail);
            }
            self.texts_in(&pointer, texts);
        }
    }

    fn texts_in(&mut self, pointer: &str, texts: &Texts) {
        for (field, text, longest, holders) in [
            ("title", &texts.title, 80, &[][..]),
            ("description", &texts.description, 200, &[]),
            ("invitation", &texts.invitation, 120, &["inviter"]),
            ("invitation_without_name", &texts.invitation_without_name, 120, &[]),
            ("invitee_gets", &texts.invitee_gets, 120, &[]),
            ("inviter_gets", &texts.inviter_gets, 120, &[]),
        ] {
            let pointer = format!("{pointer}/{field}");
            self.text(&pointer, text, longest);
            self.holders(&pointer, text, holders);
        }
        if !(1..=5).contains(&texts.steps.len()) {
            self.fault(format!("{pointer}/steps"), Reason::TooMany, "must be one to five steps");
        }
        for (at, step) in texts.steps.iter().enumerate() {
            let pointer = format!("{pointer}/steps/{at}");
            self.text(&pointer, step, 120);
            self.holders(&pointer, step, &[]);
        }
        if let Some(ended) = &texts.ended {
            self.text(&format!("{pointer}/ended"), ended, 300);
        }
        if let Some(words) = &texts.words {
            self.0.extend(judge_words(&format!("{pointer}/words"), words));
        }
    }

    fn words(&mut self, pointer: &str, words: &Words) {
        for (field, text, holders) in words.texts() {
            let pointer = format!("{pointer}/{field}");
            // What stands beside an invitation is short.
            let longest = if matches!(field, "ended" | "not_yet") { 300 } else { 80 };
            self.text(&pointer, text, longest);
            self.holders(&pointer, text, holders);
        }
        self.text(&format!("{pointer}/unknown"), &words.unknown, 300);
        let pointer = format!("{pointer}/months");
        if words.months.len() != 12 {
            let detail = format!("has {} months; there are twelve", words.months.len());
            self.fault(&pointer, Reason::OutOfRange, detail);
        }
        for (at, month) in words.months.iter().enumerate() {
            self.text(&format!("{pointer}/{at}"), month, 40);
        }
    }
}

const PACKAGE: &str = "must be the name of a package, such as com.example.app";

fn is_package(text: &str) -> bool {
    let part = |part: &str| {
        part.starts_with(|letter: char| letter.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    text.len() <= 150 && text.contains('.') && text.split('.').all(part)
}

fn is_language(text: &str) -> bool {
    let mut parts = text.split('-');
    let main = parts.next().unwrap_or_default();
    (2..=3).contains(&main.len())
        && main.bytes().all(|byte| byte.is_ascii_lowercase())
        && parts.all(|part| {
            (1..=8).contains(&part.len())
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        })
        && text.len() <= 20
}
