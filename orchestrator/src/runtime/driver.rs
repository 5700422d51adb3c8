//! The one loop. It is the only writer of live state, and it never waits for anything but the
//! next wake: effects are performed by tasks that answer with a wake of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::{Position, RunId, StreamName};
use dagbook_events::ports::AppendError;
use dagbook_events::run::{Ask, RunCommand, RunEvent};
use dagbook_events::step::AttemptReport;
use tokio::sync::{mpsc, oneshot};

use super::handle::{AskError, Runtime, Watch};
use super::ownership::Owned;
use super::record::Recorder;
use super::tail::{self, OwnRanges};
use super::timers::Timers;
use super::wake::Wake;
use super::{Deps, interpret};
use crate::engine::{Conclusion, Engine, EngineEffect, Input, RequestId};

/// Wakes that are taken at one time, at most.
const TOGETHER: usize = 256;

/// Starts the loop, the tail and the feeds of the executors.
pub fn start(deps: Deps) -> Runtime {
    let (wakes, inbox) = mpsc::unbounded_channel();
    let runtime = Runtime { wakes: wakes.clone() };
    let recorder = Recorder::new(&deps);
    let own = OwnRanges::default();
    for (_, executor) in deps.executors.iter() {
        tokio::spawn(feed(executor.watch(), wakes.downgrade()));
    }
    let driver = Driver {
        engine: Engine::new(),
        inputs: Vec::new(),
        recorder,
        deps: Arc::new(deps),
        wakes: wakes.downgrade(),
        own,
        timers: Timers::default(),
        replies: BTreeMap::new(),
        next_request: 0,
        watchers: Vec::new(),
        owned: BTreeMap::new(),
        adopting: BTreeMap::new(),
    };
    tokio::spawn(driver.run(inbox));
    runtime
}

/// Reports of one executor, until it or the driver is gone.
async fn feed(mut reports: dagbook_executors::Reports, wakes: mpsc::WeakUnboundedSender<Wake>) {
    while let Some(report) = reports.recv().await {
        let Some(wakes) = wakes.upgrade() else { return };
        if wakes.send(Wake::Report(report)).is_err() {
            return;
        }
    }
}

