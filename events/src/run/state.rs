//! What a run is now: a value folded from its events, updated in place.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::event::{CancelRequested, ReusedResult, RunStatus, Submitted};
use super::usage::AttemptNote;
use crate::admission::Demand;
use crate::dag::{FanOut, Plan, PlannedStep, Section, StepIndex};
use crate::ids::{AttemptId, Epoch, RunId, StepKey, StepName};
use crate::step::{ArtifactRef, AttemptState, StopCause};
use crate::time::Timestamp;
use crate::value::Value;

/// A run, folded from its events.
#[derive(Debug, Clone, PartialEq)]
pub struct RunState {
    /// What was accepted; none before the first event.
    pub submitted: Option<Arc<Submitted>>,
    /// When it was accepted.
    pub submitted_at: Timestamp,
    /// The plan; empty before the first event.
    pub plan: Arc<Plan>,
    /// How far it is.
    pub phase: Phase,
    /// No steps start.
    pub paused: bool,
    /// It was asked to stop.
    pub cancel: Option<CancelRequested>,
    /// The request reaches the `finally` part too: it came by force, or after the main part.
    pub cancel_all: bool,
    /// What the main part came to, once `finally` has begun. It does not change any more.
    pub main_result: Option<RunStatus>,
    /// Steps, as in the plan.
    pub steps: Vec<StepState>,
    /// What the plan's steps ask for: executors, and how much of them.
    pub pools: Arc<[Demand]>,
    /// For each of these the steps that have a unit which may start now.
    pub due: Vec<BTreeSet<StepIndex>>,
    /// For each of these the attempts that are planned and not yet at their end.
    pub active: Vec<u32>,
    /// Units by live attempt.
    pub live: BTreeMap<AttemptId, UnitRef>,
    /// Where live attempts may be started, of those that are bound to one place.
    pub places: BTreeMap<AttemptId, Arc<str>>,
    /// Steps of the main part that are not done.
    pub open_main: u32,
    /// Steps of `finally` that are not done.
    pub open_finally: u32,
    /// An attempt of the main part was planned, or it has its place in its concurrency group:
    /// from here on it counts as running.
    pub has_begun: bool,
    /// What is remembered of live attempts for the bill.
    pub notes: BTreeMap<AttemptId, AttemptNote>,
    /// Billionths that are held for live attempts, together.
    pub held_nanos: i128,
    /// Attempts given up as lost whose own last word has not come.
    pub lost: BTreeMap<AttemptId, AttemptNote>,
    /// Names of signals that arrived.
    pub signals: BTreeSet<String>,
    /// Events folded.
    pub version: u64,
    /// When the last of them happened.
    pub updated_at: Timestamp,
    /// Steps whose needs came to an end in the append being decided; empty between appends.
    pub(super) fresh: Vec<StepIndex>,
}

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// No event yet.
    Unborn,
    /// Waiting for its place in its concurrency group.
    Queued,
    /// The main part goes on.
    Running,
    /// The main part is over; `finally` goes on.
    Finalizing,
    /// Over.
    Finished(RunStatus),
}

/// A step of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct StepState {
    /// Needs that are not done.
    pub waiting_on: u32,
    /// Which of the run's demands its attempts make.
    pub pool: u16,
    /// Itself, or its children.
    pub body: StepBody,
}

/// A step itself, or its children.
#[derive(Debug, Clone, PartialEq)]
pub enum StepBody {
    /// It does not fan out, or its children are not known yet.
    Single(Unit),
    /// It fans out.
    FanOut(Box<FanOutState>),
}

/// The children of a step.
#[derive(Debug, Clone, PartialEq)]
pub struct FanOutState {
    /// Items of a `for_each`.
    pub items: Option<Arc<[Value]>>,
    /// The children.
    pub children: Vec<Unit>,
    /// Children from here on have never been due again or started: they are due in order.
    pub next: u32,
    /// Children below `next` that are due again.
    pub again: BTreeSet<u32>,
    /// Children with a live attempt or hold.
    pub busy: u32,
    /// Children that are done, and of these succeeded and failed.
    pub done: u32,
    /// Succeeded children.
    pub succeeded: u32,
    /// Failed children.
    pub failed: u32,
    /// No more start, live ones are stopped.
    pub stopping: bool,
    /// The child whose failure did that, under `fail_fast`.
    pub stopped_by: Option<u32>,
    /// Children are asked, looked up or handed over before (or instead of) an attempt.
    pub staged: bool,
    /// Children may take over results: the items are those that the results were made from.
    pub reusing: bool,
    /// For a matrix, its children in the order of their labels.
    pub by_label: Arc<[u32]>,
    /// When the whole was done, its status.
    pub result: Option<UnitStatus>,
    /// When the whole was done: outputs and artifacts as expressions see them.
    pub gathered: Option<(Value, Value)>,
    /// When the children became known.
    pub since: Timestamp,
}

