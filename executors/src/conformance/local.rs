//! Worlds of the local executor.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::ids::{AttemptId, RunId};
use dagbook_events::ports::Blobs as _;
use dagbook_events::step::{ArtifactRef, AttemptSpec, InputFile};
use rustix::process::Signal;
use uuid::Uuid;

use super::blobs::MemoryBlobs;
use super::spec::{command, shell};
use super::world::{Act, Factory, Setup, World};
use crate::local::{Cgroups, LocalConfig, LocalExecutor, ShimProgram, inspection, log_path};
use crate::port::Executor;

/// Makes local executors, each on a fresh folder.
#[derive(Debug)]
pub struct LocalFactory {
    name: String,
    base: PathBuf,
    tool: PathBuf,
    cgroups: Cgroups,
}

impl LocalFactory {
    /// `base` is an empty folder; `tool` a program that is a shim when its first argument is
    /// `shim`, and else one of the test tools (see [`crate::conformance`]'s own).
    pub fn new(base: PathBuf, tool: PathBuf, cgroups: Cgroups) -> Self {
        let name = match cgroups {
            Cgroups::Auto => "local".to_string(),
            Cgroups::Off => "local without control groups".to_string(),
        };
        Self { name, base, tool, cgroups }
    }

    /// A world with its own type.
    pub fn local_world(&self, setup: Setup) -> Result<LocalWorld, String> {
        let data = self.base.join(Uuid::now_v7().simple().to_string());
        let blobs = Arc::new(MemoryBlobs::default());
        let secrets = Arc::new(setup.secrets);
        let config = LocalConfig::new(&data, Arc::clone(&blobs) as _, secrets);
        let config = config.map_err(|error| error.to_string())?;
        let config = LocalConfig {
            shim: ShimProgram { program: self.tool.clone(), args: vec!["shim".to_string()] },
            clock: setup.clock,
            slots: setup.slots,
            cgroups: self.cgroups,
            measure_every: setup.measure_every,
            ..config
        };
        let executor = LocalExecutor::new(config.clone()).map_err(|error| error.to_string())?;
        let executor = Some(Arc::new(executor));
        Ok(LocalWorld { config, blobs, tool: self.tool.clone(), executor })
    }
}

#[async_trait]
impl Factory for LocalFactory {
    fn name(&self) -> &str {
        &self.name
    }

    async fn world(&self, setup: Setup) -> Result<Box<dyn World>, String> {
        Ok(Box::new(self.local_world(setup)?))
    }
}

/// A local executor on a folder of its own.
pub struct LocalWorld {
    /// What it is made of.
    pub config: LocalConfig,
    /// Its blobs.
    pub blobs: Arc<MemoryBlobs>,
    tool: PathBuf,
    executor: Option<Arc<LocalExecutor>>,
}

impl LocalWorld {
    /// A spec that prints the bytes.
    async fn print(&self, bytes: &[u8]) -> Result<AttemptSpec, String> {
        let sha256 = self.blobs.put(bytes).await.map_err(|error| error.to_string())?;
        let artifact = ArtifactRef { sha256, bytes: bytes.len() as u64, manifest: false };
        let inputs = vec![InputFile { path: "text".to_string(), artifact }];
        Ok(AttemptSpec { inputs, ..command(&["cat", "text"]) })
    }
}

/// Waits for the child rather than in it, so that the trap runs at once.
const CLEAN_UP: &str = "trap 'echo cleanup; exit 0' TERM\necho ready\nsleep 1000 &\nwait $!";
const IGNORE_TERM: &str = "trap '' TERM\necho ready\nwhile :; do sleep 1000; done";

#[async_trait]
impl World for LocalWorld {
    fn executor(&self) -> Arc<dyn Executor> {
        Arc::clone(self.executor.as_ref().expect("the executor was booted")) as Arc<dyn Executor>
    }

    async fn crash(&mut self) {
        if let Some(executor) = self.executor.take() {
            executor.abandon();
        }
    }

    async fn boot(&mut self) {
        let executor = LocalExecutor::new(self.config.clone()).expect("the folder is usable");
        self.executor = Some(Arc::new(executor));
    }

    async fn spec(&self, act: Act) -> Result<AttemptSpec, String> {
        Ok(match act {
            Act::Exit(code) => shell(&format!("exit {code}")),
            Act::Signal(signal) => shell(&format!("kill -{signal} $$; sleep 1000")),
            Act::Sleep(span) => {
                command(&["sleep", &format!("{}.{:03}", span.as_secs(), span.subsec_millis())])
            }
            Act::Endless => command(&["sleep", "1000"]),
            Act::CleanUp => shell(CLEAN_UP),
            Act::IgnoreTerm => shell(IGNORE_TERM),
            Act::Print(bytes) => self.print(&bytes).await?,
            Act::MissingProgram => command(&["no-such-program-anywhere"]),
            Act::Shell(text) => shell(&text),
            Act::Tool(args) => {
                let mut argv = vec![self.tool.to_str().ok_or("the tool's path is not UTF-8")?];
                argv.extend(args.iter().map(String::as_str));
                command(&argv)
            }
        })
    }

    fn has_ended(&self, attempt: AttemptId) -> bool {
        self.config.root.join(attempt.to_string()).join("exit").exists()
    }

    fn kill_step(&self, _attempt: AttemptId, pid: Option<u32>) {
        if let Some(pid) = pid {
            inspection::kill(pid, Signal::KILL);
        }
    }

    fn kill_supervisor(&self, attempt: AttemptId) -> bool {
        inspection::supervisor(&self.config.root, attempt)
            .map(|pid| inspection::kill(pid, Signal::KILL))
            .is_some()
    }

    fn survivors(&self, attempt: AttemptId) -> usize {
        inspection::processes(attempt).len()
    }

    fn remains(&self, attempt: AttemptId) -> Vec<String> {
        inspection::remains(&self.config.root, attempt)
    }

    fn fill_log_disk(&self, run: RunId, attempt: AttemptId) -> Result<(), String> {
        let path = log_path(&self.config.logs, run, attempt);
        let folder = path.parent().ok_or("a log without a folder")?;
        std::fs::create_dir_all(folder)
            .and_then(|()| std::os::unix::fs::symlink("/dev/full", &path))
            .map_err(|error| error.to_string())
    }

    fn attempt_dir(&self, attempt: AttemptId) -> Option<PathBuf> {
        Some(self.config.root.join(attempt.to_string()))
    }
}