pub(super) struct Driver {
    engine: Engine,
    /// What arrived and the engine has not taken yet.
    inputs: Vec<Input>,
    pub(super) recorder: Recorder,
    pub(super) deps: Arc<Deps>,
    pub(super) wakes: mpsc::WeakUnboundedSender<Wake>,
    own: OwnRanges,
    pub(super) timers: Timers,
    replies: BTreeMap<RequestId, oneshot::Sender<Result<(), AskError>>>,
    next_request: u64,
    watchers: Vec<mpsc::UnboundedSender<Watch>>,
    owned: BTreeMap<RunId, Owned>,
    /// Runs that are being taken over, with what executors said of them meanwhile.
    adopting: BTreeMap<RunId, Vec<AttemptReport>>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Wake>) {
        for (name, slots) in self.deps.slots.clone() {
            self.step(Input::Pool { name, slots });
        }
        let start = self.deps.store.head().await.unwrap_or(Position(0));
        let tail = tail::follow(self.recorder.clone(), self.own.clone(), start, self.wakes.clone());
        let tail = tokio::spawn(tail);
        let mut stopping: Option<oneshot::Sender<()>> = None;
        loop {
            if stopping.is_some() && self.engine.is_settled() {
                break;
            }
            let pause = self.until_next_timer();
            tokio::select! {
                biased;
                wake = inbox.recv() => match wake {
                    Some(Wake::Shutdown { done }) => stopping = Some(done),
                    Some(wake) => {
                        self.wake(wake);
                        // What arrived together is decided together.
                        for _ in 0..TOGETHER {
                            match inbox.try_recv() {
                                Ok(Wake::Shutdown { done }) => stopping = Some(done),
                                Ok(wake) => self.wake(wake),
                                Err(_) => break,
                            }
                        }
                    }
                    None => break,
                },
                () = tokio::time::sleep(pause) => self.fire_timers(),
            }
            self.settle();
        }
        tail.abort();
        if let Some(done) = stopping {
            let _ = done.send(());
        }
    }

    /// Never longer than a second, so that a clock that was set is noticed.
    fn until_next_timer(&self) -> Duration {
        let longest = Duration::from_secs(1);
        match self.timers.next() {
            None => longest,
            Some(at) => {
                let wait = at.since(self.deps.clock.now()).0;
                Duration::from_millis(wait).min(longest)
            }
        }
    }

    fn fire_timers(&mut self) {
        let now = self.deps.clock.now();
        while let Some(timer) = self.timers.due(now) {
            self.ask(timer.run, Ask::Timer(timer.kind), None);
        }
    }

    fn wake(&mut self, wake: Wake) {
        let at = self.deps.clock.now();
        match wake {
            Wake::Ask { run, ask, reply } => self.request(run, ask, reply),
            Wake::Watch { sender } => self.watchers.push(sender),
            Wake::Adopt { run, reply } => self.adopt(run, reply),
            Wake::Adopted { run, facts, reply } => {
                let early = self.adopting.remove(&run).unwrap_or_default();
                let _ = reply.send(match facts {
                    Ok(facts) => {
                        if is_over(&facts) {
                            self.deps.ownership.over(run);
                            self.owned.remove(&run);
                        }
                        self.step(Input::Adopt { run, facts, at });
                        early.into_iter().for_each(|report| self.report(report));
                        Ok(())
                    }
                    Err(reason) => Err(AskError::Unreadable(reason)),
                });
            }
            Wake::Report(report) => self.report(report),
            Wake::Appended { append, result } => {
                let result = self.conclude(result);
                self.step(Input::Appended { append, result, at });
            }
            Wake::Retry(append) => self.step(Input::RetryAppend { append }),
            Wake::Loaded { run, facts: Ok(facts) } => self.step(Input::Loaded { run, facts, at }),
            Wake::Loaded { run, facts: Err(reason) } => {
                self.tell(&Watch::StoreTrouble { reason, tries: 1 });
                interpret::load::again(self, run);
            }
            Wake::Group { group, holders, version } => {
                self.step(Input::Group { group, holders, version, at });
            }
            Wake::GroupChanged { group } => interpret::group::load(self, group),
            Wake::Foreign { run, from, facts } => {
                self.step(Input::Foreign { run, from, facts, at });
            }
            Wake::Cache { run, step, hit } => {
                self.ask(run, Ask::CacheAnswer { step, hit }, None);
            }
            Wake::Shutdown { .. } => {}
        }
    }

    /// Executors tell what they have while the run is still being read: that is kept for it.
    fn report(&mut self, report: AttemptReport) {
        match self.adopting.get_mut(&report.run) {
            Some(early) => early.push(report),
            None => self.ask(report.run, Ask::Observe(Box::new(report)), None),
        }
    }

    fn conclude(&mut self, result: Result<(Position, Position), AppendError>) -> Conclusion {
        match result {
            Ok((first, last)) => {
                self.own.add(first, last);
                Conclusion::Durable
            }
            Err(AppendError::Conflict { stream, .. }) => Conclusion::Conflict(stream),
            // Keys name a run and its version: somebody else has written that version.
            Err(AppendError::KeyReused(key)) => match key.split('/').next().map(str::parse) {
                Some(Ok(run)) => Conclusion::Conflict(StreamName::run(run)),
                _ => Conclusion::Impossible(format!("the key `{key}` names no run")),
            },
            Err(
                e @ (AppendError::Unavailable(_)
                | AppendError::Busy { .. }
                | AppendError::Unknown(_)),
            ) => Conclusion::Uncertain(e.to_string()),
            Err(e) => Conclusion::Impossible(e.to_string()),
        }
    }

    /// A command from outside: a new run is taken into ownership first.
    fn request(
        &mut self,
        run: RunId,
        ask: Ask,
        reply: Option<oneshot::Sender<Result<(), AskError>>>,
    ) {
        if matches!(ask, Ask::Submit(_))
            && let Err(error) = self.own(run)
        {
            if let Some(reply) = reply {
                let _ = reply.send(Err(error));
            }
            return;
        }
        self.ask(run, ask, reply);
    }

    fn own(&mut self, run: RunId) -> Result<(), AskError> {
        if self.owned.contains_key(&run) {
            return Ok(());
        }
        match self.deps.ownership.take(run) {
            Ok(Some(owned)) => {
                self.owned.insert(run, owned);
                Ok(())
            }
            Ok(None) => Err(AskError::Elsewhere(run)),
            Err(e) => Err(AskError::Unreadable(e.to_string())),
        }
    }

    fn adopt(&mut self, run: RunId, reply: oneshot::Sender<Result<(), AskError>>) {
        match self.own(run) {
            Ok(()) => {
                self.adopting.entry(run).or_default();
                interpret::adopt::perform(self, run, reply);
            }
            Err(error) => {
                let _ = reply.send(Err(error));
            }
        }
    }

    pub(super) fn state(&self, run: RunId) -> Option<&dagbook_events::run::RunState> {
        self.engine.run(run)
    }

    pub(super) fn submit_child(
        &mut self,
        run: RunId,
        submitted: dagbook_events::run::event::Submitted,
        reply: oneshot::Sender<Result<(), AskError>>,
    ) {
        self.request(run, Ask::Submit(Box::new(submitted)), Some(reply));
    }

    pub(super) fn ask(
        &mut self,
        run: RunId,
        ask: Ask,
        reply: Option<oneshot::Sender<Result<(), AskError>>>,
    ) {
        let request = reply.map(|reply| {
            self.next_request += 1;
            let request = RequestId(self.next_request);
            self.replies.insert(request, reply);
            request
        });
        let command = RunCommand { at: self.deps.clock.now(), ask };
        self.step(Input::Command { request, run, command });
    }

    fn step(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Lets the engine take what arrived, until effects bring no further input at once.
    fn settle(&mut self) {
        while !self.inputs.is_empty() {
            let inputs = std::mem::take(&mut self.inputs);
            for effect in self.engine.steps(inputs) {
                self.perform(effect);
            }
        }
    }

    fn perform(&mut self, effect: EngineEffect) {
        match effect {
            EngineEffect::Append { append, key, parts } => {
                interpret::append::perform(self, append, key, parts);
            }
            EngineEffect::RetryLater { append, tries, reason } => {
                self.tell(&Watch::StoreTrouble { reason, tries });
                interpret::append::later(self, append, tries);
            }
            EngineEffect::Load(run) => interpret::load::perform(self, run),
            EngineEffect::LoadGroup(group) => interpret::group::load(self, group),
            EngineEffect::Elsewhere { run, command } => {
                interpret::elsewhere::perform(self, run, command);
            }
            EngineEffect::Reply { request, result } => {
                if let Some(reply) = self.replies.remove(&request) {
                    let _ = reply.send(result.map_err(AskError::from));
                }
            }
            EngineEffect::Recorded { run, from, facts } => self.recorded(run, from, facts),
            EngineEffect::World(effect) => interpret::world(self, effect),
        }
    }

    fn recorded(&mut self, run: RunId, from: u64, facts: Vec<dagbook_events::run::RunFact>) {
        let finished = is_over(&facts);
        if !self.watchers.is_empty() {
            self.tell(&Watch::Recorded { run, from, facts });
        }
        if finished {
            self.timers.clear_run(run);
            self.deps.ownership.over(run);
            self.owned.remove(&run);
        }
    }

    fn tell(&mut self, watch: &Watch) {
        self.watchers.retain(|watcher| watcher.send(watch.clone()).is_ok());
    }
}

fn is_over(facts: &[dagbook_events::run::RunFact]) -> bool {
    facts.iter().any(|fact| matches!(fact.event, RunEvent::Finished(_)))
}
