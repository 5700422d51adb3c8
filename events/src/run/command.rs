//! What may be asked of a run. Commands arrive stamped: time and ids are data.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::event::{RunStatus, Submitted, TimerKind};
use crate::ids::{RunId, StepKey};
use crate::run::UnitRef;
use crate::run::event::{Hold, ReusedResult};
use crate::step::{AttemptReport, StopCause};
use crate::time::Timestamp;
use crate::value::Value;

/// A stamped command.
#[derive(Debug, Clone, PartialEq)]
pub struct RunCommand {
    /// Now, as the shell saw it.
    pub at: Timestamp,
    /// What is asked.
    pub ask: Ask,
}

/// What may be asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Ask {
    /// Accept a new run. Its plan is made already.
    Submit(Box<Submitted>),
    /// It has its place in its concurrency group.
    Admit,
    /// Its concurrency group is full and takes no queue.
    Refuse,
    /// Start no more steps.
    Pause {
        /// Why.
        comment: String,
    },
    /// Start steps again.
    Resume {
        /// Why.
        comment: String,
    },
    /// Stop.
    Cancel {
        /// Who asks.
        cause: StopCause,
        /// Why.
        reason: String,
        /// Kill at once.
        force: bool,
    },
    /// A named event arrived.
    Signal {
        /// Its name.
        name: String,
    },
    /// A person answers.
    Approve {
        /// The step.
        step: StepKey,
        /// Yes or no.
        approved: bool,
        /// What they say.
        comment: String,
    },
    /// A timer ran out.
    Timer(TimerKind),
    /// Admission chose a unit: plan its next attempt.
    Plan(UnitRef, Planning),
    /// An executor reports.
    Observe(Box<AttemptReport>),
    /// The cache answered.
    CacheAnswer {
        /// The step or child.
        step: StepKey,
        /// What was found.
        hit: Option<Box<ReusedResult>>,
    },
    /// A sub-DAG's run ended.
    ChildFinished {
        /// The step or child.
        step: StepKey,
        /// Its run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
        /// Outputs of its steps.
        outputs: BTreeMap<String, Value>,
        /// Why, unless it succeeded.
        reason: String,
    },
}

/// What an attempt is planned with beside its spec.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Planning {
    /// The only place where it may be started, where its executor is bound to one.
    pub place: Option<Arc<str>>,
    /// The executor's price class, where that is not its name.
    pub class: Option<String>,
    /// What is put aside for it.
    pub hold: Option<Hold>,
}

/// Why a command was refused. Nothing changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The run exists already.
    #[error("run {0} exists already")]
    Exists(RunId),
    /// There is no such run.
    #[error("there is no such run")]
    Unborn,
    /// The run has ended.
    #[error("the run has ended: {0}")]
    Ended(&'static str),
    /// Nothing of that name.
    #[error("the run has no step `{0}`")]
    NoSuchStep(StepKey),
    /// The step is not waiting for that.
    #[error("step `{step}` is not waiting for {what}; it is {status}")]
    NotWaiting {
        /// The step.
        step: StepKey,
        /// For what.
        what: &'static str,
        /// What it is.
        status: &'static str,
    },
    /// It is so already, or the matter is settled. Harmless.
    #[error("nothing to do: {0}")]
    Settled(&'static str),
}
