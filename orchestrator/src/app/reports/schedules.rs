//! Schedules.

use std::collections::BTreeMap;

use dagbook_events::dag::trigger::{CatchUp, Overlap};
use dagbook_events::ids::RunId;
use dagbook_events::schedule::{
    Backfill, BackfillPlan, BackfillState, Due, Firing, Schedule, ScheduleEvent, next_firings,
};
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Runs that a report names.
const OPEN_SHOWN: usize = 50;

/// One schedule of a list.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleRow {
    /// Its name.
    pub name: String,
    /// `active`, `paused` or `deleted`.
    pub status: String,
    /// The pipeline that it runs.
    pub pipeline: String,
    /// When: five fields, or a name such as `@hourly`.
    pub cron: String,
    /// The IANA zone of those times.
    pub timezone: String,
    /// When it fires next; left out while it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The instant that it fired last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
}

/// A schedule in full.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleReport {
    /// Its name.
    pub name: String,
    /// `active`, `paused` or `deleted`.
    pub status: String,
    /// The pipeline whose `on: schedule` it stands for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The pipeline that it runs.
    pub pipeline: String,
    /// Which version; left out: the newest at the time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// When: five fields, or a name such as `@hourly`.
    pub cron: String,
    /// The IANA zone of those times.
    pub timezone: String,
    /// Version of the zone database that it was checked with.
    pub tzdb: String,
    /// What happens when the run before is not over: `skip`, `queue`, `allow`, `cancel_running`.
    #[schema(value_type = String)]
    pub overlap: Overlap,
    /// What happens to missed times: `none`, `latest`, `all`, or `{"all_within": milliseconds}`.
    #[schema(value_type = serde_json::Value)]
    pub catch_up: CatchUp,
    /// Starts are spread over this span.
    pub jitter_ms: u64,
    /// Parameters of its runs.
    #[schema(value_type = Object)]
    pub params: BTreeMap<String, serde_json::Value>,
    /// Who made or changed it last.
    pub by: String,
    /// What was said when it was last paused or resumed.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub comment: String,
    /// When it was made.
    pub created_at: String,
    /// When it was last changed.
    pub changed_at: String,
    /// Every instant up to this one is dealt with.
    pub dealt_with_to: String,
    /// Instants that were fired.
    pub fired: u64,
    /// Instants that came to nothing.
    pub skipped: u64,
    /// Runs that are not known to be over, the oldest first, at most 50.
    pub open: Vec<OpenRun>,
    /// When it fires next.
    pub next: Vec<NextFiring>,
    /// The latest backfill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backfill: Option<BackfillReport>,
}

/// A run that a schedule asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct OpenRun {
    /// The run.
    #[schema(value_type = String, format = "uuid")]
    pub run: RunId,
    /// For which instant.
    pub instant: String,
    /// Which version it runs.
    pub version: u32,
    /// It begins when this run is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub after: Option<RunId>,
}

/// A time at which a schedule fires.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct NextFiring {
    /// The instant.
    pub instant: String,
    /// When the run starts: the instant behind its jitter.
    pub at: String,
}

/// A backfill and how far it came.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackfillReport {
    /// Its number within the schedule.
    pub id: u32,
    /// `running`, `finished` or `cancelled`.
    pub status: String,
    /// Why it was cancelled.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// Instants from this one on…
    pub from: String,
    /// …and before this one.
    pub to: String,
    /// `oldest` or `newest` first.
    pub order: String,
    /// At most so many firings a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_per_minute: Option<u32>,
    /// At most so many runs at one time.
    pub max_parallel: u32,
    /// Whether instants that were fired before are fired again.
    pub again: bool,
    /// Runs that it makes in all.
    pub count: u32,
    /// Runs that it made.
    pub fired: u32,
    /// Who asked for it.
    pub by: String,
    /// When.
    pub requested_at: String,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended_at: Option<String>,
}

/// What a backfill would do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct BackfillPreview {
    /// How many runs it makes.
    pub count: u32,
    /// Instants of the range that were fired before and are left out.
    pub already_fired: u32,
    /// The range has more instants than one backfill may cover; it would be refused.
    pub too_many: bool,
    /// The instants in their order: the first 100.
    pub instants: Vec<String>,
}

/// Something that happened to a schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HistoryRow {
    /// When it was recorded.
    pub at: String,
    /// What: `schedule.fired`, `schedule.skipped`, ….
    pub event: String,
    /// The instant; the first one if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instant: Option<String>,
    /// The last instant, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// How many instants.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// The run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub run: Option<RunId>,
    /// Why, or what was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

impl ScheduleRow {
    /// The row of a fold. `key` tells it apart from all others.
    pub fn of(name: &str, key: &str, folded: &Schedule, now: Timestamp) -> Self {
        let spec = folded.spec.as_ref();
        let text = |pick: fn(&dagbook_events::schedule::ScheduleSpec) -> &String| {
            spec.map(pick).cloned().unwrap_or_default()
        };
        let next = next_firings(folded, key, now, 1);
        Self {
            name: name.to_string(),
            status: folded.phase.as_str().to_string(),
            pipeline: text(|spec| &spec.pipeline),
            cron: text(|spec| &spec.cron),
            timezone: text(|spec| &spec.timezone),
            next: next.first().map(|due| due.at.to_rfc3339()),
            last: folded.last.as_ref().map(|(_, fired)| fired.instant.to_rfc3339()),
        }
    }
}

