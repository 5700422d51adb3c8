//! How a run ended, in a few members.

use dagbook_events::dag::StepIndex;
use dagbook_events::ids::RunId;
use dagbook_events::run::{RunState, RunStatus};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndedReport {
    /// From acceptance to the end.
    pub duration_ms: u64,
    /// The number for people.
    pub number: u64,
    /// The pipeline's name.
    pub pipeline: String,
    /// Its id.
    #[schema(value_type = String, format = "uuid")]
    pub run: RunId,
    /// How it ended; none while it goes on.
    pub status: Option<String>,
    /// Steps in plan order.
    pub steps: Vec<EndedStep>,
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EndedStep {
    /// Its status.
    pub status: String,
    /// Its name.
    pub step: String,
}

/// The run in the shape that is printed at its end.
pub fn ended(state: &RunState) -> EndedReport {
    let facts = state.facts();
    let steps = (0u32..).zip(&state.plan.steps).map(|(index, planned)| EndedStep {
        status: state.step_status(StepIndex(index)).as_str().to_string(),
        step: planned.name.to_string(),
    });
    EndedReport {
        duration_ms: state.updated_at.since(state.submitted_at).0,
        number: facts.number,
        pipeline: facts.pipeline.clone(),
        run: facts.run,
        status: state.status().map(RunStatus::as_str).map(str::to_string),
        steps: steps.collect(),
    }
}
