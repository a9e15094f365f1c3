//! What the sandbox does wrong on purpose, and how often. No I/O; chance is passed in.

use std::time::Duration;

use rand::{Rng, RngExt};
use serde::{Deserialize, Serialize};

/// The longest delay that can be asked for, in milliseconds.
pub const LONGEST_DELAY: u64 = 600_000;

/// One thing that a payment service, or the network before it, can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The connection is closed before anything was applied.
    DropBefore,
    /// The operation is applied, and the connection closed without an answer.
    DropAfter,
    /// The operation is applied, and the answer comes late.
    Delay,
    /// 503 before anything was applied.
    ErrorBefore,
    /// The operation is applied, and answered with 500.
    ErrorAfter,
    /// A known operation is taken for a new one, as after the dedupe window.
    Forget,
    /// A repeated operation is applied again.
    NotIdempotent,
}

impl Fault {
    /// All of them, in the order in which chance is asked.
    pub const ALL: [Self; 7] = [
        Self::DropBefore,
        Self::DropAfter,
        Self::Delay,
        Self::ErrorBefore,
        Self::ErrorAfter,
        Self::Forget,
        Self::NotIdempotent,
    ];

    /// Its name on the command line and in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::DropBefore => "drop-before",
            Self::DropAfter => "drop-after",
            Self::Delay => "delay",
            Self::ErrorBefore => "error-before",
            Self::ErrorAfter => "error-after",
            Self::Forget => "forget",
            Self::NotIdempotent => "not-idempotent",
        }
    }
}

/// How likely each fault is for a request, from 0 to 1, and how long a delay is.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Faults {
    drop_before: f64,
    drop_after: f64,
    delay: f64,
    error_before: f64,
    error_after: f64,
    forget: f64,
    not_idempotent: f64,
    delay_ms: u64,
}

impl Default for Faults {
    /// None, and a delay of two seconds for whoever asks for delays later.
    fn default() -> Self {
        Self {
            drop_before: 0.0,
            drop_after: 0.0,
            delay: 0.0,
            error_before: 0.0,
            error_after: 0.0,
            forget: 0.0,
            not_idempotent: 0.0,
            delay_ms: 2_000,
        }
    }
}

impl Faults {
    /// The same with another delay, in milliseconds.
    #[must_use]
    pub fn with_delay(self, millis: u64) -> Self {
        Self { delay_ms: millis, ..self }
    }

    /// The same with another probability of one fault.
    #[must_use]
    pub fn with(mut self, fault: Fault, probability: f64) -> Self {
        let place = match fault {
            Fault::DropBefore => &mut self.drop_before,
            Fault::DropAfter => &mut self.drop_after,
            Fault::Delay => &mut self.delay,
            Fault::ErrorBefore => &mut self.error_before,
            Fault::ErrorAfter => &mut self.error_after,
            Fault::Forget => &mut self.forget,
            Fault::NotIdempotent => &mut self.not_idempotent,
        };
        *place = probability;
        self
    }

    /// How likely a fault is.
    pub fn probability(&self, fault: Fault) -> f64 {
        match fault {
            Fault::DropBefore => self.drop_before,
            Fault::DropAfter => self.drop_after,
            Fault::Delay => self.delay,
            Fault::ErrorBefore => self.error_before,
            Fault::ErrorAfter => self.error_after,
            Fault::Forget => self.forget,
            Fault::NotIdempotent => self.not_idempotent,
        }
    }

    /// How late an answer is that is delayed.
    pub fn delay(&self) -> Duration {
        Duration::from_millis(self.delay_ms)
    }

    /// The field that is out of its range, and what would be right.
    pub fn check(&self) -> Result<(), (&'static str, String)> {
        for fault in Fault::ALL {
            check_probability(self.probability(fault)).map_err(|why| (fault.name(), why))?;
        }
        if self.delay_ms > LONGEST_DELAY {
            return Err(("delay-ms", format!("must be at most {LONGEST_DELAY} milliseconds")));
        }
        Ok(())
    }

    /// Which faults strike the next request. Chance is asked equally often whatever is likely, so that
    /// the same seed strikes the same requests after other probabilities were changed.
    pub fn strike(&self, chance: &mut impl Rng) -> Struck {
        let strikes = |fault: &Fault| chance.random::<f64>() < self.probability(*fault);
        Struck(Fault::ALL.into_iter().filter(strikes).collect())
    }
}

fn check_probability(probability: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&probability) {
        Ok(())
    } else {
        Err(format!("must be a probability from 0 to 1, and is {probability}"))
    }
}

/// Reads `KIND=PROBABILITY`, as it stands on the command line.
pub fn parse(text: &str) -> Result<(Fault, f64), String> {
    let (name, number) = text
        .split_once('=')
        .ok_or_else(|| "write KIND=PROBABILITY, for example drop-after=0.1".to_owned())?;
    let fault = Fault::ALL.into_iter().find(|fault| fault.name() == name).ok_or_else(|| {
        let names = Fault::ALL.map(Fault::name).join(", ");
        format!("there is no fault '{name}'; there are {names}")
    })?;
    let probability: f64 =
        number.parse().map_err(|_no_number| format!("'{number}' is no number from 0 to 1"))?;
    check_probability(probability)?;
    Ok((fault, probability))
}

/// The faults that strike one request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Struck(Vec<Fault>);

impl Struck {
    /// Whether this one does.
    pub fn by(&self, fault: Fault) -> bool {
        self.0.contains(&fault)
    }

    /// Whether none does.
    pub fn none(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn what_is_certain_always_strikes_and_what_is_impossible_never() {
        let faults = Faults::default().with(Fault::Delay, 1.0);
        let mut chance = StdRng::seed_from_u64(1);
        for _ in 0..100 {
            assert_eq!(faults.strike(&mut chance), Struck(vec![Fault::Delay]));
        }
    }

    #[test]
    fn a_seed_strikes_the_same_requests_whatever_else_is_likely() {
        let struck = |faults: Faults| {
            let mut chance = StdRng::seed_from_u64(7);
            let strikes = (0..200).map(|_| faults.strike(&mut chance).by(Fault::DropAfter));
            strikes.collect::<Vec<bool>>()
        };
        let alone = Faults::default().with(Fault::DropAfter, 0.3);
        assert_eq!(struck(alone), struck(alone.with(Fault::Forget, 1.0)));
        let count = struck(alone).into_iter().filter(|it| *it).count();
        assert!((30..=90).contains(&count), "{count} of 200 at 0.3");
    }

    #[test]
    fn a_fault_on_the_command_line_has_a_known_name_and_a_probability() {
        assert_eq!(parse("drop-after=0.25"), Ok((Fault::DropAfter, 0.25)));
        for (text, said) in [
            ("drop-after", "KIND=PROBABILITY"),
            ("drop=0.1", "drop-before, drop-after"),
            ("delay=often", "no number"),
            ("delay=1.5", "from 0 to 1"),
            ("delay=-0.1", "from 0 to 1"),
            ("delay=NaN", "from 0 to 1"),
        ] {
            let refused = parse(text).expect_err(text);
            assert!(refused.contains(said), "{text}: {refused}");
        }
    }

    #[test]
    fn names_are_the_same_on_the_command_line_and_in_json() {
        for fault in Fault::ALL {
            let json = serde_json::to_value(Faults::default().with(fault, 0.5)).expect("JSON");
            assert_eq!(json.get(fault.name()), Some(&serde_json::json!(0.5)), "{fault:?}");
            assert_eq!(serde_json::to_value(fault).expect("JSON"), fault.name());
        }
    }
}
