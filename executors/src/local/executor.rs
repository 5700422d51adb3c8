//! The calls of the port, on local processes.

use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dagbook_events::ids::{AttemptId, Epoch};
use dagbook_events::step::{AttemptSpec, StopCause, Used};

use super::attempt::deliver;
use super::cgroup::Trees;
use super::config::{Cgroups, LocalConfig};
use super::logs;
use super::paths::AttemptDir;
use super::records::{self, CancelRequest, Record};
use super::recover;
use super::watcher::{Claim, Shared};
use crate::capability::{
    CancelSupport, Capabilities, ExecutorKind, Features, Supply, UsageSupport,
};
use crate::hub::Reports;
use crate::port::{
    AttemptState, CancelAnswer, CancelMode, Executor, ExecutorError, Handle, LogChunk, LogError,
    LogQuery, Recovery, StartError,
};

/// Runs attempts as processes of this machine. Dropping it, or the end of its process, leaves
/// what runs alone; the next one on the same folder finds it by [`Executor::recover`].
pub struct LocalExecutor {
    shared: Arc<Shared>,
}

impl LocalExecutor {
    /// Makes the folders, looks at what control groups the machine allows, and clears away
    /// what a crash left half made. Starts no attempt, but the process from which supervisors of
    /// attempts are forked.
    pub fn new(config: LocalConfig) -> io::Result<Self> {
        for (what, path) in [("root", &config.root), ("logs", &config.logs)] {
            if !path.is_absolute() || path.to_str().is_none() {
                let problem = "an absolute UTF-8 path is needed";
                return Err(io::Error::other(format!("{what} {}: {problem}", path.display())));
            }
            std::fs::DirBuilder::new().mode(0o700).recursive(true).create(path)?;
        }
        recover::sweep(&config.root);
        let trees = match config.cgroups {
            Cgroups::Auto => Trees::detect(),
            Cgroups::Off => Trees::none(),
        };
        let shared = Arc::new(Shared::new(config, trees));
        // Behind the look at control groups: it stays in the group in which it is started.
        shared.nursery.warm();
        Ok(Self { shared })
    }

    /// Lets go at once and tells nobody, as a crash of this process would.
    pub fn abandon(&self) {
        for attempt in self.shared.all() {
            attempt.stop_watching();
        }
        self.shared.hub.close();
        self.shared.nursery.close();
    }
}

impl Drop for LocalExecutor {
    fn drop(&mut self) {
        self.abandon();
        self.shared.spares.clear();
    }
}

#[async_trait]
impl Executor for LocalExecutor {
    fn describe(&self) -> Capabilities {
        let trees = &self.shared.trees;
        let exact = trees.is_exact() && trees.has_memory();
        Capabilities {
            name: self.shared.config.name.clone(),
            class: self.shared.config.class.clone(),
            kind: ExecutorKind::Push,
            protocol_version: 1,
            os: std::env::consts::OS.to_string(),
            arch: std::env::consts::ARCH.to_string(),
            labels: Default::default(),
            resources: Supply {
                cpu_milli: std::thread::available_parallelism().map_or(0, |n| n.get() as u64)
                    * 1_000,
                memory_bytes: memory_bytes(),
                slots: self.shared.config.slots.unwrap_or(0),
                gpus: 0,
            },
            features: Features {
                containers: false,
                cancel: CancelSupport::Graceful,
                heartbeat: true,
                exit_code: true,
                usage: if exact { UsageSupport::Full } else { UsageSupport::Cpu },
                logs: true,
                log_offsets: true,
                artifacts: true,
                sandbox_level: 0,
                recover: true,
                memory_limit: trees.has_memory(),
                gang: false,
                secrets_by_file: true,
                max_log_bytes: u64::MAX,
                max_output_bytes: 1 << 20,
                stop_bound_ms: 30_000,
            },
            notes: trees.notes(),
        }
    }

    async fn start(&self, spec: AttemptSpec) -> Result<Handle, StartError> {
        if spec.resources.gpu.as_ref().is_some_and(|gpu| gpu.count > 0) {
            let reason = "this executor grants no GPUs; use `executor: gpu`".to_string();
            return Err(StartError::Unschedulable { reason });
        }
        let attempt = match self.shared.claim(&spec, spec.hash())? {
            Claim::Known(attempt) => attempt,
            Claim::New(attempt) => {
                self.shared.begin(Arc::clone(&attempt), spec);
                attempt
            }
            Claim::Canceled(attempt, by) => {
                self.shared.end_canceled(&attempt, &spec, by);
                attempt
            }
        };
        attempt.answered().await
    }

    async fn recover(
        &self,
        attempts: Vec<(AttemptId, Option<Handle>)>,
    ) -> Vec<(AttemptId, Recovery)> {
        let mut found = Vec::with_capacity(attempts.len());
        for (id, _) in attempts {
            found.push((id, self.shared.recover(id).await));
        }
        found
    }

