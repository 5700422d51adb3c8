//! What goes on between the calls: starting in the background, listening to shims, reporting.

use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::AttemptId;
use dagbook_events::step::{
    AttemptExit, AttemptSpec, Outcome, ReportBody, StartErrorKind, StopCause,
};
use dagbook_events::time::Timestamp;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::unix::pipe;

use super::attempt::Attempt;
use super::cgroup::Trees;
use super::config::LocalConfig;
use super::paths::AttemptDir;
use super::prepare::{self, Refused};
use super::records::{self, Measured, Notice, Record, ShimExit, Started};
use super::recover::{self, Remains};
use super::shim::Nursery;
use super::shim::ending::wait_for_end;
use super::shim::launch::Spawned;
use super::spare::Spares;
use super::{finish, journal};
use crate::hub::Hub;
use crate::port::{AttemptState, Handle, Recovery, StartError};
use crate::request::{Place, exit_without_run, report};

/// The state that calls and background tasks share.
pub(crate) struct Shared {
    pub(crate) config: LocalConfig,
    pub(crate) trees: Trees,
    pub(crate) nursery: Nursery,
    pub(crate) spares: Spares,
    pub(crate) journal: journal::Writer,
    pub(crate) place: Place,
    pub(crate) hub: Hub,
    pub(crate) draining: AtomicBool,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    attempts: BTreeMap<AttemptId, Arc<Attempt>>,
    /// Cancelled before they were started.
    canceled: BTreeMap<AttemptId, StopCause>,
}

/// What a call to start found.
pub(crate) enum Claim {
    /// It is the caller's to start.
    New(Arc<Attempt>),
    /// Someone has started it or is about to.
    Known(Arc<Attempt>),
    /// It was cancelled before.
    Canceled(Arc<Attempt>, StopCause),
}

impl Shared {
    pub(crate) fn new(config: LocalConfig, trees: Trees) -> Self {
        let place = Place {
            executor: config.name.clone(),
            class: config.class.clone(),
            node: config.node.clone(),
        };
        let nursery = Nursery::new(config.shim.clone());
        let (spares, journal, hub, draining, table) = Default::default();
        Self { config, trees, nursery, spares, journal, place, hub, draining, table }
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, id: AttemptId) -> Option<Arc<Attempt>> {
        self.table().attempts.get(&id).cloned()
    }

    pub(crate) fn all(&self) -> Vec<Arc<Attempt>> {
        self.table().attempts.values().cloned().collect()
    }

    fn now(&self) -> Timestamp {
        self.config.clock.now()
    }

    /// Finds the attempt or takes a place for it, in one step.
    pub(crate) fn claim(
        &self,
        spec: &AttemptSpec,
        hash: Sha256Digest,
    ) -> Result<Claim, StartError> {
        let mut table = self.table();
        if let Some(known) = table.attempts.get(&spec.attempt) {
            return if known.hash == hash {
                Ok(Claim::Known(Arc::clone(known)))
            } else {
                Err(StartError::Conflict { attempt: spec.attempt })
            };
        }
        if self.draining.load(Ordering::SeqCst) {
            return Err(StartError::Busy { reason: "the executor is draining".to_string() });
        }
        let dir = AttemptDir::new(&self.config.root, spec.attempt);
        let attempt = Arc::new(Attempt::new(spec.attempt, spec.epoch, hash, dir));
        if let Some(by) = table.canceled.remove(&spec.attempt) {
            table.attempts.insert(spec.attempt, Arc::clone(&attempt));
            return Ok(Claim::Canceled(attempt, by));
        }
        if let Some(slots) = self.config.slots {
            let live =
                table.attempts.values().filter(|a| a.state() != AttemptState::Exited).count();
            if live >= slots as usize {
                let reason = format!("all {slots} places of this machine are in use");
                return Err(StartError::Busy { reason });
            }
        }
        table.attempts.insert(spec.attempt, Arc::clone(&attempt));
        Ok(Claim::New(attempt))
    }

    /// Remembers that an attempt must not start; or gives the one that is known.
    pub(crate) fn cancel_unknown(&self, id: AttemptId, by: StopCause) -> Option<Arc<Attempt>> {
        let mut table = self.table();
        let known = table.attempts.get(&id).cloned();
        if known.is_none() {
            table.canceled.insert(id, by);
        }
        known
    }

