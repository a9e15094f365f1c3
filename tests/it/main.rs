//! The integration tests: the real program against a real PostgreSQL and a real Redis, which the
//! harness in [`support`] starts by itself.

pub mod support;

mod api;
mod api_bad_input;
mod api_rules;
mod association;
mod bad_input;
mod bindings;
mod campaign_changes;
mod campaign_documents;
mod campaigns;
mod claims;
mod click_reports;
mod clicks;
mod cluster;
mod codes;
mod codes_faults;
mod coherence;
mod command_line;
mod command_line_rules;
mod dev;
mod dictionary;
mod doctor;
mod domains;
mod edge;
mod interleavings;
mod landing;
mod landing_outages;
mod limited;
mod local;
mod many_limited;
mod migrations;
mod outages;
mod outbound;
mod previews;
mod qr;
mod referral_way;
mod routing;
mod sandbox;
mod sandbox_crash;
mod sandbox_faults;
mod shared;
mod token_keys;
mod triggers;
mod visitors;
