//! Landing pages per second on one core: Waypost, and nginx with a file of the same bytes, in rounds
//! that take turns; and whether each page became a click with a number of its own.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::bench::{Cores, Series, Tally};
use crate::books::{Books, Ledger, same};
use crate::client::{Answer, Connection};
use crate::peers::{self, Peer, Place, Waypost, Whereabouts, pages};
use crate::wrk::{Choice, Generator, Wanted};
use crate::{Beside, Error, Options, Part, say};

/// What the landing benchmark found.
#[derive(Serialize)]
pub(crate) struct Landings {
    /// Codes whose pages were asked for.
    pub(crate) codes: usize,
    /// Whether PostgreSQL and Redis shared the measured core, not the generator's.
    pub(crate) stores_on_measured_core: bool,
    /// How long an answer of each server is.
    pub(crate) sizes: Vec<Size>,
    /// The rounds.
    pub(crate) series: Series,
    /// What was left out, and why.
    pub(crate) left_out: Vec<String>,
    /// What became of the clicks.
    pub(crate) books: Books,
    /// Visits in the database that have a number of their own, as those of landing pages do. All others
    /// were there before.
    pub(crate) numbered_visits: f64,
    /// Those of them that were there before the books were opened.
    pub(crate) numbered_visits_before: f64,
}

impl Landings {
    /// Whether all answers were right, and each page became a click with a number.
    pub(crate) fn is_clean(&self) -> bool {
        let numbered = self.numbered_visits - self.numbered_visits_before;
        self.series.servers.iter().all(|server| server.errors == 0.0)
            && self.books.balance()
            && same(numbered, self.books.counted)
    }
}

/// How long an answer of a server is, in bytes.
#[derive(Serialize)]
pub(crate) struct Size {
    /// The server's name.
    pub(crate) name: &'static str,
    /// Status line and headers.
    pub(crate) head_bytes: usize,
    /// The page.
    pub(crate) body_bytes: usize,
}

/// The document of the campaign that is shown: the one that comes with Waypost.
const CAMPAIGN: &str = include_str!("../../config/campaigns/demo.toml");

/// Codes whose pages are asked for: no more than the API gives in one request.
const CODES: u32 = 1_000;

/// Who shares each code. The same name for all, so that all pages have the same length.
const INVITER: &str = "Rina Sari";

/// How slugs are chosen.
const CHOICE: Choice = Choice::Zipf;

/// How often something is asked for again that Waypost cannot answer yet: within a second, each of its
/// parts knows a campaign that was just activated.
const RETRIES: u32 = 25;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(200);

/// Starts the servers, lets them take turns, and stops them.
pub(crate) fn measure(options: &Options) -> Result<Landings, Error> {
    let directory = peers::directory()?;
    let cores = Cores::of(options)?;
    let place = Place { core: cores.server, directory: directory.path(), counted: false };
    say(&format!("Starting Waypost with the demo campaign and {CODES} codes."));
    let waypost = peers::waypost(options, place, &[], &[])?;
    let wanted = Wanted::landings(&prepare(&waypost)?);
    let page = check(&waypost.peer, &wanted)?;
    let Waypost { peer, whereabouts } = waypost;
    let (mut servers, mut left_out) = (vec![pages::bare(place, &page)?, peer], Vec::new());
    if options.skips(Part::Nginx) {
        left_out.push("nginx: not asked for".to_owned());
    } else {
        servers.extend(pages::nginx(place, &page, &wanted.paths)?);
        if servers.iter().all(|server| !server.name.starts_with("nginx")) {
            left_out.push("nginx: not installed (apt-get install nginx-light)".to_owned());
        }
    }
    let sizes = sizes(&servers, &wanted)?;
    let generator = Generator::prepare(cores.generator, directory.path(), &wanted)?;
    let ledger = Ledger::open(&whereabouts)?;
    let numbered_visits_before = ledger.numbered_visits()?;
    let mut tally = Tally::new(options, &generator, cores);
    say(&format!("Measuring: landing pages, {} rounds.", options.rounds));
    let series = tally.series(CHOICE, &servers)?;
    Ok(Landings {
        codes: wanted.paths.len(),
        stores_on_measured_core: options.stores == Beside::Server,
        sizes,
        series,
        left_out,
        books: ledger.close(tally.waypost_requests, tally.waypost_runs)?,
        numbered_visits: ledger.numbered_visits()?,
        numbered_visits_before,
    })
}

#[derive(Serialize)]
struct NewCode {
    user: String,
    name: &'static str,
}

#[derive(Serialize)]
struct Batch {
    users: Vec<NewCode>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<Issued>,
}

