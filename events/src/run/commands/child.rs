//! The end of a sub-DAG's run.

use super::unit;
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{ChildFinished, RunEvent};
use crate::run::state::{HoldKind, UnitStatus};

pub(in crate::run) fn finished(
    append: &mut Append<'_>,
    it: ChildFinished,
) -> Result<(), Rejection> {
    let at = unit(append.state, &it.step)?;
    if append.state.unit(at).status != UnitStatus::Held(HoldKind::Child(it.run)) {
        return Err(Rejection::Settled("the step does not wait for that run"));
    }
    append.emit(RunEvent::ChildFinished(it));
    Ok(())
}
