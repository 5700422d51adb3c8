//! An executor that runs nothing and does what its script says: for tests, simulations and
//! benchmarks. Its default script ends every attempt with success at once, in microseconds.

mod script;
mod world;

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::ids::{AttemptId, Epoch};
use dagbook_events::ports::Clock;
use dagbook_events::step::{AttemptSpec, Outcome, StopCause, Used};

pub use script::{Behavior, Reporting, Script, Starting};

use crate::capability::{
    CancelSupport, Capabilities, ExecutorKind, Features, Supply, UsageSupport,
};
use crate::clock::SystemClock;
use crate::hub::Reports;
use crate::port::{
    AttemptState, CancelAnswer, CancelMode, Executor, ExecutorError, Handle, LogChunk, LogError,
    LogQuery, Recovery, StartError,
};
use world::World;

/// The scripted executor. Clones of one made by [`ScriptedExecutor::restarted`] share a world:
/// the machine on which attempts "run" survives its executor.
pub struct ScriptedExecutor {
    name: String,
    world: Arc<World>,
}

impl ScriptedExecutor {
    /// With a script and the machine's clock.
    pub fn new(name: &str, script: Script) -> Self {
        Self::with_clock(name, script, Arc::new(SystemClock))
    }

    /// With a script and a clock.
    pub fn with_clock(name: &str, script: Script, clock: Arc<dyn Clock>) -> Self {
        Self { name: name.to_string(), world: World::new(name, script, clock) }
    }

    /// Another executor over the same world, as after a crash of the orchestrator: nobody
    /// watches, and what happened meanwhile is still known.
    pub fn restarted(&self) -> Self {
        self.world.crash();
        Self { name: self.name.clone(), world: Arc::clone(&self.world) }
    }

    /// How many executions were really begun under an attempt's id. The law: at most one.
    pub fn executions(&self, attempt: AttemptId) -> usize {
        self.world.executions(attempt)
    }

    /// Whether an attempt was begun and has ended.
    pub fn has_ended(&self, attempt: AttemptId) -> bool {
        self.world.state(attempt) == Some(AttemptState::Exited)
    }

    /// Whether an attempt was begun and has not ended.
    pub fn is_running(&self, attempt: AttemptId) -> bool {
        self.world.state(attempt).is_some_and(|state| state != AttemptState::Exited)
    }

    /// Ends a running attempt now, as an outsider might.
    pub fn end(&self, attempt: AttemptId, outcome: Outcome) {
        self.world.end(attempt, Some(outcome));
    }
}

#[async_trait]
impl Executor for ScriptedExecutor {
    fn describe(&self) -> Capabilities {
        Capabilities {
            name: self.name.clone(),
            class: self.name.clone(),
            kind: ExecutorKind::Push,
            protocol_version: 1,
            os: std::env::consts::OS.to_string(),
            arch: std::env::consts::ARCH.to_string(),
            labels: Default::default(),
            resources: Supply { slots: self.world.slots(), ..Supply::default() },
            features: Features {
                containers: true,
                cancel: CancelSupport::Graceful,
                heartbeat: false,
                exit_code: true,
                usage: UsageSupport::Wall,
                logs: true,
                log_offsets: true,
                artifacts: true,
                sandbox_level: 0,
                recover: true,
                memory_limit: false,
                gang: false,
                secrets_by_file: true,
                max_log_bytes: u64::MAX,
                max_output_bytes: 64 << 10,
                stop_bound_ms: 1_000,
            },
            notes: vec!["runs nothing: every outcome comes from a script".to_string()],
        }
    }

    async fn start(&self, spec: AttemptSpec) -> Result<Handle, StartError> {
        World::start(&self.world, spec)
    }

    async fn recover(
        &self,
        attempts: Vec<(AttemptId, Option<Handle>)>,
    ) -> Vec<(AttemptId, Recovery)> {
        attempts.into_iter().map(|(id, _)| (id, self.world.recover(id))).collect()
    }

    async fn list(&self) -> Result<Vec<AttemptId>, ExecutorError> {
        Ok(self.world.list())
    }

    fn watch(&self) -> Reports {
        self.world.watch()
    }

    async fn cancel(
        &self,
        attempt: AttemptId,
        epoch: Epoch,
        mode: CancelMode,
        by: StopCause,
    ) -> Result<CancelAnswer, ExecutorError> {
        Ok(World::cancel(&self.world, attempt, epoch, mode, by))
    }

    async fn logs(&self, query: LogQuery) -> Result<LogChunk, LogError> {
        self.world.log(query)
    }

    async fn stats(&self, attempt: AttemptId) -> Option<Used> {
        self.world.used(attempt)
    }

    async fn release(&self, attempt: AttemptId) {
        self.world.release(attempt);
    }

    async fn drain(&self) {
        self.world.drain();
    }

    async fn shutdown(&self) {
        self.world.drain();
        self.world.crash();
    }
}
