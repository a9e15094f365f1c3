//! The pages as HTML, with marks where something of the visit goes. Nothing in here is needed for a
//! visit: it is called when a version of a campaign comes.

use maud::{DOCTYPE, Markup, html};

use super::language::is_right_to_left;
use super::pieces::Hole;
use super::stores::{self, Handset, Link, Offer};
use crate::campaign::words::Words;
use crate::campaign::{Campaign, Texts};

/// What all pages in one language have in common.
#[derive(Clone, Copy)]
pub(super) struct Frame<'a> {
    /// The language, in lower case.
    pub(super) language: &'a str,
    /// What stands on buttons and labels.
    pub(super) words: &'a Words,
    /// All languages in which there is this page, with their names in themselves.
    pub(super) languages: &'a [(&'a str, &'a str)],
    /// Where the style is.
    pub(super) style: &'a str,
    /// Where the script is.
    pub(super) script: &'a str,
}

/// What a landing page is made of.
pub(super) struct Landing<'a> {
    pub(super) frame: Frame<'a>,
    pub(super) campaign: &'a Campaign,
    pub(super) texts: &'a Texts,
    /// What share URLs begin with; the code follows.
    pub(super) share: &'a str,
    pub(super) handset: Handset,
    /// Whether the name of whoever shared the code is known.
    pub(super) named: bool,
}

/// A page that says that there is nothing to be had, and why.
pub(super) struct Said<'a> {
    pub(super) title: &'a str,
    pub(super) text: &'a str,
    /// Where the app is found nevertheless.
    pub(super) stores: &'a [Link],
    /// Whether it is too late, or never was.
    pub(super) over: bool,
}

impl Landing<'_> {
    /// The whole page.
    pub(super) fn page(&self) -> Markup {
        let Self { frame, campaign, texts, share, handset, named: _ } = self;
        let token = Hole::Token.mark().to_string();
        let offer = stores::offer(&campaign.apps, *handset, Some(&token));
        let card = if campaign.image.is_some() { "summary_large_image" } else { "summary" };
        let url = format!("{share}{}", Hole::Code.mark());
        let head = html! {
            meta name="description" property="og:description" content=(texts.description);
            meta property="og:title" content=(texts.title);
            meta property="og:type" content="website";
            meta property="og:url" content=(url);
            @if let Some(image) = &campaign.image { meta property="og:image" content=(image); }
            meta name="twitter:card" content=(card);
            link rel="canonical" href=(url);
        };
        let main = html! {
            header {
                (self.headline())
                p.lead { (texts.description) }
            }
            (self.ticket(&url))
            div.get { (self.ways(&offer, &url)) }
            section.how {
                h2 { (frame.words.how_it_works) }
                // Some voices take a list without numbers of its own for no list.
                ol role="list" { @for step in &texts.steps { li { span { (step) } } } }
            }
        };
        let terms = campaign.terms_url.as_deref();
        frame.page("landing", (&texts.title, &head), &main, terms)
    }

    fn headline(&self) -> Markup {
        if !self.named {
            return html! { h1 { (self.texts.invitation_without_name) } };
        }
        // The name keeps to itself: one that is written from right to left would turn the rest over.
        let name = html! { bdi { (Hole::Inviter.mark()) } };
        html! { h1 { (with(&self.texts.invitation, "{inviter}", &name)) } }
    }

    fn ticket(&self, url: &str) -> Markup {
        let words = self.frame.words;
        let last_day = self.campaign.ends_at.last_day();
        let date = html! { time datetime=(last_day) { (words.written(last_day)) } };
        html! {
            section.ticket {
                div.offer {
                    h2.label { (words.you_get) }
                    p.gets.much[is_much(&self.texts.invitee_gets)] { (glued(&self.texts.invitee_gets)) }
                    h2.label.friend { (words.friend_gets) }
                    p { (glued(&self.texts.inviter_gets)) }
                    p.label.until { (with(&words.until, "{date}", &date)) }
                }
                div.stub {
                    @if self.handset == Handset::None {
                        img.qr src={ "/r/" (Hole::Code.mark()) "/qr.svg" } width="192" height="192"
                            alt={ "QR: " (url) };
                        p.scan { (words.scan) }
                    }
                    h2.label { (words.your_code) }
                    p.code {
                        b aria-hidden="true" { (Hole::Code.mark()) }
                        span.spoken { (Hole::Spelled.mark()) }
                    }
                    (self.copy(&words.copy, &Hole::Code.mark().to_string()))
                }
            }
        }
    }

    /// How to get the app.
    fn ways(&self, offer: &Offer, url: &str) -> Markup {
        let words = self.frame.words;
        html! {
            @if let Some(store) = &offer.primary {
                a.button href=(store.url) rel="nofollow" {
                    (words.get_it.replace("{store}", &store.name))
                }
            }
            // The App Store forgets where somebody came from: the app asks for what was copied.
            @if self.handset == Handset::Ios {
                (self.copy(&words.copy_link, &format!("{url}?wp_click={}", Hole::Token.mark())))
            }
            @if !offer.others.is_empty() {
                @if offer.primary.is_some() { h2.label { (words.other_stores) } }
                (links(words, &offer.others, offer.primary.is_some()))
            }
        }
    }

    fn copy(&self, label: &str, copied: &str) -> Markup {
        html! {
            button.copy type="button" data-copy=(copied) {
                span.asks { (label) }
                span.done { (self.frame.words.copied) }
            }
        }
    }
}