/// What is run, waited for or asked: a step that does not fan out, or one child.
#[derive(Debug, Clone, PartialEq)]
pub struct Unit {
    /// What it is now.
    pub status: UnitStatus,
    /// Attempts planned so far; the current attempt's fencing number.
    pub epoch: Epoch,
    /// Failures that counted against its author.
    pub failures: u32,
    /// Failures that counted against the platform.
    pub infra_failures: u32,
    /// No further attempt: the time for all of them together is over.
    pub exhausted: bool,
    /// The cache was asked.
    pub cache_checked: bool,
    /// When it last became due, for `timeout.queue` and reports.
    pub since: Timestamp,
    /// When its latest attempt was planned or, if it runs, started.
    pub attempt_since: Timestamp,
    /// When the first attempt was planned, and when it was done.
    pub span: (Timestamp, Timestamp),
    /// What it left, or why it failed.
    pub result: Option<Box<UnitResult>>,
}

/// What a unit is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnitStatus {
    /// Its needs are not done.
    Waiting,
    /// It may start as soon as there is a place.
    Due,
    /// An attempt is planned or runs.
    Active(AttemptId, AttemptState),
    /// It waits between attempts.
    Backoff(Timestamp),
    /// It waits for something else than an attempt.
    Held(HoldKind),
    /// It did what it should.
    Succeeded,
    /// It did not.
    Failed,
    /// It did not run, and need not.
    Skipped,
    /// It was stopped or never started because of a cancel.
    Canceled,
}

/// What a unit without an attempt waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldKind {
    /// A person.
    Approval,
    /// Time; none for a named event.
    Wait(Option<Timestamp>),
    /// A run of its own.
    Child(RunId),
    /// The cache's answer.
    Cache,
}

/// What a unit left, or why it failed.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnitResult {
    /// Outputs.
    pub outputs: Arc<BTreeMap<String, Value>>,
    /// Artifacts.
    pub artifacts: BTreeMap<String, ArtifactRef>,
    /// Why it failed, was skipped, or is tried again.
    pub reason: String,
    /// The run whose result was taken over.
    pub reused_from: Option<RunId>,
}

/// Place of a unit in its run. Never recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnitRef {
    /// The step.
    pub step: StepIndex,
    /// The child, if the step fans out.
    pub child: Option<u32>,
}

impl UnitStatus {
    /// Whether nothing more will happen.
    pub fn is_done(self) -> bool {
        matches!(self, Self::Succeeded | Self::Failed | Self::Skipped | Self::Canceled)
    }

    /// Whether nothing outside has to stop before the unit can be called cancelled.
    pub(super) fn is_idle(self) -> bool {
        match self {
            Self::Waiting | Self::Due | Self::Backoff(_) => true,
            Self::Held(kind) => !matches!(kind, HoldKind::Child(_)),
            _ => false,
        }
    }

    /// The word that people, expressions and `--output json` see.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Due => "ready",
            Self::Active(_, AttemptState::Running | AttemptState::Stopping) => "running",
            Self::Active(..) => "starting",
            Self::Backoff(_) => "retrying",
            Self::Held(HoldKind::Approval) => "awaiting_approval",
            Self::Held(HoldKind::Wait(_)) => "sleeping",
            Self::Held(HoldKind::Child(_)) => "running",
            Self::Held(HoldKind::Cache) => "starting",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Skipped => "skipped",
            Self::Canceled => "canceled",
        }
    }
}

impl Unit {
    pub(super) fn new(status: UnitStatus, since: Timestamp) -> Self {
        Self {
            status,
            epoch: Epoch(0),
            failures: 0,
            infra_failures: 0,
            exhausted: false,
            cache_checked: false,
            since,
            attempt_since: Timestamp(0),
            span: (Timestamp(0), Timestamp(0)),
            result: None,
        }
    }

    /// The live attempt.
    pub fn attempt(&self) -> Option<(AttemptId, AttemptState)> {
        match self.status {
            UnitStatus::Active(attempt, state) => Some((attempt, state)),
            _ => None,
        }
    }
}

