//! Review: what people have to approve, by whom and in which order. Pure, but for [`service`].
//!
//! A [`flow`] is a document: a graph of nodes, in each of which a [`chain`] of checks looks first and
//! then so many different people decide. A [`case`] is one subject on its way through a flow: it is
//! nothing but its history, from which it can be built again. [`command`] is the only door: it judges
//! what somebody wants and answers what happens, or why not. [`request`] is what people send.
//!
//! [`service`] keeps flows, roles and cases, and has what was approved carried out.
//!
//! ```text
//!            ┌──────────── jump, by whom the flow allows it ────────────┐
//!            ▼                                                          │
//! start ▶ checks ─ next ▶ people ─ next ▶ people ─ next ▶ execute ▶ executed
//!            └ reject ▶ rejected   └ ask ⇄ evidence          └ failed ▶ start, anew
//! ```
//!
//! Safety rests on the *epoch*: only approvals of the present one count, and whatever puts an approval in
//! doubt (a jump back, a changed subject, an execution that failed) begins another one. `execute` is
//! reached only when every guard has its approvals of this epoch, and nothing leads out of it but its end.

pub mod case;
pub mod chain;
pub mod command;
pub mod flow;
pub mod request;
pub mod service;
pub mod targets;

#[cfg(test)]
mod tests;
