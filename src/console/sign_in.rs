//! Signing in with an API key, and out again. An id that a browser brings along is never taken up:
//! each sign-in makes a new one.

use hyper::StatusCode;
use maud::html;
use serde_json::json;

use super::page::{Input, Page, Section, errors, input};
use super::session::{self, SessionId};
use super::{Answer, Arrival, Console, Form, Outcome, ROOT, Session};
use crate::api::callers;
use crate::fault::{Fault, Reason};
use crate::http::auth::{ApiKey, Caller};
use crate::http::problem::{Kind, Problem};
use crate::store::{self, audit, console};

/// The longest place to go to after signing in, in bytes.
const LONGEST_PLACE: usize = 512;

/// The page that asks somebody who is not signed in for a key; the address stays, and is gone on to.
pub(super) fn asked(arrival: &Arrival) -> Answer {
    let uri = &arrival.parts.uri;
    let asked_for = uri.path_and_query().map_or(ROOT, |it| it.as_str());
    let to = if uri.path() == format!("{ROOT}/sign-in") { ROOT } else { asked_for };
    let ended = arrival.cookie.is_some();
    let mut page = page(to, &[], ended);
    if uri.path() != ROOT && uri.path() != format!("{ROOT}/sign-in") {
        page = page.with_status(StatusCode::FORBIDDEN);
    }
    let mut answer = Answer::of(page);
    answer.cookie = ended.then(|| session::no_cookie(arrival.secure));
    answer
}

/// The page with a form for the key, which leads on to `to`.
fn page(to: &str, faults: &[Fault], ended: bool) -> Page {
    let key = Input {
        name: "key",
        label: "API key",
        hint: "It begins with wp_ and was shown once, when it was made.",
        kind: "password",
        needed: true,
    };
    let main = html! {
        @if ended {
            p.notice { "Your session has ended. Sign in again to go on." }
        }
        (errors(faults))
        form.narrow method="post" action={ (ROOT) "/sign-in" } {
            (input(&Form::default(), faults, &key))
            input type="hidden" name="to" value=(safe(to));
            button { "Sign in" }
        }
        p.soft {
            "You see and do what the key may. A session lasts eight hours at most, and ends when \
             nobody uses it for one. "
            code { "waypost key create" } " makes keys."
        }
    };
    Page::new("Sign in", Section::None, main)
}

/// Where somebody may be led after signing in: into the console, and nowhere else.
fn safe(to: &str) -> &str {
    let plain = to.len() <= LONGEST_PLACE && to.bytes().all(|it| it.is_ascii_graphic());
    let path = to.split(['?', '#']).next().unwrap_or_default();
    let ours = Console::has(path) && !to.contains('\\') && !path.contains("..");
    if plain && ours { to } else { ROOT }
}

impl Console {
    /// Signs somebody in who has a key that holds.
    pub(super) async fn sign_in(&self, arrival: &Arrival) -> Result<Answer, Problem> {
        let now = self.clock.now();
        if let Some(wait) = self.wrong_keys.wait(arrival.client, now) {
            let detail = format!(
                "Too many keys were tried from here that are none. Try again in {} minutes.",
                wait.as_secs() / 60 + 1
            );
            return Err(Problem::new(Kind::TooManyAttempts, detail).after(wait));
        }
        let to = safe(arrival.form.text("to"));
        let caller = match ApiKey::parse(arrival.form.text("key").trim()) {
            Some(key) => callers::holder(&self.store, &key).await?,
            None => None,
        };
        let Some(caller) = caller else {
            self.wrong_keys.note(arrival.client, now);
            tracing::warn!(
                "somebody tried to sign in to the console with a key that does not hold"
            );
            let detail = "is unknown, wrong or revoked; copy the whole key, from wp_ to its end";
            let page = page(to, &[Fault::new("/key", Reason::OutOfRange, detail)], false);
            return Ok(Answer::of(page.with_status(StatusCode::FORBIDDEN)));
        };
        let id = self.begin_session(&caller, arrival.cookie.as_ref()).await?;
        let cookie = Some(id.cookie(arrival.secure));
        let session = Some(Session { id, caller });
        Ok(Answer { outcome: Outcome::Goes(to.to_owned()), session, cookie })
    }

    /// Begins a session with an id of its own; the one before ends.
    async fn begin_session(
        &self,
        caller: &Caller,
        before: Option<&SessionId>,
    ) -> Result<SessionId, store::Error> {
        let (id, now) = (SessionId::random(), self.clock.now());
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await?;
        if let Some(before) = before {
            console::end(&transaction, &before.hash()).await?;
        }
        let new = console::NewSession {
            id_hash: &id.hash(),
            key_id: &caller.key_id,
            now: now.into(),
            expires_at: now.after(session::LIFE).into(),
        };
        console::begin(&transaction, &new, session::idle_since(now)).await?;
        record(&transaction, caller, "console.sign-in").await?;
        transaction.commit().await?;
        Ok(id)
    }

    /// Ends the session, here and for everybody who has its id.
    pub(super) async fn sign_out(
        &self,
        arrival: &Arrival,
        session: &Session,
    ) -> Result<Answer, Problem> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if console::end(&transaction, &session.id.hash()).await? {
            record(&transaction, &session.caller, "console.sign-out").await?;
        }
        transaction.commit().await.map_err(store::Error::from)?;
        let cookie = Some(session::no_cookie(arrival.secure));
        Ok(Answer { outcome: Outcome::Goes(ROOT.to_owned()), session: None, cookie })
    }
}

async fn record(
    transaction: &store::Transaction<'_>,
    caller: &Caller,
    action: &'static str,
) -> Result<(), store::Error> {
    let subject = &format!("key:{}", caller.key_id);
    let entry = audit::Entry { actor: &caller.actor, action, subject, detail: json!({}) };
    audit::record(transaction, &entry).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_is_led_out_of_the_console() {
        for (to, place) in [
            ("/console", "/console"),
            ("/console/links?q=a%20b", "/console/links?q=a%20b"),
            ("", "/console"),
            ("/consoles", "/console"),
            ("/console/../v1/links", "/console"),
            ("//evil.example/console", "/console"),
            ("https://evil.example/console", "/console"),
            ("/console\\@evil.example", "/console"),
            ("/console/\r\nSet-Cookie: a=b", "/console"),
            ("/v1/links", "/console"),
        ] {
            assert_eq!(safe(to), place, "{to}");
        }
    }
}
