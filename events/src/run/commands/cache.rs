//! The cache's answer.

use super::unit;
use crate::ids::StepKey;
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{CacheMissed, ReusedResult, RunEvent, StepReused};
use crate::run::state::{HoldKind, UnitStatus};

pub(in crate::run) fn answer(
    append: &mut Append<'_>,
    step: &StepKey,
    hit: &Option<Box<ReusedResult>>,
) -> Result<(), Rejection> {
    let at = unit(append.state, step)?;
    if append.state.unit(at).status != UnitStatus::Held(HoldKind::Cache) {
        return Err(Rejection::Settled("the step does not wait for the cache"));
    }
    let step = step.clone();
    append.emit(match hit {
        Some(result) => RunEvent::StepReused(StepReused { step, result: (**result).clone() }),
        None => RunEvent::CacheMissed(CacheMissed { step }),
    });
    Ok(())
}
