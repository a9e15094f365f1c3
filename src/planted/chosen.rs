//! What `WAYPOST_PLANTED` says, in a build that listens to it.

use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};

use super::{Boundary, Bug, Struck};

/// What happens when the process comes to a boundary for the `time`th time, counted from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stroke {
    /// None: the process ends at once, as by SIGKILL.
    what: Option<Struck>,
    at: Boundary,
    time: u32,
}

#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    bugs: Vec<Bug>,
    stroke: Option<Stroke>,
}

impl FromStr for Stroke {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text}: neither a bug nor a stroke such as kill:sent:3");
        let mut parts = text.split(':');
        let (Some(what), Some(at), Some(time), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(wrong());
        };
        let what = match what {
            "kill" => None,
            "fail" => Some(Struck::Fail),
            "repeat" => Some(Struck::Repeat),
            _ => return Err(wrong()),
        };
        let at = Boundary::ALL.into_iter().find(|it| it.name() == at).ok_or_else(wrong)?;
        let time = time.parse().ok().filter(|time| *time >= 1).ok_or_else(wrong)?;
        Ok(Self { what, at, time })
    }
}

impl FromStr for Plan {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut plan = Self::default();
        for word in text.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            if let Some(bug) = Bug::ALL.into_iter().find(|bug| bug.name() == word) {
                plan.bugs.push(bug);
            } else if plan.stroke.replace(word.parse()?).is_some() {
                return Err(format!("{word}: there is a stroke already; name one"));
            }
        }
        Ok(plan)
    }
}

static PLAN: LazyLock<Plan> = LazyLock::new(|| {
    #[expect(clippy::disallowed_methods, reason = "no setting: a build for use cannot have it")]
    let text = std::env::var("WAYPOST_PLANTED").unwrap_or_default();
    match text.parse() {
        Ok(plan) => plan,
        Err(fault) => panic!("WAYPOST_PLANTED: {fault}"),
    }
});

/// How often this process came to the boundary of the stroke.
static TIMES: AtomicU32 = AtomicU32::new(0);

/// Whether this bug was put in.
pub fn planted(bug: Bug) -> bool {
    PLAN.bugs.contains(&bug)
}

/// What strikes here, this time.
pub fn struck(at: Boundary) -> Struck {
    let Some(stroke) = PLAN.stroke.filter(|stroke| stroke.at == at) else {
        return Struck::No;
    };
    if TIMES.fetch_add(1, Ordering::Relaxed).saturating_add(1) != stroke.time {
        return Struck::No;
    }
    tracing::warn!(?stroke, "a planted stroke");
    stroke.what.unwrap_or_else(|| std::process::abort())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plan_names_bugs_and_one_stroke() {
        let plan: Plan = "no-bind-lock, sweeper-off,kill:sent:3".parse().expect("a plan");
        let stroke = Stroke { what: None, at: Boundary::Sent, time: 3 };
        let wanted = Plan { bugs: vec![Bug::NoBindLock, Bug::SweeperOff], stroke: Some(stroke) };
        assert_eq!(plan, wanted);
        assert_eq!("".parse(), Ok(Plan::default()));
        let wrong = ["no-bug", "kill:sent", "kill:sent:0", "hit:sent:1", "kill:home:1"];
        for text in wrong.into_iter().chain(["fail:sent:1,kill:sent:2"]) {
            text.parse::<Plan>().expect_err(text);
        }
    }
}
