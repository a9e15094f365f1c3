//! Domains: `/v1/domains`.

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body, once};
use crate::code::slug::LetterCase;
use crate::http::problem::{Kind, Problem};
use crate::link::domains::service::{DomainService, Error};
use crate::link::domains::{DomainEdit, FullDomain, NewDomain};
use crate::store::{self, idempotency};

/// A domain: a host under which links are found.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Domain)]
pub struct DomainView {
    /// The host; that of the default domain with its port, if that is not the scheme's.
    pub host: String,
    /// Whether it is the default domain, whose host is the setting `edge.public_url`.
    pub default: bool,
    /// Whether capitals and small letters are the same in its slugs.
    pub case_insensitive: bool,
    /// How many characters generated slugs have: its own number, or what the settings say.
    pub slug_length: u8,
    /// Where its bare address redirects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root_url: Option<String>,
    /// Where a slug that leads nowhere redirects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unknown_url: Option<String>,
    /// Where a link that is gone and has no fallback redirects to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gone_url: Option<String>,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

impl DomainView {
    /// A domain as it is shown by this service.
    pub fn new(full: FullDomain, service: &DomainService) -> Self {
        let domain = &full.domain;
        Self {
            host: service.host(domain).to_owned(),
            default: domain.host.is_none(),
            case_insensitive: domain.case == LetterCase::Folded,
            slug_length: service.slug_length(domain),
            root_url: full.urls.root,
            unknown_url: full.urls.unknown,
            gone_url: full.urls.gone,
            created_at: full.created_at,
            updated_at: full.updated_at,
        }
    }
}

/// All domains.
#[derive(Debug, Serialize, ToSchema)]
pub struct DomainList {
    /// The default domain first, then in the order in which they were added.
    pub domains: Vec<DomainView>,
}

impl Api {
    pub(super) async fn create_domain(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: NewDomain = body::decode(body::text(&call.body)?)?;
        let actor = &call.caller()?.actor;
        let name = once::name(call)?;
        let mut connection = self.domains.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if let Some(name) = &name
            && let Some(reply) = once::answered(&transaction, name).await?
        {
            return Ok(located(reply));
        }
        let added = self.domains.create_within(&transaction, actor, &request).await?;
        let status = StatusCode::CREATED;
        let reply = Reply::json(status, &DomainView::new(added, &self.domains));
        if let Some(name) = &name {
            idempotency::keep(&transaction, name, status.as_u16(), &reply.body).await?;
        }
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(located(reply))
    }

    pub(super) async fn list_domains(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let all = self.domains.list().await?.into_iter();
        let domains = all.map(|full| DomainView::new(full, &self.domains)).collect();
        Ok(Reply::json(StatusCode::OK, &DomainList { domains }))
    }

    pub(super) async fn get_domain(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let found = self.domains.get(call.host()).await?;
        Ok(Reply::json(StatusCode::OK, &DomainView::new(found, &self.domains)))
    }

    pub(super) async fn edit_domain(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let edit: DomainEdit = body::decode(body::text(&call.body)?)?;
        let actor = &call.caller()?.actor;
        let edited = self.domains.edit(actor, call.host(), &edit).await?;
        Ok(Reply::json(StatusCode::OK, &DomainView::new(edited, &self.domains)))
    }

    pub(super) async fn delete_domain(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        self.domains.delete(&call.caller()?.actor, call.host()).await?;
        Ok(Reply::new(StatusCode::NO_CONTENT, "", ""))
    }
}

/// Adds where the domain of a body is found, to the answer that added it.
fn located(reply: Reply) -> Reply {
    #[derive(Deserialize)]
    struct Place {
        host: String,
    }
    let location = serde_json::from_slice::<Place>(&reply.body).ok().and_then(|place| {
        // Nothing in the name of a host has to be escaped in a path.
        HeaderValue::try_from(format!("/v1/domains/{}", place.host)).ok()
    });
    match location {
        Some(location) => reply.with(LOCATION, location),
        None => reply,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::NotFound(_) => Self::new(Kind::NotFound, error.to_string()),
            Error::Exists(_) | Error::AlwaysThere(_) => {
                Self::new(Kind::DomainExists, error.to_string())
            }
            Error::InUse(_) | Error::HasCampaign(..) | Error::NeverDeleted(_) => {
                Self::new(Kind::DomainInUse, error.to_string())
            }
            Error::Store(error) => error.into(),
        }
    }
}
