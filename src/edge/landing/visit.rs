//! From a request to a landing page: which code, whose page, in which language, for which device; with
//! a token of its own for each visit.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use hyper::{Method, Request, Response, StatusCode};
use jiff::Timestamp;

use super::page::Visit;
use super::places::{Place, Places};
use super::stores::Handset;
use crate::campaign::State;
use crate::clicks::ClickId;
use crate::code::referral::ReferralCode;
use crate::edge::domains::Domain;
use crate::edge::pages::Page;
use crate::edge::redirect::{Answer, Edge, redirect_to};
use crate::qr;
use crate::referral::landing::{self, Landing};
use crate::referral::token::ClickToken;
use crate::resolve::local::Entry;

/// Below a code: its share URL as a QR code.
const QR: &str = "/qr.svg";
/// Below the landing pages: styles and the script.
const ASSETS: &str = "assets/";

/// What stands below the landing pages in a path that is spelled out and has no slash before it; `None`
/// if the path leads elsewhere.
pub fn below(path: &str) -> Option<&str> {
    let (first, below) = path.split_at_checked(landing::PREFIX.len())?;
    first.eq_ignore_ascii_case(landing::PREFIX).then_some(below)
}

/// Whose page a code leads to.
struct Found {
    code: ReferralCode,
    entry: Arc<Entry>,
    /// The masked name of whoever shares it.
    name: Option<String>,
    place: Arc<Place>,
}

impl Edge {
    /// Answers for a path [`below`] the landing pages.
    pub(in crate::edge) async fn below_referrals<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        (path, domain): (&str, Domain),
    ) -> Answer {
        let places = Arc::clone(&self.places.borrow().borrow());
        if let Some(name) = path.strip_prefix(ASSETS) {
            if let Some(asset) = places.assets.find(name) {
                return asset.answer(request.headers());
            }
            let Some(asset) = places.assets.instead(name) else {
                return Page::NotFound.answer(request.headers());
            };
            let mut answer = asset.answer(request.headers());
            answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
            return answer;
        }
        let (code, wants_picture) = match path.strip_suffix(QR) {
            Some(code) => (code, true),
            None => (path, false),
        };
        match self.find_code(request, peer, &places, code).await {
            Ok(found) if found.place.domain != domain.id => {
                let mut home = share_url(&found);
                if wants_picture {
                    home.push_str(QR);
                }
                if let Some(query) = request.uri().query() {
                    home = format!("{home}?{query}");
                }
                let home = HeaderValue::try_from(home);
                let home = home.unwrap_or_else(|_| HeaderValue::from_static("/"));
                redirect_to(StatusCode::FOUND, home, HeaderValue::from_static("no-store"))
            }
            Ok(found) if wants_picture => picture(&found),
            Ok(found) => self.show(request, peer, &found),
            Err(Page::NotFound) => places.unknown.answer(request.uri().query(), request.headers()),
            Err(page) => page.answer(request.headers()),
        }
    }

    /// Finds whose page a code leads to. A client that tried too many is not told any more.
    async fn find_code<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        places: &Places,
        code: &str,
    ) -> Result<Found, Page> {
        let code = ReferralCode::normalise(code).ok_or(Page::NotFound)?;
        let now = self.clock.now();
        if self.misses.wait(self.client(request, peer), now).is_some() {
            return Err(Page::TooManyMisses);
        }
        let key = landing::key(code.as_str());
        let (entry, said) = match self.find(request, peer, key.as_str(), now).await {
            Ok(found) => found,
            Err(page) => {
                self.nothing_found(page);
                return Err(page);
            }
        };
        self.figures.resolved(said);
        let target = entry.location.to_str().ok().filter(|_| !entry.disabled);
        let Landing { campaign, shown_name } =
            target.and_then(Landing::from_target).ok_or(Page::NotFound)?;
        // A campaign that this process does not know yet: it will in a second.
        let place = places.numbered(campaign).map(Arc::clone).ok_or(Page::Unavailable)?;
        Ok(Found { code, entry, name: shown_name, place })
    }

    /// Shows the page, or says that it is too early or too late for it.
    fn show<B>(&self, request: &Request<B>, peer: IpAddr, found: &Found) -> Answer {
        let now = self.clock.now();
        let Place { current, pages, domain, .. } = &*found.place;
        let visitor = self.visitor(request, peer);
        let language = pages.language(request.uri().query(), visitor.hints.accept_language);
        let at = Timestamp::from_millisecond(i64::try_from(now.0).unwrap_or(i64::MAX));
        let at = at.unwrap_or(Timestamp::MAX);
        if current.state != State::Active || current.campaign.ends_at.at() <= at {
            return pages.ended(language, request.headers());
        }
        if at < current.campaign.starts_at.at() {
            return pages.not_yet(language, request.headers());
        }
        let keys = Arc::clone(&self.token_keys.borrow().borrow());
        let Some(key) = keys.current_at(now) else {
            return Page::Unavailable.answer(request.headers());
        };
        let click_id: ClickId = rand::random();
        let token = ClickToken {
            click_id,
            campaign: current.number,
            version: current.version,
            domain: *domain,
            code: found.code.as_str().to_owned(),
            clicked_at_seconds: now.0 / 1_000,
        };
        if request.method() == Method::GET {
            self.count_click(&visitor, &found.entry, now, Some(click_id));
        }
        pages.answer(&Visit {
            language,
            handset: Handset::of(visitor.agent.device, visitor.hints.agent_text()),
            code: found.code.as_str(),
            inviter: found.name.as_deref(),
            token: &token.mint(key),
        })
    }
}

fn share_url(found: &Found) -> String {
    format!("{}{}{}", found.place.base, landing::PREFIX, found.code)
}

/// The share URL as a picture, for a phone to be held before a screen.
fn picture(found: &Found) -> Answer {
    let options = qr::Options { margin: 2, ..qr::Options::default() };
    let Ok(picture) = qr::svg(&share_url(found), &options) else {
        return Response::new(Full::default());
    };
    let mut answer = Response::new(Full::new(Bytes::from(picture)));
    let headers: [(HeaderName, &'static str); 3] = [
        (CONTENT_TYPE, "image/svg+xml"),
        (CACHE_CONTROL, "public, max-age=86400"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    for (name, value) in headers {
        answer.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    answer
}
