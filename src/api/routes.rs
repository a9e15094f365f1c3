//! The one table of what the API has.

use hyper::Method;
use matchit::{Params, Router};
use percent_encoding::percent_decode_str;

use crate::http::auth::Scope;
use crate::http::problem::{Kind, Problem};

/// One thing that can be asked for.
#[derive(Debug)]
pub struct Route {
    /// With this method; `HEAD` comes with `GET`.
    pub method: Method,
    /// Under this path.
    pub path: &'static str,
    /// By callers with this scope; `None`: by anybody who reaches the listener.
    pub scope: Option<Scope>,
    /// Or by callers with this one.
    pub or_scope: Option<Scope>,
    /// Answered by this.
    pub handler: Handler,
}

/// All handlers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Makes a link.
    CreateLink,
    /// Makes many links.
    CreateLinks,
    /// Lists links.
    ListLinks,
    /// Shows a link.
    GetLink,
    /// Edits a link.
    EditLink,
    /// Deletes a link.
    DeleteLink,
    /// Reports how often a link was opened.
    GetClicks,
    /// Lists the visits of a link.
    ListVisits,
    /// Draws a link's short URL as an SVG.
    GetQrSvg,
    /// Draws a link's short URL as a PNG.
    GetQrPng,
    /// Adds a domain.
    CreateDomain,
    /// Lists domains.
    ListDomains,
    /// Shows a domain.
    GetDomain,
    /// Edits a domain.
    EditDomain,
    /// Deletes a domain.
    DeleteDomain,
    /// Stores a version of a campaign.
    PutCampaignVersion,
    /// Lists campaigns.
    ListCampaigns,
    /// Shows a campaign.
    GetCampaign,
    /// Lists the versions of a campaign.
    ListCampaignVersions,
    /// Shows a version of a campaign.
    GetCampaignVersion,
    /// Makes a version of a campaign the active one.
    ActivateCampaign,
    /// Ends the active version of a campaign.
    RetireCampaign,
    /// Compares two versions of a campaign.
    CompareCampaignVersions,
    /// Says what a campaign would have cost under a document.
    SimulateDocument,
    /// Says what a campaign would have cost under a version that is stored.
    SimulateVersion,
    /// Gives a user a code.
    IssueCode,
    /// Gives many users codes.
    IssueCodes,
    /// Shows a code.
    GetCode,
    /// Gives a user a code that an operator chose.
    ChooseCode,
    /// Switches a code off.
    DisableCode,
    /// Switches a code on again.
    EnableCode,
    /// Hands a click token back.
    Claim,
    /// Binds an invitee to an inviter.
    Bind,
    /// Takes what a user reached.
    TakeTrigger,
    /// `POST /v1/campaigns/{campaign}/triggers/batch`
    TakeTriggers,
    /// Shows what is known of a user.
    GetUser,
    /// Says whether a user wants messages.
    AllowMessages,
    /// Scratches a card.
    RevealCard,
    /// Shows what came of comparing the books.
    GetReconciliation,
    /// Lists rewards.
    ListRewards,
    /// Shows a reward.
    GetReward,
    /// Says why a reward stands where it stands.
    ExplainReward,
    /// Says why a user has, or has not, earned something.
    ExplainUser,
    /// Grants a reward that was held.
    ApproveReward,
    /// Refuses a reward that was held.
    DenyReward,
    /// Sends a parked reward on.
    ReplayReward,
    /// Takes a reward back.
    ReverseReward,
    /// Asks for a compensation.
    RequestCompensation,
    /// Lists compensations.
    ListCompensations,
    /// Shows a compensation.
    GetCompensation,
    /// Approves a compensation, and does it.
    ApproveCompensation,
    /// Rejects a compensation.
    RejectCompensation,
    /// Stores a version of a flow.
    PutFlow,
    /// Lists flows.
    ListFlows,
    /// Has new cases follow a version of a flow.
    ActivateFlow,
    /// Lists the roles that people have.
    ListRoles,
    /// Gives somebody a role.
    GrantRole,
    /// Takes a role from somebody.
    RevokeRole,
    /// Lists cases.
    ListCases,
    /// Shows a case.
    GetCase,
    /// Takes a task of a case.
    ClaimTask,
    /// Gives a task back.
    ReleaseTask,
    /// Gives a task to somebody else.
    DelegateTask,
    /// Approves a case.
    ApproveCase,
    /// Rejects a case.
    RejectCase,
    /// Asks for evidence.
    AskEvidence,
    /// Adds evidence to a case.
    AddEvidence,
    /// Moves a case to another node.
    Jump,
    /// Says where a case can jump to.
    ListJumps,
    /// Describes the API.
    OpenApi,
    /// Shows the figures.
    Metrics,
    /// Says that the process runs.
    Health,
    /// Says whether it is ready.
    Ready,
}

