//! What an executor may say about an attempt.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Outcome, Usage};
use crate::digest::Sha256Digest;
use crate::ids::{AttemptId, Epoch, RunId, StepKey};
use crate::time::Timestamp;
use crate::value::Value;

/// One report. Reports may come late, twice or out of order: the attempt machine copes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptReport {
    /// The run.
    pub run: RunId,
    /// The step.
    pub step: StepKey,
    /// The attempt.
    pub attempt: AttemptId,
    /// Its fencing number; a report with another one than the step's current is stale.
    pub epoch: Epoch,
    /// When it happened, by the executor's clock.
    pub at: Timestamp,
    /// What happened.
    pub body: ReportBody,
}

/// What happened to an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReportBody {
    /// It waits, and why.
    Pending {
        /// The reason.
        reason: PendingReason,
    },
    /// It runs.
    Started {
        /// The machine.
        node: String,
        /// The process, where there is one.
        #[serde(skip_serializing_if = "Option::is_none", default)]
        pid: Option<u32>,
        /// What finds it again after a restart (at most 4 KiB).
        #[serde(skip_serializing_if = "Option::is_none", default)]
        handle: Option<String>,
    },
    /// It was told to stop and is stopping.
    Stopping,
    /// Contact is lost; it may come back.
    Suspect,
    /// Contact is back.
    Recovered,
    /// What it used so far: cumulative, `released_ms` is the instant of measurement.
    Usage(Box<Usage>),
    /// It ended.
    Exited(Box<AttemptExit>),
}

/// Why an attempt waits at its executor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PendingReason {
    /// A word for programs, such as `image_pull`.
    pub code: String,
    /// A sentence for people.
    pub message: String,
}

/// All that is known at the end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptExit {
    /// How it ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: Usage,
    /// What it wrote to `$DAGBOOK_OUTPUT`, parsed but not yet typed: text, or the JSON value
    /// where one JSON object was written.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub outputs: BTreeMap<String, Value>,
    /// Why the outputs could not be read, if so; makes a success a failure.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub output_error: Option<String>,
    /// What it left to keep.
    #[serde(skip_serializing_if = "BTreeMap::is_empty", default)]
    pub artifacts: BTreeMap<String, ArtifactRef>,
    /// Its log.
    pub log: LogSummary,
    /// Processes that were still there after the main one had ended, and were killed.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub leftover_processes: u32,
}

fn is_zero(n: &u32) -> bool {
    *n == 0
}

/// Kept content, by hash.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ArtifactRef {
    /// Hash of the file; for a folder or glob the hash of its manifest, a JSON list of
    /// `{path, sha256, bytes, mode}` sorted by path, itself kept as a blob.
    pub sha256: Sha256Digest,
    /// Total bytes of the files.
    pub bytes: u64,
    /// Whether the hash names a manifest.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub manifest: bool,
}

impl ArtifactRef {
    /// As expressions see it: `{sha256, bytes, manifest}`.
    pub fn to_value(&self) -> Value {
        let bytes = i64::try_from(self.bytes).unwrap_or(i64::MAX);
        Value::object(BTreeMap::from([
            ("sha256".to_string(), Value::str(self.sha256.to_hex())),
            ("bytes".to_string(), Value::Int(bytes)),
            ("manifest".to_string(), Value::Bool(self.manifest)),
        ]))
    }

    /// Reads what [`ArtifactRef::to_value`] writes.
    pub fn from_value(value: &Value) -> Option<Self> {
        let Value::Object(members) = value else { return None };
        let Some(Value::Str(sha256)) = members.get("sha256") else { return None };
        let Some(Value::Int(bytes)) = members.get("bytes") else { return None };
        Some(Self {
            sha256: sha256.parse().ok()?,
            bytes: u64::try_from(*bytes).ok()?,
            manifest: members.get("manifest") == Some(&Value::Bool(true)),
        })
    }
}

/// What is known of an attempt's log.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct LogSummary {
    /// Bytes kept.
    pub bytes: u64,
    /// CRC-32 (IEEE) of the bytes kept.
    pub crc32: u32,
    /// Bytes dropped because of the cap.
    pub dropped_bytes: u64,
}