impl RunState {
    /// A run before its first event.
    pub fn unborn() -> Self {
        Self {
            submitted: None,
            submitted_at: Timestamp(0),
            plan: Arc::new(Plan::empty()),
            phase: Phase::Unborn,
            paused: false,
            cancel: None,
            cancel_all: false,
            main_result: None,
            steps: Vec::new(),
            pools: Arc::from([]),
            due: Vec::new(),
            active: Vec::new(),
            live: BTreeMap::new(),
            places: BTreeMap::new(),
            open_main: 0,
            open_finally: 0,
            has_begun: false,
            notes: BTreeMap::new(),
            held_nanos: 0,
            lost: BTreeMap::new(),
            signals: BTreeSet::new(),
            version: 0,
            updated_at: Timestamp(0),
            fresh: Vec::new(),
        }
    }

    /// The run's id.
    ///
    /// # Panics
    /// Before the first event.
    pub fn id(&self) -> RunId {
        self.facts().run
    }

    /// What was accepted.
    ///
    /// # Panics
    /// Before the first event.
    pub fn facts(&self) -> &Arc<Submitted> {
        self.submitted.as_ref().expect("a run that was submitted")
    }

    /// Whether it is over.
    pub fn is_finished(&self) -> bool {
        matches!(self.phase, Phase::Finished(_))
    }

    /// How it ended.
    pub fn status(&self) -> Option<RunStatus> {
        match self.phase {
            Phase::Finished(status) => Some(status),
            _ => None,
        }
    }

    /// The planned step.
    pub fn planned(&self, at: StepIndex) -> &PlannedStep {
        self.plan.step(at)
    }

    /// The step's state.
    pub fn step(&self, at: StepIndex) -> &StepState {
        &self.steps[at.0 as usize]
    }

    /// The unit's state.
    pub fn unit(&self, at: UnitRef) -> &Unit {
        match (&self.step(at.step).body, at.child) {
            (StepBody::Single(unit), _) => unit,
            (StepBody::FanOut(fan), child) => &fan.children[child.unwrap_or(0) as usize],
        }
    }

    pub(super) fn unit_mut(&mut self, at: UnitRef) -> &mut Unit {
        match (&mut self.steps[at.step.0 as usize].body, at.child) {
            (StepBody::Single(unit), _) => unit,
            (StepBody::FanOut(fan), child) => &mut fan.children[child.unwrap_or(0) as usize],
        }
    }

    /// The key of a unit, as events spell it.
    pub fn key(&self, at: UnitRef) -> StepKey {
        let planned = self.planned(at.step);
        match (at.child, &planned.fan_out) {
            (None, _) => StepKey::step(&planned.name),
            (Some(child), FanOut::Matrix(cells)) => {
                StepKey::child(&planned.name, &cells[child as usize].0)
            }
            (Some(child), _) => StepKey::child(&planned.name, &child.to_string()),
        }
    }

    /// The step of that name.
    pub fn find_step(&self, name: &str) -> Option<StepIndex> {
        let name = StepName::new(name).ok()?;
        self.plan.index.get(&name).copied()
    }

    /// The unit of that key. A parent's key finds no unit once its children are known.
    pub fn find(&self, key: &StepKey) -> Option<UnitRef> {
        let (name, label) = key.split();
        let step = self.find_step(name)?;
        match (&self.step(step).body, label) {
            (StepBody::Single(_), None) => Some(UnitRef { step, child: None }),
            (StepBody::FanOut(fan), Some(label)) => {
                let child = match &self.planned(step).fan_out {
                    FanOut::Matrix(cells) => fan.find_label(cells, label)?,
                    _ => label.parse().ok()?,
                };
                ((child as usize) < fan.children.len())
                    .then_some(UnitRef { step, child: Some(child) })
            }
            _ => None,
        }
    }

    /// The status of a whole step.
    pub fn step_status(&self, at: StepIndex) -> UnitStatus {
        match &self.step(at).body {
            StepBody::Single(unit) => unit.status,
            StepBody::FanOut(fan) => fan.status(),
        }
    }

    /// Every unit that is known, in plan order.
    pub fn units(&self) -> impl Iterator<Item = (UnitRef, &Unit)> {
        self.steps.iter().enumerate().flat_map(|(i, step)| {
            let step_index = StepIndex(u32::try_from(i).expect("steps are bounded"));
            let (single, children) = match &step.body {
                StepBody::Single(unit) => (Some(unit), [].as_slice()),
                StepBody::FanOut(fan) => (None, fan.children.as_slice()),
            };
            let single = single.map(|unit| (UnitRef { step: step_index, child: None }, unit));
            let children = children.iter().enumerate().map(move |(c, unit)| {
                let child = Some(u32::try_from(c).expect("fan-outs are bounded"));
                (UnitRef { step: step_index, child }, unit)
            });
            single.into_iter().chain(children)
        })
    }

    /// Attempts that are planned and not at their end.
    pub fn active_total(&self) -> u32 {
        self.active.iter().sum()
    }

