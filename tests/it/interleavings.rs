//! What holds whatever happens at the same time: one binding for each invitee, nobody invites himself,
//! nobody is in a circle, only new users are bound. A thousand random programs, each of which runs all of
//! its operations at once against a real PostgreSQL.

use std::collections::{HashMap, HashSet};
use std::fmt::Write;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::json;

use super::support::referrals::{Referrals, document, refusal};
use super::support::{Answer, TestApi, quiet};

/// How many programs there are.
const ROUNDS: u64 = 1_000;
/// How many of them run at the same time, so that nobody waits for the slowest operation of one.
const TOGETHER: usize = 2;
/// The first of the seeds; a program is made again by its own.
const SEED: u64 = 20_300_101;
/// Who takes part in a program.
const PEOPLE: usize = 6;

/// Something that is done; people are named by their place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    /// Somebody brings the code of somebody, on a device.
    Bind { invitee: usize, inviter: usize, device: usize },
    /// A backend tells that somebody became a customer.
    Trigger { user: usize },
}

/// 8 to 16 operations that run at the same time.
fn program(seed: u64) -> Vec<Operation> {
    let mut random = StdRng::seed_from_u64(seed);
    let count = random.random_range(8..=16);
    let mut program = Vec::new();
    while program.len() < count {
        let one = random.random_range(0..PEOPLE);
        let other = (one + random.random_range(1..PEOPLE)) % PEOPLE;
        let third = random.random_range(0..PEOPLE);
        let device = if random.random_bool(0.3) { random.random_range(0..3) } else { 3 + one };
        let bind = |invitee, inviter| Operation::Bind { invitee, inviter, device };
        match random.random_range(0..10) {
            0 => program.push(Operation::Trigger { user: one }),
            1 => program.push(bind(one, one)),
            // The same again.
            2 => program.extend([bind(one, other); 2]),
            // Two inviters for one invitee.
            3 => program.extend([bind(one, other), bind(one, third)]),
            // Bound and made a customer at the same moment.
            4 => program.extend([bind(one, other), Operation::Trigger { user: one }]),
            5 => program.push(bind(one, other)),
            // A ring of two to all of them, each bringing the code of the next.
            _ => {
                let size = random.random_range(2..=PEOPLE);
                program.extend((0..size).map(|place| {
                    let from = (one + place) % PEOPLE;
                    let to = (one + (place + 1) % size) % PEOPLE;
                    Operation::Bind { invitee: from, inviter: to, device: 3 + from }
                }));
            }
        }
    }
    program.truncate(16);
    program
}

fn person(round: u64, place: usize) -> String {
    format!("r{round}-{place}")
}

fn code(round: u64, place: usize) -> String {
    format!("R{round:04}{place}")
}

async fn run(test: &Referrals, round: u64, operation: Operation) -> Answer {
    match operation {
        Operation::Bind { invitee, inviter, device } => {
            test.bind(json!({
                "code": code(round, inviter), "invitee": person(round, invitee),
                "device": format!("r{round}-device-{device}"),
            }))
            .await
        }
        Operation::Trigger { user } => test.reached(&person(round, user), "credit_granted").await,
    }
}

/// One row of the table.
struct Row {
    invitee: String,
    inviter: String,
    device: Vec<u8>,
    /// Whether the invitee became a customer, and whether that came before the binding.
    customer: Option<bool>,
}

async fn rows(test: &Referrals, round: u64) -> Vec<Row> {
    // The number of a transaction is given at its first write, which comes after its locks: of two that
    // hold the same lock, the earlier has the smaller one.
    let query = "SELECT b.invitee, b.inviter, b.device,
                        t.xmin::text::bigint < b.xmin::text::bigint AS before
                 FROM binding b
                 LEFT JOIN trigger_event t ON t.campaign_id = b.campaign_id
                      AND t.user_id = b.invitee AND t.kind = 'credit_granted'
                 WHERE b.invitee LIKE $1";
    let pattern = format!("r{round}-%");
    let database = test.api.database.connect().await;
    let rows = database.query(query, &[&pattern]).await.expect("rows");
    let row = |row: &tokio_postgres::Row| Row {
        invitee: row.get(0),
        inviter: row.get(1),
        device: row.get(2),
        customer: row.get(3),
    };
    rows.iter().map(row).collect()
}

/// All that must hold of a table, whatever the program was; what does not.
fn broken_invariants(rows: &[Row]) -> String {
    let mut broken = String::new();
    let mut inviters: HashMap<&str, &str> = HashMap::new();
    let mut devices = HashSet::new();
    for row in rows {
        let (invitee, above) = (row.invitee.as_str(), row.inviter.as_str());
        if inviters.insert(invitee, above).is_some() {
            writeln!(broken, "{invitee} is bound twice").expect("memory");
        }
        if invitee == above {
            writeln!(broken, "{invitee} invited himself").expect("memory");
        }
        if row.customer == Some(true) {
            writeln!(broken, "{invitee} was a customer before").expect("memory");
        }
        if !devices.insert(&row.device) {
            writeln!(broken, "{invitee} is the second on a device").expect("memory");
        }
    }
    for row in rows {
        let start = row.invitee.as_str();
        let mut up = start;
        for _ in 0..=inviters.len() {
            let Some(next) = inviters.get(up) else { break };
            up = next;
            if up == start {
                writeln!(broken, "{start} is in a circle").expect("memory");
                break;
            }
        }
    }
    broken
}

