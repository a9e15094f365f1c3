//! Asking a campaign's eligibility service whether somebody may be invited: one question over HTTP, and
//! two seconds for the answer. Whatever is not a plain yes or no is no answer.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use url::Url;

use super::screening::{Eligibility, Subject};
use crate::campaign::CampaignId;
use crate::clock::Stopwatch;
use crate::metrics::Metrics;
use crate::outbound::Outbound;

/// From the question to the end of the answer: finding the address and connecting included.
const PATIENCE: Duration = Duration::from_secs(2);
/// How much of the service's own words is kept, in characters.
const LONGEST_REASON: usize = 200;

#[derive(Serialize)]
struct Question<'a> {
    campaign: &'a CampaignId,
    invitee: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    inviter: Option<&'a str>,
}

#[derive(Deserialize)]
struct Answer {
    eligible: bool,
    #[serde(default)]
    reason: Option<String>,
}

/// Asks the service at `url`. Answers also with its own words, if it says any.
pub async fn ask(
    (outbound, metrics): (&Outbound, &Metrics),
    url: &str,
    campaign: &CampaignId,
    subject: &Subject<'_>,
) -> (Eligibility, Option<String>) {
    let clock = Stopwatch::start();
    let answer = question(outbound, url, campaign, subject).await;
    let figures = &metrics.referrals;
    figures.eligibility_seconds.observe(clock.elapsed().as_secs_f64());
    let (said, reason) = match answer {
        Ok(answer) => {
            let said = if answer.eligible { Eligibility::Yes } else { Eligibility::No };
            let written = |letter: &char| !letter.is_control();
            let short = |text: String| text.chars().filter(written).take(LONGEST_REASON).collect();
            (said, answer.reason.map(short))
        }
        Err(error) => {
            tracing::warn!(%campaign, error, "the eligibility service did not answer");
            (Eligibility::NoAnswer, None)
        }
    };
    let label = match said {
        Eligibility::Yes => "yes",
        Eligibility::No => "no",
        Eligibility::NoAnswer | Eligibility::NotAsked => "no_answer",
    };
    figures.eligibility.with_label_values(&[label]).inc();
    (said, reason)
}

async fn question(
    outbound: &Outbound,
    url: &str,
    campaign: &CampaignId,
    subject: &Subject<'_>,
) -> Result<Answer, String> {
    let url = Url::parse(url).map_err(|error| error.to_string())?;
    let question = Question { campaign, invitee: subject.invitee, inviter: subject.inviter };
    let body = Bytes::from(serde_json::to_vec(&question).expect("texts"));
    let answer = outbound.post_json(&url, &[], body, PATIENCE).await;
    let answer = answer.map_err(|error| error.to_string())?;
    if answer.status != hyper::StatusCode::OK {
        return Err(format!("it answered with the status {}", answer.status.as_u16()));
    }
    serde_json::from_slice(&answer.body)
        // What was sent is not repeated: it may be about somebody.
        .map_err(|error| format!("its answer is not understood: {:?}", error.classify()))
}
