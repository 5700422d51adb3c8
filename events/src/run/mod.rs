//! A run: what may be asked of it, what happened to it, what it is now, what follows.
//!
//! `decide` may refuse and never waits; `evolve` is total, for history cannot be refused;
//! `react` names the effects of one event; `pending` names those still owed after a restart.

pub mod command;
pub mod event;

mod commands;
mod decide;
mod evolve;
mod pending;
mod react;
mod render;
mod replay;
mod settle;
mod state;
mod usage;
mod view;

pub use command::{Ask, Planning, Rejection, RunCommand};
pub use commands::timer::timer_due;
pub use decide::{decide, handle};
pub use event::{RunEvent, RunFact, RunStatus, TimerKind};
pub use evolve::{apply, evolve, fold};
pub use pending::pending;
pub use react::react;
pub use replay::{ReplayFinding, replay};
pub use state::{
    FanOutState, HoldKind, Phase, RunState, StepBody, StepState, Unit, UnitRef, UnitResult,
    UnitStatus,
};
pub use usage::{AttemptNote, Heard, Hold, HoldBasis, UsageCheckpoint};
