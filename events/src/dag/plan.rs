//! The plan: what will be asked of the world, as plain data. Steps are found by the author's
//! names; the graph library stays inside the planner.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::expr::{Condition, Template};
use crate::digest::Sha256Digest;
use crate::ids::StepName;
use crate::step::{ArtifactRequest, Resources};
use crate::time::{Millis, Timestamp};
use crate::value::Value;

/// The files that a run is made from. Paths are relative, with `/`, normalised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceBundle {
    /// The path of the DAG file among them.
    pub entry: String,
    /// The DAG file and the sub-DAG files it reaches, by path.
    pub files: BTreeMap<String, String>,
}

/// Place of a step in its plan. Never recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StepIndex(pub u32);

/// What will happen, as far as it is known before the run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// The pipeline's name.
    pub name: String,
    /// For people.
    pub description: String,
    /// For people and filters.
    pub labels: BTreeMap<String, String>,
    /// Parameters, defaults applied, types checked.
    pub params: BTreeMap<String, Value>,
    /// Hash of the entry file's text.
    pub source_hash: Sha256Digest,
    /// How many runs of a group may go at one time.
    pub concurrency: Option<Concurrency>,
    /// −100 to 100, higher first.
    pub priority: i32,
    /// Longest time of the whole run.
    pub timeout: Option<Millis>,
    /// Attempts at one time in this run.
    pub max_parallel: Option<u32>,
    /// Main steps in topological order, then the `finally` steps in theirs.
    pub steps: Vec<PlannedStep>,
    /// Steps by name.
    pub index: BTreeMap<StepName, StepIndex>,
}

impl Plan {
    /// A plan without steps.
    pub fn empty() -> Self {
        Self {
            name: String::new(),
            description: String::new(),
            labels: BTreeMap::new(),
            params: BTreeMap::new(),
            source_hash: Sha256Digest([0; 32]),
            concurrency: None,
            priority: 0,
            timeout: None,
            max_parallel: None,
            steps: Vec::new(),
            index: BTreeMap::new(),
        }
    }

    /// The step at a place.
    pub fn step(&self, at: StepIndex) -> &PlannedStep {
        &self.steps[at.0 as usize]
    }

    /// Units of work known before the run: steps, and children of static fan-outs.
    pub fn unit_count(&self) -> usize {
        self.steps
            .iter()
            .map(|step| match &step.fan_out {
                FanOut::Matrix(cells) => cells.len(),
                FanOut::None | FanOut::ForEach(_) => 1,
            })
            .sum()
    }
}

/// Main part or `finally`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Section {
    /// `steps`.
    Main,
    /// `finally`: starts when the main part has ended, however it ended.
    Finally,
}

/// One step of the plan.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedStep {
    /// The author's name.
    pub name: StepName,
    /// Which part it belongs to.
    pub section: Section,
    /// Steps it needs, in the order written.
    pub needs: Vec<StepIndex>,
    /// Steps that need it.
    pub dependents: Vec<StepIndex>,
    /// Longest path from a root, in steps.
    pub level: u32,
    /// What its needs must have come to.
    pub when: When,
    /// `if`.
    pub condition: Option<Condition>,
    /// What it does.
    pub action: Action,
    /// Children.
    pub fan_out: FanOut,
    /// Children at one time.
    pub max_parallel: Option<u32>,
    /// Stop the other children when one fails (default true).
    pub fail_fast: bool,
    /// Successes that are enough for the whole.
    pub min_success: Option<MinSuccess>,
    /// Bounds.
    pub timeouts: Timeouts,
    /// What is done after a failure.
    pub retry: RetryPolicy,
}

/// What a step's needs must have come to before it may run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum When {
    /// Every need succeeded; a skipped need skips the step too.
    #[default]
    AllSucceeded,
    /// At least one failed.
    AnyFailed,
    /// At least one succeeded.
    AnySucceeded,
    /// All came to an end, whatever it was.
    AllDone,
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// `run` or `command`.
    Task(Box<TaskTemplate>),
    /// Wait for a person.
    Approval(Approval),
    /// Wait for time or a named event.
    Wait(WaitFor),
    /// Another pipeline, as a run of its own.
    SubDag(SubDag),
}

/// A task before its expressions are evaluated.
#[derive(Debug, Clone, PartialEq)]
pub struct TaskTemplate {
    /// The executor's name.
    pub executor: String,
    /// What to execute.
    pub program: ProgramTemplate,
    /// The container image.
    pub image: Option<Template>,
    /// Variables in the order written.
    pub env: Vec<(String, Template)>,
    /// Secrets.
    pub secrets: Vec<crate::step::SecretRequest>,
    /// Paths and the artifacts to put there.
    pub inputs: Vec<(String, Template)>,
    /// What to keep.
    pub artifacts: Vec<ArtifactRequest>,
    /// Declared outputs.
    pub outputs: BTreeMap<String, OutputType>,
    /// What it asks of a machine.
    pub resources: Resources,
    /// `workspace: empty`.
    pub empty_workspace: bool,
    /// Labels that a place must have.
    pub require: BTreeMap<String, Template>,
    /// Labels that a place should have.
    pub prefer: BTreeMap<String, Template>,
    /// Reuse of earlier results.
    pub cache: Option<CachePolicy>,
    /// Programs that must be found where the step runs (`requires`).
    pub requires: Vec<String>,
}

