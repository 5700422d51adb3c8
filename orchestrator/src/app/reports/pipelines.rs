//! Registered pipelines.

use dagbook_events::dag::{FindingDto, PlanDifference};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::pipeline::{Pipeline, Version};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A registered pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipelineReport {
    /// Its name.
    pub name: String,
    /// `active` or `archived`.
    pub status: String,
    /// Why it is archived.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// How many versions there are.
    pub versions: u32,
    /// The newest of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latest: Option<PipelineVersionReport>,
}

impl PipelineReport {
    /// The report of a fold.
    pub fn of(name: &str, folded: &Pipeline) -> Self {
        let archived = folded.archived.as_ref();
        Self {
            name: name.to_string(),
            status: if archived.is_some() { "archived" } else { "active" }.to_string(),
            reason: archived.map(|(_, it)| it.reason.clone()).unwrap_or_default(),
            versions: u32::try_from(folded.versions.len()).unwrap_or(u32::MAX),
            latest: folded.latest().map(PipelineVersionReport::of),
        }
    }
}

/// One version of a pipeline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PipelineVersionReport {
    /// Its number, from 1.
    pub version: u32,
    /// Hash of its content.
    #[schema(value_type = String)]
    pub hash: Sha256Digest,
    /// Bytes of its content.
    pub bytes: u64,
    /// Path of the DAG file.
    pub entry: String,
    /// DAG files in it.
    pub files: u32,
    /// Steps of the DAG file.
    pub steps: u32,
    /// Schedules that it asks for.
    pub schedules: u32,
    /// What was said about it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub message: String,
    /// Who registered it.
    pub by: String,
    /// When.
    pub registered_at: String,
}

impl PipelineVersionReport {
    /// The report of a version.
    pub fn of(version: &Version) -> Self {
        let it = &version.registered;
        Self {
            version: it.version,
            hash: it.hash,
            bytes: it.bytes,
            entry: it.entry.clone(),
            files: it.files,
            steps: it.steps,
            schedules: it.schedules,
            message: it.message.clone(),
            by: it.by.clone(),
            registered_at: version.at.to_rfc3339(),
        }
    }
}

/// What became of registering.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Registration {
    /// Whether there is a new version; otherwise the newest one has the same content.
    pub created: bool,
    /// The pipeline.
    pub pipeline: PipelineReport,
    /// What was found that is no error.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<Object>)]
    pub warnings: Vec<FindingDto>,
}

/// What differs between two plans.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct LatestDifference {
    /// The newer version, as `name@version`.
    pub version: String,
    /// Steps added, removed and changed, and what of the pipeline as a whole differs.
    #[schema(value_type = Object)]
    pub plan: PlanDifference,
}
