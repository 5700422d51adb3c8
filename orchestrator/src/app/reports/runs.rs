//! Runs in a list.

use dagbook_events::ids::RunId;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// One run of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RunRow {
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub run: RunId,
    /// The number for people.
    pub number: u64,
    /// The pipeline's name.
    pub pipeline: String,
    /// How far it is, or how it ended.
    pub status: String,
    /// Why it ended as it did; left out when there is nothing to say.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What asked for it.
    pub trigger: String,
    /// The run whose sub-DAG it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub parent: Option<RunId>,
    /// When it was accepted.
    pub submitted_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// From acceptance to the end, or to now.
    pub duration_ms: u64,
}

/// Statuses that can be asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RunFilter {
    /// Goes on, in whatever way.
    Open,
    /// Open, and no process drives it.
    Interrupted,
    /// All steps succeeded or were skipped.
    Succeeded,
    /// A step failed.
    Failed,
    /// Cancelled.
    Canceled,
    /// Its concurrency group was full.
    Rejected,
}

impl RunFilter {
    /// Whether the run is one of these.
    pub fn takes(self, row: &RunRow) -> bool {
        match self {
            Self::Open => row.finished_at.is_none(),
            Self::Interrupted => row.status == "interrupted",
            Self::Succeeded => row.status == "succeeded",
            Self::Failed => row.status == "failed",
            Self::Canceled => row.status == "canceled",
            Self::Rejected => row.status == "rejected",
        }
    }

    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Interrupted => "interrupted",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Canceled => "canceled",
            Self::Rejected => "rejected",
        }
    }
}
