//! What people ask of a schedule: each a function from the fold to events, or a refusal.

use super::BACKFILL_MAX;
use super::due::{BackfillPlan, due};
use super::event::{
    BackfillCancelled, BackfillRequested, ByPerson, Changed, Created, Order, ScheduleEvent,
    SkipReason, Skipped,
};
use super::spec::{ScheduleSpec, SpecError};
use super::state::{Phase, Schedule};
use crate::aggregate::Aggregate;
use crate::dag::trigger::{next_after, tz_database};
use crate::time::Timestamp;

/// Characters of a comment.
const COMMENT_MAX: usize = 1_000;
/// Runs of a backfill at one time.
const PARALLEL_MAX: u32 = 100;
/// Firings of a backfill a minute.
const RATE_MAX: u32 = 6_000;

/// Why a schedule refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleRefusal {
    /// There is none.
    #[error("there is no such schedule")]
    Unborn,
    /// The name is taken.
    #[error("there is a schedule of that name")]
    Exists,
    /// It belongs to a pipeline.
    #[error(
        "the schedule belongs to the pipeline `{0}`: change its `on: schedule` and register it, \
         or pause the schedule"
    )]
    Owned(String),
    /// It is so already.
    #[error("the schedule is {0} already")]
    Already(&'static str),
    /// The schedule cannot be like that.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// The words are too long.
    #[error("the comment is longer than {COMMENT_MAX} characters")]
    Comment,
    /// The backfill cannot be like that.
    #[error("{0}")]
    Backfill(String),
    /// One goes on.
    #[error("backfill {0} goes on; wait for it, or cancel it")]
    BackfillRuns(u32),
    /// None goes on.
    #[error("no backfill goes on")]
    NoBackfill,
}

/// What a backfill is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillAsk {
    /// Instants from this one on…
    pub from: Timestamp,
    /// …and before this one.
    pub to: Timestamp,
    /// In which order.
    pub order: Order,
    /// At most so many firings a minute.
    pub rate_per_minute: Option<u32>,
    /// At most so many of its runs at one time.
    pub max_parallel: u32,
    /// Instants that were fired before are fired again.
    pub again: bool,
}

impl Schedule {
    /// Makes it. A name whose schedule was deleted may be used again.
    pub fn create(
        &self,
        spec: ScheduleSpec,
        owner: Option<String>,
        by: &str,
    ) -> Result<Vec<ScheduleEvent>, ScheduleRefusal> {
        if self.is_alive() {
            return Err(ScheduleRefusal::Exists);
        }
        spec.check()?;
        let (tzdb, by) = (tz_database().to_string(), by.to_string());
        Ok(vec![ScheduleEvent::Created(Box::new(Created { spec, tzdb, owner, by }))])
    }

    /// Lets it do something else from now on. Instants that are due and not dealt with are
    /// skipped, where its times change.
    pub fn change(
        &self,
        spec: ScheduleSpec,
        now: Timestamp,
        by: &str,
    ) -> Result<Vec<ScheduleEvent>, ScheduleRefusal> {
        self.must_be_free()?;
        self.change_owned(spec, now, by)
    }

    pub(super) fn change_owned(
        &self,
        spec: ScheduleSpec,
        now: Timestamp,
        by: &str,
    ) -> Result<Vec<ScheduleEvent>, ScheduleRefusal> {
        self.must_live()?;
        spec.check()?;
        let Some(before) = &self.spec else { return Err(ScheduleRefusal::Unborn) };
        if *before == spec {
            return Ok(Vec::new());
        }
        let same_times = before.cron == spec.cron && before.timezone == spec.timezone;
        let mut events =
            if same_times { Vec::new() } else { self.give_up(now, SkipReason::Changed) };
        let (tzdb, by) = (tz_database().to_string(), by.to_string());
        events.push(ScheduleEvent::Changed(Box::new(Changed { spec, tzdb, by })));
        Ok(events)
    }

    /// Fires no more until it is resumed.
    pub fn pause(&self, comment: String, by: &str) -> Result<ScheduleEvent, ScheduleRefusal> {
        self.must_live()?;
        if self.phase == Phase::Paused {
            return Err(ScheduleRefusal::Already("paused"));
        }
        Ok(ScheduleEvent::Paused(by_person(comment, by)?))
    }

    /// Fires again. Instants of the pause are skipped.
    pub fn resume(&self, comment: String, by: &str) -> Result<ScheduleEvent, ScheduleRefusal> {
        self.must_live()?;
        if self.phase == Phase::Active {
            return Err(ScheduleRefusal::Already("active"));
        }
        Ok(ScheduleEvent::Resumed(by_person(comment, by)?))
    }

    /// Takes it away. Runs that it fired go on.
    pub fn delete(
        &self,
        comment: String,
        now: Timestamp,
        by: &str,
    ) -> Result<Vec<ScheduleEvent>, ScheduleRefusal> {
        self.must_be_free()?;
        self.delete_owned(comment, now, by)
    }

    pub(super) fn delete_owned(
        &self,
        comment: String,
        now: Timestamp,
        by: &str,
    ) -> Result<Vec<ScheduleEvent>, ScheduleRefusal> {
        self.must_live()?;
        let mut events = self.give_up(now, SkipReason::Deleted);
        events.push(ScheduleEvent::Deleted(by_person(comment, by)?));
        Ok(events)
    }

