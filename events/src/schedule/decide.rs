//! What becomes of the instants that are due: the one function that fires.

use std::collections::BTreeSet;

use super::due::{BackfillPlan, CATCH_UP_MAX, Due, ON_TIME, backfill_due, due};
use super::event::{
    BackfillCancelled, BackfillFinished, Fired, ScheduleEvent, SkipReason, Skipped,
};
use super::state::{Phase, Schedule};
use super::{ENDED_MAX, OPEN_MAX, QUEUE_MAX};
use crate::aggregate::Aggregate;
use crate::dag::trigger::{CatchUp, Overlap, tz_database};
use crate::ids::RunId;
use crate::pipeline::PipelineVersion;
use crate::time::Timestamp;

/// Firings that are decided in one go.
pub const BATCH: usize = 50;

/// What is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// This version; its parameters fit.
    Version(PipelineVersion),
    /// Nothing: the pipeline is archived, or the version is not there.
    Gone(String),
    /// Nothing: the parameters do not fit.
    DoesNotFit(String),
}

/// What a decision needs to know beside the schedule itself.
#[derive(Debug)]
pub struct Facts<'a> {
    /// The schedule's tenant and name, which tell it apart from all others.
    pub name: &'a str,
    /// Now.
    pub now: Timestamp,
    /// Whether the tenant is suspended.
    pub suspended: bool,
    /// What is run.
    pub target: &'a Target,
    /// Runs that are over, whatever else they are.
    pub ended: &'a BTreeSet<RunId>,
    /// What the running backfill covers.
    pub backfill: Option<&'a BackfillPlan>,
}

/// Deals with what is due, in order, and with what a backfill may fire: at most [`BATCH`]
/// firings. `mint` gives a new run's id each time. Total: whatever the state, there is an answer,
/// and every due instant is in it once until the batch is full.
pub fn decide(
    schedule: &Schedule,
    facts: &Facts<'_>,
    mint: &mut dyn FnMut() -> RunId,
) -> Vec<ScheduleEvent> {
    let mut draft = Draft::new(schedule, facts);
    let (due, more) = due(schedule, facts.name, facts.now);
    // The newest are kept; when there are more than are looked at, the first of these are not
    // among them.
    let bound = due.len().saturating_sub(CATCH_UP_MAX);
    let open_end = due.iter().rposition(|it| !schedule.is_paused_at(it.instant));
    let mut fired = 0;
    for (index, it) in due.iter().enumerate() {
        // What was put off into a pause by its jitter waits for the end of it.
        let waits = schedule.phase == Phase::Paused && !schedule.is_paused_at(it.instant);
        if waits || fired == BATCH || (more && index >= bound) {
            break;
        }
        let place = Place { is_latest: !more && open_end == Some(index), kept: index >= bound };
        match draft.verdict(it, &place) {
            Ok(overlap) => {
                draft.fire(it.instant, overlap, None, mint());
                fired += 1;
            }
            Err((reason, detail)) => draft.skip(it.instant, reason, detail),
        }
    }
    draft.fill_back(BATCH - fired, mint);
    draft.events
}

/// Where an instant stands among those that are due.
struct Place {
    /// No later one is due.
    is_latest: bool,
    /// It is among the newest, as many as are made up for.
    kept: bool,
}

/// What firing means for the runs before.
#[derive(Default)]
struct Neighbours {
    after: Option<RunId>,
    cancels: Vec<RunId>,
}

struct Draft<'a> {
    facts: &'a Facts<'a>,
    state: Schedule,
    events: Vec<ScheduleEvent>,
    /// Ended runs that no event names yet.
    ended: Vec<RunId>,
}

impl<'a> Draft<'a> {
    fn new(schedule: &Schedule, facts: &'a Facts<'a>) -> Self {
        let mut state = schedule.clone();
        let is_over = |run: &RunId| facts.ended.contains(run);
        let ended = state.open.iter().map(|f| f.fired.run).filter(is_over).collect();
        state.open.retain(|firing| !is_over(&firing.fired.run));
        Self { facts, state, events: Vec::new(), ended }
    }