impl Said<'_> {
    /// The whole page.
    pub(super) fn page(&self, frame: &Frame<'_>) -> Markup {
        let ticket = if self.over { "ticket over" } else { "ticket" };
        let main = html! {
            section class=(ticket) {
                div.offer { h1.gets { (self.title) } }
                div.stub {
                    p { (self.text) }
                    @if !self.stores.is_empty() {
                        div.get { (links(frame.words, self.stores, false)) }
                    }
                }
            }
        };
        frame.page("notice", (self.title, &html! {}), &main, None)
    }
}

impl Frame<'_> {
    /// The page around its main part. `titled` is the title, and what else the head has.
    fn page(
        &self,
        class: &str,
        titled: (&str, &Markup),
        main: &Markup,
        terms: Option<&str>,
    ) -> Markup {
        let direction = is_right_to_left(self.language).then_some("rtl");
        let (title, head) = titled;
        html! {
            (DOCTYPE)
            html lang=(self.language) dir=[direction] {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    // A code of digits is no telephone number.
                    meta name="format-detection" content="telephone=no";
                    title { (title) }
                    (head)
                    link rel="stylesheet" href=(self.style);
                    // Tiny, and before the page is shown, so that nothing moves when buttons appear.
                    script src=(self.script) {}
                }
                body class=(class) {
                    main { (main) }
                    footer {
                        @if let Some(terms) = terms { p { a href=(terms) { (self.words.terms) } } }
                        (self.other_languages())
                    }
                    p.spoken role="status" {}
                }
            }
        }
    }

    /// Links to the page in its other languages: they keep the path.
    fn other_languages(&self) -> Markup {
        let others = self.languages.iter().filter(|(language, _)| *language != self.language);
        html! {
            @if self.languages.len() > 1 {
                ul {
                    @for (language, name) in others {
                        li {
                            a href={ "?lang=" (language) } hreflang=(language) lang=(language) {
                                (name)
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Links to stores: by their names alone under a heading, or else by what they are for, as buttons.
fn links(words: &Words, stores: &[Link], headed: bool) -> Markup {
    html! {
        ul class=[(!headed).then_some("quiet")] {
            @for store in stores {
                li {
                    a href=(store.url) rel="nofollow" {
                        @if headed { (store.name) } @else {
                            (words.get_it.replace("{store}", &store.name))
                        }
                    }
                }
            }
        }
    }
}

/// Whether a text is too long for large letters. Letters beyond Latin ones are wide.
fn is_much(text: &str) -> bool {
    text.len() > 72 || text.chars().count() > 48
}

/// A text in which no line begins with a number: an amount keeps together with its currency.
fn glued(text: &str) -> String {
    let mut glued = String::with_capacity(text.len() + 4);
    for (place, part) in text.split(' ').enumerate() {
        if place > 0 {
            let is_number = part.starts_with(|letter: char| letter.is_ascii_digit());
            glued.push(if is_number { '\u{a0}' } else { ' ' });
        }
        glued.push_str(part);
    }
    glued
}

/// A text with something in the place of its place-holder.
fn with(text: &str, holder: &str, inside: &Markup) -> Markup {
    html! {
        @for (place, part) in text.split(holder).enumerate() {
            @if place > 0 { (inside) }
            (part)
        }
    }
}
