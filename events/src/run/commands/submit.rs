//! Accepting a run.

use crate::run::command::Rejection;
use crate::run::decide::Append;
use crate::run::event::{RunEvent, Submitted};

pub(in crate::run) fn submit(append: &mut Append<'_>, it: &Submitted) -> Result<(), Rejection> {
    if append.state.submitted.is_some() {
        return Err(Rejection::Exists(it.run));
    }
    append.emit(RunEvent::Submitted(Box::new(it.clone())));
    Ok(())
}