    /// Why no step of this run may start now, if so.
    pub fn blocked(&self) -> Option<&'static str> {
        match self.phase {
            Phase::Unborn => Some("it is not submitted"),
            Phase::Queued => Some("it waits for its place in its concurrency group"),
            Phase::Finished(_) => Some("it is over"),
            _ if self.paused => Some("it is paused"),
            _ if self.cancel_all => Some("it is being cancelled"),
            Phase::Running if self.cancel.is_some() => Some("it is being cancelled"),
            _ => None,
        }
    }

    /// Units that could start in a pool now, as far as the run itself is concerned.
    pub fn next_due(&self, pool: usize) -> Option<UnitRef> {
        if self.blocked().is_some() {
            return None;
        }
        if self.plan.max_parallel.is_some_and(|max| self.active_total() >= max) {
            return None;
        }
        let step = *self.due.get(pool)?.first()?;
        self.step(step).next_due(step)
    }

    /// Whether any unit could start now, as far as the run itself is concerned.
    pub fn has_due(&self) -> bool {
        (0..self.due.len()).any(|pool| self.next_due(pool).is_some())
    }

    /// Whether the request to stop, if there is one, reaches a section.
    pub fn cancels(&self, section: Section) -> bool {
        self.cancel.is_some() && (self.cancel_all || section == Section::Main)
    }

    /// What the main part comes to, once it is over.
    pub fn main_status(&self) -> RunStatus {
        if let Some(status) = self.main_result {
            return status;
        }
        let worst = self.worst(Section::Main);
        match &self.cancel {
            Some(_) if worst == RunStatus::Succeeded => worst,
            Some(cancel) => cancel.status(),
            None => worst,
        }
    }

    /// Failed if any step of the section failed.
    pub(super) fn worst(&self, section: Section) -> RunStatus {
        let mut status = RunStatus::Succeeded;
        for (planned, index) in self.plan.steps.iter().zip(0u32..) {
            if planned.section == section {
                match self.step_status(StepIndex(index)) {
                    UnitStatus::Failed => return RunStatus::Failed,
                    UnitStatus::Canceled => status = RunStatus::Canceled,
                    _ => {}
                }
            }
        }
        status
    }

    /// Takes the reused result for a key, if the run repeats another.
    pub(super) fn reuse_for(&self, key: &StepKey) -> Option<&ReusedResult> {
        self.facts().reuse.get(key)
    }
}

impl CancelRequested {
    /// What it makes of a run that it stopped.
    pub(super) fn status(&self) -> RunStatus {
        match self.cause {
            StopCause::Timeout => RunStatus::Failed,
            _ => RunStatus::Canceled,
        }
    }
}

impl StepState {
    /// Whether nothing more will happen to it.
    pub fn is_done(&self) -> bool {
        match &self.body {
            StepBody::Single(unit) => unit.status.is_done(),
            StepBody::FanOut(fan) => fan.result.is_some(),
        }
    }

    pub(super) fn next_due(&self, step: StepIndex) -> Option<UnitRef> {
        match &self.body {
            StepBody::Single(unit) => {
                (unit.status == UnitStatus::Due).then_some(UnitRef { step, child: None })
            }
            StepBody::FanOut(fan) => fan.next_due().map(|c| UnitRef { step, child: Some(c) }),
        }
    }
}

impl FanOutState {
    /// The next child whose attempt may be planned, not minding `max_parallel`.
    pub fn next_due(&self) -> Option<u32> {
        if self.stopping {
            return None;
        }
        self.again.first().copied().or_else(|| if self.staged { None } else { self.next_new() })
    }

    /// The next child that was never touched.
    pub(super) fn next_new(&self) -> Option<u32> {
        let left = !self.stopping && (self.next as usize) < self.children.len();
        left.then_some(self.next)
    }

    /// The child of that label, by halves.
    fn find_label(&self, cells: &[(String, BTreeMap<String, Value>)], label: &str) -> Option<u32> {
        let of = |child: u32| cells.get(child as usize).map(|(label, _)| label.as_str());
        let at = self.by_label.binary_search_by(|child| of(*child).cmp(&Some(label))).ok()?;
        Some(self.by_label[at])
    }

    /// What the whole is now. Looks through the children unless it is done.
    pub fn status(&self) -> UnitStatus {
        if let Some(result) = self.result {
            return result;
        }
        let first_busy = self.children.iter().find(|c| matches!(c.status, UnitStatus::Active(..)));
        match first_busy {
            Some(child) => child.status,
            None if self.busy > 0 => UnitStatus::Held(HoldKind::Wait(None)),
            None => UnitStatus::Due,
        }
    }
}
