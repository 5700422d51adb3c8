//! What can happen to a registered pipeline, as it is recorded.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::aggregate::AggregateEvent;
use crate::digest::Sha256Digest;
use crate::schedule::data;

/// What happened to a pipeline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PipelineEvent {
    /// A version was registered.
    Registered(Registered),
    /// It was taken out of use.
    Archived(Archived),
    /// It was brought back into use.
    Restored(Restored),
}

/// `pipeline.registered`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registered {
    /// The version, from 1, without gaps.
    pub version: u32,
    /// SHA-256 of the content, which is also the name of its blob.
    pub hash: Sha256Digest,
    /// Bytes of the content.
    pub bytes: u64,
    /// Path of the DAG file in it.
    pub entry: String,
    /// Files in it.
    pub files: u32,
    /// Steps of the DAG file.
    pub steps: u32,
    /// Entries of its `on: schedule`; each has a schedule that belongs to the pipeline.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub schedules: u32,
    /// What was said about it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub message: String,
    /// Who did it.
    pub by: String,
}

/// `pipeline.archived`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Archived {
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Who did it.
    pub by: String,
}

/// `pipeline.restored`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    /// Who did it.
    pub by: String,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(n: &u32) -> bool {
    *n == 0
}

impl AggregateEvent for PipelineEvent {
    fn kind(&self) -> &'static str {
        match self {
            Self::Registered(_) => "pipeline.registered",
            Self::Archived(_) => "pipeline.archived",
            Self::Restored(_) => "pipeline.restored",
        }
    }

    fn to_data(&self) -> Map<String, Json> {
        match self {
            Self::Registered(e) => data::write(e),
            Self::Archived(e) => data::write(e),
            Self::Restored(e) => data::write(e),
        }
    }

    fn read(kind: &str, recorded: &Map<String, Json>) -> Result<Option<Self>, String> {
        Ok(Some(match kind {
            "pipeline.registered" => Self::Registered(data::read(kind, recorded)?),
            "pipeline.archived" => Self::Archived(data::read(kind, recorded)?),
            "pipeline.restored" => Self::Restored(data::read(kind, recorded)?),
            _ => return Ok(None),
        }))
    }
}
