//! The files by which orchestrator and shim tell each other things. They outlive both, so all
//! fields are plain and names are fixed.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::step::{
    AttemptSpec, LogSummary, Outcome, StartErrorKind, StopCause, TimeoutKind, UsageQuality,
    UsageSource,
};
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};

use super::cgroup::Leaf;

/// `attempt.json`: what was asked, and where everything is.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) hash: Sha256Digest,
    pub(crate) spec: AttemptSpec,
    pub(crate) allocated: Timestamp,
    /// Who is about to start the shim, as [`super::process::Identity`] writes it.
    pub(crate) launcher: String,
    pub(crate) work: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) log_index: PathBuf,
    pub(crate) cgroup: Leaf,
}

/// What the orchestrator writes to the shim's standard input. It holds secrets, so it is never
/// a file.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Launch {
    pub(crate) argv: Vec<String>,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) work: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) log_index: PathBuf,
    pub(crate) cgroup: Leaf,
    pub(crate) limits: Limits,
    /// Values that must not appear in the log.
    pub(crate) masks: Vec<Vec<u8>>,
    /// When its resources were taken, by the wall and by the boot clock (ms).
    pub(crate) allocated: Timestamp,
    pub(crate) allocated_boot_ms: u64,
    /// Between two measurements that are put down while it runs.
    #[serde(default = "minute")]
    pub(crate) measure_ms: u64,
}

fn minute() -> u64 {
    60_000
}

/// Bounds that the shim enforces.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Limits {
    pub(crate) run_ms: u64,
    pub(crate) heartbeat_ms: Option<u64>,
    pub(crate) grace_ms: u64,
    pub(crate) log_bytes: u64,
    pub(crate) pids: u32,
    pub(crate) cpu_milli: u64,
    pub(crate) memory_bytes: u64,
}

/// `started`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Started {
    pub(crate) pid: u32,
    pub(crate) at: Timestamp,
}

/// `cancel`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CancelRequest {
    pub(crate) by: StopCause,
    /// From TERM to KILL; zero is force at once.
    pub(crate) grace_ms: u64,
}

/// `exit`: all that the shim saw.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ShimExit {
    /// How the main process ended; absent where none ran or its end was not seen.
    pub(crate) main: Option<MainEnd>,
    /// What stopped it, where something did before it ended by itself.
    pub(crate) stop: Option<Stop>,
    /// What kept it from starting.
    pub(crate) start_error: Option<StartProblem>,
    /// The shim died: what was seen last.
    pub(crate) lost: Option<String>,
    /// Kills by the kernel for want of memory.
    pub(crate) oom_kills: u64,
    /// Processes still there after the main one had ended by itself.
    pub(crate) leftovers: u32,
    /// Processes that could not be killed.
    pub(crate) unkillable: u32,
    /// The outputs hold the value of a secret.
    pub(crate) secret_in_outputs: bool,
    pub(crate) allocated: Timestamp,
    /// When the step's process was there; missing where there was none, or an older shim wrote it.
    #[serde(default)]
    pub(crate) started: Option<Timestamp>,
    pub(crate) released: Timestamp,
    pub(crate) figures: Figures,
    pub(crate) log: LogSummary,
}

/// `usage`: what was used when that was last measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Measured {
    pub(crate) at: Timestamp,
    pub(crate) started: Timestamp,
    pub(crate) figures: Figures,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Figures {
    pub(crate) cpu_us: u64,
    pub(crate) memory_peak_bytes: u64,
    pub(crate) memory_mib_ms: u64,
    pub(crate) source: UsageSource,
    pub(crate) quality: UsageQuality,
}

/// How the main process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MainEnd {
    Code(i32),
    Signal(i32),
}

/// What stopped it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Stop {
    pub(crate) reason: StopReason,
    pub(crate) forced: bool,
}

/// Why it was stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StopReason {
    Canceled(StopCause),
    RunTimeout,
    HeartbeatTimeout,
}

/// What kept it from starting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StartProblem {
    pub(crate) kind: StartErrorKind,
    pub(crate) message: String,
}

/// What the shim says on its standard output, a line each.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Notice {
    Started(Started),
    Exit(Box<ShimExit>),
}

impl ShimExit {
    /// An end at which nothing was seen or measured.
    pub(crate) fn unseen(allocated: Timestamp, released: Timestamp) -> Self {
        Self {
            main: None,
            stop: None,
            start_error: None,
            lost: None,
            oom_kills: 0,
            leftovers: 0,
            unkillable: 0,
            secret_in_outputs: false,
            allocated,
            started: None,
            released: released.max(allocated),
            figures: Figures {
                cpu_us: 0,
                memory_peak_bytes: 0,
                memory_mib_ms: 0,
                source: UsageSource::None,
                quality: UsageQuality::Estimated,
            },
            log: LogSummary::default(),
        }
    }

    /// The verdict. What was done to the step comes before how its process ended; the kernel's
    /// own record of an out-of-memory kill comes before the signal that it used.
    pub(crate) fn outcome(&self) -> Outcome {
        if let Some(problem) = &self.start_error {
            return Outcome::StartError { kind: problem.kind, message: problem.message.clone() };
        }
        if self.unkillable > 0 {
            let n = self.unkillable;
            return Outcome::Infra { detail: format!("{n} processes could not be killed") };
        }
        if let Some(Stop { reason, forced }) = &self.stop {
            return match reason {
                StopReason::Canceled(by) => Outcome::Canceled { by: *by, forced: *forced },
                StopReason::RunTimeout => Outcome::TimedOut { kind: TimeoutKind::Run },
                StopReason::HeartbeatTimeout => Outcome::TimedOut { kind: TimeoutKind::Heartbeat },
            };
        }
        match self.main {
            Some(MainEnd::Code(0)) => Outcome::Succeeded,
            Some(_) if self.oom_kills > 0 => Outcome::OomKilled,
            Some(MainEnd::Code(exit_code)) => Outcome::Failed { exit_code },
            Some(MainEnd::Signal(signal)) => Outcome::Signaled { signal },
            None => {
                let detail = self.lost.clone();
                Outcome::Lost { detail: detail.unwrap_or_else(|| "no end was seen".to_string()) }
            }
        }
    }
}

/// Reads a record; `None` where it is not there, `InvalidData` where it is not whole.
pub(crate) fn read<T: serde::de::DeserializeOwned>(path: &Path) -> io::Result<Option<T>> {
    match fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Writes a record so that a reader sees all of it or none.
pub(crate) fn write<T: Serialize>(path: &Path, value: &T) -> io::Result<()> {
    let tmp = path.with_extension("tmp");
    create(&tmp)?.write_all(&serde_json::to_vec(value).map_err(io::Error::other)?)?;
    fs::rename(&tmp, path)
}

/// Creates or empties a file that only its owner may read.
pub(crate) fn create(path: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)
}

/// Makes a folder's entries durable.
pub(crate) fn sync_dir(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Milliseconds since boot, suspended time included: the same in every process.
pub(crate) fn boot_ms() -> u64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000
        + u64::try_from(time.tv_nsec).unwrap_or(0) / 1_000_000
}
