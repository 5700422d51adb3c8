//! Stopping a run.

use super::open;
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{CancelRequested, RunEvent};
use crate::step::StopCause;

pub(in crate::run) fn cancel(
    append: &mut Append<'_>,
    cause: StopCause,
    reason: &str,
    force: bool,
) -> Result<(), Rejection> {
    open(append.state)?;
    if let Some(earlier) = &append.state.cancel {
        let stronger = force && !earlier.force;
        if !stronger {
            return Err(Rejection::Settled("it is being cancelled already"));
        }
    }
    let reason = reason.to_string();
    append.emit(RunEvent::CancelRequested(CancelRequested { cause, reason, force }));
    Ok(())
}
