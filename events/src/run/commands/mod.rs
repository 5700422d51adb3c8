//! One command a file.

pub(super) mod approve;
pub(super) mod cache;
pub(super) mod cancel;
pub(super) mod child;
pub(super) mod control;
pub(super) mod observe;
pub(super) mod plan;
pub(super) mod submit;
pub(super) mod timer;

use super::command::Rejection;
use super::state::{RunState, UnitRef};
use crate::ids::StepKey;

fn unit(state: &RunState, step: &StepKey) -> Result<UnitRef, Rejection> {
    state.find(step).ok_or_else(|| Rejection::NoSuchStep(step.clone()))
}

fn open(state: &RunState) -> Result<(), Rejection> {
    match state.status() {
        Some(status) => Err(Rejection::Ended(status.as_str())),
        None => Ok(()),
    }
}
