//! The pages of one version of a campaign.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{HeaderMap, HeaderValue};
use url::Url;

use super::assets::Assets;
use super::language::chosen;
use super::markup::{Frame, Landing, Said};
use super::notice::{Kind, Notice, headers};
use super::pieces::{Pieces, Values};
use super::stores::{self, Handset};
use crate::campaign::live::Current;
use crate::campaign::{Campaign, Texts};
use crate::edge::redirect::Answer;

/// Somebody opens an invitation.
#[derive(Clone, Copy, Debug)]
pub struct Visit<'a> {
    /// One of the campaign's languages, by [`Pages::language`]; for any other it is the usual one.
    pub language: &'a str,
    /// What they hold in hands.
    pub handset: Handset,
    /// The code, as it is written.
    pub code: &'a str,
    /// The masked name of whoever shared the code, if it is known.
    pub inviter: Option<&'a str>,
    /// The click token: base64url, or anything else that needs no escape in a URL.
    pub token: &'a str,
}

/// All pages of a version. Kept as long as the version counts: about a quarter of a megabyte for five
/// languages.
#[derive(Debug)]
pub struct Pages {
    /// In the campaign's default language.
    usual: InLanguage,
    others: Vec<InLanguage>,
    /// The tags of all languages, the usual one first: it wins where two suit a visitor alike.
    languages: Vec<String>,
}

/// The pages in one language.
#[derive(Debug)]
struct InLanguage {
    language: String,
    headers: HeaderMap,
    /// For each handset, without and with a name.
    landing: Vec<(Handset, bool, Pieces)>,
    ended: Notice,
    not_yet: Notice,
}

impl Pages {
    /// Renders the pages of a version. Share URLs begin with `share_base`, which is the root of the
    /// campaign's domain; the style in the campaign's colour is put among the `assets`.
    pub fn new(current: &Current, share_base: &Url, assets: &Assets) -> Self {
        let campaign = &current.campaign;
        let usual = campaign.default_language.as_str();
        let made = Making {
            campaign,
            share: format!("{}/r/", share_base.as_str().trim_end_matches('/')),
            style: assets.style(campaign.accent_color).path(),
            script: assets.script().path(),
        };
        let texts = campaign.texts.get(usual).expect("a judged campaign has its usual texts");
        let others = campaign.texts.iter().filter(|(language, _)| *language != usual);
        Self {
            languages: std::iter::once(usual)
                .chain(campaign.texts.keys().map(String::as_str).filter(|it| *it != usual))
                .map(str::to_owned)
                .collect(),
            usual: made.in_language(usual, texts),
            others: others.map(|(language, texts)| made.in_language(language, texts)).collect(),
        }
    }

    /// The language for a visitor with this query and this `Accept-Language`.
    pub fn language(&self, query: Option<&str>, accept_language: Option<&HeaderValue>) -> &str {
        let accepted = accept_language.map_or(&b""[..], HeaderValue::as_bytes);
        chosen(query, accepted, &self.languages).unwrap_or(&self.usual.language)
    }

    /// The page for a visit.
    pub fn landing(&self, visit: &Visit<'_>) -> Bytes {
        let inviter = visit.inviter.unwrap_or_default();
        let fits = |(handset, named, _): &&(Handset, bool, Pieces)| {
            *handset == visit.handset && *named == visit.inviter.is_some()
        };
        let (_, _, pieces) = self
            .in_language(visit.language)
            .landing
            .iter()
            .find(fits)
            .expect("every page is rendered for every handset, with and without a name");
        pieces.filled(&Values::of(visit.code, inviter, visit.token))
    }

    /// The answer to a visit.
    pub fn answer(&self, visit: &Visit<'_>) -> Answer {
        let mut answer = Response::new(Full::new(self.landing(visit)));
        answer.headers_mut().clone_from(&self.in_language(visit.language).headers);
        answer
    }

    /// What there is to say once the campaign is over; `asked` are the headers of the request.
    pub fn ended(&self, language: &str, asked: &HeaderMap) -> Answer {
        self.in_language(language).ended.answer(asked)
    }

    /// What there is to say before it begins; `asked` are the headers of the request.
    pub fn not_yet(&self, language: &str, asked: &HeaderMap) -> Answer {
        self.in_language(language).not_yet.answer(asked)
    }

    fn in_language(&self, language: &str) -> &InLanguage {
        self.others.iter().find(|pages| pages.language == language).unwrap_or(&self.usual)
    }
}

/// What pages are made of, in all languages.
struct Making<'a> {
    campaign: &'a Campaign,
    share: String,
    style: String,
    script: String,
}

impl Making<'_> {
    fn in_language(&self, language: &str, texts: &Texts) -> InLanguage {
        let campaign = self.campaign;
        let words = |language| campaign.words(language).expect("a judged campaign has words");
        let names = campaign.texts.keys().map(|tag| (tag.as_str(), words(tag).language.as_str()));
        let languages: Vec<(&str, &str)> = names.collect();
        let frame = Frame {
            language,
            words: words(language),
            languages: &languages,
            style: &self.style,
            script: &self.script,
        };
        let mut landing = Vec::with_capacity(Handset::ALL.len() * 2);
        for handset in Handset::ALL {
            for named in [false, true] {
                let share = &self.share;
                let page = Landing { frame, campaign, texts, share, handset, named }.page();
                landing.push((handset, named, Pieces::cut(&page.into_string())));
            }
        }
        InLanguage {
            language: language.to_owned(),
            headers: headers(language, "Accept-Language, User-Agent"),
            landing,
            ended: self.ended(texts, &frame),
            not_yet: self.not_yet(&frame),
        }
    }

    fn ended(&self, texts: &Texts, frame: &Frame<'_>) -> Notice {
        // The app is still there, but no token leads to it.
        let offer = stores::offer(&self.campaign.apps, Handset::None, None);
        let said = Said {
            title: &frame.words.ended_title,
            text: texts.ended.as_ref().unwrap_or(&frame.words.ended),
            stores: &offer.others,
            over: true,
        };
        Notice::new(Kind::Ended, &said, frame)
    }

    fn not_yet(&self, frame: &Frame<'_>) -> Notice {
        let words = frame.words;
        let first_day = words.written(self.campaign.starts_at.day());
        let text = words.not_yet.replace("{date}", &first_day);
        let said = Said { title: &words.not_yet_title, text: &text, stores: &[], over: false };
        Notice::new(Kind::NotYet, &said, frame)
    }
}
