//! What the aggregates beside runs have in common: tenants, tokens, pipelines, schedules. Each is
//! a fold of the events of one stream.

use serde_json::{Map, Value as Json};

use crate::time::Timestamp;

/// A fold of one stream.
pub trait Aggregate: Default {
    /// What can happen to it.
    type Event: AggregateEvent;

    /// Takes in an event. Total: history cannot be refused.
    fn apply(&mut self, at: Timestamp, event: &Self::Event);
}

/// An event of an aggregate, as it is recorded.
pub trait AggregateEvent: Sized {
    /// The recorded type, `ty` of the envelope.
    fn kind(&self) -> &'static str;

    /// The recorded data, `d` of the envelope, with `dv` where its shape is not the first one.
    fn to_data(&self) -> Map<String, Json>;

    /// Reads what was recorded, in this or an earlier shape. `Ok(None)`: a type that this program
    /// does not know yet, which it must not stumble over.
    fn read(kind: &str, data: &Map<String, Json>) -> Result<Option<Self>, String>;
}
