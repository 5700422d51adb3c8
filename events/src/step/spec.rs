//! What an executor is asked to run.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::ids::{AttemptId, Epoch, RunId, StepKey, TenantId};
use crate::time::Millis;

/// Everything an executor needs to run one attempt. It holds references to secrets, never
/// their values, so its hash may stand in the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptSpec {
    /// The idempotency key.
    pub attempt: AttemptId,
    /// The fencing number.
    pub epoch: Epoch,
    /// Whose it is.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// The pipeline's name.
    pub pipeline: String,
    /// The step.
    pub step: StepKey,
    /// The executor's name, as the step asks for it.
    pub executor: String,
    /// What to execute.
    pub program: Program,
    /// The container image, for executors that run containers.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub image: Option<String>,
    /// Where it runs.
    pub workspace: Workspace,
    /// The author's variables, in order.
    pub env: Vec<EnvVar>,
    /// Secrets by name.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub secrets: Vec<SecretRequest>,
    /// Files to put in place before the start.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub inputs: Vec<InputFile>,
    /// Files to keep after success.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub artifacts: Vec<ArtifactRequest>,
    /// Names of the declared outputs.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub outputs: Vec<String>,
    /// What it may use.
    pub resources: Resources,
    /// Bounds.
    pub limits: AttemptLimits,
    /// Where it may run.
    #[serde(skip_serializing_if = "Placement::is_empty", default)]
    pub placement: Placement,
    /// W3C trace context for the step.
    pub traceparent: String,
}

impl AttemptSpec {
    /// The hash that tells one spec from another under the same attempt id.
    pub fn hash(&self) -> Sha256Digest {
        let text = serde_json::to_vec(self).expect("a spec is plain data");
        Sha256Digest::of(&text)
    }
}

/// What to execute.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Program {
    /// An argument vector, started without a shell.
    Command {
        /// The program and its arguments.
        argv: Vec<String>,
    },
    /// A script for an interpreter.
    Script {
        /// The interpreter's argument vector. Where an item is `{script}` the path of a file
        /// with the script stands; without one the path is appended.
        interpreter: Vec<String>,
        /// The script.
        text: String,
    },
}

/// The folder a step runs in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Workspace {
    /// This folder of this machine, as `dagbook run` does.
    Folder {
        /// An absolute path.
        path: String,
    },
    /// A fresh, empty folder.
    Empty,
    /// A fresh copy of a source archive, of this attempt alone.
    Source {
        /// The archive.
        archive: SourceArchive,
        /// The working folder below its root; empty: the root.
        path: String,
    },
}

/// A kept folder: a tar whose bytes depend on nothing but names, modes and content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceArchive {
    /// SHA-256 of the tar.
    pub hash: Sha256Digest,
    /// Bytes of the tar.
    pub bytes: u64,
    /// The blob that lists the blobs that the tar is kept in.
    pub index: Sha256Digest,
}

/// One variable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvVar {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: String,
}

/// A secret that the step asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SecretRequest {
    /// The variable's name.
    pub variable: String,
    /// The tenant's name for the secret.
    pub secret: String,
    /// Hand over a file (mode 0600) whose path the variable holds, rather than the value.
    pub as_file: bool,
}

/// A file to put in place before the start.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputFile {
    /// Path below the working folder (`workspace: empty`) or below `$DAGBOOK_SCRATCH`.
    pub path: String,
    /// The content, by hash.
    pub artifact: super::ArtifactRef,
}

/// A file, folder or glob to keep after success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ArtifactRequest {
    /// The author's name for it.
    pub name: String,
    /// Path or glob below the working folder.
    pub path: String,
}

/// What an attempt asks of a machine. Zero means "no request".
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Resources {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Bytes.
    pub memory_bytes: u64,
    /// Bytes.
    pub disk_bytes: u64,
    /// GPUs.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub gpu: Option<GpuRequest>,
}

/// A request for GPUs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuRequest {
    /// How many.
    pub count: u32,
    /// The model, such as `H200`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub model: Option<String>,
    /// Bytes of device memory, at least.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub memory_bytes: Option<u64>,
    /// `exclusive` (default) or `mig:<profile>`.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub mode: Option<String>,
}

/// Bounds of one attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptLimits {
    /// Longest time running.
    pub run: Millis,
    /// Longest time without a sign of life (output, or a touched `$DAGBOOK_OUTPUT`).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub heartbeat: Option<Millis>,
    /// From TERM to KILL.
    pub grace: Millis,
    /// Bytes of log kept; what comes after is counted and dropped.
    pub log_bytes: u64,
    /// Bytes of outputs.
    pub output_bytes: u64,
    /// Processes at one time.
    pub pids: u32,
}

impl Default for AttemptLimits {
    /// The numbers of `executors.md`, 9.9b: 24 h, 10 s of grace, 64 MiB of log.
    fn default() -> Self {
        Self {
            run: Millis::seconds(24 * 3_600),
            heartbeat: None,
            grace: Millis::seconds(10),
            log_bytes: 64 << 20,
            output_bytes: 64 << 10,
            pids: 4_096,
        }
    }
}

/// Labels that a place must or should have.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Placement {
    /// Must have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub require: BTreeMap<String, String>,
    /// Should have.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub prefer: BTreeMap<String, String>,
}

impl Placement {
    /// Whether it asks for nothing.
    pub fn is_empty(&self) -> bool {
        self.require.is_empty() && self.prefer.is_empty()
    }
}