    pub(crate) fn forget(&self, id: AttemptId) {
        let mut table = self.table();
        table.attempts.remove(&id);
        table.canceled.remove(&id);
        drop(table);
        self.hub.forget(id);
    }

    /// Starts an attempt in the background, so that a caller who goes away does not leave it
    /// half started.
    pub(crate) fn begin(self: &Arc<Self>, attempt: Arc<Attempt>, spec: AttemptSpec) {
        let shared = Arc::clone(self);
        tokio::spawn(async move {
            let answer = shared.start(&attempt, spec).await;
            if answer.is_err() {
                shared.table().attempts.remove(&attempt.id);
            }
            attempt.answer(answer);
        });
    }

    async fn start(
        self: &Arc<Self>,
        attempt: &Arc<Attempt>,
        spec: AttemptSpec,
    ) -> Result<Handle, StartError> {
        let allocated = self.now();
        let fetched = Arc::new(prepare::fetch(&self.config, &spec).await?);
        let spec = Arc::new(spec);
        for _ in 0..3 {
            let (shared, the_attempt) = (Arc::clone(self), Arc::clone(attempt));
            let (spec, fetched) = (Arc::clone(&spec), Arc::clone(&fetched));
            let blocking =
                move || shared.prepare_and_launch(&the_attempt, &spec, allocated, &fetched);
            match tokio::task::spawn_blocking(blocking).await {
                Ok(Ok(spawned)) => {
                    self.listen(attempt, spawned);
                    return Ok(attempt.handle());
                }
                Ok(Err(Refused::Taken)) => {
                    if self.take_over(attempt).await? {
                        return Ok(attempt.handle());
                    }
                    // What was there had never begun, and is cleared away.
                }
                Ok(Err(Refused::Error(error))) => return Err(error),
                Err(error) => return Err(StartError::Ambiguous { detail: error.to_string() }),
            }
        }
        Err(StartError::Ambiguous { detail: "others start the same attempt".to_string() })
    }

    fn prepare_and_launch(
        &self,
        attempt: &Attempt,
        spec: &AttemptSpec,
        allocated: Timestamp,
        fetched: &prepare::Fetch,
    ) -> Result<Spawned, Refused> {
        // What was fetched may have taken long, and this executor's time may be over.
        if self.draining.load(Ordering::SeqCst) {
            let reason = "the executor is draining".to_string();
            return Err(Refused::Error(StartError::Busy { reason }));
        }
        let allotted = prepare::Allotted { hash: attempt.hash, at: allocated };
        let prepared =
            prepare::prepare(&self.config, &self.trees, &self.spares, spec, allotted, fetched)?;
        let _ = attempt.record.set(prepared.record.clone());
        attempt.deliver_early_cancel();
        prepared.launch(&self.nursery).map_err(|error| {
            let _ = recover::remove(&attempt.dir);
            let program = self.config.shim.program.display();
            Refused::Error(StartError::Invalid {
                kind: StartErrorKind::Io,
                message: format!("the supervisor {program} cannot be started: {error}"),
            })
        })
    }

    /// The folder is there though this executor did not know of the attempt: it was started by
    /// one before. False where that one had not begun.
    async fn take_over(self: &Arc<Self>, attempt: &Arc<Attempt>) -> Result<bool, StartError> {
        let remains = self.inspect(&attempt.dir).await;
        let take = |record: Box<Record>| {
            let same = record.hash == attempt.hash;
            let _ = attempt.record.set(*record);
            if same { Ok(()) } else { Err(StartError::Conflict { attempt: attempt.id }) }
        };
        match remains {
            Ok(Remains::Nothing) => return Ok(false),
            Ok(Remains::Living(record, pidfd)) => {
                take(record)?;
                self.follow(attempt, pidfd);
            }
            Ok(Remains::Ended(record, exit)) => {
                take(record)?;
                self.conclude(attempt, &exit).await;
            }
            Err(error) => return Err(StartError::Ambiguous { detail: error.to_string() }),
        }
        Ok(true)
    }

