//! The pages as a real browser shows them: on small and large screens, in light and dark, by mouse,
//! finger and keyboard, with and without scripts, and by the rules of accessibility.
//!
//! A test is about a [`visitor::Visitor`], who opens a [`page::Page`]. What every page must pass is
//! [`page::Page::faults`].

/// The harness of the integration tests: servers, and Waypost as a process.
#[path = "../it"]
pub mod shared {
    pub mod support;
}

pub mod accessibility;
pub mod driver;
pub mod page;
pub mod picture;
pub mod site;
pub mod visitor;

mod checks;
mod console;
mod landing;
mod public_pages;

/// No faults.
const NONE: [String; 0] = [];
