//! All schedules of all tenants as they are recorded, ordered by when each is to be looked at.
//! Every server keeps it; the one that leads acts on it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dagbook_events::aggregate::Aggregate;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::ports::Recorded;
use dagbook_events::schedule::{BackfillPlan, Firing, Schedule, ScheduleEvent, next_wake};
use dagbook_events::time::{Millis, Timestamp};

use super::facts::Targets;
use super::key;
use crate::app::error::AppError;
use crate::app::streams::{self, Loaded};

/// Which schedule.
pub(super) type Id = (TenantId, Arc<str>);

/// Longest wait after something failed.
const BACKOFF_MAX: u64 = 30_000;
/// Firings whose runs are submitted in one go.
pub(super) const SUBMIT_BATCH: usize = 20;

/// One schedule, and what is known of its runs beside the record of the schedule.
#[derive(Debug, Default)]
pub(super) struct Entry {
    pub state: Schedule,
    pub version: u64,
    /// Runs that are there.
    pub exists: BTreeSet<RunId>,
    /// Runs that are over.
    pub ended: BTreeSet<RunId>,
    /// Runs whose cancelling was asked for.
    pub cancelled: BTreeSet<RunId>,
    /// What the backfill of this number covers.
    pub plan: Option<(u32, Arc<BackfillPlan>)>,
    /// A job has it.
    pub busy: bool,
    decide_after: Timestamp,
    act_after: Timestamp,
    failures: u32,
    wake: Option<Timestamp>,
}

/// What is to be done for a schedule.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Runs that were fired and are not known to exist.
    Submit(Vec<Firing>),
    /// Runs that a later firing wants cancelled.
    Cancel(Vec<RunId>),
    /// Instants may be due.
    Decide(Box<Decision>),
}

/// What a decision is made on.
#[derive(Debug, Clone)]
pub(super) struct Decision {
    pub loaded: Loaded<Schedule>,
    pub ended: BTreeSet<RunId>,
    pub plan: Option<(u32, Arc<BackfillPlan>)>,
    pub suspended: bool,
}

/// What became of it.
#[derive(Debug)]
pub(super) enum Done {
    /// These runs are there, and these of them are over.
    Submitted { exist: Vec<RunId>, over: Vec<RunId>, failed: Option<AppError> },
    /// These were asked to stop, or are over.
    Cancelled { asked: Vec<RunId>, failed: Option<AppError> },
    /// It was decided; this is the schedule now.
    Decided { loaded: Box<Loaded<Schedule>>, plan: Option<(u32, Arc<BackfillPlan>)>, events: usize },
    /// Somebody else came first; the store will say who.
    Late,
    /// It could not be decided.
    Failed(AppError),
}

/// All schedules.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: BTreeMap<Id, Entry>,
    queue: BTreeSet<(Timestamp, Id)>,
    /// Open runs, and whose they are.
    runs: BTreeMap<RunId, Id>,
    suspended: BTreeSet<TenantId>,
    pub targets: Targets,
}

impl Entry {
    /// Firings whose runs may be submitted now and are not known to exist.
    fn owed(&self) -> impl Iterator<Item = &Firing> {
        let is_over = |run: &RunId| self.ended.contains(run) || self.state.firing(*run).is_none();
        self.state.open.iter().filter(move |firing| {
            let run = &firing.fired.run;
            let is_free = firing.fired.after.as_ref().is_none_or(is_over);
            is_free && !self.exists.contains(run) && !self.ended.contains(run)
        })
    }

    fn to_cancel(&self) -> impl Iterator<Item = RunId> {
        let open = self.state.open.iter().filter(|firing| firing.cancelled);
        open.map(|firing| firing.fired.run).filter(|run| {
            let known = self.exists.contains(run) && !self.ended.contains(run);
            known && !self.cancelled.contains(run)
        })
    }

    fn next(&self, key: &str) -> Option<Timestamp> {
        if self.busy {
            return None;
        }
        let acts = self.owed().next().is_some() || self.to_cancel().next().is_some();
        let by_runs = acts.then_some(self.act_after);
        let by_time = match self.state.running_backfill() {
            None => next_wake(&self.state, key),
            Some(_) => {
                let mut state = self.state.clone();
                state.open.retain(|firing| !self.ended.contains(&firing.fired.run));
                next_wake(&state, key)
            }
        };
        let by_time = by_time.map(|at| at.max(self.decide_after));
        by_runs.into_iter().chain(by_time).min()
    }

    fn back_off(&mut self, now: Timestamp, error: &AppError) -> Timestamp {
        self.failures = (self.failures + 1).min(16);
        let own = (250 << self.failures.min(8)).min(BACKOFF_MAX);
        let asked = match error {
            AppError::Exhausted { retry_after, .. } | AppError::Unavailable { retry_after, .. } => {
                retry_after.0.min(BACKOFF_MAX)
            }
            _ => 0,
        };
        now + Millis(own.max(asked))
    }
}

impl Book {
    /// Whether the tenant was suspended.
    pub fn is_suspended(&self, tenant: &TenantId) -> bool {
        self.suspended.contains(tenant)
    }

    pub fn suspend(&mut self, tenant: &TenantId, suspended: bool) {
        match suspended {
            true => self.suspended.insert(tenant.clone()),
            false => self.suspended.remove(tenant),
        };
    }

