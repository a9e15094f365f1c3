//! What the internet sees: redirects, and the few pages around them. Knows nothing of the control
//! plane.

pub mod association;
pub mod domains;
pub mod landing;
pub mod location;
pub mod pages;
pub mod previews;
pub mod redirect;
pub mod special;
