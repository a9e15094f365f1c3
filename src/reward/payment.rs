//! Asking the payment and the notification service, as `docs/payment-protocol.md` says. Knows nothing of
//! rewards: it sends bytes, and says what became of them and whether they may be sent again.
//!
//! Nothing is repeated here, and nothing is believed that does not fit what was asked: an answer about
//! another operation, or with an amount that was not asked for, never becomes money.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HeaderName, HeaderValue};
use jiff::civil::Date;
use url::Url;

use crate::config::{self, Config};
use crate::outbound::{self, Outbound};
use answer::Operation;

pub use day::{DayPage, Payout};

mod answer;
mod day;
pub mod request;

/// How much of the answer to a call is read, in bytes.
const ANSWER_BYTES: usize = 64 * 1_024;
/// How much of a page of a day's payouts is read, in bytes.
const DAY_BYTES: usize = 4 * 1_024 * 1_024;
/// The longest operation id.
const LONGEST_ID: usize = 64;
/// The header with the operation id.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// The problem of [`Sent::Refused`] when the answer has an amount that was not asked for.
pub const AMOUNT_OUT_OF_RANGE: &str = "amount-out-of-range-in-answer";

/// What a service is asked to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// Decide on an amount.
    Draw,
    /// Record the amount for the user.
    Allot,
    /// Move the money.
    Pay,
    /// Tell the user something.
    Message,
}

impl Call {
    /// Where it is sent.
    fn path(self) -> &'static str {
        match self {
            Self::Draw => "draws",
            Self::Allot => "allotments",
            Self::Pay => "payouts",
            Self::Message => "messages",
        }
    }

    /// What figures call it.
    pub fn name(self) -> &'static str {
        self.kind()
    }

    /// What the service calls an operation that it makes.
    fn kind(self) -> &'static str {
        match self {
            Self::Draw => "draw",
            Self::Allot => "allotment",
            Self::Pay => "payout",
            Self::Message => "message",
        }
    }
}

/// What became of one attempt. Nothing is said here of attempts before it: where one of those is
/// unknown, the operation is, until this one was applied or the service was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sent {
    /// It was applied, now or before.
    Applied {
        /// The amount, if the answer has one, in minor units: within what was asked for. A draw
        /// always has one.
        amount_minor: Option<i64>,
    },
    /// It must never be sent again by itself: a person has to look at it. It surely applied nothing,
    /// unless `problem` is [`AMOUNT_OUT_OF_RANGE`].
    Refused {
        /// The name of the problem, as the protocol has it, or `status-` and the status where the
        /// service did not name one.
        problem: String,
        /// What the service said about it, shortened.
        detail: String,
    },
    /// It surely applied nothing, and the same bytes may be sent again.
    Later {
        /// How long the service wants to be left alone: at most a quarter of an hour.
        after: Option<Duration>,
        /// Why.
        why: String,
    },
    /// Nobody knows whether it applied something: ask for the operation.
    Unknown {
        /// Why.
        why: String,
    },
}

/// What a service knows of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Asked {
    /// It was applied, with the same bytes.
    Applied {
        /// The amount, if the answer has one, in minor units: within what was asked for. A draw
        /// always has one.
        amount_minor: Option<i64>,
    },
    /// An operation with this id was applied, but it is another one: a person has to look at it.
    Differs {
        /// What is different.
        detail: String,
    },
    /// It was not applied, as far as the service remembers. The first attempt may still be on its way.
    NotKnown,
    /// Nothing was learned.
    NoAnswer {
        /// Why.
        why: String,
    },
}

/// What a payment service says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct About {
    /// How long it remembers the ids of operations: from a minute to a year. One that remembers them
    /// for longer is believed for a year.
    pub dedupe_window: Duration,
}

/// The client of both services; clones share its connections.
#[derive(Clone, Debug)]
pub struct Payment {
    services: Arc<Services>,
}

#[derive(Debug)]
struct Services {
    money: Service,
    messages: Service,
}

impl Payment {
    /// The services of `[payment]` and `[notifications]`; none without `[payment] url`. Connects to
    /// nothing yet.
    pub fn new(config: &Config) -> Result<Option<Self>, outbound::Error> {
        let config::Payment { url, authorization, deadline, .. } = &config.payment;
        let Some(url) = url else { return Ok(None) };
        let own = &config.notifications;
        let shared = own.url.is_none() && own.authorization.is_empty();
        let messages_authorization = if shared { authorization } else { &own.authorization };
        let messages_url = own.url.as_ref().unwrap_or(url);
        Ok(Some(Self {
            services: Arc::new(Services {
                money: Service::new(config, url, (authorization, *deadline))?,
                messages: Service::new(
                    config,
                    messages_url,
                    (messages_authorization, own.deadline),
                )?,
            }),
        }))
    }

