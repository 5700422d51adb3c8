//! The one place where time and chance become ids.

use dagbook_events::ids::{EventId, RunId};
use dagbook_events::ports::{Clock, Rng};
use uuid::Uuid;

/// A new run's id.
pub fn run_id(clock: &dyn Clock, rng: &dyn Rng) -> RunId {
    RunId(uuid_v7(clock, rng))
}

/// A new event's id.
pub fn event_id(clock: &dyn Clock, rng: &dyn Rng) -> EventId {
    EventId(uuid_v7(clock, rng))
}

fn uuid_v7(clock: &dyn Clock, rng: &dyn Rng) -> Uuid {
    let millis = u64::try_from(clock.now().0).unwrap_or(0);
    let mut random = [0; 10];
    random.copy_from_slice(&rng.bytes()[..10]);
    uuid::Builder::from_unix_timestamp_millis(millis, &random).into_uuid()
}