const LINKS: Option<Scope> = Some(Scope::Links);
const ADMIN: Option<Scope> = Some(Scope::Admin);
const CAMPAIGNS: Option<Scope> = Some(Scope::Campaigns);
const TRIGGERS: Option<Scope> = Some(Scope::Triggers);
const REFERRALS: Option<Scope> = Some(Scope::Referrals);
const REWARDS: Option<Scope> = Some(Scope::Rewards);
const REVIEWS: Option<Scope> = Some(Scope::Reviews);

/// The parts of paths that differ from one request to the next.
pub(super) const PATH_PARTS: [&str; 10] =
    ["slug", "host", "campaign", "version", "user", "code", "key", "id", "subject", "role"];

/// The table.
pub static ROUTES: [Route; 73] = [
    route(Method::POST, "/v1/links", LINKS, Handler::CreateLink),
    route(Method::GET, "/v1/links", LINKS, Handler::ListLinks),
    route(Method::POST, "/v1/links/batch", LINKS, Handler::CreateLinks),
    route(Method::GET, "/v1/links/{slug}", LINKS, Handler::GetLink),
    route(Method::PATCH, "/v1/links/{slug}", LINKS, Handler::EditLink),
    route(Method::DELETE, "/v1/links/{slug}", LINKS, Handler::DeleteLink),
    route(Method::GET, "/v1/links/{slug}/clicks", LINKS, Handler::GetClicks),
    route(Method::GET, "/v1/links/{slug}/visits", LINKS, Handler::ListVisits),
    route(Method::GET, "/v1/links/{slug}/qr.svg", LINKS, Handler::GetQrSvg),
    route(Method::GET, "/v1/links/{slug}/qr.png", LINKS, Handler::GetQrPng),
    route(Method::POST, "/v1/domains", ADMIN, Handler::CreateDomain),
    route(Method::GET, "/v1/domains", LINKS, Handler::ListDomains),
    route(Method::GET, "/v1/domains/{host}", LINKS, Handler::GetDomain),
    route(Method::PATCH, "/v1/domains/{host}", ADMIN, Handler::EditDomain),
    route(Method::DELETE, "/v1/domains/{host}", ADMIN, Handler::DeleteDomain),
    route(Method::GET, "/v1/campaigns", CAMPAIGNS, Handler::ListCampaigns),
    route(Method::GET, "/v1/campaigns/{campaign}", CAMPAIGNS, Handler::GetCampaign),
    route(
        Method::POST,
        "/v1/campaigns/{campaign}/versions",
        CAMPAIGNS,
        Handler::PutCampaignVersion,
    ),
    route(
        Method::GET,
        "/v1/campaigns/{campaign}/versions",
        CAMPAIGNS,
        Handler::ListCampaignVersions,
    ),
    route(
        Method::GET,
        "/v1/campaigns/{campaign}/versions/{version}",
        CAMPAIGNS,
        Handler::GetCampaignVersion,
    ),
    route(
        Method::POST,
        "/v1/campaigns/{campaign}/versions/{version}/activate",
        CAMPAIGNS,
        Handler::ActivateCampaign,
    ),
    route(Method::POST, "/v1/campaigns/{campaign}/retire", CAMPAIGNS, Handler::RetireCampaign),
    route(
        Method::GET,
        "/v1/campaigns/{campaign}/diff",
        CAMPAIGNS,
        Handler::CompareCampaignVersions,
    ),
    route(Method::POST, "/v1/campaigns/{campaign}/simulate", CAMPAIGNS, Handler::SimulateDocument),
    route(
        Method::POST,
        "/v1/campaigns/{campaign}/versions/{version}/simulate",
        CAMPAIGNS,
        Handler::SimulateVersion,
    ),
    route(Method::POST, "/v1/campaigns/{campaign}/codes", REFERRALS, Handler::IssueCode),
    route(Method::POST, "/v1/campaigns/{campaign}/codes/batch", REFERRALS, Handler::IssueCodes),
    route(
        Method::PUT,
        "/v1/campaigns/{campaign}/users/{user}/code",
        CAMPAIGNS,
        Handler::ChooseCode,
    ),
    route(Method::GET, "/v1/codes/{code}", REFERRALS, Handler::GetCode),
    route(Method::POST, "/v1/codes/{code}/disable", CAMPAIGNS, Handler::DisableCode),
    route(Method::POST, "/v1/codes/{code}/enable", CAMPAIGNS, Handler::EnableCode),
    route(Method::POST, "/v1/claims", REFERRALS, Handler::Claim),
    route(Method::POST, "/v1/campaigns/{campaign}/bindings", REFERRALS, Handler::Bind),
    route(Method::POST, "/v1/campaigns/{campaign}/triggers", TRIGGERS, Handler::TakeTrigger),
    route(Method::POST, "/v1/campaigns/{campaign}/triggers/batch", TRIGGERS, Handler::TakeTriggers),
    route(Method::GET, "/v1/campaigns/{campaign}/users/{user}", REFERRALS, Handler::GetUser),
    route(
        Method::PUT,
        "/v1/campaigns/{campaign}/users/{user}/messages",
        REFERRALS,
        Handler::AllowMessages,
    ),
    route(Method::POST, "/v1/rewards/{id}/reveal", REFERRALS, Handler::RevealCard),
    route(Method::GET, "/v1/reconciliation", REWARDS, Handler::GetReconciliation),
    reading("/v1/campaigns/{campaign}/users/{user}/explain", Handler::ExplainUser),
    reading("/v1/rewards", Handler::ListRewards),
    reading("/v1/rewards/{id}", Handler::GetReward),
    reading("/v1/rewards/{id}/explain", Handler::ExplainReward),
    route(Method::POST, "/v1/rewards/{id}/approve", REWARDS, Handler::ApproveReward),
    route(Method::POST, "/v1/rewards/{id}/deny", REWARDS, Handler::DenyReward),
    route(Method::POST, "/v1/rewards/{id}/replay", REWARDS, Handler::ReplayReward),
    route(Method::POST, "/v1/rewards/{id}/reverse", REWARDS, Handler::ReverseReward),
    route(Method::POST, "/v1/compensations", REWARDS, Handler::RequestCompensation),
    reading("/v1/compensations", Handler::ListCompensations),
    reading("/v1/compensations/{id}", Handler::GetCompensation),
    route(Method::POST, "/v1/compensations/{id}/approve", REWARDS, Handler::ApproveCompensation),
    route(Method::POST, "/v1/compensations/{id}/reject", REWARDS, Handler::RejectCompensation),
    route(Method::POST, "/v1/review/flows", REVIEWS, Handler::PutFlow),
    route(Method::GET, "/v1/review/flows", REVIEWS, Handler::ListFlows),
    route(
        Method::POST,
        "/v1/review/flows/{subject}/versions/{version}/activate",
        ADMIN,
        Handler::ActivateFlow,
    ),
    route(Method::GET, "/v1/review/roles", REVIEWS, Handler::ListRoles),
    route(Method::PUT, "/v1/review/people/{user}/roles/{role}", ADMIN, Handler::GrantRole),
    route(Method::DELETE, "/v1/review/people/{user}/roles/{role}", ADMIN, Handler::RevokeRole),
    route(Method::GET, "/v1/cases", REVIEWS, Handler::ListCases),
    route(Method::GET, "/v1/cases/{id}", REVIEWS, Handler::GetCase),
    route(Method::POST, "/v1/cases/{id}/claim", REVIEWS, Handler::ClaimTask),
    route(Method::POST, "/v1/cases/{id}/release", REVIEWS, Handler::ReleaseTask),
    route(Method::POST, "/v1/cases/{id}/delegate", REVIEWS, Handler::DelegateTask),
    route(Method::POST, "/v1/cases/{id}/approve", REVIEWS, Handler::ApproveCase),
    route(Method::POST, "/v1/cases/{id}/reject", REVIEWS, Handler::RejectCase),
    route(Method::POST, "/v1/cases/{id}/questions", REVIEWS, Handler::AskEvidence),
    route(Method::POST, "/v1/cases/{id}/evidence", REVIEWS, Handler::AddEvidence),
    route(Method::POST, "/v1/cases/{id}/jumps", REVIEWS, Handler::Jump),
    route(Method::GET, "/v1/cases/{id}/jumps", REVIEWS, Handler::ListJumps),
    route(Method::GET, "/openapi.json", None, Handler::OpenApi),
    route(Method::GET, "/metrics", None, Handler::Metrics),
    route(Method::GET, "/healthz", None, Handler::Health),
    route(Method::GET, "/readyz", None, Handler::Ready),
];

