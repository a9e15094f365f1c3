//! `waypost link`

use clap::{Args, Subcommand, ValueEnum};

use super::context::{Context, actor};
use super::fields::{self, change, say_fields, say_json};
use super::{Error, say};
use crate::api::links::{LARGEST_PAGE, LinkPage, LinkView};
use crate::fault::Fault;
use crate::link::model::Link;
use crate::link::request::{LinkEdit, NewLink, NewRule};
use crate::link::service::{self, ListRequest};

mod clicks;
mod qr;
mod rule;

/// Make, show, draw, edit and delete links.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a link and print its short URL
    #[command(after_help = rule::HELP)]
    Create(Box<Create>),
    /// Show a link
    Get {
        #[command(flatten)]
        place: Place,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Draw a link's short URL as a QR code
    Qr(qr::Qr),
    /// Report how often a link was opened
    Clicks(clicks::Clicks),
    /// List links, newest first
    List(List),
    /// Edit a link; tags and rules replace those that stand there
    #[command(after_help = rule::HELP)]
    Edit(Box<Edit>),
    /// Delete a link
    Delete {
        #[command(flatten)]
        place: Place,
    },
}

/// Which link.
#[derive(Debug, Args)]
pub(crate) struct Place {
    /// The link's slug
    slug: String,
    /// The host of its domain; left out, the default domain
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
}

/// What a link does; as options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// The status of the redirect: 301, 302, 307 or 308
    #[arg(long, value_name = "CODE")]
    status: Option<i64>,
    /// How long browsers may remember the redirect
    #[arg(long, value_name = "SECONDS")]
    cache_seconds: Option<i64>,
    /// Before this moment the link is unknown, such as 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    valid_from: Option<String>,
    /// From this moment on the link is gone
    #[arg(long, value_name = "TIME")]
    expires_at: Option<String>,
    /// Add the query of the short URL to the target's
    #[arg(long)]
    forward_query: bool,
    /// Where people go once the link is gone
    #[arg(long, value_name = "URL")]
    fallback: Option<String>,
    /// How often the link can be opened, by people; then it is gone
    #[arg(long, value_name = "COUNT")]
    max_clicks: Option<i64>,
    /// Where some visitors are led instead: conditions and a target, see below; may be given several
    /// times
    #[arg(long = "rule", value_name = "RULE", value_parser = rule::parse)]
    rules: Vec<NewRule>,
    /// A name for people and previews
    #[arg(long)]
    title: Option<String>,
    /// What is behind the link, for previews
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// A picture, for previews
    #[arg(long, value_name = "URL")]
    image: Option<String>,
    /// A word to find the link by; may be given several times
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
}

/// Make a link.
#[derive(Debug, Args)]
pub(crate) struct Create {
    /// Where the link leads
    target: String,
    /// The path of the short URL; left out, one is generated
    #[arg(long)]
    slug: Option<String>,
    /// The host of its domain; left out, the default domain
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    #[command(flatten)]
    options: Options,
    /// Take an existing link that does the same, if there is one
    #[arg(long)]
    reuse: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Edit a link; tags and rules replace those that stand there.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    #[command(flatten)]
    place: Place,
    /// Where the link leads
    #[arg(long, value_name = "URL")]
    target: Option<String>,
    #[command(flatten)]
    options: Options,
    /// Switch the link off
    #[arg(long, conflicts_with = "enable")]
    disable: bool,
    /// Switch the link on
    #[arg(long)]
    enable: bool,
    /// Clear a field; may be given several times
    #[arg(long, value_name = "FIELD")]
    clear: Vec<Field>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A field that can be cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Field {
    /// Back to 302
    Status,
    /// What the status and the settings say
    CacheSeconds,
    /// Valid from the beginning
    ValidFrom,
    /// Valid for ever
    ExpiresAt,
    /// No longer forwarded
    ForwardQuery,
    /// None
    Fallback,
    /// It can be opened without end
    MaxClicks,
    /// Everybody is led to the target
    Rules,
    /// None
    Title,
    /// None
    Description,
    /// None
    Image,
    /// None
    Tags,
}

/// List links.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only links with this text in slug, target or title
    #[arg(long, short, value_name = "TEXT")]
    query: Option<String>,
    /// Only links with this tag; given several times, with all of them
    #[arg(long = "tag", value_name = "TAG")]
    tags: Vec<String>,
    /// Only links of this domain
    #[arg(long, value_name = "HOST")]
    domain: Option<String>,
    /// At most this many
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=i64::from(LARGEST_PAGE)))]
    limit: u32,
    /// Go on after the page that ended with this cursor
    #[arg(long)]
    cursor: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    let links = context.links();
    let view = |link: Link| LinkView::new(link, &context.config.edge.public_url);
    match command {
        Command::Create(create) => {
            let json = create.json;
            let made = links.create(&actor(), &create.into_request()).await.map_err(explain)?;
            let link = view(made.link);
            if json { say_json(&link) } else { say(&link.short_url) }
        }
        Command::Get { place, json } => {
            let link = links.get(place.domain.as_deref(), &place.slug).await.map_err(explain)?;
            show(&view(link), json)
        }
        Command::Clicks(clicks) => {
            let (domain, slug) = (clicks.place.domain.as_deref(), &clicks.place.slug);
            let link = links.get(domain, slug).await.map_err(explain)?;
            clicks.report(context, link.id).await
        }
        Command::Qr(qr) => {
            let (domain, slug) = (qr.place.domain.as_deref(), &qr.place.slug);
            let link = links.get(domain, slug).await.map_err(explain)?;
            qr.draw(&view(link).short_url)
        }
        Command::List(list) => {
            let json = list.json;
            let page = links.list(&list.into_request()).await.map_err(explain)?;
            let shown: Vec<LinkView> = page.links.into_iter().map(view).collect();
            show_page(LinkPage { links: shown, next_cursor: page.next }, json)
        }
        Command::Edit(edit) => {
            let json = edit.json;
            let (place, edit) = edit.into_request();
            let domain = place.domain.as_deref();
            let link = links.edit(&actor(), domain, &place.slug, &edit).await.map_err(explain)?;
            show(&view(link), json)
        }
        Command::Delete { place } => {
            links.delete(&actor(), place.domain.as_deref(), &place.slug).await.map_err(explain)?;
            say(&format!("deleted {}", place.slug))
        }
    }
}

