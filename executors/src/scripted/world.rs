//! The machine on which scripted attempts "run". It outlives the executor that started them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{AttemptId, Epoch};
use dagbook_events::ports::Clock;
use dagbook_events::step::{
    AttemptReport, AttemptSpec, LogSummary, Outcome, ReportBody, StopCause, Used,
};
use dagbook_events::time::Timestamp;

use super::script::{Behavior, Script, Starting};
use crate::hub::{Hub, Reports};
use crate::port::{
    AttemptState, CancelAnswer, CancelMode, Handle, LogChunk, LogError, LogQuery, Recovery,
    StartError,
};
use crate::request::{Place, exit_without_run, report};

pub(super) struct World {
    place: Place,
    script: Script,
    clock: Arc<dyn Clock>,
    hub: Hub,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    attempts: BTreeMap<AttemptId, Attempt>,
    calls: BTreeMap<AttemptId, u32>,
    canceled: BTreeMap<AttemptId, StopCause>,
    executions: BTreeMap<AttemptId, usize>,
    running: u32,
    draining: bool,
}

struct Attempt {
    spec: AttemptSpec,
    hash: Option<Sha256Digest>,
    behavior: Behavior,
    state: AttemptState,
    allocated: Timestamp,
    started: Option<Timestamp>,
    stop: Option<(StopCause, bool)>,
}

