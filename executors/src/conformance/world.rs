//! What the cases need of an executor's surroundings.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::ids::{AttemptId, RunId};
use dagbook_events::ports::Clock;
use dagbook_events::step::AttemptSpec;

use crate::clock::SystemClock;
use crate::local::MEASURE_EVERY;
use crate::port::Executor;

/// How a world is to be.
#[derive(Clone)]
pub struct Setup {
    /// Attempts at one time.
    pub slots: Option<u32>,
    /// Secrets by name.
    pub secrets: BTreeMap<String, Vec<u8>>,
    /// The executor's clock.
    pub clock: Arc<dyn Clock>,
    /// How often what runs tells what it used so far.
    pub measure_every: Duration,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            slots: None,
            secrets: BTreeMap::new(),
            clock: Arc::new(SystemClock),
            measure_every: MEASURE_EVERY,
        }
    }
}

/// What a step of a test does, in words that an executor without processes understands too.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Act {
    /// Ends with this code.
    Exit(i32),
    /// Ends by this signal, sent by itself.
    Signal(i32),
    /// Runs so long, then succeeds.
    Sleep(Duration),
    /// Runs until it is stopped; TERM ends it.
    Endless,
    /// Prints `ready`; on TERM prints `cleanup` and ends.
    CleanUp,
    /// Prints `ready`; ignores TERM.
    IgnoreTerm,
    /// Prints these bytes and succeeds.
    Print(Vec<u8>),
    /// Names a program that does not exist.
    MissingProgram,
    /// Runs a shell script: only where processes are real.
    Shell(String),
    /// Runs the test tool with arguments: only where processes are real.
    Tool(Vec<String>),
}

/// Makes worlds.
#[async_trait]
pub trait Factory: Send + Sync {
    /// The executor's name in the verdict.
    fn name(&self) -> &str;
    /// A fresh world with a running executor.
    async fn world(&self, setup: Setup) -> Result<Box<dyn World>, String>;
}

/// One executor and what surrounds it.
#[async_trait]
pub trait World: Send + Sync {
    /// The executor of now.
    fn executor(&self) -> Arc<dyn Executor>;
    /// The orchestrator dies without a word; what it started goes on.
    async fn crash(&mut self);
    /// It comes back, as another executor on what the first one left.
    async fn boot(&mut self);
    /// A spec, under a fresh attempt id, that does this.
    async fn spec(&self, act: Act) -> Result<AttemptSpec, String>;
    /// Whether the attempt has ended, by what can be seen without an executor.
    fn has_ended(&self, attempt: AttemptId) -> bool;
    /// An outsider kills the step's main process.
    fn kill_step(&self, attempt: AttemptId, pid: Option<u32>);
    /// An outsider kills what stands between executor and step; false where there is nothing.
    fn kill_supervisor(&self, attempt: AttemptId) -> bool;
    /// Processes of the attempt that are still there.
    fn survivors(&self, attempt: AttemptId) -> usize;
    /// Everything that is left of the attempt but its log, in words.
    fn remains(&self, attempt: AttemptId) -> Vec<String>;
    /// Makes the disk full for the log of an attempt to come.
    fn fill_log_disk(&self, run: RunId, attempt: AttemptId) -> Result<(), String>;
    /// Where the attempt's files are, if it has any.
    fn attempt_dir(&self, attempt: AttemptId) -> Option<PathBuf>;
}
