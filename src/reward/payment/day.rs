//! The payouts of a day, as the payment service tells them: for comparing the books with its own. No I/O.

use hyper::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Deserialize;

use super::answer;
use crate::outbound::Answer;

/// The longest mark of a page, in bytes: it becomes a part of an address.
const LONGEST_MARK: usize = 1_024;

/// A payout that was applied. One that was applied twice stands there twice.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Payout {
    /// The id that it was sent with.
    pub operation_id: String,
    /// The campaign that it belongs to.
    pub campaign: String,
    /// The reward that it belongs to.
    pub reward: String,
    /// Who got it.
    pub beneficiary: String,
    /// ISO 4217.
    pub currency: String,
    /// How much, in minor units; what the service says, whatever it is.
    pub amount_minor: i64,
    /// When.
    pub applied_at: Timestamp,
}

/// Some of a day's payouts, in the order in which they were applied.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct DayPage {
    /// The day that the page is of.
    day: Date,
    /// The payouts.
    pub payouts: Vec<Payout>,
    /// The mark of the next page; none on the last one.
    #[serde(default)]
    pub next: Option<String>,
}

/// Reads the page after `after` of this day.
pub(super) fn page(date: Date, after: Option<&str>, answer: &Answer) -> Result<DayPage, String> {
    if answer.status != StatusCode::OK {
        return Err(answer::in_words(answer));
    }
    let not_understood = |why: &str| answer::not_understood(why, answer);
    let page: DayPage = answer::object(answer).map_err(|why| not_understood(&why))?;
    if page.day != date {
        return Err(not_understood("it is about another day"));
    }
    match page.next.as_deref() {
        Some(next) if next.is_empty() || next.len() > LONGEST_MARK => {
            Err(not_understood(&format!("its 'next' must have 1 to {LONGEST_MARK} bytes")))
        }
        // Who follows it would follow it for ever.
        Some(next) if after == Some(next) => {
            Err(not_understood("its 'next' leads to the same page again"))
        }
        Some(_) | None => Ok(page),
    }
}