    /// Listens to a shim that was just started.
    fn listen(self: &Arc<Self>, attempt: &Arc<Attempt>, spawned: Spawned) {
        let (shared, the_attempt) = (Arc::clone(self), Arc::clone(attempt));
        let task = tokio::spawn(async move {
            let ended = tokio::select! {
                ended = shared.hear(&the_attempt, spawned.notices) => ended,
                () = shared.tell_usage(&the_attempt) => false,
            };
            if let Some(pidfd) = spawned.pidfd {
                let _ = wait_for_end(pidfd).await;
            }
            if !ended {
                shared.settle(&the_attempt).await;
            }
        });
        attempt.set_watcher(task.abort_handle());
    }

    /// Takes notices until the shim is gone. Says whether it told its end.
    async fn hear(self: &Arc<Self>, attempt: &Arc<Attempt>, notices: OwnedFd) -> bool {
        let Ok(pipe) = pipe::Receiver::from_owned_fd(notices) else { return false };
        let mut lines = BufReader::new(pipe).lines();
        while let Ok(Some(line)) = lines.next_line().await {
            match serde_json::from_str(&line) {
                Ok(Notice::Started(started)) => self.started(attempt, &started),
                Ok(Notice::Exit(exit)) => {
                    self.conclude(attempt, &exit).await;
                    return true;
                }
                Err(error) => tracing::warn!(attempt = %attempt.id, %error, "a strange notice"),
            }
        }
        false
    }

    /// Waits for the end of a shim that another executor started.
    fn follow(self: &Arc<Self>, attempt: &Arc<Attempt>, pidfd: OwnedFd) {
        let (shared, the_attempt) = (Arc::clone(self), Arc::clone(attempt));
        let task = tokio::spawn(async move {
            // `started` may be a moment away; the shim's end is seen in any case.
            let started = async {
                shared.await_started(&the_attempt).await;
                std::future::pending::<()>().await
            };
            tokio::select! {
                () = started => {}
                () = shared.tell_usage(&the_attempt) => {}
                _ = wait_for_end(pidfd) => {}
            }
            shared.look_for_started(&the_attempt);
            shared.settle(&the_attempt).await;
        });
        attempt.set_watcher(task.abort_handle());
    }

    /// Tells what the attempt used, as often as its shim puts it down. Never returns.
    async fn tell_usage(&self, attempt: &Attempt) {
        let pause = self.config.measure_every / 4;
        let pause = pause.clamp(Duration::from_millis(10), Duration::from_secs(15));
        let mut last = None;
        loop {
            tokio::time::sleep(pause).await;
            let Some(record) = attempt.record.get() else { continue };
            let Ok(Some(measured)) = records::read::<Measured>(&attempt.dir.measured()) else {
                continue;
            };
            if last.replace(measured.at) != Some(measured.at) {
                let usage = finish::so_far(&self.config, record, &measured);
                self.send(attempt, measured.at, ReportBody::Usage(Box::new(usage)));
            }
        }
    }

