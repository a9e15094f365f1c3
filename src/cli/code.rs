//! `waypost code`

use clap::{Args, Subcommand};

use super::context::{Context, actor};
use super::fields::{self, say_fields, say_json};
use super::{Error, say};
use crate::api::codes::CodeView;
use crate::referral::codes::request::{ChosenCode, NewCode};
use crate::referral::codes::{self, CodeService};
use crate::store::codes::StoredCode;

/// Give, show and switch referral codes.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Give a user a code, or show the one that the user has
    Issue(Issue),
    /// Show whose code this is, however it is typed
    Show {
        /// The code
        code: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a user a code of your choice; the one before goes on leading to the user
    Vanity(Vanity),
    /// Switch a code off
    Disable {
        /// The code
        code: String,
    },
    /// Switch a code on again
    Enable {
        /// The code
        code: String,
    },
    /// Show how many codes wait to be given, a line for each length
    Pool,
}

/// Give a user a code.
#[derive(Debug, Args)]
pub(crate) struct Issue {
    /// The campaign's name
    campaign: String,
    /// The name that your backend has for the user
    user: String,
    /// The user's own name, of which only initials are kept
    #[arg(long)]
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Give a user a code of your choice.
#[derive(Debug, Args)]
pub(crate) struct Vanity {
    /// The campaign's name
    campaign: String,
    /// The name that your backend has for the user
    user: String,
    /// 4 to 20 digits and letters; I is read as 1, and O as 0, whoever types it
    code: String,
    /// Take the code even if a bad word can be read in it
    #[arg(long)]
    allow_bad_words: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    let codes = context.codes().await?;
    let show = |code: StoredCode, json: bool| {
        let view = CodeView::new(code, &codes);
        if json { say_json(&view) } else { say_fields(&view, "code") }
    };
    match command {
        Command::Issue(Issue { campaign, user, name, json }) => {
            // As a batch of one: that takes one code out of the pool, and leaves none behind.
            let request = NewCode { user, name };
            let mut issued = codes.issue_batch(&campaign, &[&request]).await.map_err(in_words)?;
            let issued = issued.pop().unwrap_or(Err(codes::Error::NoCodes)).map_err(in_words)?;
            show(issued.code, json)
        }
        Command::Show { code, json } => show(codes.find(&code).await.map_err(in_words)?, json),
        Command::Vanity(Vanity { campaign, user, code, allow_bad_words }) => {
            let request = ChosenCode { code, allow_bad_words };
            let chosen = codes.choose(&actor(), (&campaign, &user), &request).await;
            let chosen = chosen.map_err(in_words)?.code;
            let spelled = chosen.code.to_string();
            show(chosen, false)?;
            if request.code.contains(['i', 'I', 'o', 'O']) {
                say(&format!("No code has I or O: '{}' is {spelled} to us", request.code))?;
            }
            Ok(())
        }
        Command::Disable { code } => switch(&codes, &code, true).await,
        Command::Enable { code } => switch(&codes, &code, false).await,
        Command::Pool => {
            let pools = codes.pools().await.map_err(in_words)?;
            pools.into_iter().try_for_each(|pool| {
                let (length, left) = (pool.length, pool.left());
                let (generated, handed_out) = (pool.generated, pool.handed_out);
                say(&format!(
                    "{length} symbols: {generated} generated, {handed_out} handed out, {left} left"
                ))
            })
        }
    }
}

async fn switch(codes: &CodeService, code: &str, disabled: bool) -> Result<(), Error> {
    let code = codes.set_disabled(&actor(), code, disabled).await.map_err(in_words)?;
    let what = if disabled { "disabled" } else { "enabled" };
    say(&format!("{what} {}; running instances follow within seconds", code.code))
}

fn in_words(error: codes::Error) -> Error {
    match error {
        codes::Error::Invalid(faults) => fields::explain(faults, |field, _| match field {
            "user" => Some("the user".to_owned()),
            "code" => Some("the code".to_owned()),
            "" => Some(String::new()),
            _ => None,
        }),
        codes::Error::Store(error) => Error::Store(error),
        codes::Error::UnknownCampaign(_)
        | codes::Error::NotRunning(..)
        | codes::Error::UnknownCode(_)
        | codes::Error::Taken(_)
        | codes::Error::Busy
        | codes::Error::NoCodes => Error::Message(error.to_string()),
    }
}
