//! What an executor can do (`executors.md`, 9.6). A step that asks for more is not sent there.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// What an executor says of itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Its name.
    pub name: String,
    /// Its price class.
    #[serde(default)]
    pub class: String,
    /// Who starts work.
    pub kind: ExecutorKind,
    /// Version of the contract it speaks.
    pub protocol_version: u32,
    /// Operating system, such as `linux`.
    pub os: String,
    /// Processor architecture, such as `x86_64`.
    pub arch: String,
    /// For placement.
    pub labels: BTreeMap<String, String>,
    /// What it has to give; zero means "not known or not bounded".
    pub resources: Supply,
    /// What it can do.
    pub features: Features,
    /// Sentences for `doctor`: what is weaker here than it could be, and why.
    pub notes: Vec<String>,
}

/// Who starts work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ExecutorKind {
    /// We call it.
    Push,
    /// It asks us.
    Pull,
}

/// What an executor has to give.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Supply {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Attempts at one time; zero: not bounded.
    pub slots: u32,
    /// GPUs.
    pub gpus: u32,
}

/// What an executor can do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Features {
    /// Runs container images.
    pub containers: bool,
    /// How an attempt can be stopped.
    pub cancel: CancelSupport,
    /// Enforces `timeout: {heartbeat}`.
    pub heartbeat: bool,
    /// Reports exit codes.
    pub exit_code: bool,
    /// What is measured.
    pub usage: UsageSupport,
    /// Logs can be read.
    pub logs: bool,
    /// Logs are addressed by absolute offset.
    pub log_offsets: bool,
    /// Keeps artifacts.
    pub artifacts: bool,
    /// 0 none, 1 limits, 2 namespaces, 3 a user of its own.
    pub sandbox_level: u8,
    /// Running attempts survive a restart of the orchestrator.
    pub recover: bool,
    /// Enforces memory requests as limits.
    pub memory_limit: bool,
    /// Several attempts start together or not at all.
    pub gang: bool,
    /// Secrets can be handed over as files.
    pub secrets_by_file: bool,
    /// Most bytes of a log.
    pub max_log_bytes: u64,
    /// Most bytes of outputs.
    pub max_output_bytes: u64,
    /// How long after a cancel's grace an end must be seen, ms.
    pub stop_bound_ms: u64,
}

/// How an attempt can be stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CancelSupport {
    /// Not at all.
    None,
    /// At once.
    Force,
    /// With time to clean up.
    Graceful,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSupport {
    /// Nothing.
    None,
    /// The clock.
    Wall,
    /// The clock and CPU time.
    Cpu,
    /// Also memory.
    Full,
}