    /// Asks for instants of the past to be made up for.
    pub fn backfill(
        &self,
        ask: &BackfillAsk,
        plan: &BackfillPlan,
        now: Timestamp,
        by: &str,
    ) -> Result<ScheduleEvent, ScheduleRefusal> {
        self.must_live()?;
        self.check_backfill(ask, now)?;
        let refuse = |reason: String| Err(ScheduleRefusal::Backfill(reason));
        if let Some(running) = self.running_backfill() {
            return Err(ScheduleRefusal::BackfillRuns(running.request.id));
        }
        if plan.too_many {
            return refuse(format!(
                "the range has more than {BACKFILL_MAX} instants, the most of one backfill: \
                 make it shorter"
            ));
        }
        if plan.instants.is_empty() {
            return refuse(match plan.already.len() {
                0 => "the schedule has no instant in that range".to_string(),
                n => format!("all {n} instants of that range were fired; say `again` to repeat"),
            });
        }
        let Some(spec) = &self.spec else { return Err(ScheduleRefusal::Unborn) };
        Ok(ScheduleEvent::BackfillRequested(Box::new(BackfillRequested {
            id: self.backfill.as_ref().map_or(1, |before| before.request.id + 1),
            from: ask.from,
            to: ask.to,
            order: ask.order,
            rate_per_minute: ask.rate_per_minute,
            max_parallel: ask.max_parallel,
            again: ask.again,
            count: u32::try_from(plan.instants.len()).unwrap_or(u32::MAX),
            cron: spec.cron.clone(),
            timezone: spec.timezone.clone(),
            tzdb: tz_database().to_string(),
            by: by.to_string(),
        })))
    }

    /// Refuses a backfill that cannot be.
    pub fn check_backfill(&self, ask: &BackfillAsk, now: Timestamp) -> Result<(), ScheduleRefusal> {
        let refuse = |reason: String| Err(ScheduleRefusal::Backfill(reason));
        if ask.from > ask.to {
            return refuse(format!("the range ends at {}, before it begins", ask.to));
        }
        if ask.to > now {
            return refuse(format!(
                "the range ends at {}, in the future; the schedule itself fires those",
                ask.to
            ));
        }
        if !(1..=PARALLEL_MAX).contains(&ask.max_parallel) {
            return refuse(format!("runs at one time must be from 1 to {PARALLEL_MAX}"));
        }
        if ask.rate_per_minute.is_some_and(|rate| !(1..=RATE_MAX).contains(&rate)) {
            return refuse(format!("the rate must be from 1 to {RATE_MAX} a minute"));
        }
        Ok(())
    }

    /// The part of a range that the clock has dealt with: what it has not, it will fire itself.
    pub fn settled_range(&self, from: Timestamp, to: Timestamp) -> (Timestamp, Timestamp) {
        let Some(cron) = &self.cron else { return (from, to) };
        let mut after = self.cursor.max(Timestamp(from.0.saturating_sub(1)));
        let mut looked_at = 0;
        while let Some(instant) = next_after(cron, after).filter(|instant| *instant < to) {
            looked_at += 1;
            if !self.is_paused_at(instant) || looked_at > BACKFILL_MAX {
                return (from, instant);
            }
            after = instant;
        }
        (from, to)
    }

    /// Stops the backfill that goes on. Runs that it fired go on.
    pub fn cancel_backfill(
        &self,
        reason: String,
        by: &str,
    ) -> Result<ScheduleEvent, ScheduleRefusal> {
        self.must_live()?;
        let running = self.running_backfill().ok_or(ScheduleRefusal::NoBackfill)?;
        let ByPerson { comment: reason, by } = by_person(reason, by)?;
        let id = running.request.id;
        Ok(ScheduleEvent::BackfillCancelled(BackfillCancelled { id, reason, by }))
    }

    fn must_live(&self) -> Result<(), ScheduleRefusal> {
        if self.is_alive() { Ok(()) } else { Err(ScheduleRefusal::Unborn) }
    }

    fn must_be_free(&self) -> Result<(), ScheduleRefusal> {
        self.must_live()?;
        match &self.owner {
            None => Ok(()),
            Some(owner) => Err(ScheduleRefusal::Owned(owner.clone())),
        }
    }

    /// What becomes of instants that are past and not dealt with: each is in an event.
    fn give_up(&self, now: Timestamp, reason: SkipReason) -> Vec<ScheduleEvent> {
        let mut state = self.clone();
        // Whatever was put off by jitter is past as well.
        if let Some(spec) = &mut state.spec {
            spec.jitter_ms = crate::time::Millis(0);
        }
        let mut events = Vec::new();
        loop {
            let (due, more) = due(&state, "", now);
            let (Some(first), Some(last)) = (due.first(), due.last()) else { return events };
            let event = ScheduleEvent::Skipped(Box::new(Skipped {
                first: first.instant,
                last: last.instant,
                count: u32::try_from(due.len()).unwrap_or(u32::MAX),
                reason,
                detail: String::new(),
                ended: Vec::new(),
                tzdb: tz_database().to_string(),
            }));
            state.apply(now, &event);
            events.push(event);
            if !more {
                return events;
            }
        }
    }
}

fn by_person(comment: String, by: &str) -> Result<ByPerson, ScheduleRefusal> {
    if comment.chars().count() > COMMENT_MAX {
        return Err(ScheduleRefusal::Comment);
    }
    Ok(ByPerson { comment, by: by.to_string() })
}