impl ScheduleReport {
    /// The report of a fold, with so many of the next firings.
    pub fn of(
        name: &str,
        key: &str,
        folded: &Schedule,
        now: Timestamp,
        next: usize,
    ) -> Option<Self> {
        let spec = folded.spec.as_ref()?;
        Some(Self {
            name: name.to_string(),
            status: folded.phase.as_str().to_string(),
            owner: folded.owner.clone(),
            pipeline: spec.pipeline.clone(),
            version: spec.version,
            cron: spec.cron.clone(),
            timezone: spec.timezone.clone(),
            tzdb: folded.tzdb.clone(),
            overlap: spec.overlap,
            catch_up: spec.catch_up,
            jitter_ms: spec.jitter_ms.0,
            params: spec.params.iter().map(|(k, v)| (k.clone(), v.to_json())).collect(),
            by: folded.by.clone(),
            comment: folded.comment.clone(),
            created_at: folded.created_at.to_rfc3339(),
            changed_at: folded.changed_at.to_rfc3339(),
            dealt_with_to: folded.cursor.to_rfc3339(),
            fired: folded.fired,
            skipped: folded.skipped,
            open: folded.open.iter().take(OPEN_SHOWN).map(OpenRun::of).collect(),
            next: next_firings(folded, key, now, next).iter().map(NextFiring::of).collect(),
            backfill: folded.backfill.as_ref().map(BackfillReport::of),
        })
    }
}

impl OpenRun {
    fn of(firing: &Firing) -> Self {
        Self {
            run: firing.fired.run,
            instant: firing.fired.instant.to_rfc3339(),
            version: firing.fired.pipeline_version.version,
            after: firing.fired.after,
        }
    }
}

impl NextFiring {
    /// The report of an instant.
    pub fn of(due: &Due) -> Self {
        Self { instant: due.instant.to_rfc3339(), at: due.at.to_rfc3339() }
    }
}

impl BackfillReport {
    /// The report of a backfill.
    pub fn of(it: &Backfill) -> Self {
        let (status, reason, ended_at) = match &it.state {
            BackfillState::Running => ("running", String::new(), None),
            BackfillState::Finished(at) => ("finished", String::new(), Some(at.to_rfc3339())),
            BackfillState::Cancelled(at, reason) => {
                ("cancelled", reason.clone(), Some(at.to_rfc3339()))
            }
        };
        let order = match it.request.order {
            dagbook_events::schedule::Order::Oldest => "oldest",
            dagbook_events::schedule::Order::Newest => "newest",
        };
        Self {
            id: it.request.id,
            status: status.to_string(),
            reason,
            from: it.request.from.to_rfc3339(),
            to: it.request.to.to_rfc3339(),
            order: order.to_string(),
            rate_per_minute: it.request.rate_per_minute,
            max_parallel: it.request.max_parallel,
            again: it.request.again,
            count: it.request.count,
            fired: it.fired,
            by: it.request.by.clone(),
            requested_at: it.at.to_rfc3339(),
            ended_at,
        }
    }
}

impl BackfillPreview {
    /// The report of a plan.
    pub fn of(plan: &BackfillPlan) -> Self {
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            count: number(plan.instants.len()),
            already_fired: number(plan.already.len()),
            too_many: plan.too_many,
            instants: plan.instants.iter().take(100).map(|at| at.to_rfc3339()).collect(),
        }
    }
}

impl HistoryRow {
    /// The report of an event.
    pub fn of(at: Timestamp, kind: &str, event: &ScheduleEvent) -> Self {
        let mut row = Self {
            at: at.to_rfc3339(),
            event: kind.to_string(),
            instant: None,
            last: None,
            count: None,
            run: None,
            reason: String::new(),
        };
        match event {
            ScheduleEvent::Fired(e) => {
                row.instant = Some(e.instant.to_rfc3339());
                row.run = Some(e.run);
                if let Some(backfill) = e.backfill {
                    row.reason = format!("backfill {backfill}");
                }
            }
            ScheduleEvent::Skipped(e) => {
                row.instant = Some(e.first.to_rfc3339());
                row.last = (e.count > 1).then(|| e.last.to_rfc3339());
                row.count = Some(e.count);
                row.reason = match e.detail.is_empty() {
                    true => e.reason.text().to_string(),
                    false => format!("{}: {}", e.reason.text(), e.detail),
                };
            }
            ScheduleEvent::Paused(e) | ScheduleEvent::Resumed(e) | ScheduleEvent::Deleted(e) => {
                row.reason.clone_from(&e.comment);
            }
            ScheduleEvent::BackfillRequested(e) => row.count = Some(e.count),
            ScheduleEvent::BackfillCancelled(e) => row.reason.clone_from(&e.reason),
            ScheduleEvent::Created(_)
            | ScheduleEvent::Changed(_)
            | ScheduleEvent::BackfillFinished(_) => {}
        }
        row
    }
}
