//! One recorded event of a run.

use dagbook_events::project::timeline;
use serde::{Deserialize, Serialize};
use serde_json::Value as Json;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use crate::runtime::record::RecordedFact;

/// One recorded event. `leaf` is what is hashed: written canonically again, its bytes are those
/// of the record. Where members of its data stand beside the leaf, `beside` has them, so that
/// the event can be folded without asking again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventReport {
    /// Its place in the record of the site.
    pub position: u64,
    /// Its place in the run's stream, from 0.
    pub version: u64,
    /// When it happened.
    pub at: String,
    /// Its type.
    pub event: String,
    /// The step or child that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What happened, as far as the type alone does not say it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub what: String,
    /// The leaf.
    #[schema(value_type = Object)]
    pub leaf: Json,
    /// Members of the data that are kept beside the leaf.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub beside: Option<Json>,
}

/// The same, with what is recorded as it is.
#[derive(Serialize)]
struct EventText<'a> {
    position: u64,
    version: u64,
    at: String,
    event: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    what: String,
    leaf: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    beside: Option<&'a RawValue>,
}

/// The JSON of an [`EventReport`], of the bytes that are recorded: nothing is built of them.
pub fn event_text(
    recorded: &RecordedFact,
    leaf: &[u8],
    beside: Option<&[u8]>,
) -> serde_json::Result<String> {
    let entry = timeline([&recorded.fact]).remove(0);
    serde_json::to_string(&EventText {
        position: recorded.envelope.position.0,
        version: recorded.envelope.version,
        at: entry.at.to_rfc3339(),
        event: entry.kind,
        step: entry.step.map(|step| step.to_string()),
        what: entry.text,
        leaf: serde_json::from_slice(leaf)?,
        beside: beside.map(serde_json::from_slice).transpose()?,
    })
}

/// An event in the shape that is printed. `leaf` and `beside` are parsed from what is kept.
pub fn event(recorded: &RecordedFact, leaf: Json, beside: Option<Json>) -> EventReport {
    let entry = timeline([&recorded.fact]).remove(0);
    EventReport {
        position: recorded.envelope.position.0,
        version: recorded.envelope.version,
        at: entry.at.to_rfc3339(),
        event: entry.kind.to_string(),
        step: entry.step.map(|step| step.to_string()),
        what: entry.text,
        leaf,
        beside,
    }
}
