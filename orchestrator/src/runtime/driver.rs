//! The one loop. It is the only writer of live state, and it never waits for anything but the
//! next wake: effects are performed by tasks that answer with a wake of their own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::{AttemptId, Position, RunId, StreamName, TenantId};
use dagbook_events::ports::{Actor, AppendError};
use dagbook_events::run::{Ask, RunCommand, RunEvent};
use dagbook_events::step::AttemptReport;
use dagbook_events::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::handle::{AskError, Runtime, Watch};
use super::interpret::adopt::Standing;
use super::life::{Life, LifeEnd};
use super::ownership::Owned;
use super::record::Recorder;
use super::tail::{self, OwnRanges};
use super::timers::Timers;
use super::wake::Wake;
use super::{Deps, interpret};
use crate::app::ports::{AdmissionFigures, BudgetStanding, WaitFigures, WaitNote};
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
        engine: match deps.leading {
            Some(_) => Engine::recovering(),
            None => Engine::new(),
        },
        life: deps.leading.as_ref().map(|leading| leading.life.clone()).unwrap_or_default(),
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
        standing: BTreeMap::new(),
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

/// Hears under which instant what was asked is recorded.
pub(super) type Replier = oneshot::Sender<Result<Timestamp, AskError>>;

/// What was heard of a run while it was being read.
#[derive(Default)]
struct Early {
    reports: Vec<AttemptReport>,
    foreign: Vec<(TenantId, u64, Vec<dagbook_events::run::RunFact>)>,
}

pub(super) struct Driver {
    engine: Engine,
    /// What arrived and the engine has not taken yet.
    inputs: Vec<Input>,
    pub(super) recorder: Recorder,
    pub(super) deps: Arc<Deps>,
    pub(super) wakes: mpsc::WeakUnboundedSender<Wake>,
    /// Whether anything may still be asked of the world.
    pub(super) life: Life,
    own: OwnRanges,
    pub(super) timers: Timers,
    /// Who waits for what they asked, with the instant at which it was asked.
    replies: BTreeMap<RequestId, (Timestamp, Replier)>,
    next_request: u64,
    watchers: Vec<mpsc::UnboundedSender<Watch>>,
    owned: BTreeMap<RunId, Owned>,
    /// Runs that are being taken over, with what was heard of them meanwhile.
    adopting: BTreeMap<RunId, Early>,
    /// What executors said of attempts that were taken over and not asked for again yet.
    pub(super) standing: BTreeMap<AttemptId, Standing>,
}

impl Driver {
    async fn run(mut self, mut inbox: mpsc::UnboundedReceiver<Wake>) {
        for (name, slots) in self.deps.slots.clone() {
            let capacity = self.deps.limits.capacity(&name, slots);
            self.step(Input::Pool { name, capacity });
        }
        self.step(Input::Limits(self.deps.limits.site));
        for (executor, place) in self.deps.places.clone() {
            self.step(Input::Place { executor, place });
        }
        let classes = self.deps.executors.iter().map(|(name, executor)| {
            let class = executor.describe().class;
            (name.to_string(), class)
        });
        for (executor, class) in classes.collect::<Vec<_>>() {
            if !class.is_empty() && class != executor {
                self.step(Input::Class { executor, class });
            }
        }
        let start = self.deps.leading.as_ref().map(|leading| leading.from);
        let reads = (self.recorder.clone(), self.deps.news.clone());
        let tail = tail::follow(reads, self.own.clone(), start, self.wakes.clone());
        let alarm = self.life.alarm("the look at what others append");
        let tail = tokio::spawn(async move {
            let _alarm = alarm;
            tail.await;
        });
        let life = self.life.clone();
        let _alarm = life.alarm("the loop");
        let mut stopping: Option<oneshot::Sender<()>> = None;
        loop {
            if self.life.is_over() || (stopping.is_some() && self.engine.is_settled()) {
                break;
            }
            let pause = self.until_next_timer();
            tokio::select! {
                biased;
                _ = life.over() => break,
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
                () = rest(pause) => {}
            }
            self.fire_timers();
            self.settle();
        }
        tail.abort();
        // Whatever was spawned for this life asks executors for nothing more.
        self.life.end(LifeEnd::Stopped);
        if let Some(done) = stopping {
            let _ = done.send(());
        }
    }