impl World {
    pub(super) fn new(name: &str, script: Script, clock: Arc<dyn Clock>) -> Arc<Self> {
        let place = Place {
            executor: name.to_string(),
            class: name.to_string(),
            node: "scripted".to_string(),
        };
        Arc::new(Self { place, script, clock, hub: Hub::default(), inner: Mutex::default() })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn slots(&self) -> u32 {
        self.script.slots
    }

    pub(super) fn watch(&self) -> Reports {
        self.hub.watch()
    }

    pub(super) fn crash(&self) {
        self.hub.close();
        self.lock().draining = false;
    }

    pub(super) fn drain(&self) {
        self.lock().draining = true;
    }

    pub(super) fn executions(&self, attempt: AttemptId) -> usize {
        self.lock().executions.get(&attempt).copied().unwrap_or(0)
    }

    pub(super) fn start(world: &Arc<Self>, spec: AttemptSpec) -> Result<Handle, StartError> {
        let id = spec.attempt;
        let handle = Handle(format!("scripted:{id}"));
        let behavior = world.script.behavior(&spec.step, spec.epoch).clone();
        let mut inner = world.lock();
        if let Some(known) = inner.attempts.get_mut(&id) {
            // The hash is only made where it is needed: most attempts are started once.
            let known_hash = *known.hash.get_or_insert_with(|| known.spec.hash());
            let same = known_hash == spec.hash();
            return if same { Ok(handle) } else { Err(StartError::Conflict { attempt: id }) };
        }
        let after = inner.admit(id, &behavior.starting, world.script.slots)?;
        let now = world.clock.now();
        if let Some(by) = inner.canceled.remove(&id) {
            let outcome = Outcome::Canceled { by, forced: false };
            let attempt = Attempt::new(spec, behavior, AttemptState::Exited, now);
            let exit = exit_without_run(&world.place, &attempt.spec, outcome, now);
            let report = report(&attempt.spec, now, ReportBody::Exited(Box::new(exit)));
            inner.attempts.insert(id, attempt);
            drop(inner);
            world.hub.send(report);
            return Ok(handle);
        }
        *inner.executions.entry(id).or_default() += 1;
        inner.running += 1;
        let (delay, run) = (behavior.start_delay, behavior.run);
        inner.attempts.insert(id, Attempt::new(spec, behavior, AttemptState::Preparing, now));
        drop(inner);
        Self::go_on(world, id, delay, run);
        after.map_or(Ok(handle), Err)
    }

    /// Runs at once where nothing takes time, so that a no-op step costs no task.
    fn go_on(world: &Arc<Self>, id: AttemptId, delay: Duration, run: Duration) {
        if delay.is_zero() {
            Self::started(world, id);
        }
        if delay.is_zero() && run.is_zero() {
            return world.end(id, None);
        }
        let world = Arc::clone(world);
        tokio::spawn(async move {
            if !delay.is_zero() {
                tokio::time::sleep(delay).await;
                Self::started(&world, id);
            }
            tokio::time::sleep(run).await;
            world.end(id, None);
        });
    }

    fn started(world: &Arc<Self>, id: AttemptId) {
        let mut inner = world.lock();
        let Some(attempt) = inner.attempts.get_mut(&id) else { return };
        if attempt.state != AttemptState::Preparing {
            return;
        }
        attempt.state = AttemptState::Running;
        let now = world.clock.now();
        attempt.started = Some(now);
        let handle = Some(format!("scripted:{id}"));
        let body = ReportBody::Started { node: world.place.node.clone(), pid: None, handle };
        let report = report(&attempt.spec, now, body);
        let faults = attempt.behavior.reporting;
        let is_brief = attempt.behavior.run.is_zero() && attempt.behavior.outcome.is_some();
        drop(inner);
        world.tell(report, faults.lose_started, faults.duplicates);
        if let Some(every) = world.script.measure_every.filter(|_| !is_brief) {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                loop {
                    tokio::time::sleep(every).await;
                    if !world.measure(id) {
                        return;
                    }
                }
            });
        }
    }

    /// Tells what a running attempt used so far: of what its script says, as much as of its time
    /// is over. Says whether it runs.
    fn measure(&self, id: AttemptId) -> bool {
        let inner = self.lock();
        let Some(attempt) = inner.attempts.get(&id) else { return false };
        if attempt.state == AttemptState::Exited {
            return false;
        }
        let now = self.clock.now();
        let mut exit = attempt.exit(&self.place, Outcome::Succeeded, now);
        let whole = attempt.behavior.run.as_millis();
        let over = u128::from(now.since(attempt.allocated).0).min(whole);
        let part = |n: u64| match whole {
            0 => n,
            whole => u64::try_from(u128::from(n) * over / whole).unwrap_or(n),
        };
        exit.usage.used.cpu_ms = part(exit.usage.used.cpu_ms);
        exit.usage.used.mem_mib_ms = part(exit.usage.used.mem_mib_ms);
        exit.usage.used.egress_bytes = part(exit.usage.used.egress_bytes);
        exit.usage.outcome = "running".to_string();
        let report = report(&attempt.spec, now, ReportBody::Usage(Box::new(exit.usage)));
        drop(inner);
        self.hub.send(report);
        true
    }

    /// Ends an attempt: by its script, by its cancel, or as `outcome` says.
    pub(super) fn end(&self, id: AttemptId, outcome: Option<Outcome>) {
        let mut inner = self.lock();
        let Some(attempt) = inner.attempts.get_mut(&id) else { return };
        if attempt.state == AttemptState::Exited {
            return;
        }
        let stopped = attempt.stop.map(|(by, forced)| Outcome::Canceled { by, forced });
        let scripted = attempt.behavior.outcome.clone();
        let Some(outcome) = outcome.or(stopped).or(scripted) else { return };
        attempt.state = AttemptState::Exited;
        let now = self.clock.now();
        let exit = attempt.exit(&self.place, outcome, now);
        let report = report(&attempt.spec, now, ReportBody::Exited(Box::new(exit)));
        let faults = attempt.behavior.reporting;
        inner.running -= 1;
        drop(inner);
        self.tell(report, faults.lose_exited, faults.duplicates);
        if faults.echo_after_exit {
            self.hub.replay(id);
        }
    }

    fn tell(&self, report: AttemptReport, lost: bool, duplicates: u32) {
        if lost {
            return self.hub.lose(report);
        }
        let again = (duplicates > 0).then(|| report.clone());
        self.hub.send(report);
        for copy in again.iter().cycle().take(duplicates as usize) {
            self.hub.repeat(copy.clone());
        }
    }

    pub(super) fn cancel(
        world: &Arc<Self>,
        id: AttemptId,
        epoch: Epoch,
        mode: CancelMode,
        by: StopCause,
    ) -> CancelAnswer {
        let mut inner = world.lock();
        let Some(attempt) = inner.attempts.get_mut(&id) else {
            inner.canceled.insert(id, by);
            return CancelAnswer::NotStarted;
        };
        if attempt.spec.epoch != epoch {
            return CancelAnswer::Stale { current: attempt.spec.epoch };
        }
        if attempt.state == AttemptState::Exited {
            return CancelAnswer::AlreadyExited;
        }
        let first = attempt.stop.is_none();
        let delay = match mode {
            CancelMode::Force => {
                attempt.stop = Some((attempt.stop.map_or(by, |(by, _)| by), true));
                Duration::ZERO
            }
            CancelMode::Graceful { .. } if !first => return CancelAnswer::Accepted,
            CancelMode::Graceful { grace } => {
                attempt.stop = Some((by, attempt.behavior.stop_delay > grace));
                attempt.behavior.stop_delay.min(grace)
            }
        };
        attempt.state = AttemptState::Stopping;
        let stopping = report(&attempt.spec, world.clock.now(), ReportBody::Stopping);
        drop(inner);
        world.hub.send(stopping);
        if delay.is_zero() {
            world.end(id, None);
        } else {
            let world = Arc::clone(world);
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                world.end(id, None);
            });
        }
        CancelAnswer::Accepted
    }

    pub(super) fn state(&self, id: AttemptId) -> Option<AttemptState> {
        self.lock().attempts.get(&id).map(|attempt| attempt.state)
    }

    pub(super) fn recover(&self, id: AttemptId) -> Recovery {
        match self.state(id) {
            Some(state) => {
                self.hub.replay(id);
                Recovery::Found(state)
            }
            None => Recovery::Gone,
        }
    }

    pub(super) fn list(&self) -> Vec<AttemptId> {
        self.lock().attempts.keys().copied().collect()
    }

    pub(super) fn log(&self, query: LogQuery) -> Result<LogChunk, LogError> {
        let inner = self.lock();
        let attempt = inner.attempts.get(&query.attempt).ok_or(LogError::Missing(query.attempt))?;
        let log = &attempt.behavior.log;
        let from = usize::try_from(query.offset).unwrap_or(usize::MAX).min(log.len());
        let to = from.saturating_add(query.limit).min(log.len());
        Ok(LogChunk {
            offset: from as u64,
            bytes: log[from..to].to_vec(),
            closed: attempt.state == AttemptState::Exited,
            total: log.len() as u64,
            dropped_bytes: 0,
        })
    }

    pub(super) fn used(&self, id: AttemptId) -> Option<Used> {
        self.lock().attempts.get(&id).map(|attempt| attempt.behavior.used.clone())
    }

    pub(super) fn release(&self, id: AttemptId) {
        let mut inner = self.lock();
        if inner.attempts.get(&id).is_some_and(|a| a.state == AttemptState::Exited) {
            inner.attempts.remove(&id);
            inner.calls.remove(&id);
            inner.executions.remove(&id);
            self.hub.forget(id);
        }
    }
}

