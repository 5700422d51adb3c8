//! A fold of `schedule/<name>`.

use std::collections::BTreeSet;

use super::event::{BackfillRequested, Fired, ScheduleEvent};
use super::spec::ScheduleSpec;
use crate::aggregate::Aggregate;
use crate::dag::trigger::Schedule as Cron;
use crate::ids::RunId;
use crate::time::Timestamp;

/// What a schedule is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Phase {
    /// Nothing is recorded.
    #[default]
    Unborn,
    /// It fires.
    Active,
    /// It waits to be resumed.
    Paused,
    /// It is gone.
    Deleted,
}

impl Phase {
    /// The word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unborn => "unborn",
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Deleted => "deleted",
        }
    }
}

/// A firing whose run is not known to be over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Firing {
    /// When it was recorded.
    pub at: Timestamp,
    /// What was recorded.
    pub fired: Fired,
    /// A later firing wants it cancelled.
    pub cancelled: bool,
    /// The schedule does something else now than when it fired.
    pub changed_since: bool,
}

/// A backfill and how far it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backfill {
    /// When it was asked for.
    pub at: Timestamp,
    /// What was asked for.
    pub request: BackfillRequested,
    /// Runs that it fired.
    pub fired: u32,
    /// The instant of the last of them.
    pub position: Option<Timestamp>,
    /// When that was.
    pub last_at: Option<Timestamp>,
    /// Whether it goes on.
    pub state: BackfillState,
}

/// Whether a backfill goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackfillState {
    /// It goes on.
    Running,
    /// It fired all that it had to.
    Finished(Timestamp),
    /// It was stopped.
    Cancelled(Timestamp, String),
}

/// A fold of `schedule/<name>`.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Schedule {
    /// What it is.
    pub phase: Phase,
    /// What it does.
    pub spec: Option<ScheduleSpec>,
    /// The expression in its zone; none if this program cannot read it.
    pub cron: Option<Cron>,
    /// Version of the zone database that the expression was checked with.
    pub tzdb: String,
    /// The pipeline that it belongs to.
    pub owner: Option<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub changed_at: Timestamp,
    /// Who made or changed it last.
    pub by: String,
    /// What was said when it was last paused, resumed or deleted.
    pub comment: String,
    /// Every instant up to this one is dealt with.
    pub cursor: Timestamp,
    /// Pauses that may cover instants that are not dealt with: since and until.
    pub pauses: Vec<(Timestamp, Option<Timestamp>)>,
    /// Firings whose runs are not known to be over, in their order.
    pub open: Vec<Firing>,
    /// Instants that were fired by the clock.
    pub fired: u64,
    /// Instants that came to nothing.
    pub skipped: u64,
    /// The latest firing.
    pub last: Option<(Timestamp, Fired)>,
    /// The latest backfill.
    pub backfill: Option<Backfill>,
}

impl Schedule {
    /// Whether it is there.
    pub fn is_alive(&self) -> bool {
        matches!(self.phase, Phase::Active | Phase::Paused)
    }

    /// Whether an instant lies in a pause.
    pub fn is_paused_at(&self, instant: Timestamp) -> bool {
        let covers = |since: Timestamp, until: Option<Timestamp>| {
            instant >= since && until.is_none_or(|until| instant < until)
        };
        self.pauses.iter().any(|(since, until)| covers(*since, *until))
    }

    /// The backfill, while it goes on.
    pub fn running_backfill(&self) -> Option<&Backfill> {
        self.backfill.as_ref().filter(|it| it.state == BackfillState::Running)
    }

    /// A firing whose run is not known to be over.
    pub fn firing(&self, run: RunId) -> Option<&Firing> {
        self.open.iter().find(|firing| firing.fired.run == run)
    }

    fn end(&mut self, runs: &[RunId]) {
        if !runs.is_empty() {
            let runs: BTreeSet<&RunId> = runs.iter().collect();
            self.open.retain(|firing| !runs.contains(&firing.fired.run));
        }
    }

