//! What can happen to a schedule, as it is recorded.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::data;
use super::spec::ScheduleSpec;
use crate::aggregate::AggregateEvent;
use crate::ids::RunId;
use crate::pipeline::PipelineVersion;
use crate::time::Timestamp;

/// What happened to a schedule.
#[derive(Debug, Clone, PartialEq)]
pub enum ScheduleEvent {
    /// It was made.
    Created(Box<Created>),
    /// It does something else from now on.
    Changed(Box<Changed>),
    /// It fires no more until it is resumed.
    Paused(ByPerson),
    /// It fires again.
    Resumed(ByPerson),
    /// It is gone.
    Deleted(ByPerson),
    /// A run was asked for. The run may not exist yet.
    Fired(Box<Fired>),
    /// Instants came to nothing.
    Skipped(Box<Skipped>),
    /// Instants of the past are to be made up for.
    BackfillRequested(Box<BackfillRequested>),
    /// They are no longer to be.
    BackfillCancelled(BackfillCancelled),
    /// All of them were.
    BackfillFinished(BackfillFinished),
}

/// `schedule.created`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Created {
    /// What it does.
    pub spec: ScheduleSpec,
    /// Version of the zone database that its times were checked with.
    pub tzdb: String,
    /// The pipeline whose `on: schedule` it stands for.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub owner: Option<String>,
    /// Who made it.
    pub by: String,
}

/// `schedule.changed`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Changed {
    /// What it does from now on.
    pub spec: ScheduleSpec,
    /// Version of the zone database that its times were checked with.
    pub tzdb: String,
    /// Who changed it.
    pub by: String,
}

/// `schedule.paused`, `schedule.resumed`, `schedule.deleted`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ByPerson {
    /// Why, if they said so.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub comment: String,
    /// Who.
    pub by: String,
}

/// `schedule.fired`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fired {
    /// For which instant.
    pub instant: Timestamp,
    /// The run, which is submitted under this id once this is recorded.
    pub run: RunId,
    /// What it runs.
    pub pipeline_version: PipelineVersion,
    /// The backfill that it belongs to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub backfill: Option<u32>,
    /// It is submitted when this run is over.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub after: Option<RunId>,
    /// These runs are to be cancelled.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub cancels: Vec<RunId>,
    /// Runs of earlier firings that are known to be over since the event before.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ended: Vec<RunId>,
    /// Version of the zone database that gave the instant.
    pub tzdb: String,
}

/// `schedule.skipped`: neighbouring instants that came to nothing for one reason.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Skipped {
    /// The first of them.
    pub first: Timestamp,
    /// The last of them.
    pub last: Timestamp,
    /// How many there are.
    pub count: u32,
    /// Why.
    pub reason: SkipReason,
    /// More about it.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub detail: String,
    /// Runs of earlier firings that are known to be over since the event before.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub ended: Vec<RunId>,
    /// Version of the zone database that gave the instants.
    pub tzdb: String,
}

/// Why an instant came to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SkipReason {
    /// The run before was not over.
    Overlap,
    /// Nobody looked at the time, and it is not made up for.
    Missed,
    /// More was missed than is made up for.
    CatchUpBound,
    /// The schedule was paused.
    Paused,
    /// The tenant was suspended.
    TenantSuspended,
    /// The pipeline is archived, or the version is not there.
    NoPipeline,
    /// The parameters do not fit the pipeline.
    DoesNotFit,
    /// Too many firings wait for the run before.
    QueueFull,
    /// Too many runs of the schedule are open.
    TooManyOpen,
    /// The schedule was changed before the instant was dealt with.
    Changed,
    /// The schedule was deleted before the instant was dealt with.
    Deleted,
}