    /// Zero: one is due. Never longer than a second, so that a clock that was set is noticed.
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
            self.ask(timer.run, Ask::Timer(timer.kind), None, None);
        }
    }

    fn wake(&mut self, wake: Wake) {
        let at = self.deps.clock.now();
        match wake {
            Wake::Ask { run, ask, by, reply } => self.request(run, ask, by, reply),
            Wake::Watch { sender } => self.watchers.push(sender),
            Wake::Adopt { tenant, run, reply } => self.adopt(tenant, run, reply),
            Wake::Adopted { run, facts, standing, reply } => {
                let early = self.adopting.remove(&run).unwrap_or_default();
                let _ = reply.send(match facts {
                    Ok(facts) if self.is_driven_alone(&facts) => {
                        self.owned.remove(&run);
                        Err(AskError::Elsewhere(run))
                    }
                    Ok(facts) => {
                        if is_over(&facts) {
                            self.deps.ownership.over(run);
                            self.owned.remove(&run);
                        }
                        self.standing.extend(standing);
                        self.step(Input::Adopt { run, facts, at });
                        for (tenant, from, facts) in early.foreign {
                            self.step(Input::Foreign { tenant, run, from, facts, at });
                        }
                        early.reports.into_iter().for_each(|report| self.report(report));
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
            Wake::Loaded { run, facts: Ok(facts), .. } => {
                self.step(Input::Loaded { run, facts, at });
            }
            Wake::Loaded { tenant, run, facts: Err(reason) } => {
                self.tell(&Watch::StoreTrouble { reason, tries: 1 });
                interpret::load::again(self, tenant, run);
            }
            Wake::Group { tenant, group, holders, version } => {
                self.step(Input::Group { tenant, group, holders, version, at });
            }
            Wake::GroupChanged { tenant, group } => interpret::group::load(self, tenant, group),
            Wake::Foreign { tenant, run, from, facts } => {
                self.foreign(tenant, run, from, facts);
            }
            Wake::Cache { run, step, hit } => {
                self.ask(run, Ask::CacheAnswer { step, hit }, None, None);
            }
            Wake::Figures { reply } => drop(reply.send(self.engine.figures())),
            Wake::Recovered => self.step(Input::Recovered),
            Wake::Quota { tenant, quota } => self.step(Input::Tenant { tenant, quota }),
            Wake::Terms { tenant, terms } => self.step(Input::Terms { tenant, terms, at }),
            Wake::Spent { tenant, spent } => self.step(Input::Spent { tenant, spent, at }),
            Wake::Unseen { tenant, reply } => {
                let _ = reply.send(self.engine.unseen_ends(&tenant));
            }
            Wake::Budgets { tenant, reply } => {
                let figures = self.engine.money().figures(&tenant);
                let _ = reply.send(figures.iter().map(BudgetStanding::of).collect());
            }
            Wake::Waits { tenant, run, step, reply } => {
                let wait = self.engine.waits(&tenant, run, &step);
                let _ = reply.send(wait.map(|wait| WaitFigures::of(wait, at)));
            }
            Wake::AllWaits { most, reply } => {
                let waits = self.engine.all_waits(most).into_iter();
                let waits = waits.map(|(tenant, run, demand, wait)| WaitNote {
                    tenant,
                    run,
                    demand,
                    figures: WaitFigures::of(wait, at),
                });
                let _ = reply.send(waits.collect());
            }
            Wake::OpenRuns { tenant, reply } => {
                let _ = reply.send(self.engine.open_runs(&tenant));
            }
            Wake::AdmissionFigures { reply } => {
                let _ = reply.send(AdmissionFigures::of(&self.engine));
            }
            Wake::Shutdown { .. } => {}
        }
    }

    /// Executors tell what they have while the run is still being read: that is kept for it.
    fn report(&mut self, report: AttemptReport) {
        match self.adopting.get_mut(&report.run) {
            Some(early) => early.reports.push(report),
            None => self.ask(report.run, Ask::Observe(Box::new(report)), None, None),
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
            Err(e @ AppendError::Fenced { .. }) => {
                let reason = e.to_string();
                self.life.end(LifeEnd::Fenced(reason.clone()));
                Conclusion::Uncertain(reason)
            }
            // A person has to look first; nothing was appended.
            Err(e @ AppendError::Halted(_)) if self.deps.leading.is_some() => {
                Conclusion::Uncertain(e.to_string())
            }
            Err(e) => Conclusion::Impossible(e.to_string()),
        }
    }

    /// A command from outside: a new run is taken into ownership first.
    fn request(&mut self, run: RunId, ask: Ask, by: Option<Arc<Actor>>, reply: Option<Replier>) {
        if matches!(ask, Ask::Submit(_))
            && let Err(error) = self.own(run)
        {
            if let Some(reply) = reply {
                let _ = reply.send(Err(error));
            }
            return;
        }
        self.ask(run, ask, by, reply);
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

    /// What another process appended. A run that nobody drives yet is taken over at once.
    fn foreign(
        &mut self,
        tenant: TenantId,
        run: RunId,
        from: u64,
        facts: Vec<dagbook_events::run::RunFact>,
    ) {
        let is_new = self.deps.leading.is_some()
            && self.engine.run(run).is_none()
            && !self.adopting.contains_key(&run)
            && matches!(facts.first().map(|fact| &fact.event), Some(RunEvent::Submitted(_)))
            && !self.is_driven_alone(&facts);
        if is_new {
            let (reply, _adopted) = oneshot::channel();
            return self.adopt(tenant, run, reply);
        }
        // The reading under way may or may not have it: the engine compares versions.
        if let Some(early) = self.adopting.get_mut(&run) {
            return early.foreign.push((tenant, from, facts));
        }
        let at = self.deps.clock.now();
        self.step(Input::Foreign { tenant, run, from, facts, at });
    }

    /// Whether a process drives the run by itself, which then is nothing for the site's engine.
    fn is_driven_alone(&self, facts: &[dagbook_events::run::RunFact]) -> bool {
        self.deps.leading.is_some()
            && matches!(
                facts.first().map(|fact| &fact.event),
                Some(RunEvent::Submitted(submitted)) if submitted.driven_at.is_some()
            )
    }

    fn adopt(
        &mut self,
        tenant: TenantId,
        run: RunId,
        reply: oneshot::Sender<Result<(), AskError>>,
    ) {
        match self.own(run) {
            Ok(()) => {
                self.adopting.entry(run).or_default();
                interpret::adopt::perform(self, tenant, run, reply);
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
        reply: Replier,
    ) {
        self.request(run, Ask::Submit(Box::new(submitted)), None, Some(reply));
    }

    pub(super) fn ask(
        &mut self,
        run: RunId,
        ask: Ask,
        by: Option<Arc<Actor>>,
        reply: Option<Replier>,
    ) {
        let at = self.deps.clock.now();
        let request = reply.map(|reply| {
            self.next_request += 1;
            let request = RequestId(self.next_request);
            self.replies.insert(request, (at, reply));
            request
        });
        let command = RunCommand { at, ask };
        self.step(Input::Command { request, by, run, command });
    }

    fn step(&mut self, input: Input) {
        self.inputs.push(input);
    }

    /// Lets the engine take what arrived, until effects bring no further input at once.
    fn settle(&mut self) {
        while !self.inputs.is_empty() {
            let inputs = std::mem::take(&mut self.inputs);
            for effect in self.engine.steps(inputs) {
                if self.life.is_over() {
                    return;
                }
                self.perform(effect);
            }
        }
    }

    fn perform(&mut self, effect: EngineEffect) {
        match effect {
            EngineEffect::Append { append, tenant, key, parts } => {
                interpret::append::perform(self, append, tenant, key, parts);
            }
            EngineEffect::RetryLater { append, tries, reason } => {
                self.tell(&Watch::StoreTrouble { reason, tries });
                interpret::append::later(self, append, tries);
            }
            EngineEffect::Load { tenant, run } => interpret::load::perform(self, tenant, run),
            EngineEffect::LoadGroup { tenant, group } => {
                interpret::group::load(self, tenant, group);
            }
            EngineEffect::Elsewhere { tenant, run, command } => {
                interpret::elsewhere::perform(self, tenant, run, command);
            }
            EngineEffect::Reply { request, result } => {
                if let Some((at, reply)) = self.replies.remove(&request) {
                    let _ = reply.send(result.map(|()| at).map_err(AskError::from));
                }
            }
            EngineEffect::Recorded { tenant, run, from, facts } => {
                self.recorded(tenant, run, from, facts);
            }
            EngineEffect::World(effect) => interpret::world(self, effect),
        }
    }

    fn recorded(
        &mut self,
        tenant: TenantId,
        run: RunId,
        from: u64,
        facts: Vec<dagbook_events::run::RunFact>,
    ) {
        let finished = is_over(&facts);
        if !self.watchers.is_empty() {
            self.tell(&Watch::Recorded { tenant, run, from, facts });
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

/// Returns at once where there is nothing to wait for: the runtime's own timers are a millisecond
/// late at least.
async fn rest(pause: Duration) {
    if !pause.is_zero() {
        tokio::time::sleep(pause).await;
    }
}

fn is_over(facts: &[dagbook_events::run::RunFact]) -> bool {
    facts.iter().any(|fact| matches!(fact.event, RunEvent::Finished(_)))
}