    fn dealt_with(&mut self, instant: Timestamp) {
        self.cursor = self.cursor.max(instant);
        let cursor = self.cursor;
        self.pauses.retain(|(_, until)| until.is_none_or(|until| until > cursor));
    }

    fn set(&mut self, spec: &ScheduleSpec, tzdb: &str, by: &str, at: Timestamp) {
        self.cron = spec.compiled().ok();
        self.spec = Some(spec.clone());
        self.tzdb = tzdb.to_string();
        self.by = by.to_string();
        self.changed_at = at;
        self.open.iter_mut().for_each(|firing| firing.changed_since = true);
    }

    fn fire(&mut self, at: Timestamp, fired: &Fired) {
        self.end(&fired.ended);
        for firing in &mut self.open {
            firing.cancelled |= fired.cancels.contains(&firing.fired.run);
        }
        self.open.push(Firing { at, fired: fired.clone(), cancelled: false, changed_since: false });
        self.last = Some((at, fired.clone()));
        match fired.backfill {
            None => {
                self.fired += 1;
                self.dealt_with(fired.instant);
            }
            Some(id) => {
                if let Some(backfill) = self.backfill.as_mut().filter(|it| it.request.id == id) {
                    backfill.fired += 1;
                    backfill.position = Some(fired.instant);
                    backfill.last_at = Some(at);
                }
            }
        }
    }

    fn stop_backfill(&mut self, state: BackfillState) {
        if let Some(backfill) = &mut self.backfill
            && backfill.state == BackfillState::Running
        {
            backfill.state = state;
        }
    }
}

impl Aggregate for Schedule {
    type Event = ScheduleEvent;

    fn apply(&mut self, at: Timestamp, event: &ScheduleEvent) {
        match event {
            ScheduleEvent::Created(e) => {
                // A name that was used before keeps how far it came: no instant comes twice.
                self.phase = Phase::Active;
                self.set(&e.spec, &e.tzdb, &e.by, at);
                (self.owner, self.created_at) = (e.owner.clone(), at);
                self.comment.clear();
                self.pauses.clear();
                self.dealt_with(at);
            }
            ScheduleEvent::Changed(e) => {
                let timing = |spec: &ScheduleSpec| (spec.cron.clone(), spec.timezone.clone());
                let differs = self.spec.as_ref().map(timing) != Some(timing(&e.spec));
                self.set(&e.spec, &e.tzdb, &e.by, at);
                if differs {
                    self.dealt_with(at);
                }
            }
            ScheduleEvent::Paused(e) => {
                self.phase = Phase::Paused;
                self.comment.clone_from(&e.comment);
                self.pauses.push((at, None));
            }
            ScheduleEvent::Resumed(e) => {
                self.phase = Phase::Active;
                self.comment.clone_from(&e.comment);
                if let Some((since, until)) = self.pauses.last_mut() {
                    *until = Some(at.max(*since));
                }
            }
            ScheduleEvent::Deleted(e) => {
                self.phase = Phase::Deleted;
                self.comment.clone_from(&e.comment);
                self.pauses.clear();
                self.dealt_with(at);
                self.stop_backfill(BackfillState::Cancelled(at, "the schedule is gone".into()));
            }
            ScheduleEvent::Fired(e) => self.fire(at, e),
            ScheduleEvent::Skipped(e) => {
                self.end(&e.ended);
                self.skipped += u64::from(e.count);
                self.dealt_with(e.last);
            }
            ScheduleEvent::BackfillRequested(e) => {
                self.backfill = Some(Backfill {
                    at,
                    request: (**e).clone(),
                    fired: 0,
                    position: None,
                    last_at: None,
                    state: BackfillState::Running,
                });
            }
            ScheduleEvent::BackfillCancelled(e) => {
                self.stop_backfill(BackfillState::Cancelled(at, e.reason.clone()));
            }
            ScheduleEvent::BackfillFinished(_) => {
                self.stop_backfill(BackfillState::Finished(at));
            }
        }
    }
}
