//! A schedule: what makes a registered pipeline run by the clock. The stream is
//! `schedule/<name>`.
//!
//! Each instant of a schedule is *dealt with* once, in order: it is fired or skipped, and the
//! fold remembers how far it came. [`decide`] is a pure function of that fold, the time and a few
//! facts. A firing names the run that it asks for, so that whoever finds a firing without its run
//! submits it under the same id.

mod commands;
pub(crate) mod data;
mod decide;
mod due;
mod event;
mod owned;
mod spec;
mod state;

pub use commands::{BackfillAsk, ScheduleRefusal};
pub use decide::{BATCH, Facts, Target, decide};
pub use due::{BackfillPlan, CATCH_UP_MAX, Due, ON_TIME, due, next_firings, next_wake, offset};
pub use event::{
    BackfillCancelled, BackfillFinished, BackfillRequested, ByPerson, Changed, Created, Fired,
    Order, ScheduleEvent, SkipReason, Skipped,
};
pub use owned::{owned_changes, owned_name, owned_removals};
pub use spec::{JITTER_MAX, PARAMS_MAX, ScheduleSpec, SpecError};
pub use state::{Backfill, BackfillState, Firing, Phase, Schedule};

use crate::ids::{InvalidId, StreamName, TenantId};

/// Instants that one backfill may cover.
pub const BACKFILL_MAX: usize = 10_000;
/// Runs of one schedule that may be open at one time.
pub const OPEN_MAX: usize = 1_000;
/// Firings that may wait for the run before.
pub const QUEUE_MAX: usize = 100;
/// Names of ended runs that go with one event.
pub const ENDED_MAX: usize = 200;

impl Schedule {
    /// The stream of a schedule. Names are as those of pipelines; one that belongs to a pipeline
    /// has a dot and a number behind the pipeline's name.
    pub fn stream(name: &str) -> Result<StreamName, InvalidId> {
        let base = match name.rsplit_once('.') {
            Some((base, number)) if number.parse::<u32>().is_ok_and(|n| n > 0) => base,
            _ => name,
        };
        TenantId::new(base).map_err(|e| InvalidId { kind: "schedule name", ..e })?;
        StreamName::new(&format!("schedule/{name}"))
    }
}
