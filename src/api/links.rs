//! Links: `/v1/links`.

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body, once};
use crate::fault::{Fault, Reason};
use crate::http::problem::{Kind, Problem, ProblemBody};
use crate::link::model::Link;
use crate::link::request::{LinkEdit, NewLink};
use crate::link::routing::Rule;
use crate::link::rules::authority;
use crate::link::service::{Error, ListRequest, Made};
use crate::store::{self, idempotency};

/// The most links of one batch.
pub const LARGEST_BATCH: usize = 10_000;
/// The most links of one page, and how many one has when nobody says.
pub const LARGEST_PAGE: u32 = 200;
pub(super) const USUAL_PAGE: u32 = 50;

/// What a slug may have unescaped in a path.
const PATH_SEGMENT: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'~').remove(b'-');

/// A link.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Link)]
pub struct LinkView {
    /// The path of the short URL.
    pub slug: String,
    /// The host under which it is found.
    pub domain: String,
    /// What to give to people.
    pub short_url: String,
    /// Where it leads.
    pub target: String,
    /// The status of the redirect.
    pub status: u16,
    /// How long browsers may remember the redirect, in seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cache_seconds: Option<u32>,
    /// Before this moment the link is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    /// From this moment on it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether the query of the short URL is added to the target's.
    pub forward_query: bool,
    /// Where people go once it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// How often it can be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_clicks: Option<i64>,
    /// How often it can still be opened.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clicks_left: Option<i64>,
    /// Where some visitors are led instead of to the target; the first rule that fits decides.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub rules: Vec<Rule>,
    /// Whether it is switched off.
    pub disabled: bool,
    /// A name for people and previews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What is behind it, for previews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The URL of a picture, for previews.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// How often people opened it; a second behind.
    pub clicks: i64,
    /// How often bots did, those that render previews included.
    pub bots: i64,
    /// All of these, and the browsers that fetched ahead.
    pub visits: i64,
    /// Grows with every change.
    pub version: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

impl LinkView {
    /// A link as it is shown by a service at `public_url`.
    pub fn new(link: Link, public_url: &url::Url) -> Self {
        let clicks_left = link.clicks_left();
        let (domain, base) = match link.host {
            Some(host) => (host.clone(), format!("https://{host}/")),
            None => (authority(public_url), public_url.as_str().to_owned()),
        };
        let it = link.behaviour;
        Self {
            short_url: format!("{base}{}", link.slug),
            slug: link.slug,
            domain,
            target: it.target,
            status: it.status.code(),
            cache_seconds: it.cache_seconds,
            valid_from: it.valid_from,
            expires_at: it.expires_at,
            forward_query: it.forward_query,
            fallback: it.fallback,
            max_clicks: it.max_clicks,
            clicks_left,
            rules: it.rules,
            disabled: link.disabled,
            title: link.labels.title,
            description: link.labels.description,
            image: link.labels.image,
            tags: link.labels.tags,
            clicks: link.counted.people,
            bots: link.counted.bots,
            visits: link.counted.visits,
            version: link.version,
            created_at: link.created_at,
            updated_at: link.updated_at,
            created_by: link.created_by,
        }
    }
}

/// Links to be made together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBatch<'a> {
    #[serde(borrow)]
    links: Vec<&'a RawValue>,
}

/// Links to be made together.
#[derive(Debug, ToSchema)]
#[schema(as = LinkBatch)]
pub struct LinkBatch {
    /// Up to 10,000.
    #[schema(min_items = 1, max_items = 10_000)]
    pub links: Vec<NewLink>,
}

/// What became of each link of a batch, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchResults {
    /// One for each link.
    pub results: Vec<BatchResult>,
}

