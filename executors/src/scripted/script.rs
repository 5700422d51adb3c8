//! What a scripted executor is told to do.

use std::collections::BTreeMap;
use std::time::Duration;

use dagbook_events::ids::{Epoch, StepKey};
use dagbook_events::step::{ArtifactRef, Outcome, StartErrorKind, Used};
use dagbook_events::value::Value;

/// What happens to each attempt of each step.
#[derive(Debug, Clone, Default)]
pub struct Script {
    rules: BTreeMap<String, Vec<Behavior>>,
    otherwise: Behavior,
    pub(super) slots: u32,
    pub(super) measure_every: Option<Duration>,
}

impl Script {
    /// Every attempt succeeds at once.
    pub fn new() -> Self {
        Self::default()
    }

    /// What happens where no rule fits.
    pub fn otherwise(mut self, behavior: Behavior) -> Self {
        self.otherwise = behavior;
        self
    }

    /// What happens to the attempts of a step, in order; the last one also to all later ones.
    /// `step` is a key (`resize[0]`) or a name, which stands for all its children.
    pub fn on(mut self, step: &str, attempts: impl Into<Vec<Behavior>>) -> Self {
        self.rules.insert(step.to_string(), attempts.into());
        self
    }

    /// Attempts at one time; one more is `Busy`. Zero: no bound.
    pub fn slots(mut self, slots: u32) -> Self {
        self.slots = slots;
        self
    }

    /// How often what runs tells what it used so far; never, unless it is said.
    pub fn measuring(mut self, every: Duration) -> Self {
        self.measure_every = Some(every);
        self
    }

    pub(super) fn behavior(&self, step: &StepKey, epoch: Epoch) -> &Behavior {
        if self.rules.is_empty() {
            return &self.otherwise;
        }
        let rule = self.rules.get(step.as_str()).or_else(|| self.rules.get(step.split().0));
        let nth = (epoch.0.max(1) - 1) as usize;
        rule.and_then(|list| list.get(nth).or(list.last())).unwrap_or(&self.otherwise)
    }
}

/// What happens to one attempt.
#[derive(Debug, Clone)]
pub struct Behavior {
    /// How the call to start is answered.
    pub starting: Starting,
    /// From the call to running.
    pub start_delay: Duration,
    /// From running to the end.
    pub run: Duration,
    /// How it ends; `None`: never by itself.
    pub outcome: Option<Outcome>,
    /// What it writes as outputs.
    pub outputs: BTreeMap<String, Value>,
    /// Why its outputs cannot be read, if so.
    pub output_error: Option<String>,
    /// What it leaves.
    pub artifacts: BTreeMap<String, ArtifactRef>,
    /// What it prints.
    pub log: Vec<u8>,
    /// What it uses.
    pub used: Used,
    /// From a graceful cancel to the end; longer than the grace means that force is needed.
    pub stop_delay: Duration,
    /// What becomes of its reports on their way.
    pub reporting: Reporting,
}

/// How the call to start is answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Starting {
    /// Accepted.
    Accept,
    /// `Busy` for the first so many calls, then accepted.
    Busy(u32),
    /// `Unschedulable`.
    Unschedulable(String),
    /// `Invalid`.
    Invalid(StartErrorKind, String),
    /// `Ambiguous`, and it did start.
    AmbiguousStarted,
    /// `Ambiguous`, and it did not; the next call is accepted.
    AmbiguousNotStarted,
}

/// What becomes of the reports on their way. Lost reports are told after `recover` or to a new
/// watcher.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Reporting {
    /// `Started` is lost.
    pub lose_started: bool,
    /// `Exited` is lost.
    pub lose_exited: bool,
    /// Each report is sent so many times more.
    pub duplicates: u32,
    /// Every report sent before is sent again after the exit: late and out of order.
    pub echo_after_exit: bool,
}

impl Default for Behavior {
    fn default() -> Self {
        Self {
            starting: Starting::Accept,
            start_delay: Duration::ZERO,
            run: Duration::ZERO,
            outcome: Some(Outcome::Succeeded),
            outputs: BTreeMap::new(),
            output_error: None,
            artifacts: BTreeMap::new(),
            log: Vec::new(),
            used: Used::default(),
            stop_delay: Duration::ZERO,
            reporting: Reporting::default(),
        }
    }
}

impl Behavior {
    /// Ends so, at once.
    pub fn ends(outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..Self::default() }
    }

    /// Ends with an exit code, at once.
    pub fn exits(exit_code: i32) -> Self {
        match exit_code {
            0 => Self::default(),
            _ => Self::ends(Outcome::Failed { exit_code }),
        }
    }

    /// Runs until it is stopped.
    pub fn endless() -> Self {
        Self { outcome: None, ..Self::default() }
    }

    /// Answers the call to start so.
    pub fn starting(mut self, starting: Starting) -> Self {
        self.starting = starting;
        self
    }

    /// Runs so long.
    pub fn running_for(mut self, run: Duration) -> Self {
        self.run = run;
        self
    }

    /// Takes so long to start.
    pub fn starting_after(mut self, delay: Duration) -> Self {
        self.start_delay = delay;
        self
    }

    /// Writes an output.
    pub fn output(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.outputs.insert(name.to_string(), value.into());
        self
    }

    /// Prints.
    pub fn printing(mut self, log: impl Into<Vec<u8>>) -> Self {
        self.log = log.into();
        self
    }

    /// Takes so long to stop when asked.
    pub fn stopping_after(mut self, delay: Duration) -> Self {
        self.stop_delay = delay;
        self
    }

    /// Faults on the way of its reports.
    pub fn reporting(mut self, reporting: Reporting) -> Self {
        self.reporting = reporting;
        self
    }
}