    async fn asked(&self, id: AttemptId) -> Option<AttemptSpec> {
        let path = AttemptDir::new(&self.shared.config.root, id).record();
        let read = tokio::task::spawn_blocking(move || records::read::<Record>(&path)).await;
        read.ok()?.ok()?.map(|record| record.spec)
    }

    async fn list(&self) -> Result<Vec<AttemptId>, ExecutorError> {
        let root = self.shared.config.root.clone();
        let listed = tokio::task::spawn_blocking(move || recover::list(&root)).await;
        let listed = listed.map_err(io::Error::other).and_then(|result| result);
        listed.map_err(|error| ExecutorError::Unavailable(error.to_string()))
    }

    fn watch(&self) -> Reports {
        self.shared.hub.watch()
    }

    async fn cancel(
        &self,
        id: AttemptId,
        epoch: Epoch,
        mode: CancelMode,
        by: StopCause,
    ) -> Result<CancelAnswer, ExecutorError> {
        let grace_ms = match mode {
            CancelMode::Graceful { grace } => u64::try_from(grace.as_millis()).unwrap_or(u64::MAX),
            CancelMode::Force => 0,
        };
        let request = CancelRequest { by, grace_ms };
        let dir = AttemptDir::new(&self.shared.config.root, id);
        if self.shared.get(id).is_none() && dir.path().exists() {
            // Started by an executor before this one and not recovered yet.
            deliver(&dir, &request);
            return Ok(CancelAnswer::Accepted);
        }
        let Some(attempt) = self.shared.cancel_unknown(id, by) else {
            return Ok(CancelAnswer::NotStarted);
        };
        if attempt.epoch != epoch {
            return Ok(CancelAnswer::Stale { current: attempt.epoch });
        }
        if attempt.state() == AttemptState::Exited {
            return Ok(CancelAnswer::AlreadyExited);
        }
        // Told before it is asked: what ends at once would have ended before it was said to stop.
        self.shared.stopping(&attempt);
        attempt.cancel(request);
        Ok(CancelAnswer::Accepted)
    }

    async fn logs(&self, query: LogQuery) -> Result<LogChunk, LogError> {
        let logs = self.shared.config.logs.clone();
        let known = self.shared.get(query.attempt);
        let known = known.and_then(|attempt| attempt.record.get().map(|record| record.spec.run));
        let run = known.or_else(|| logs::find_run(&logs, query.attempt));
        let run = run.ok_or(LogError::Missing(query.attempt))?;
        let until = Instant::now() + query.wait;
        let mut pause = Duration::from_millis(5);
        loop {
            let chunk = logs::read_log(&logs, run, query.attempt, query.offset, query.limit);
            let waiting = match &chunk {
                Ok(chunk) => chunk.bytes.is_empty() && !chunk.closed && query.limit > 0,
                // The shim makes the file.
                Err(LogError::Missing(_)) => true,
                Err(LogError::Unavailable(_)) => false,
            };
            if !waiting || Instant::now() >= until {
                return chunk;
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(100));
        }
    }

    async fn stats(&self, id: AttemptId) -> Option<Used> {
        let attempt = self.shared.get(id)?;
        let counters = attempt.record.get()?.cgroup.counters();
        Some(Used {
            cpu_ms: counters.cpu_us?.div_ceil(1_000),
            mem_peak_mib: counters.memory_peak_bytes.unwrap_or(0).div_ceil(1 << 20),
            mem_mib_ms: 0,
            egress_bytes: 0,
        })
    }

    async fn release(&self, id: AttemptId) {
        match self.shared.get(id) {
            Some(attempt) if attempt.state() != AttemptState::Exited => {
                tracing::error!(attempt = %id, "release was asked for an attempt that still runs");
                return;
            }
            _ => self.shared.forget(id),
        }
        let dir = AttemptDir::new(&self.shared.config.root, id);
        let ended = dir.exit().exists();
        let (shared, now) = (Arc::clone(&self.shared), self.shared.config.clock.now());
        let removed = tokio::task::spawn_blocking(move || {
            if !ended {
                return Ok(());
            }
            let exit = shared.journal.keep(&shared.config.root, &dir, now)?;
            shared.spares.give(&dir, exit.as_ref())
        });
        if let Ok(Err(error)) = removed.await {
            tracing::warn!(attempt = %id, %error, "an attempt's folder cannot be removed");
        }
    }

    async fn drain(&self) {
        self.shared.draining.store(true, Ordering::SeqCst);
    }

    async fn shutdown(&self) {
        self.drain().await;
        self.abandon();
        self.shared.trees.remove_if_empty();
    }
}

fn memory_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|line| line.split_ascii_whitespace().next()?.parse::<u64>().ok());
    kib.unwrap_or(0) * 1_024
}
