//! What the world should now be asked: a closed list. Effects are performed by the shell, and
//! only after the events that led to them are durable. Every effect may be performed twice.

use std::collections::BTreeMap;

use crate::digest::Sha256Digest;
use crate::ids::{AttemptId, Epoch, RunId, StepKey};
use crate::run::TimerKind;
use crate::run::event::{ReusedResult, RunStatus};
use crate::step::{AttemptSpec, StopCause};
use crate::time::{Millis, Timestamp};
use crate::value::Value;

/// One thing to ask of the world.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Ask the executor named in the spec to start the attempt. Idempotent by attempt id.
    Start(Box<AttemptSpec>),
    /// Ask an executor to stop an attempt.
    Stop(StopAttempt),
    /// The attempt's end is recorded: the executor may forget it.
    Release {
        /// The executor's name.
        executor: String,
        /// The attempt.
        attempt: AttemptId,
    },
    /// Send the timer back at the instant.
    SetTimer {
        /// Which.
        timer: Timer,
        /// When.
        at: Timestamp,
    },
    /// The timer no longer matters. A hint: it may still come.
    ClearTimer(Timer),
    /// Look for an earlier result.
    LookUpCache {
        /// For which run.
        run: RunId,
        /// For which step or child.
        step: StepKey,
        /// The key.
        key: Sha256Digest,
        /// Results recorded before this instant are too old.
        not_before: Option<Timestamp>,
    },
    /// Keep a result for later runs.
    StoreCache {
        /// The key.
        key: Sha256Digest,
        /// When it was made.
        at: Timestamp,
        /// The result.
        result: Box<ReusedResult>,
    },
    /// Submit a sub-DAG as a run of its own. Idempotent by run id.
    SubmitChild(Box<SubmitChild>),
    /// Cancel the run of a sub-DAG.
    CancelChild {
        /// The child's run.
        run: RunId,
        /// Kill at once.
        force: bool,
    },
    /// Tell the run above that this one ended.
    NotifyParent {
        /// The run above.
        parent: RunId,
        /// Its step or child.
        step: StepKey,
        /// This run.
        run: RunId,
        /// How it ended.
        status: RunStatus,
        /// Outputs of its steps, by step.
        outputs: BTreeMap<String, Value>,
        /// Why, unless it succeeded.
        reason: String,
    },
}

/// A request to stop an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StopAttempt {
    /// The executor's name.
    pub executor: String,
    /// The run.
    pub run: RunId,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its fencing number.
    pub epoch: Epoch,
    /// TERM, this long, KILL; none: KILL at once.
    pub grace: Option<Millis>,
    /// Who asks.
    pub cause: StopCause,
}

/// A timer of a run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timer {
    /// The run.
    pub run: RunId,
    /// What for.
    pub kind: TimerKind,
}

/// A sub-DAG to submit.
#[derive(Debug, Clone, PartialEq)]
pub struct SubmitChild {
    /// The run above.
    pub parent: RunId,
    /// Its step or child.
    pub step: StepKey,
    /// The child's run id.
    pub run: RunId,
    /// The path of its file in the parent's bundle, or `name@version`.
    pub source: crate::dag::SubDagSource,
    /// Its parameters.
    pub params: BTreeMap<String, Value>,
}
