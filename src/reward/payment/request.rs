//! The bytes of requests. They are stored before the first attempt and sent as they are each time, so
//! the same values must always give the same bytes: the order of the fields stands here. No I/O.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// An amount for somebody, and what it is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Money<'a> {
    /// The campaign that it belongs to.
    pub campaign: &'a str,
    /// The reward that it belongs to.
    pub reward: &'a str,
    /// Who gets it, by the name that the lender's own systems use.
    pub beneficiary: &'a str,
    /// ISO 4217, such as `IDR`.
    pub currency: &'a str,
    /// The amount, or the most that may be drawn, in minor units.
    pub minor: i64,
}

/// What a user is to be told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Message<'a> {
    /// The campaign that it belongs to.
    pub campaign: &'a str,
    /// Who is told, by the name that the lender's own systems use.
    pub user: &'a str,
    /// Which message it is, such as `scratch-card-reminder`; the service has the words.
    pub kind: &'a str,
    /// The language of the user, such as `id`, if it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<&'a str>,
    /// The reward that it belongs to, if it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<&'a str>,
    /// At most 16 texts to put into the message, by their names.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<&'a str, &'a str>,
}

#[derive(Serialize)]
struct Draw<'a> {
    campaign: &'a str,
    reward: &'a str,
    beneficiary: &'a str,
    currency: &'a str,
    up_to_minor: i64,
}

#[derive(Serialize)]
struct Transfer<'a> {
    campaign: &'a str,
    reward: &'a str,
    beneficiary: &'a str,
    currency: &'a str,
    amount_minor: i64,
}

/// The body of `POST /draws`: decide on an amount up to `money.minor`.
pub fn draw(money: &Money<'_>) -> Bytes {
    let Money { campaign, reward, beneficiary, currency, minor } = *money;
    bytes(&Draw { campaign, reward, beneficiary, currency, up_to_minor: minor })
}

/// The body of `POST /allotments`: record the amount for the user.
pub fn allotment(money: &Money<'_>) -> Bytes {
    transfer(money)
}

/// The body of `POST /payouts`: move the money.
pub fn payout(money: &Money<'_>) -> Bytes {
    transfer(money)
}

/// The body of `POST /messages`.
pub fn message(message: &Message<'_>) -> Bytes {
    bytes(message)
}

fn transfer(money: &Money<'_>) -> Bytes {
    let Money { campaign, reward, beneficiary, currency, minor } = *money;
    bytes(&Transfer { campaign, reward, beneficiary, currency, amount_minor: minor })
}

fn bytes(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("texts and whole numbers").into()
}

/// The amounts of a request, as it was sent.
#[derive(Default, Deserialize)]
pub(super) struct Amounts {
    /// The most that may be drawn.
    pub(super) up_to_minor: Option<i64>,
    /// What is to be allotted or paid.
    pub(super) amount_minor: Option<i64>,
}

impl Amounts {
    /// Reads them from the bytes; a request that is none of ours has none.
    pub(super) fn of(request: &[u8]) -> Self {
        serde_json::from_slice(request).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MONEY: Money<'static> = Money {
        campaign: "demo",
        reward: "r-1",
        beneficiary: "ri\"na",
        currency: "IDR",
        minor: 1_804_411,
    };

    #[test]
    fn the_bytes_of_amounts_are_those_of_the_protocol_for_ever() {
        let transfer = r#"{"campaign":"demo","reward":"r-1","beneficiary":"ri\"na","currency":"IDR","amount_minor":1804411}"#;
        assert_eq!(draw(&MONEY), transfer.replace("amount_minor", "up_to_minor"));
        assert_eq!(allotment(&MONEY), transfer);
        assert_eq!(payout(&MONEY), transfer);
    }

    #[test]
    fn the_bytes_of_messages_are_those_of_the_protocol_for_ever() {
        let bare = Message {
            campaign: "demo",
            user: "rina",
            kind: "scratch-card-reminder",
            language: None,
            reward: None,
            values: BTreeMap::new(),
        };
        assert_eq!(
            message(&bare),
            r#"{"campaign":"demo","user":"rina","kind":"scratch-card-reminder"}"#
        );
        let values = BTreeMap::from([("place", "Jawa"), ("days_left", "3")]);
        let whole = Message { language: Some("id"), reward: Some("r-1"), values, ..bare };
        assert_eq!(
            message(&whole),
            concat!(
                r#"{"campaign":"demo","user":"rina","kind":"scratch-card-reminder","language":"id","#,
                r#""reward":"r-1","values":{"days_left":"3","place":"Jawa"}}"#
            )
        );
    }

    #[test]
    fn the_amounts_are_read_from_the_bytes_that_were_sent() {
        assert_eq!(Amounts::of(&draw(&MONEY)).up_to_minor, Some(1_804_411));
        assert_eq!(Amounts::of(&payout(&MONEY)).amount_minor, Some(1_804_411));
        let none = Amounts::of(b"something else");
        assert_eq!((none.up_to_minor, none.amount_minor), (None, None));
    }
}
