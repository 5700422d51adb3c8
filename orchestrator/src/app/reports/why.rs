//! Why a run or a step is where it is.

use std::collections::BTreeMap;

use dagbook_events::ids::{RunId, StepKey};
use dagbook_events::project::Explanation;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Why a run or a step is where it is, and what can be done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct WhyReport {
    /// The run.
    #[schema(value_type = String, format = "uuid")]
    pub run: RunId,
    /// The step; left out for the run as a whole.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// What it is now.
    pub status: String,
    /// The reasons, the most important first.
    pub reasons: Vec<ReasonReport>,
    /// What can be typed about it.
    pub commands: Vec<String>,
}

/// One reason.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ReasonReport {
    /// A word for programs.
    pub code: String,
    /// A sentence for people.
    pub text: String,
    /// The numbers that it was decided on, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub figures: BTreeMap<String, u64>,
    /// Another step that it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Another run that it rests on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub run: Option<RunId>,
}

/// The explanation in the shape that is printed.
pub fn why(run: RunId, explanation: &Explanation) -> WhyReport {
    let reasons = explanation.reasons.iter().map(|reason| ReasonReport {
        code: reason.code.to_string(),
        text: reason.text.clone(),
        figures: reason.figures.clone(),
        step: reason.step.as_ref().map(StepKey::to_string),
        run: reason.run,
    });
    WhyReport {
        run,
        step: explanation.step.as_ref().map(StepKey::to_string),
        status: explanation.status.to_string(),
        reasons: reasons.collect(),
        commands: explanation.commands.clone(),
    }
}
