//! `waypost dictionary`: how small targets become in Redis.

use clap::Subcommand;

use super::context::Context;
use super::{Error, say};
use crate::resolve::learning;

/// See the module.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Learn the frequent parts of the links' targets, so that they take less memory in Redis
    ///
    /// `waypost serve` does the same by itself when too many records do not fit into their buckets.
    Learn,
}

pub(super) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::Learn => {
            let lesson = learning::learn(&context.store).await?;
            let percent = |share: f64| share * 100.0;
            say(&format!("Looked at {} targets.", lesson.sampled))?;
            say(&format!(
                "Now: {:.1} bytes a target, {:.1} % of records fit into a bucket.",
                lesson.before.bytes,
                percent(lesson.before.share)
            ))?;
            match lesson.kept {
                Some(id) => say(&format!(
                    "From now on: {:.1} bytes, {:.1} %, by dictionary {id}.",
                    lesson.after.bytes,
                    percent(lesson.after.share)
                )),
                None => say("A new dictionary would save less than a tenth: nothing was changed."),
            }
        }
    }
}