const fn route(
    method: Method,
    path: &'static str,
    scope: Option<Scope>,
    handler: Handler,
) -> Route {
    Route { method, path, scope, or_scope: None, handler }
}

/// A route by which rewards are looked at: by those who decide on them, and by those who review.
const fn reading(path: &'static str, handler: Handler) -> Route {
    Route { method: Method::GET, path, scope: REWARDS, or_scope: Some(Scope::Reviews), handler }
}

/// The table, ready to be searched: a router for each method, so that a link may be called `batch`.
#[derive(Debug)]
pub(super) struct Routes(Vec<(Method, Router<&'static Route>)>);

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Found {
    /// Its row of the table.
    pub(super) route: &'static Route,
    /// What stands for the parts of its path.
    pub(super) path: PathParts,
}

/// What stands for the parts of a path that differ, by their names, decoded.
#[derive(Debug, Default)]
pub(super) struct PathParts(Vec<(&'static str, String)>);

impl PathParts {
    fn of(params: &Params<'_, '_>) -> Result<Self, Problem> {
        let given = PATH_PARTS.into_iter().filter_map(|name| Some((name, params.get(name)?)));
        given.map(|(name, text)| Ok((name, decode(text)?))).collect::<Result<_, _>>().map(Self)
    }

    /// What stands for `{name}`; nothing, if the path has no such part.
    pub(super) fn get(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| *known == name).map_or("", |(_, text)| text)
    }
}

impl Routes {
    pub(super) fn new() -> Self {
        let mut routers: Vec<(Method, Router<&'static Route>)> = Vec::new();
        for route in &ROUTES {
            let place = routers.iter().position(|(method, _)| *method == route.method);
            let place = place.unwrap_or_else(|| {
                routers.push((route.method.clone(), Router::new()));
                routers.len() - 1
            });
            let (_, router) = routers.get_mut(place).expect("it was found or pushed");
            router.insert(route.path, route).expect("the table has no two routes alike");
        }
        Self(routers)
    }

    pub(super) fn find(&self, method: &Method, path: &str) -> Result<Found, Problem> {
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        let mut allowed = Vec::new();
        for (method, router) in &self.0 {
            let Ok(found) = router.at(path) else { continue };
            if method == wanted {
                let path = PathParts::of(&found.params)?;
                return Ok(Found { route: found.value, path });
            }
            allowed.push(method.as_str());
            if *method == Method::GET {
                allowed.push(Method::HEAD.as_str());
            }
        }
        if allowed.is_empty() {
            let detail = "no such path; /openapi.json describes those that there are";
            return Err(Problem::new(Kind::NotFound, detail));
        }
        allowed.sort_unstable();
        Err(Problem::method_not_allowed(allowed.join(", ")))
    }
}

fn decode(segment: &str) -> Result<String, Problem> {
    let decoded = percent_decode_str(segment).decode_utf8();
    decoded.map(std::borrow::Cow::into_owned).map_err(|error| {
        Problem::new(Kind::NotFound, format!("the path is not UTF-8 once decoded: {error}"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Parts = Vec<(&'static str, String)>;

    fn find(method: &Method, path: &str) -> Result<(Handler, Parts), (Kind, String)> {
        Routes::new().find(method, path).map(|found| (found.route.handler, found.path.0)).map_err(
            |problem| {
                let allow = problem.clone().into_response();
                let allow = allow.headers().get("allow").and_then(|value| value.to_str().ok());
                (problem.kind(), allow.unwrap_or_default().to_owned())
            },
        )
    }

    #[test]
    fn every_part_of_a_path_has_a_name_that_is_known() {
        for route in &ROUTES {
            for part in route.path.split('{').skip(1) {
                let name = part.split('}').next().expect("an end");
                assert!(PATH_PARTS.contains(&name), "{}: {name}", route.path);
            }
        }
    }

    #[test]
    fn paths_lead_to_handlers() {
        let slug = |slug: &str| vec![("slug", slug.to_owned())];
        assert_eq!(find(&Method::POST, "/v1/links"), Ok((Handler::CreateLink, vec![])));
        assert_eq!(find(&Method::HEAD, "/healthz"), Ok((Handler::Health, vec![])));
        assert_eq!(find(&Method::POST, "/v1/links/batch"), Ok((Handler::CreateLinks, vec![])));
        assert_eq!(find(&Method::GET, "/v1/links/batch"), Ok((Handler::GetLink, slug("batch"))));
        assert_eq!(find(&Method::GET, "/v1/links/a%2Fb"), Ok((Handler::GetLink, slug("a/b"))));
        assert_eq!(find(&Method::GET, "/v1/links/qr.svg"), Ok((Handler::GetLink, slug("qr.svg"))));
        let path = "/v1/links/a%2Fb/qr.svg";
        assert_eq!(find(&Method::GET, path), Ok((Handler::GetQrSvg, slug("a/b"))));
        let path = "/v1/links/qr.png/qr.png";
        assert_eq!(find(&Method::GET, path), Ok((Handler::GetQrPng, slug("qr.png"))));
        let path = "/v1/campaigns/spring/versions/3/activate";
        let parts = vec![("campaign", "spring".to_owned()), ("version", "3".to_owned())];
        assert_eq!(find(&Method::POST, path), Ok((Handler::ActivateCampaign, parts)));
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_there_with_another_method() {
        let not_found = Err((Kind::NotFound, String::new()));
        assert_eq!(find(&Method::GET, "/"), not_found);
        assert_eq!(find(&Method::GET, "/v1/links/"), not_found);
        assert_eq!(find(&Method::GET, "/v1/links/a/b"), not_found);
        assert_eq!(find(&Method::GET, "/v1/links/a/qr.gif"), not_found);
        assert_eq!(find(&Method::GET, "/v1/links/%FF"), not_found);
        let not_allowed = |allow: &str| Err((Kind::MethodNotAllowed, allow.to_owned()));
        assert_eq!(find(&Method::PUT, "/v1/links/x"), not_allowed("DELETE, GET, HEAD, PATCH"));
        assert_eq!(find(&Method::DELETE, "/v1/links"), not_allowed("GET, HEAD, POST"));
        assert_eq!(find(&Method::DELETE, "/v1/links/x/qr.svg"), not_allowed("GET, HEAD"));
    }
}
