//! What the process was told on its command line, and how it answers.

use std::fmt::Display;
use std::io::Write;
use std::str::FromStr;

/// The words after the name of the program.
pub(crate) struct Words(Vec<String>);

impl Words {
    /// Those of this process.
    pub(crate) fn of_this_process() -> Self {
        Self(std::env::args().skip(1).collect())
    }

    /// The first word.
    pub(crate) fn command(&self) -> Option<&str> {
        self.0.first().map(String::as_str)
    }

    /// The value after `name`, such as `--seed 7`. Panics when it is none.
    pub(crate) fn value<T: FromStr<Err: Display>>(&self, name: &str) -> Option<T> {
        let after = self.0.iter().skip_while(|word| *word != name).nth(1)?;
        Some(after.parse().unwrap_or_else(|error| panic!("{name} {after}: {error}")))
    }

    /// Whether `name` is among them.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|word| word == name)
    }

    /// The word that names tests, as `cargo test` hands it on: the first that is no option.
    pub(crate) fn filter(&self) -> Option<&str> {
        self.0.iter().map(String::as_str).find(|word| !word.starts_with('-'))
    }
}

/// Prints a line at once, for people and for the process that reads it.
pub(crate) fn say(line: impl Display) {
    let mut out = std::io::stdout().lock();
    // Whoever does not listen any more needs no answer.
    drop(writeln!(out, "{line}").and_then(|()| out.flush()));
}
