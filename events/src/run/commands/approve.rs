//! A person's answer.

use super::{open, unit};
use crate::ids::StepKey;
use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{ApprovalGiven, RunEvent};
use crate::run::state::{HoldKind, UnitStatus};

pub(in crate::run) fn approve(
    append: &mut Append<'_>,
    step: &StepKey,
    approved: bool,
    comment: &str,
) -> Result<(), Rejection> {
    let at = unit(append.state, step)?;
    let status = append.state.unit(at).status;
    if status != UnitStatus::Held(HoldKind::Approval) {
        open(append.state)?;
        let (step, status) = (step.clone(), status.as_str());
        return Err(Rejection::NotWaiting { step, what: "approval", status });
    }
    let (step, comment) = (step.clone(), comment.to_string());
    append.emit(RunEvent::ApprovalGiven(ApprovalGiven { step, approved, comment }));
    Ok(())
}
