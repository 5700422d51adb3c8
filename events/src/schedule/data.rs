//! Recorded data of aggregates, written and read by serde.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::codec::upcast::Upcasters;

/// The members of a payload. All payloads are objects of plain data, which serde can write.
pub(crate) fn write(payload: &impl Serialize) -> Map<String, Json> {
    match serde_json::to_value(payload) {
        Ok(Json::Object(members)) => members,
        _ => Map::new(),
    }
}

/// Reads a payload; data of a version that is not known yet is refused.
pub(crate) fn read<T: DeserializeOwned>(kind: &str, data: &Map<String, Json>) -> Result<T, String> {
    let lifted = Upcasters::new().lift(kind, data.clone()).map_err(|e| e.to_string())?;
    serde_json::from_value(Json::Object(lifted)).map_err(|e| format!("`{kind}`: {e}"))
}