    async fn await_started(&self, attempt: &Attempt) {
        let mut pause = Duration::from_millis(2);
        while !self.look_for_started(attempt) {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(200));
        }
    }

    fn look_for_started(&self, attempt: &Attempt) -> bool {
        let started = records::read::<Started>(&attempt.dir.started()).ok().flatten();
        if let Some(started) = &started {
            self.started(attempt, started);
        }
        started.is_some()
    }

    fn started(&self, attempt: &Attempt, started: &Started) {
        attempt.advance(AttemptState::Running);
        let body = ReportBody::Started {
            node: self.config.node.clone(),
            pid: Some(started.pid),
            handle: Some(attempt.handle().0),
        };
        self.send(attempt, started.at, body);
    }

    pub(crate) fn stopping(&self, attempt: &Attempt) {
        if attempt.advance(AttemptState::Stopping) {
            self.send(attempt, self.now(), ReportBody::Stopping);
        }
    }

    fn send(&self, attempt: &Attempt, at: Timestamp, body: ReportBody) {
        if let Some(record) = attempt.record.get() {
            self.hub.send(report(&record.spec, at, body));
        }
    }

    /// The shim is gone without a word to us: its record, or its silence, tells.
    async fn settle(self: &Arc<Self>, attempt: &Arc<Attempt>) {
        let said = fs::read_to_string(attempt.dir.shim_errors()).unwrap_or_default();
        match self.inspect(&attempt.dir).await {
            Ok(Remains::Ended(_, exit)) => self.conclude(attempt, &exit).await,
            Ok(Remains::Nothing) => {
                let said = said.trim();
                let detail = format!("the supervisor did not begin: {said}");
                self.end_without_run(attempt, Outcome::Infra { detail });
            }
            Ok(Remains::Living(_, pidfd)) => self.follow(attempt, pidfd),
            Err(error) => {
                let detail = format!("the attempt's record cannot be read: {error}");
                self.end_without_run(attempt, Outcome::Lost { detail });
            }
        }
    }

    fn end_without_run(&self, attempt: &Attempt, outcome: Outcome) {
        if let Some(record) = attempt.record.get() {
            let exit = exit_without_run(&self.place, &record.spec, outcome, self.now());
            self.exited(attempt, self.now(), exit);
        }
    }

    /// Ends an attempt that was cancelled before it was started.
    pub(crate) fn end_canceled(&self, attempt: &Attempt, spec: &AttemptSpec, by: StopCause) {
        let now = self.now();
        let outcome = Outcome::Canceled { by, forced: false };
        let exit = exit_without_run(&self.place, spec, outcome, now);
        attempt.advance(AttemptState::Exited);
        self.hub.send(report(spec, now, ReportBody::Exited(Box::new(exit))));
        attempt.answer(Ok(attempt.handle()));
    }

    async fn conclude(&self, attempt: &Attempt, shim: &ShimExit) {
        let Some(record) = attempt.record.get() else { return };
        let exit = finish::report(&self.config, &attempt.dir, record, shim).await;
        self.exited(attempt, shim.released, exit);
    }

    fn exited(&self, attempt: &Attempt, at: Timestamp, exit: AttemptExit) {
        attempt.advance(AttemptState::Exited);
        self.send(attempt, at, ReportBody::Exited(Box::new(exit)));
    }

    async fn inspect(&self, dir: &AttemptDir) -> std::io::Result<Remains> {
        let (dir, now) = (dir.clone(), self.now());
        tokio::task::spawn_blocking(move || recover::inspect(&dir, now))
            .await
            .map_err(std::io::Error::other)?
    }

    /// Finds one attempt again.
    pub(crate) async fn recover(self: &Arc<Self>, id: AttemptId) -> Recovery {
        if let Some(known) = self.get(id) {
            // An answer that was lost is waited for here; then its reports are told again.
            return match known.answered().await {
                Ok(_) => {
                    self.hub.replay(id);
                    Recovery::Found(known.state())
                }
                Err(StartError::Ambiguous { detail }) => Recovery::Unknown { reason: detail },
                Err(_) => Recovery::Gone,
            };
        }
        let dir = AttemptDir::new(&self.config.root, id);
        match self.inspect(&dir).await {
            Ok(Remains::Nothing) => Recovery::Gone,
            Ok(Remains::Living(record, pidfd)) => {
                let state = match (dir.cancel().exists(), dir.started().exists()) {
                    (true, _) => AttemptState::Stopping,
                    (false, true) => AttemptState::Running,
                    (false, false) => AttemptState::Preparing,
                };
                let attempt = self.adopt(*record, dir);
                self.look_for_started(&attempt);
                attempt.advance(state);
                self.follow(&attempt, pidfd);
                Recovery::Found(state)
            }
            Ok(Remains::Ended(record, exit)) => {
                let attempt = self.adopt(*record, dir);
                self.look_for_started(&attempt);
                self.conclude(&attempt, &exit).await;
                Recovery::Found(AttemptState::Exited)
            }
            Err(error) => Recovery::Unknown { reason: error.to_string() },
        }
    }

    fn adopt(&self, record: Record, dir: AttemptDir) -> Arc<Attempt> {
        let attempt = Arc::new(Attempt::found(record, dir));
        let mut table = self.table();
        Arc::clone(table.attempts.entry(attempt.id).or_insert(attempt))
    }
}
