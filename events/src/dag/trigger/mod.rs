//! What starts runs by itself: pushes, tags, merge requests, schedules.

mod cron;
mod fields;
mod wall;

pub(crate) use cron::find_zone;
pub use cron::{CronError, Schedule, next_after, tz_database};

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::time::Millis;
use crate::value::Value;

/// `on`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Triggers {
    /// `gitlab`.
    pub gitlab: Vec<GitlabTrigger>,
    /// `schedule`.
    pub schedule: Vec<ScheduleTrigger>,
}

/// One entry of `on.gitlab`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GitlabTrigger {
    /// The project's path, such as `acme/vision`.
    pub project: String,
    /// What in it.
    pub event: GitlabEvent,
}

/// What in a project starts a run. Patterns are globs where `*` stays within one part of a
/// name and `**` does not; an empty list of patterns lets everything through.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GitlabEvent {
    /// Commits pushed to a branch.
    Push {
        /// Branches.
        branches: Vec<String>,
        /// Changed files, of which one at least must match.
        paths: Vec<String>,
        /// Changed files that do not count.
        ignore_paths: Vec<String>,
    },
    /// A tag.
    Tag(Vec<String>),
    /// A merge request opened, or its commits changed.
    MergeRequest {
        /// Branches that it is to be merged into.
        target_branches: Vec<String>,
        /// Changed files, of which one at least must match.
        paths: Vec<String>,
        /// Changed files that do not count.
        ignore_paths: Vec<String>,
    },
}

/// One entry of `on.schedule`.
#[derive(Debug, Clone, PartialEq)]
pub struct ScheduleTrigger {
    /// When.
    pub schedule: Schedule,
    /// What happens when the run before is not done yet (default skip).
    pub overlap: Overlap,
    /// What happens to times that were missed (default latest).
    pub catch_up: CatchUp,
    /// Starts are spread over this span.
    pub jitter: Option<Millis>,
    /// Parameters of the runs.
    pub params: BTreeMap<String, Value>,
}

/// What happens when the run before is not done yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Overlap {
    /// This time is left out.
    #[default]
    Skip,
    /// It waits for the run before.
    Queue,
    /// Both go.
    Allow,
    /// The run before is cancelled.
    CancelRunning,
}

/// What happens to times that passed while nobody looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CatchUp {
    /// Nothing.
    None,
    /// The latest of them is made up for.
    #[default]
    Latest,
    /// All that lie within this span are made up for, in order.
    AllWithin(Millis),
    /// All of them are made up for, in order. A DAG file cannot ask for it; a person can.
    All,
}