#[derive(Deserialize)]
struct Issued {
    code: CodeView,
}

#[derive(Deserialize)]
struct CodeView {
    code: String,
}

/// Puts the campaign into Waypost, and gives users codes; these are returned.
pub(crate) fn prepare(waypost: &Waypost) -> Result<Vec<String>, Error> {
    let Whereabouts { control, api_key, .. } = &waypost.whereabouts;
    let mut api = Connection::open(*control).map_err(Error::io("connect to Waypost's API"))?;
    let ask = || Error::io("tell Waypost about the campaign");
    let put = "/v1/campaigns/bench/versions";
    let answer = api.post_as("application/toml", put, api_key, CAMPAIGN).map_err(ask())?;
    expect(&answer, 201, put)?;
    let activate = "/v1/campaigns/bench/versions/1/activate";
    expect(&api.post(activate, api_key, "").map_err(ask())?, 200, activate)?;
    let users = (0..CODES).map(|user| NewCode { user: format!("user-{user}"), name: INVITER });
    let body = serde_json::to_string(&Batch { users: users.collect() }).expect("strings are JSON");
    let batch = "/v1/campaigns/bench/codes/batch";
    let mut answer = api.post(batch, api_key, &body).map_err(ask())?;
    for _ in 0..RETRIES {
        if answer.status == 200 {
            break;
        }
        std::thread::sleep(PAUSE);
        answer = api.post(batch, api_key, &body).map_err(ask())?;
    }
    expect(&answer, 200, batch)?;
    let issued: Results = serde_json::from_str(&answer.body).map_err(|error| {
        Error::broken("waypost", format!("some codes were refused ({error}): {}", answer.body))
    })?;
    Ok(issued.results.into_iter().map(|issued| issued.code.code).collect())
}

fn expect(answer: &Answer, status: u16, path: &str) -> Result<(), Error> {
    if answer.status == status {
        return Ok(());
    }
    let what = format!("{path} was answered with {}: {}", answer.status, answer.body);
    Err(Error::broken("waypost", what))
}

/// Asks for every page once, which warms the caches too. All of them have to show their code, and to be
/// as long as the others; the first is returned.
pub(crate) fn check(server: &Peer, wanted: &Wanted) -> Result<Answer, Error> {
    let mut first: Option<Answer> = None;
    let mut connection =
        Connection::open(server.address).map_err(Error::io("connect to Waypost's edge"))?;
    for path in &wanted.paths {
        let mut answer = ask(&mut connection, path, wanted)?;
        for _ in 0..RETRIES {
            if answer.status != 503 {
                break;
            }
            std::thread::sleep(PAUSE);
            answer = ask(&mut connection, path, wanted)?;
        }
        let code = path.trim_start_matches("r/");
        let length = first.as_ref().map_or(answer.body.len(), |page| page.body.len());
        if answer.status != wanted.status
            || !answer.body.contains(code)
            || answer.body.len() != length
        {
            let what = format!(
                "/{path} was answered with {} and {} bytes, not with a page of {length} bytes that \
                 shows the code: {}",
                answer.status,
                answer.body.len(),
                answer.body
            );
            return Err(Error::broken(server.name, what));
        }
        first.get_or_insert(answer);
    }
    first.ok_or_else(|| Error::broken(server.name, "it gave no codes"))
}

fn ask(connection: &mut Connection, path: &str, wanted: &Wanted) -> Result<Answer, Error> {
    connection
        .ask_with(&format!("/{path}"), &wanted.headers)
        .and_then(|()| connection.answer())
        .map_err(Error::io("ask for a landing page"))
}

/// Asks each server for the page of one code: all bodies have to be equally long.
fn sizes(servers: &[Peer], wanted: &Wanted) -> Result<Vec<Size>, Error> {
    let mut sizes: Vec<Size> = Vec::with_capacity(servers.len());
    for server in servers {
        let mut connection =
            Connection::open(server.address).map_err(Error::io("connect to a server"))?;
        let path = wanted.paths.first().map_or("", String::as_str);
        let answer = ask(&mut connection, path, wanted)?;
        let size = Size {
            name: server.name,
            head_bytes: answer.head_bytes(),
            body_bytes: answer.body.len(),
        };
        let others = sizes.first().map_or(size.body_bytes, |other| other.body_bytes);
        if answer.status != wanted.status || size.body_bytes != others {
            let what = format!(
                "it answered with {} and {} bytes, not with {} and {others} bytes as the others do",
                answer.status, size.body_bytes, wanted.status
            );
            return Err(Error::broken(server.name, what));
        }
        sizes.push(size);
    }
    Ok(sizes)
}