impl Create {
    fn into_request(self) -> NewLink {
        let options = self.options;
        NewLink {
            target: Some(self.target),
            slug: self.slug,
            domain: self.domain,
            status: options.status,
            cache_seconds: options.cache_seconds,
            valid_from: options.valid_from,
            expires_at: options.expires_at,
            forward_query: Some(options.forward_query),
            fallback: options.fallback,
            max_clicks: options.max_clicks,
            rules: Some(options.rules),
            title: options.title,
            description: options.description,
            image: options.image,
            tags: Some(options.tags),
            reuse: Some(self.reuse),
        }
    }
}

impl Edit {
    fn into_request(self) -> (Place, LinkEdit) {
        let (options, clear) = (self.options, self.clear);
        let cleared = |field: Field| clear.contains(&field);
        let edit = LinkEdit {
            target: self.target.map(Some),
            status: change(options.status, cleared(Field::Status)),
            cache_seconds: change(options.cache_seconds, cleared(Field::CacheSeconds)),
            valid_from: change(options.valid_from, cleared(Field::ValidFrom)),
            expires_at: change(options.expires_at, cleared(Field::ExpiresAt)),
            forward_query: change(
                options.forward_query.then_some(true),
                cleared(Field::ForwardQuery),
            ),
            fallback: change(options.fallback, cleared(Field::Fallback)),
            disabled: (self.disable || self.enable).then_some(Some(self.disable)),
            max_clicks: change(options.max_clicks, cleared(Field::MaxClicks)),
            rules: change(
                (!options.rules.is_empty()).then_some(options.rules),
                cleared(Field::Rules),
            ),
            title: change(options.title, cleared(Field::Title)),
            description: change(options.description, cleared(Field::Description)),
            image: change(options.image, cleared(Field::Image)),
            tags: change((!options.tags.is_empty()).then_some(options.tags), cleared(Field::Tags)),
            slug: None,
            domain: None,
        };
        (self.place, edit)
    }
}

impl List {
    fn into_request(self) -> ListRequest {
        ListRequest {
            domain: self.domain,
            text: self.query,
            tags: self.tags,
            cursor: self.cursor,
            limit: self.limit,
        }
    }
}

/// Shows a link, a line for each field that it has.
fn show(link: &LinkView, json: bool) -> Result<(), Error> {
    if json {
        return say_json(link);
    }
    let rules = link.rules.iter().map(rule::write).collect::<Vec<_>>();
    say_fields(&LinkView { rules: Vec::new(), ..link.clone() }, "short_url")?;
    rules.iter().try_for_each(|rule| say(&format!("  rule: {rule}")))
}

/// Shows a page, a line for each link.
fn show_page(page: LinkPage, json: bool) -> Result<(), Error> {
    if json {
        return say_json(&page);
    }
    for link in &page.links {
        let off = if link.disabled { "  (disabled)" } else { "" };
        say(&format!("{}  {}  {} clicks{off}", link.short_url, link.target, link.clicks))?;
    }
    match page.next_cursor {
        Some(cursor) => say(&format!("more: --cursor {cursor}")),
        None => Ok(()),
    }
}

/// The first, second … `--rule`, and what of it: `0/country/1` is `--rule 1, country 2`.
fn rule_option(place: &str) -> String {
    let mut parts = place.split('/');
    let number = |part: &str| part.parse::<usize>().map(|place| (place + 1).to_string());
    let rule = parts.next().and_then(|part| number(part).ok()).unwrap_or_default();
    let rest: Vec<String> =
        parts.map(|part| number(part).unwrap_or_else(|_word| part.to_owned())).collect();
    let comma = if rest.is_empty() { "" } else { "," };
    format!("--rule {rule}{comma} {}", rest.join(" ")).trim_end().to_owned()
}

/// A fault whose words name a rule, if they do, by its option instead of its pointer.
fn in_options(fault: Fault) -> Fault {
    let Some((before, rest)) = fault.detail.split_once("/rules/") else { return fault };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (place, after) = rest.split_at_checked(end).unwrap_or((rest, ""));
    Fault { detail: format!("{before}{}{after}", rule_option(place)), ..fault }
}

/// Says what is wrong in the words of the command line: a line for each option.
fn explain(error: service::Error) -> Error {
    match error {
        service::Error::Invalid(faults) => {
            let faults = faults.into_iter().map(in_options).collect();
            fields::explain(faults, |field, place| match field {
                "target" => Some("target".to_owned()),
                "tags" => Some("--tag".to_owned()),
                "rules" => Some(rule_option(place)),
                _ => None,
            })
        }
        service::Error::Store(error) => Error::Store(error),
        service::Error::UnknownDomain(_)
        | service::Error::NotFound(_)
        | service::Error::SlugTaken(_)
        | service::Error::SlugsExhausted
        | service::Error::BadCursor => Error::Message(error.to_string()),
    }
}