    /// Puts a schedule in that was read from the record.
    pub fn put(&mut self, tenant: &TenantId, name: &str, loaded: Loaded<Schedule>) {
        let id = (tenant.clone(), Arc::from(name));
        let entry = self.entries.entry(id.clone()).or_default();
        (entry.state, entry.version) = (loaded.state, loaded.version);
        self.settle(&id);
    }

    /// Takes in what the store has.
    pub fn follow(&mut self, recorded: &Recorded) -> Result<(), AppError> {
        let tenant = &recorded.tenant;
        let stream = recorded.stream.as_str();
        if let Some(name) = stream.strip_prefix("schedule/") {
            let id = (tenant.clone(), Arc::from(name));
            let entry = self.entries.entry(id.clone()).or_default();
            if recorded.version == entry.version {
                entry.version += 1;
                if let Some((at, event)) = streams::read::<ScheduleEvent>(recorded)? {
                    entry.state.apply(at, &event);
                }
                self.settle(&id);
            }
        } else if let Some(run) = recorded.stream.as_run() {
            if let Some(id) = self.runs.get(&run).cloned()
                && let Some(entry) = self.entries.get_mut(&id)
            {
                entry.exists.insert(run);
                if kind(recorded)? == "run.finished" {
                    entry.ended.insert(run);
                }
                self.settle(&id);
            }
        } else if let Some(name) = stream.strip_prefix("pipeline/") {
            self.targets.forget(tenant, name);
        } else if stream == "tenant" {
            match kind(recorded)?.as_str() {
                "tenant.suspended" => self.suspend(tenant, true),
                "tenant.resumed" => self.suspend(tenant, false),
                _ => {}
            }
        }
        Ok(())
    }

    /// When the first of them is to be looked at.
    pub fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// The next schedule for which something is to be done, and what.
    pub fn take(&mut self, now: Timestamp) -> Option<(Id, Work)> {
        while let Some((at, id)) = self.queue.first().cloned()
            && at <= now
        {
            self.queue.pop_first();
            let suspended = self.is_suspended(&id.0);
            let Some(entry) = self.entries.get_mut(&id) else { continue };
            entry.wake = None;
            let acts = entry.act_after <= now;
            let owed: Vec<Firing> = entry.owed().take(SUBMIT_BATCH).cloned().collect();
            let cancels: Vec<RunId> = entry.to_cancel().take(SUBMIT_BATCH).collect();
            entry.busy = true;
            let work = if acts && !owed.is_empty() {
                Work::Submit(owed)
            } else if acts && !cancels.is_empty() {
                Work::Cancel(cancels)
            } else {
                Work::Decide(Box::new(Decision {
                    loaded: Loaded { state: entry.state.clone(), version: entry.version },
                    ended: entry.ended.clone(),
                    plan: entry.plan.clone(),
                    suspended,
                }))
            };
            return Some((id, work));
        }
        None
    }

    /// Takes in what became of it.
    pub fn finish(&mut self, id: &Id, done: Done, now: Timestamp) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        entry.busy = false;
        match done {
            Done::Submitted { exist, over, failed } => {
                entry.exists.extend(exist);
                entry.ended.extend(over);
                entry.acted(id, failed, now);
            }
            Done::Cancelled { asked, failed } => {
                entry.cancelled.extend(asked);
                entry.acted(id, failed, now);
            }
            Done::Decided { loaded, plan, events } => {
                if loaded.version > entry.version {
                    (entry.state, entry.version) = (loaded.state, loaded.version);
                }
                entry.plan = plan;
                entry.failures = 0;
                if events == 0 {
                    // A backfill that has to wait, or a time that was set back.
                    entry.decide_after = now + Millis(1_000);
                }
            }
            Done::Late => entry.decide_after = now + Millis(50),
            Done::Failed(error) => {
                entry.decide_after = entry.back_off(now, &error);
                tracing::warn!(tenant = %id.0, schedule = %id.1, %error, "a schedule waits");
            }
        }
        self.settle(id);
    }

    /// What follows from a change: the place in the queue, and which runs are looked for.
    fn settle(&mut self, id: &Id) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        let open: BTreeSet<RunId> = entry.state.open.iter().map(|f| f.fired.run).collect();
        for run in &open {
            self.runs.entry(*run).or_insert_with(|| id.clone());
        }
        let known = entry.exists.iter().chain(&entry.ended);
        let gone: BTreeSet<RunId> = known.copied().filter(|run| !open.contains(run)).collect();
        for run in &gone {
            self.runs.remove(run);
        }
        entry.exists.retain(|run| !gone.contains(run));
        entry.ended.retain(|run| !gone.contains(run));
        entry.cancelled.retain(|run| open.contains(run));
        if let Some(before) = entry.wake.take() {
            self.queue.remove(&(before, id.clone()));
        }
        if let Some(at) = entry.next(&key(&id.0, &id.1)) {
            entry.wake = Some(at);
            self.queue.insert((at, id.clone()));
        }
    }
}

impl Entry {
    fn acted(&mut self, id: &Id, failed: Option<AppError>, now: Timestamp) {
        match failed {
            None => self.failures = 0,
            Some(error) => {
                self.act_after = self.back_off(now, &error);
                tracing::warn!(tenant = %id.0, schedule = %id.1, %error, "a fired run waits");
            }
        }
    }
}

fn kind(recorded: &Recorded) -> Result<String, AppError> {
    let envelope = Envelope::parse(&recorded.leaf)
        .map_err(|error| AppError::Damaged(format!("position {}: {error}", recorded.position)))?;
    Ok(envelope.kind)
}
