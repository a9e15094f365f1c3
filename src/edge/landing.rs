//! Landing pages of invitations, `/r/{code}`: pages that work without scripts, under a policy that
//! allows no inline script or style, in the language and for the device of whoever opens them.
//!
//! Everything is rendered once for each version of a campaign: `markup` writes the pages with marks
//! where a code, a name or a token goes, [`pieces`] cuts them there, and [`page`] joins the pieces for
//! a visit, in memory that `buffers` has left from earlier ones. [`notice`] has what there is to say when there is no invitation, [`assets`] the styles and
//! the script. [`stores`] knows where apps are found, [`language`] which language to use. [`places`]
//! has the pages of all campaigns, and [`visit`] leads from a request to one of them.

pub mod assets;
mod buffers;
pub mod language;
mod markup;
pub mod notice;
pub mod page;
pub mod pieces;
pub mod places;
pub mod stores;
pub mod visit;

#[cfg(test)]
mod tests;
