//! To come.
use serde_json::{Value, json};

/// x
pub fn document() -> Value {
    json!({})
}