/// What to execute, before evaluation. Scripts hold no expressions.
#[derive(Debug, Clone, PartialEq)]
pub enum ProgramTemplate {
    /// `run`.
    Script {
        /// The interpreter's argument vector, perhaps with `{script}`.
        interpreter: Vec<String>,
        /// The text as written.
        text: String,
    },
    /// `command`.
    Command(Vec<Template>),
}

/// `cache`.
#[derive(Debug, Clone, PartialEq)]
pub struct CachePolicy {
    /// Parts of the key.
    pub key: Vec<Template>,
    /// Oldest result that is good enough.
    pub max_age: Option<Millis>,
}

/// `approval`.
#[derive(Debug, Clone, PartialEq)]
pub struct Approval {
    /// Who may answer.
    pub role: String,
    /// The question.
    pub message: Option<Template>,
    /// How long to wait.
    pub timeout: Option<Millis>,
    /// What no answer means.
    pub on_timeout: OnTimeout,
}

/// What no answer to an approval means.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum OnTimeout {
    /// No.
    #[default]
    Reject,
    /// Yes.
    Approve,
}

/// `wait`.
#[derive(Debug, Clone, PartialEq)]
pub enum WaitFor {
    /// A length of time.
    For(Millis),
    /// An instant.
    Until(Timestamp),
    /// A named event.
    Event(String),
}

/// `dag`.
#[derive(Debug, Clone, PartialEq)]
pub struct SubDag {
    /// Where it is.
    pub source: SubDagSource,
    /// Parameters handed over.
    pub params: BTreeMap<String, Template>,
}

/// Where a sub-DAG is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubDagSource {
    /// A path in the source bundle (normalised, relative to the bundle's root).
    Path(String),
    /// A registered pipeline, `name@version`; needs a server.
    Pipeline(String),
}

/// Children of a step.
#[derive(Debug, Clone, PartialEq)]
pub enum FanOut {
    /// None.
    None,
    /// Known now: label (`split=val,device=cpu`) and cell of each.
    Matrix(Vec<(String, BTreeMap<String, Value>)>),
    /// A list known at run time; labels are `0`, `1`, ….
    ForEach(Template),
}

/// `min_success`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MinSuccess {
    /// So many children.
    Count(u32),
    /// So many of a hundred, rounded up.
    Percent(u32),
}

/// The four timeouts of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// One attempt (default 24 h).
    pub attempt: Millis,
    /// All attempts together, from when the step could first start.
    pub total: Option<Millis>,
    /// Waiting for a place (default 24 h).
    pub queue: Option<Millis>,
    /// Without a sign of life.
    pub heartbeat: Option<Millis>,
}

/// `retry`.
#[derive(Debug, Clone, PartialEq)]
pub struct RetryPolicy {
    /// Attempts in all for the author's own failures (default 1: no retry).
    pub max_attempts: u32,
    /// Classes that are tried again.
    pub on: Vec<RetryClass>,
    /// Exit codes that are tried again; empty: all.
    pub exit_codes: Vec<i32>,
    /// Waiting between attempts.
    pub backoff: Backoff,
    /// Attempts in all that infrastructure faults may cost (default 5).
    pub infra_attempts: u32,
}

/// Classes of failures that `retry.on` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryClass {
    /// Ended with a status or by a signal.
    Failed,
    /// A timeout of the attempt or heartbeat.
    Timeout,
    /// Out of memory.
    Oom,
    /// All three.
    Any,
}

/// Waiting between attempts: `min(max, initial × factor^(n−1))`, then jitter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The first wait.
    pub initial: Millis,
    /// Growth in thousandths (2000 = doubling).
    pub factor_milli: u64,
    /// The longest wait.
    pub max: Millis,
    /// How it is spread.
    pub jitter: Jitter,
}

/// How waits are spread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Jitter {
    /// Not at all.
    None,
    /// Uniform between zero and the wait.
    Full,
    /// Uniform between half the wait and the wait.
    Equal,
}

/// Declared type of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputType {
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// A number.
    Number,
    /// True or false.
    Boolean,
    /// A list.
    List,
    /// An object.
    Object,
}

/// `concurrency`, its group already evaluated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Concurrency {
    /// The group's name.
    pub group: String,
    /// Runs of it at one time.
    pub limit: u32,
    /// What happens to one more.
    pub when_full: WhenFull,
}

/// What happens to a run that finds its group full.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenFull {
    /// It waits its turn.
    Queue,
    /// The oldest holder is cancelled and gives its place.
    CancelRunning,
    /// It is refused.
    Reject,
}
