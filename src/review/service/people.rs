//! Flows and roles, as people set them.

use serde_json::json;
use sha2::{Digest, Sha256};

use super::{Error, Reviews, keep_flow, record_setting};
use crate::campaign::document::Format;
use crate::fault::{Fault, Reason};
use crate::review::flow::{self, Subject};
use crate::store;
use crate::store::review::flows::{self, NewFlow, StoredFlow};
use crate::store::review::{self as rows, StoredRole};

/// The longest name of a person and of a role.
const LONGEST_ACTOR: usize = 128;
const LONGEST_ROLE: usize = 40;

impl Reviews {
    /// Stores a version of a flow; says whether it is new. The same content is the same version.
    pub async fn put_flow(
        &self,
        actor: &str,
        (document, format): (&str, Format),
    ) -> Result<(StoredFlow, bool), Error> {
        let judged = flow::parse(document, format).map_err(Error::Invalid)?;
        let subject = judged.subject;
        let hash = Sha256::digest(document).into();
        let new = NewFlow { subject, format, document, hash, actor };
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let (version, is_new) = keep_flow(&transaction, &new).await?;
        if is_new {
            let named = format!("flow:{}", subject.name());
            let detail = json!({ "version": version });
            record_setting(&transaction, (actor, "flow.put"), &named, detail).await?;
        }
        let stored = flows::find(&transaction, subject, version).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok((stored.ok_or(Error::NoFlow(subject, version))?, is_new))
    }

    /// All versions of all flows, by subject, the latest first.
    pub async fn flows(&self) -> Result<Vec<StoredFlow>, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        Ok(flows::list(&transaction).await?)
    }

    /// Has new cases follow this version. Those that are open follow theirs to the end.
    pub async fn activate_flow(
        &self,
        actor: &str,
        subject: Subject,
        version: i32,
    ) -> Result<StoredFlow, Error> {
        let missing = || Error::NoFlow(subject, version);
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        flows::lock(&transaction, subject).await?;
        let stored = flows::find(&transaction, subject, version).await?.ok_or_else(missing)?;
        if stored.active {
            return Ok(stored);
        }
        flows::activate(&transaction, subject, version).await?;
        let named = format!("flow:{}", subject.name());
        let detail = json!({ "version": version });
        record_setting(&transaction, (actor, "flow.activate"), &named, detail).await?;
        let stored = flows::find(&transaction, subject, version).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        stored.ok_or_else(missing)
    }

    /// Gives somebody a role, or takes it away; says whether that changed anything.
    pub async fn set_role(
        &self,
        by: &str,
        (actor, role): (&str, &str),
        has: bool,
    ) -> Result<bool, Error> {
        let faults = judge_role(actor, role);
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let changed = if has {
            rows::grant_role(&transaction, (actor, role), by).await?
        } else {
            rows::revoke_role(&transaction, (actor, role)).await?
        };
        if changed {
            let (action, named) =
                (if has { "role.grant" } else { "role.revoke" }, format!("person:{actor}"));
            record_setting(&transaction, (by, action), &named, json!({ "role": role })).await?;
        }
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(changed)
    }

    /// All roles that people have.
    pub async fn roles(&self) -> Result<Vec<StoredRole>, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        Ok(rows::roles(&transaction).await?)
    }
}

fn judge_role(actor: &str, role: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let length = actor.chars().count();
    if actor.trim().is_empty() || length > LONGEST_ACTOR || actor.contains(char::is_control) {
        let detail =
            "must be the actor of an API key: 1 to 128 characters, none a control character";
        faults.push(Fault::new("/actor", Reason::OutOfRange, detail));
    }
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let begins = role.starts_with(|letter: char| letter.is_ascii_lowercase());
    if !begins || role.len() > LONGEST_ROLE || !role.bytes().all(plain) {
        let detail = "must be 1 to 40 small letters, digits and '-', such as 'senior-risk'";
        faults.push(Fault::new("/role", Reason::BadCharacter, detail));
    }
    faults
}