impl Inner {
    /// Whether the call may go through; `Ok(Some(error))` means "go, but answer this".
    fn admit(
        &mut self,
        id: AttemptId,
        starting: &Starting,
        slots: u32,
    ) -> Result<Option<StartError>, StartError> {
        if self.draining {
            return Err(StartError::Busy { reason: "the executor is draining".to_string() });
        }
        if slots > 0 && self.running >= slots {
            return Err(StartError::Busy { reason: format!("all {slots} slots are in use") });
        }
        if *starting == Starting::Accept {
            return Ok(None);
        }
        let calls = self.calls.entry(id).or_default();
        *calls += 1;
        let unsure = || StartError::Ambiguous { detail: "the answer was lost".to_string() };
        match starting {
            Starting::Busy(times) if *calls <= *times => {
                Err(StartError::Busy { reason: "the script says so".to_string() })
            }
            Starting::Unschedulable(reason) => {
                Err(StartError::Unschedulable { reason: reason.clone() })
            }
            Starting::Invalid(kind, message) => {
                Err(StartError::Invalid { kind: *kind, message: message.clone() })
            }
            Starting::AmbiguousStarted => Ok(Some(unsure())),
            Starting::AmbiguousNotStarted if *calls == 1 => Err(unsure()),
            Starting::Accept | Starting::Busy(_) | Starting::AmbiguousNotStarted => Ok(None),
        }
    }
}

impl Attempt {
    fn new(spec: AttemptSpec, behavior: Behavior, state: AttemptState, at: Timestamp) -> Self {
        Self { spec, hash: None, behavior, state, allocated: at, started: None, stop: None }
    }

    fn exit(
        &self,
        place: &Place,
        outcome: Outcome,
        now: Timestamp,
    ) -> dagbook_events::step::AttemptExit {
        let succeeded = outcome == Outcome::Succeeded;
        let mut exit = exit_without_run(place, &self.spec, outcome, now);
        exit.usage.allocated_ms = self.allocated.min(now);
        exit.usage.started_ms = self.started;
        exit.usage.used = Used { ..self.behavior.used.clone() };
        if succeeded {
            exit.outputs = self.behavior.outputs.clone();
            exit.output_error = self.behavior.output_error.clone();
            exit.artifacts = self.behavior.artifacts.clone();
        }
        exit.log = LogSummary {
            bytes: self.behavior.log.len() as u64,
            crc32: crc32fast::hash(&self.behavior.log),
            dropped_bytes: 0,
        };
        exit
    }
}