    fn verdict(
        &self,
        it: &Due,
        place: &Place,
    ) -> Result<Neighbours, (SkipReason, Option<&'a str>)> {
        let plain = |reason: SkipReason| Err((reason, None));
        let Some(spec) = &self.state.spec else { return plain(SkipReason::NoPipeline) };
        if self.state.is_paused_at(it.instant) {
            return plain(SkipReason::Paused);
        }
        if self.facts.suspended {
            return plain(SkipReason::TenantSuspended);
        }
        let late = self.facts.now.since(it.at);
        if late > ON_TIME {
            let wanted = match spec.catch_up {
                CatchUp::None => false,
                CatchUp::Latest => place.is_latest,
                CatchUp::AllWithin(span) => late <= span,
                CatchUp::All => true,
            };
            if !wanted {
                return plain(SkipReason::Missed);
            }
        }
        if !place.kept {
            return plain(SkipReason::CatchUpBound);
        }
        match self.facts.target {
            Target::Gone(detail) => return Err((SkipReason::NoPipeline, Some(detail))),
            Target::DoesNotFit(detail) => return Err((SkipReason::DoesNotFit, Some(detail))),
            Target::Version(_) => {}
        }
        self.neighbours(spec.overlap).map_err(|reason| (reason, None))
    }

    fn neighbours(&self, overlap: Overlap) -> Result<Neighbours, SkipReason> {
        if self.state.open.len() >= OPEN_MAX {
            return Err(SkipReason::TooManyOpen);
        }
        let by_clock = || self.state.open.iter().filter(|f| f.fired.backfill.is_none());
        let count = by_clock().count();
        match overlap {
            Overlap::Allow => Ok(Neighbours::default()),
            Overlap::Skip if count > 0 => Err(SkipReason::Overlap),
            Overlap::Skip => Ok(Neighbours::default()),
            Overlap::Queue if count > QUEUE_MAX => Err(SkipReason::QueueFull),
            Overlap::Queue => Ok(Neighbours {
                after: by_clock().next_back().map(|firing| firing.fired.run),
                cancels: Vec::new(),
            }),
            Overlap::CancelRunning => Ok(Neighbours {
                after: None,
                cancels: by_clock().filter(|f| !f.cancelled).map(|f| f.fired.run).collect(),
            }),
        }
    }

    fn push(&mut self, event: ScheduleEvent) {
        self.state.apply(self.facts.now, &event);
        self.events.push(event);
    }

    fn some_ended(&mut self) -> Vec<RunId> {
        self.ended.drain(..self.ended.len().min(ENDED_MAX)).collect()
    }

    fn fire(
        &mut self,
        instant: Timestamp,
        Neighbours { after, cancels }: Neighbours,
        backfill: Option<u32>,
        run: RunId,
    ) {
        let Target::Version(version) = self.facts.target else { return };
        let ended = self.some_ended();
        self.push(ScheduleEvent::Fired(Box::new(Fired {
            instant,
            run,
            pipeline_version: version.clone(),
            backfill,
            after,
            cancels,
            ended,
            tzdb: tz_database().to_string(),
        })));
    }

    /// Neighbours that come to nothing for one reason are one event.
    fn skip(&mut self, instant: Timestamp, reason: SkipReason, detail: Option<&str>) {
        let detail = detail.unwrap_or_default().chars().take(500).collect::<String>();
        if let Some(ScheduleEvent::Skipped(before)) = self.events.last_mut()
            && before.reason == reason
            && before.detail == detail
        {
            (before.last, before.count) = (instant, before.count + 1);
            return;
        }
        let ended = self.some_ended();
        self.push(ScheduleEvent::Skipped(Box::new(Skipped {
            first: instant,
            last: instant,
            count: 1,
            reason,
            detail,
            ended,
            tzdb: tz_database().to_string(),
        })));
    }

    /// Backfills go on beside the clock: neither pause nor overlap is meant for them.
    fn fill_back(&mut self, room: usize, mint: &mut dyn FnMut() -> RunId) {
        for _ in 0..room {
            let (Some(plan), Some(backfill)) = (self.facts.backfill, self.state.running_backfill())
            else {
                return;
            };
            let id = backfill.request.id;
            let Some(instant) = plan.next(backfill.request.order, backfill.position) else {
                return self.push(ScheduleEvent::BackfillFinished(BackfillFinished { id }));
            };
            let is_due = backfill_due(&self.state, backfill).is_some_and(|at| at <= self.facts.now);
            if !is_due || self.facts.suspended || self.state.open.len() >= OPEN_MAX {
                return;
            }
            match self.facts.target {
                Target::Version(_) => self.fire(instant, Neighbours::default(), Some(id), mint()),
                Target::Gone(reason) | Target::DoesNotFit(reason) => {
                    let (reason, by) = (reason.clone(), "system:schedules".to_string());
                    let event = BackfillCancelled { id, reason, by };
                    return self.push(ScheduleEvent::BackfillCancelled(event));
                }
            }
        }
    }
}