/// What became of one link of a batch: it has either a link or a problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct BatchResult {
    /// The status that the link alone would have been answered with.
    pub status: u16,
    /// The link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<LinkView>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// Some links, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct LinkPage {
    /// The links.
    pub links: Vec<LinkView>,
    /// Give it as `cursor` to have the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Api {
    pub(super) async fn create_link(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: NewLink = body::decode(body::text(&call.body)?)?;
        let actor = &call.caller()?.actor;
        let name = once::name(call)?;
        let mut connection = self.links.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if let Some(name) = &name
            && let Some(reply) = once::answered(&transaction, name).await?
        {
            return Ok(self.located(reply));
        }
        let made = self.links.create_within(&transaction, actor, &request).await?;
        let status = if made.reused { StatusCode::OK } else { StatusCode::CREATED };
        let reply = self.located(Reply::json(status, &self.view(made.link.clone())));
        if let Some(name) = &name {
            idempotency::keep(&transaction, name, status.as_u16(), &reply.body).await?;
        }
        transaction.commit().await.map_err(store::Error::from)?;
        self.links.announce_made([&made]).await;
        Ok(reply)
    }

    pub(super) async fn create_links(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let rows = decode_batch(body::text(&call.body)?)?;
        let actor = &call.caller()?.actor;
        let name = once::name(call)?;
        let mut connection = self.links.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if let Some(name) = &name
            && let Some(reply) = once::answered(&transaction, name).await?
        {
            return Ok(reply);
        }
        let requests: Vec<&NewLink> = rows.iter().flatten().collect();
        let answers = self.links.create_batch_within(&transaction, actor, &requests).await?;
        let made: Vec<Made> = answers.iter().flatten().cloned().collect();
        let reply = Reply::json(StatusCode::OK, &self.batch_results(rows, answers));
        if let Some(name) = &name {
            idempotency::keep(&transaction, name, StatusCode::OK.as_u16(), &reply.body).await?;
        }
        transaction.commit().await.map_err(store::Error::from)?;
        self.links.announce_made(&made).await;
        Ok(reply)
    }

    /// Puts the answers of the rows that could be decoded between the problems of the others.
    fn batch_results(
        &self,
        rows: Vec<Result<NewLink, Problem>>,
        answers: Vec<Result<Made, Error>>,
    ) -> BatchResults {
        let mut answers = answers.into_iter();
        let outcomes = rows.into_iter().map(|row| match row {
            Err(problem) => Err(problem),
            Ok(_) => match answers.next() {
                Some(answer) => answer.map_err(Problem::from),
                None => Err(Problem::internal(&Error::SlugsExhausted)),
            },
        });
        let result = |(place, outcome): (usize, Result<Made, Problem>)| match outcome {
            Ok(Made { link, reused }) => BatchResult {
                status: if reused { 200 } else { 201 },
                link: Some(self.view(link)),
                problem: None,
            },
            Err(problem) => {
                let problem = problem.within(&format!("/links/{place}")).into_body();
                BatchResult { status: problem.status, link: None, problem: Some(problem) }
            }
        };
        BatchResults { results: outcomes.enumerate().map(result).collect() }
    }

    pub(super) async fn list_links(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["q", "tag", "domain", "limit", "cursor"])?;
        let limit = query.number("limit", 1..=LARGEST_PAGE, USUAL_PAGE)?;
        let owned = |value: Option<&str>| value.map(str::to_owned);
        let request = ListRequest {
            domain: owned(query.one("domain")?),
            text: owned(query.one("q")?),
            tags: query.all("tag").map(str::to_owned).collect(),
            cursor: owned(query.one("cursor")?),
            limit,
        };
        let page = self.links.list(&request).await?;
        let links = page.links.into_iter().map(|link| self.view(link)).collect();
        Ok(Reply::json(StatusCode::OK, &LinkPage { links, next_cursor: page.next }))
    }

    pub(super) async fn get_link(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["domain"])?;
        let link = self.links.get(query.one("domain")?, call.slug()).await?;
        Ok(Reply::json(StatusCode::OK, &self.view(link)))
    }

    pub(super) async fn edit_link(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["domain"])?;
        let edit: LinkEdit = body::decode(body::text(&call.body)?)?;
        let actor = &call.caller()?.actor;
        let link = self.links.edit(actor, query.one("domain")?, call.slug(), &edit).await?;
        Ok(Reply::json(StatusCode::OK, &self.view(link)))
    }

    pub(super) async fn delete_link(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["domain"])?;
        let actor = &call.caller()?.actor;
        self.links.delete(actor, query.one("domain")?, call.slug()).await?;
        Ok(Reply::new(StatusCode::NO_CONTENT, "", ""))
    }

    /// Adds where the link of a body is found, to an answer that made it.
    fn located(&self, reply: Reply) -> Reply {
        #[derive(Deserialize)]
        struct Place {
            slug: String,
            domain: String,
        }
        if reply.status != StatusCode::CREATED {
            return reply;
        }
        let location = serde_json::from_slice::<Place>(&reply.body).ok().and_then(|place| {
            let slug = utf8_percent_encode(&place.slug, PATH_SEGMENT);
            let domain = if place.domain == authority(&self.public_url) {
                String::new()
            } else {
                format!("?domain={}", place.domain)
            };
            HeaderValue::try_from(format!("/v1/links/{slug}{domain}")).ok()
        });
        match location {
            Some(location) => reply.with(LOCATION, location),
            None => reply,
        }
    }

    /// A link as this service shows it.
    pub(super) fn view(&self, link: Link) -> LinkView {
        LinkView::new(link, &self.public_url)
    }
}

/// Decodes a batch; what is wrong with one row spoils only that row.
fn decode_batch(text: &str) -> Result<Vec<Result<NewLink, Problem>>, Problem> {
    let batch: RawBatch<'_> = body::decode(text)?;
    let refuse = |reason, detail: String| {
        Err(Problem::invalid_body(vec![Fault::new("/links", reason, detail)]))
    };
    match batch.links.len() {
        0 => refuse(Reason::Empty, "give at least one link".to_owned()),
        count if count > LARGEST_BATCH => {
            let detail = format!("are {count}; at most {LARGEST_BATCH} are allowed");
            refuse(Reason::TooMany, detail)
        }
        _ => Ok(batch.links.into_iter().map(|row| body::decode(row.get())).collect()),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::UnknownDomain(_) | Error::NotFound(_) => {
                Self::new(Kind::NotFound, error.to_string())
            }
            Error::SlugTaken(_) => Self::new(Kind::SlugTaken, error.to_string()),
            Error::BadCursor => Self::new(Kind::InvalidQuery, error.to_string()),
            Error::SlugsExhausted => Self::internal(&error),
            Error::Store(error) => error.into(),
        }
    }
}