/// Whether each answer agrees with the others and with the table in the end; bindings stay, so what was
/// refused then is refused for a reason that can be seen now.
fn contradictions(round: u64, done: &[(Operation, Answer)], rows: &[Row]) -> String {
    let inviters: HashMap<&str, &Row> =
        rows.iter().map(|row| (row.invitee.as_str(), row)).collect();
    let customers: HashSet<usize> = done
        .iter()
        .filter_map(|(operation, _)| match operation {
            Operation::Trigger { user } => Some(*user),
            Operation::Bind { .. } => None,
        })
        .collect();
    let mut made: HashMap<usize, u32> = HashMap::new();
    let mut found = String::new();
    for (operation, answer) in done {
        let Operation::Bind { invitee, inviter, .. } = *operation else {
            if !matches!(answer.status, 200 | 201) {
                writeln!(found, "{operation:?}: {answer:?}").expect("memory");
            }
            continue;
        };
        let (name, other) = (person(round, invitee), person(round, inviter));
        let bound_to = inviters.get(name.as_str()).map(|row| row.inviter.as_str());
        let above = std::iter::successors(Some(other.as_str()), |up| {
            inviters.get(up).map(|row| row.inviter.as_str())
        });
        let agrees = match (answer.status, refusal_of(answer).as_str()) {
            (201, _) => {
                *made.entry(invitee).or_default() += 1;
                bound_to == Some(other.as_str())
            }
            (200, _) => bound_to == Some(other.as_str()),
            (409, "already-bound") => bound_to.is_some_and(|it| it != other),
            (422, "self-referral") => invitee == inviter,
            (422, "cycle") => above.take(PEOPLE + 1).any(|up| up == name),
            (422, "not-a-new-user") => customers.contains(&invitee),
            (422, "device-already-used") => true,
            _ => false,
        };
        if !agrees {
            writeln!(found, "{operation:?}: {answer:?}, bound to {bound_to:?}").expect("memory");
        }
    }
    for row in rows {
        let times = made.iter().filter(|(place, _)| person(round, **place) == row.invitee);
        if times.map(|(_, times)| *times).sum::<u32>() != 1 {
            writeln!(found, "{} was not bound by exactly one request", row.invitee)
                .expect("memory");
        }
    }
    found
}

fn refusal_of(answer: &Answer) -> String {
    if answer.status < 300 { String::new() } else { refusal(answer).1 }
}

/// Runs a program, and looks at what came of it.
async fn one_round(test: &Referrals, round: u64) -> Vec<Answer> {
    let seed = SEED + round;
    let program = program(seed);
    let answers = join_all(program.iter().map(|it| run(test, round, *it))).await;
    let done: Vec<(Operation, Answer)> = program.into_iter().zip(answers.clone()).collect();
    let rows = rows(test, round).await;
    let wrong = broken_invariants(&rows) + &contradictions(round, &done, &rows);
    assert!(wrong.is_empty(), "with the seed {seed}:\n{wrong}{}", shown(&done));
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_random_interleavings_break_no_invariant() {
    let _quiet = quiet().await;
    let screening = json!([
        { "check": "new_user", "mode": "block" },
        { "check": "device", "mode": "block" },
    ]);
    let api = TestApi::with_connections(16).await;
    let test = Referrals::on(api, &document(&screening)).await;
    let codes = "INSERT INTO referral_code (code, campaign_id, user_id)
         SELECT 'R' || lpad(r::text, 4, '0') || p, 'spring', 'r' || r || '-' || p
         FROM generate_series(0, $1::bigint - 1) r, generate_series(0, $2::bigint - 1) p";
    let sizes = (i64::try_from(ROUNDS).expect("small"), i64::try_from(PEOPLE).expect("small"));
    let database = test.api.database.connect().await;
    database.execute(codes, &[&sizes.0, &sizes.1]).await.expect("codes");
    let mut told = [0_u32; 2];
    for first in (0..ROUNDS).step_by(TOGETHER) {
        let rounds = first..ROUNDS.min(first + u64::try_from(TOGETHER).expect("small"));
        for answer in join_all(rounds.map(|round| one_round(&test, round))).await.concat() {
            told[usize::from(answer.status >= 300)] += 1;
        }
    }
    // Programs that bind nobody, or everybody, would show nothing.
    assert!(told.iter().all(|count| *count > 2_000), "{told:?}");
    let decisions = "SELECT count(*) FROM binding_decision d WHERE NOT EXISTS (
             SELECT FROM binding b WHERE (b.campaign_id, b.invitee, b.inviter)
                                       = (d.campaign_id, d.invitee, d.inviter))
         AND outcome <> 'refused'";
    assert_eq!(test.api.count(decisions).await, 0, "what was decided is what is so");
    let kept = test.api.count("SELECT count(*) FROM binding_decision").await;
    assert!(kept >= i64::from(told[1]), "{kept} decisions, {told:?}");
}

fn shown(done: &[(Operation, Answer)]) -> String {
    done.iter().fold(String::new(), |mut all, (operation, answer)| {
        let reason = refusal_of(answer);
        writeln!(all, "{operation:?} -> {} {reason}", answer.status).expect("memory");
        all
    })
}