impl SkipReason {
    /// A sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Overlap => "the run before was not over",
            Self::Missed => "nobody looked at the time, and it is not made up for",
            Self::CatchUpBound => "more was missed than is made up for",
            Self::Paused => "the schedule was paused",
            Self::TenantSuspended => "the tenant was suspended",
            Self::NoPipeline => "the pipeline is archived, or the version is not there",
            Self::DoesNotFit => "the parameters do not fit the pipeline",
            Self::QueueFull => "too many firings wait for the run before",
            Self::TooManyOpen => "too many runs of the schedule are open",
            Self::Changed => "the schedule was changed before",
            Self::Deleted => "the schedule was deleted before",
        }
    }
}

/// In which order instants are made up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Order {
    /// As they came.
    #[default]
    Oldest,
    /// The newest first.
    Newest,
}

/// `schedule.backfill_requested`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillRequested {
    /// Its number within the schedule, from 1.
    pub id: u32,
    /// Instants from this one on…
    pub from: Timestamp,
    /// …and before this one.
    pub to: Timestamp,
    /// In which order.
    pub order: Order,
    /// At most so many firings a minute.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rate_per_minute: Option<u32>,
    /// At most so many of its runs at one time.
    pub max_parallel: u32,
    /// Instants that were fired before are fired again.
    pub again: bool,
    /// How many runs that makes.
    pub count: u32,
    /// The expression whose instants these are.
    pub cron: String,
    /// Its zone.
    pub timezone: String,
    /// Version of the zone database that gave the count.
    pub tzdb: String,
    /// Who asked for it.
    pub by: String,
}

/// `schedule.backfill_cancelled`. Runs that were fired go on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillCancelled {
    /// Which.
    pub id: u32,
    /// Why.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub reason: String,
    /// Who.
    pub by: String,
}

/// `schedule.backfill_finished`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackfillFinished {
    /// Which.
    pub id: u32,
}

impl AggregateEvent for ScheduleEvent {
    fn kind(&self) -> &'static str {
        match self {
            Self::Created(_) => "schedule.created",
            Self::Changed(_) => "schedule.changed",
            Self::Paused(_) => "schedule.paused",
            Self::Resumed(_) => "schedule.resumed",
            Self::Deleted(_) => "schedule.deleted",
            Self::Fired(_) => "schedule.fired",
            Self::Skipped(_) => "schedule.skipped",
            Self::BackfillRequested(_) => "schedule.backfill_requested",
            Self::BackfillCancelled(_) => "schedule.backfill_cancelled",
            Self::BackfillFinished(_) => "schedule.backfill_finished",
        }
    }

    fn to_data(&self) -> Map<String, Json> {
        match self {
            Self::Created(e) => data::write(e),
            Self::Changed(e) => data::write(e),
            Self::Paused(e) | Self::Resumed(e) | Self::Deleted(e) => data::write(e),
            Self::Fired(e) => data::write(e),
            Self::Skipped(e) => data::write(e),
            Self::BackfillRequested(e) => data::write(e),
            Self::BackfillCancelled(e) => data::write(e),
            Self::BackfillFinished(e) => data::write(e),
        }
    }

    fn read(kind: &str, recorded: &Map<String, Json>) -> Result<Option<Self>, String> {
        Ok(Some(match kind {
            "schedule.created" => Self::Created(data::read(kind, recorded)?),
            "schedule.changed" => Self::Changed(data::read(kind, recorded)?),
            "schedule.paused" => Self::Paused(data::read(kind, recorded)?),
            "schedule.resumed" => Self::Resumed(data::read(kind, recorded)?),
            "schedule.deleted" => Self::Deleted(data::read(kind, recorded)?),
            "schedule.fired" => Self::Fired(data::read(kind, recorded)?),
            "schedule.skipped" => Self::Skipped(data::read(kind, recorded)?),
            "schedule.backfill_requested" => Self::BackfillRequested(data::read(kind, recorded)?),
            "schedule.backfill_cancelled" => Self::BackfillCancelled(data::read(kind, recorded)?),
            "schedule.backfill_finished" => Self::BackfillFinished(data::read(kind, recorded)?),
            _ => return Ok(None),
        }))
    }
}