    fn service(&self, call: Call) -> &Service {
        match call {
            Call::Draw | Call::Allot | Call::Pay => &self.services.money,
            Call::Message => &self.services.messages,
        }
    }

    /// Sends a request once, within the deadline of its service. `request` is what [`request`] made,
    /// byte for byte the same each time that `operation_id` is sent.
    pub async fn send(&self, call: Call, operation_id: &str, request: Bytes) -> Sent {
        let Some(key) = key(operation_id) else {
            let problem = "invalid-key".to_owned();
            return Sent::Refused { problem, detail: bad_id(operation_id) };
        };
        let operation = Operation { call, id: operation_id, request: &request.clone() };
        match self.service(call).post(call.path(), key, request).await {
            Ok(answer) => answer::sent(&operation, &answer),
            Err(error) if error.nothing_was_sent() => {
                Sent::Later { after: None, why: answer::cut(&error.to_string()) }
            }
            Err(error) => Sent::Unknown { why: answer::cut(&error.to_string()) },
        }
    }

    /// Asks what became of an operation. `request` is what was sent for it.
    pub async fn ask(&self, call: Call, operation_id: &str, request: &[u8]) -> Asked {
        if key(operation_id).is_none() {
            return Asked::NoAnswer { why: bad_id(operation_id) };
        }
        let service = self.service(call);
        let url = service.address(["operations", operation_id]);
        match service.get(&service.outbound, &url).await {
            Ok(answer) => answer::asked(&Operation { call, id: operation_id, request }, &answer),
            Err(why) => Asked::NoAnswer { why },
        }
    }

    /// Asks the payment service about itself. An error says what is wrong, for the operator.
    pub async fn about(&self) -> Result<About, String> {
        let service = &self.services.money;
        answer::about(&service.get(&service.outbound, &service.url).await?)
    }

    /// One page of the payouts that were applied on a day of UTC: the first one, or the one after
    /// `after`, which is [`DayPage::next`] of the page before.
    pub async fn day(&self, date: Date, after: Option<&str>) -> Result<DayPage, String> {
        let service = &self.services.money;
        let mut url = service.address(["days", &date.to_string()]);
        if let Some(after) = after {
            url.query_pairs_mut().append_pair("after", after);
        }
        let answer = service.get(&service.outbound.reading_up_to(DAY_BYTES), &url).await?;
        day::page(date, after, &answer)
    }
}

/// One of the services.
#[derive(Debug)]
struct Service {
    outbound: Outbound,
    /// Its path ends with `/`.
    url: Url,
    authorization: Option<HeaderValue>,
    deadline: Duration,
}

impl Service {
    fn new(
        config: &Config,
        url: &Url,
        (authorization, deadline): (&config::Secret, Duration),
    ) -> Result<Self, outbound::Error> {
        let outbound = Outbound::new(&outbound::Settings {
            ca_file: config.outbound.ca_file.clone(),
            body_bytes: ANSWER_BYTES,
            idle_connections: config.payment.calls,
        })?;
        let authorization = (!authorization.is_empty()).then(|| {
            let mut value = HeaderValue::from_str(authorization.expose())
                .expect("settings are judged when they are read");
            value.set_sensitive(true);
            value
        });
        Ok(Self { outbound, url: url.clone(), authorization, deadline })
    }

    /// An address below that of the service.
    fn address<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.url.clone();
        let mut segments = url.path_segments_mut().expect("HTTP has paths");
        segments.pop_if_empty().extend(path);
        drop(segments);
        url
    }

    fn headers(&self, more: Option<(HeaderName, HeaderValue)>) -> Vec<(HeaderName, HeaderValue)> {
        let authorization = self.authorization.clone().map(|value| (AUTHORIZATION, value));
        authorization.into_iter().chain(more).collect()
    }

    async fn post(
        &self,
        path: &str,
        key: HeaderValue,
        body: Bytes,
    ) -> Result<outbound::Answer, outbound::Error> {
        let headers = self.headers(Some((IDEMPOTENCY_KEY, key)));
        self.outbound.post_json(&self.address([path]), &headers, body, self.deadline).await
    }

    async fn get(&self, outbound: &Outbound, url: &Url) -> Result<outbound::Answer, String> {
        let answer = outbound.get(url, &self.headers(None), self.deadline).await;
        answer.map_err(|error| answer::cut(&error.to_string()))
    }
}

/// The header's value for an operation id; none for what is no operation id.
fn key(operation_id: &str) -> Option<HeaderValue> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let good = (1..=LONGEST_ID).contains(&operation_id.len()) && operation_id.bytes().all(fits);
    HeaderValue::from_str(operation_id).ok().filter(|_| good)
}

fn bad_id(operation_id: &str) -> String {
    let shown = answer::cut(operation_id);
    format!(
        "{shown:?} is no operation id, and nothing was sent: it must be 1 to {LONGEST_ID} of the \
         characters A-Z a-z 0-9 _ -"
    )
}
