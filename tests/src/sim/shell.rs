//! What the runtime does: performs the engine's effects, and carries answers back. Before each
//! effect it is checked that what led to it is durable.

use dagbook::engine::{AppendId, Conclusion, EngineEffect, Input, Refusal, StreamPart};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::effect::{Effect, StopAttempt, SubmitChild};
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::run::event::ParentLink;
use dagbook_events::run::{Ask, Rejection, RunEvent, RunFact, RunStatus};
use dagbook_events::step::{AttemptSpec, Outcome, ReportBody, StopCause};
use dagbook_events::time::Timestamp;

use super::fleet::{Execution, Progress, outcome, pending, started};
use super::people::group_key;
use super::world::{Check, Delivery, World};

impl World {
    pub(super) fn perform(&mut self, effect: EngineEffect) -> Check {
        self.note(|_| format!("out  {}", super::trace::effect(&effect)));
        match effect {
            EngineEffect::Append { append, key, parts, .. } => {
                let after = self.store_delay();
                let life = self.life;
                self.later(after, Delivery::Append { life, append, key, parts });
            }
            EngineEffect::RetryLater { append, tries, .. } => {
                let after = self.chance.store.between(50, 500) * u64::from(tries.min(10));
                self.later(after, Delivery::Feed(self.life, Input::RetryAppend { append }));
            }
            EngineEffect::Load { run, .. } => {
                let after = self.store_delay();
                self.later(after, Delivery::LoadRun(self.life, run));
            }
            EngineEffect::LoadGroup { tenant, group } => {
                let group = group_key(&tenant, &group);
                self.watched.insert(group.clone());
                let after = self.store_delay();
                self.later(after, Delivery::LoadGroup(self.life, group));
            }
            EngineEffect::Elsewhere { run, .. } => {
                // A slow reading of the group may still name one that is over by now.
                if self.store.finished.contains_key(&run) {
                    return Ok(());
                }
                if !self.foreign.contains_key(&run) {
                    return Err(format!("run {run} is said to be elsewhere and is nowhere"));
                }
                let after = self.chance.chaos.delay();
                self.later(after, Delivery::ForeignGive(run));
            }
            EngineEffect::Reply { request, result } => return self.replied(request, result),
            EngineEffect::Recorded { run, facts, .. } => return self.recorded(run, &facts),
            EngineEffect::World(effect) => return self.world(effect),
        }
        Ok(())
    }

    fn store_delay(&mut self) -> u64 {
        if self.faults { self.chance.store.delay() } else { 1 }
    }

    pub(super) fn append(&mut self, life: u32, append: AppendId, key: &str, parts: &[StreamPart]) {
        // What an engine sent before it died may arrive or not; once another took over, its epoch
        // is fenced.
        let late = life != self.life;
        if life < self.fence || (late && self.chance.store.percent(50)) {
            return;
        }
        let fate = if self.faults { self.chance.store.below(100) } else { 99 };
        let uncertain = || Conclusion::Uncertain("the connection was lost".to_string());
        let result = match fate {
            0..6 => {
                self.coverage.mark("append refused");
                uncertain()
            }
            _ => {
                let done = self.store.append(key, parts);
                match fate {
                    6..12 => {
                        self.coverage.mark("answer lost");
                        uncertain()
                    }
                    _ => done,
                }
            }
        };
        match &result {
            Conclusion::Conflict(_) => self.coverage.mark("conflict"),
            Conclusion::Impossible(_) => self.coverage.mark("impossible"),
            _ => {}
        }
        self.note(|_| format!("db   append {} {key}: {result:?}", append.0));
        let at = self.wall();
        let after = self.store_delay();
        self.later(after, Delivery::Feed(life, Input::Appended { append, result, at }));
    }

    pub(super) fn load_run(&mut self, run: RunId) -> Check {
        let facts = self.store.runs.get(&run).cloned().unwrap_or_default();
        let at = self.wall();
        let after = self.store_delay();
        self.later(after, Delivery::Feed(self.life, Input::Loaded { run, facts, at }));
        Ok(())
    }

    pub(super) fn load_group(&mut self, key: &str) -> Check {
        let (tenant, group) = key.split_once('/').expect("a tenant and its group");
        let tenant = TenantId::new(tenant).expect("a tenant");
        let group = group.to_string();
        let version = self.store.groups.get(key).map_or(0, Vec::len) as u64;
        let holders = self.store.holders(key);
        let at = self.wall();
        let after = self.store_delay();
        let input = Input::Group { tenant, group, holders, version, at };
        self.later(after, Delivery::Feed(self.life, input));
        Ok(())
    }

    pub(super) fn look_up(
        &mut self,
        run: RunId,
        step: StepKey,
        key: Sha256Digest,
        oldest: Option<Timestamp>,
    ) -> Check {
        let found =
            self.cache.get(&key).filter(|(at, _)| oldest.is_none_or(|oldest| *at >= oldest));
        let hit = found.map(|(_, result)| Box::new(result.clone()));
        self.coverage.mark(if hit.is_some() { "cache hit" } else { "cache miss" });
        self.ask(run, Ask::CacheAnswer { step, hit })
    }

    fn world(&mut self, effect: Effect) -> Check {
        self.is_durable(&effect)?;
        match effect {
            Effect::Start(spec) => return self.start(*spec),
            Effect::Stop(stop) => self.stop(&stop),
            Effect::Release { attempt, .. } => self.release(attempt),
            Effect::SetTimer { timer, at } => drop(self.timers.insert(timer, at)),
            Effect::ClearTimer(timer) => {
                if self.chance.shell.percent(80) {
                    self.timers.remove(&timer);
                }
            }
            Effect::LookUpCache { run, step, key, not_before } => {
                let after = self.store_delay();
                let (life, oldest) = (self.life, not_before);
                self.later(after, Delivery::LookUp { life, run, step, key, oldest });
            }
            Effect::StoreCache { key, at, result } => {
                self.cache.insert(key, (at, *result));
            }
            Effect::SubmitChild(child) => return self.submit_child(*child),
            Effect::CancelChild { run, force } => return self.cancel_child(run, force),
            Effect::NotifyParent { parent, step, run, status, outputs, reason } => {
                let ask = Ask::ChildFinished { step, run, status, outputs, reason };
                return self.ask(parent, ask);
            }
        }
        Ok(())
    }

    fn is_here(&self, run: RunId) -> bool {
        self.engine.as_ref().is_some_and(|engine| engine.run(run).is_some())
    }

    fn submit_child(&mut self, child: SubmitChild) -> Check {
        if self.is_here(child.run) {
            return Ok(());
        }
        if let Some(facts) = self.store.runs.get(&child.run).cloned() {
            let at = self.wall();
            return self.feed(Input::Adopt { run: child.run, facts, at });
        }
        let parent = ParentLink { run: child.parent, step: child.step, depth: 1 };
        let dagbook_events::dag::SubDagSource::Path(path) = child.source else {
            return Err("no sub-DAG of the simulation is a registered pipeline".to_string());
        };
        let plan = self.library.children[&path].clone();
        self.submit(child.run, plan, Some(parent), Default::default(), None)
    }

    fn cancel_child(&mut self, run: RunId, force: bool) -> Check {
        let reason = "the run above is being cancelled".to_string();
        self.ask(run, Ask::Cancel { cause: StopCause::User, reason, force })
    }

    fn replied(
        &mut self,
        request: dagbook::engine::RequestId,
        result: Result<(), Refusal>,
    ) -> Check {
        let Some((run, submitted)) = self.submissions.remove(&request) else { return Ok(()) };
        match result {
            Ok(()) if !self.store.runs.contains_key(&run) => {
                Err(format!("run {run} was accepted before it was durable"))
            }
            Err(Refusal::Rejected(Rejection::Exists(_))) if submitted.parent.is_some() => {
                match self.store.runs.get(&run).cloned() {
                    Some(facts) => {
                        let at = self.wall();
                        self.feed(Input::Adopt { run, facts, at })
                    }
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }

    fn recorded(&mut self, run: RunId, facts: &[RunFact]) -> Check {
        for fact in facts {
            self.coverage.fact(fact);
            if let RunEvent::Finished(end) = &fact.event
                && end.status == RunStatus::Rejected
            {
                self.coverage.mark("run rejected");
            }
        }
        let stream = self.store.runs.get(&run).map_or([].as_slice(), Vec::as_slice);
        match stream.windows(facts.len().max(1)).any(|window| window == facts) {
            true => Ok(()),
            false => Err(format!("facts of run {run} were shown that are not recorded")),
        }
    }

    fn start(&mut self, spec: AttemptSpec) -> Check {
        let hash = spec.hash();
        let attempt = spec.attempt;
        if let Some(held) = self.fleet.held.get(&attempt) {
            return match held.hash == hash {
                true => Ok(()),
                false => Err(format!("attempt {attempt} was asked for with another spec")),
            };
        }
        let fate = if self.faults { self.chance.fleet.below(100) } else { 99 };
        if fate < 10 {
            // Busy, or nobody knows: the shell asks again. Of the latter, half had started.
            self.coverage.mark(if fate < 5 { "busy" } else { "ambiguous" });
            let after = self.chance.fleet.between(100, 5_000);
            self.later(after, Delivery::StartAgain(self.life, Box::new(spec.clone())));
            if fate < 8 {
                return Ok(());
            }
        }
        if !self.fleet.executed.insert(attempt) {
            return Err(format!("attempt {attempt} was executed twice"));
        }
        let rng = &mut self.chance.fleet;
        let odd = if self.faults { rng.below(100) } else { 99 };
        let (deaf, vanished) = (odd < 3, (3..6).contains(&odd));
        let allocated = self.steady();
        let rng = &mut self.chance.fleet;
        let execution = Execution {
            hash,
            running: false,
            deaf,
            vanished,
            outcome: outcome(rng),
            exit: None,
            allocated,
            started: None,
            spec,
        };
        self.fleet.held.insert(attempt, execution);
        self.unfold(attempt);
        Ok(())
    }

    /// A start is only repeated while the attempt lives: an executor that has released it would
    /// not know it again.
    pub(super) fn start_again(&mut self, spec: AttemptSpec) -> Check {
        let run = self.engine.as_ref().and_then(|engine| engine.run(spec.run));
        match run.is_some_and(|run| run.live.contains_key(&spec.attempt)) {
            true => self.start(spec),
            false => Ok(()),
        }
    }

    /// Lays out what will happen to an execution.
    fn unfold(&mut self, attempt: dagbook_events::ids::AttemptId) {
        if let Some(cause) = self.fleet.stopped_early.get(&attempt).copied() {
            self.coverage.mark("stopped before start");
            return self.later(0, Delivery::Execution(attempt, Progress::Stopped(cause, false)));
        }
        let rng = &mut self.chance.fleet;
        let mut at = 0;
        let mut story = Vec::new();
        if rng.percent(25) {
            at += rng.delay();
            story.push((at, Progress::Pending));
        }
        if rng.percent(5) {
            story.push((at + rng.below(1_000), Progress::Suspect));
        }
        at += rng.delay();
        story.push((at, Progress::Started));
        let began = at;
        if rng.percent(12) {
            let lost = at + rng.below(20_000);
            story.push((lost, Progress::Suspect));
            story.push((lost + rng.below(30_000), Progress::Recovered));
        }
        let execution = &self.fleet.held[&attempt];
        at += match (execution.deaf, execution.vanished) {
            (true, _) => rng.between(30, 60) * 3_600_000,
            (_, true) => rng.between(60_000, 40 * 3_600_000),
            _ => rng.between(10, 90_000),
        };
        if rng.percent(40) {
            for n in 1..=rng.between(1, 5) {
                story.push((began + (at - began) * n / 4, Progress::Measured));
            }
        }
        story.push((at, Progress::Finish));
        for (after, progress) in story {
            self.later(after, Delivery::Execution(attempt, progress));
        }
    }

    fn stop(&mut self, stop: &StopAttempt) {
        let Some(execution) = self.fleet.held.get(&stop.attempt) else {
            if !self.fleet.executed.contains(&stop.attempt) {
                self.fleet.stopped_early.insert(stop.attempt, stop.cause);
            }
            return;
        };
        let forced = stop.grace.is_none();
        if execution.vanished || (execution.deaf && !forced) {
            return self.coverage.mark("stop forgotten");
        }
        let grace = stop.grace.map_or(100, |grace| grace.0);
        let after = self.chance.fleet.below(grace);
        if !forced && execution.exit.is_none() {
            self.tell(stop.attempt, ReportBody::Stopping);
        }
        let progress = Progress::Stopped(stop.cause, forced);
        self.later(after, Delivery::Execution(stop.attempt, progress));
    }

    fn release(&mut self, attempt: dagbook_events::ids::AttemptId) {
        let Some(execution) = self.fleet.held.get(&attempt) else { return };
        // Who cannot be reached keeps what it has, and speaks of it later.
        if execution.exit.is_some() {
            self.fleet.held.remove(&attempt);
        }
    }

    pub(super) fn progress(&mut self, attempt: dagbook_events::ids::AttemptId, progress: Progress) {
        let at = self.steady();
        let Some(execution) = self.fleet.held.get_mut(&attempt) else { return };
        if execution.exit.is_some() {
            return;
        }
        let end = match progress {
            Progress::Pending => return self.tell(attempt, pending()),
            Progress::Started => {
                execution.running = true;
                execution.started = Some(at);
                return self.tell(attempt, started());
            }
            Progress::Measured => {
                let usage = Box::new(execution.usage(at));
                return self.tell(attempt, ReportBody::Usage(usage));
            }
            Progress::Suspect => return self.tell(attempt, ReportBody::Suspect),
            Progress::Recovered => return self.tell(attempt, ReportBody::Recovered),
            Progress::Finish => execution.outcome.clone(),
            Progress::Stopped(by, forced) => Outcome::Canceled { by, forced },
        };
        self.fleet.truth.insert(attempt, end.clone());
        execution.end(end, at, &mut self.chance.fleet);
        execution.vanished = false;
        self.remind(attempt, 2_000);
    }

    /// Says how the attempt ended, again and again until it may be forgotten.
    pub(super) fn remind(&mut self, attempt: dagbook_events::ids::AttemptId, wait: u64) {
        let Some(execution) = self.fleet.held.get(&attempt) else { return };
        let Some(exit) = execution.exit.clone() else { return };
        self.tell(attempt, ReportBody::Exited(Box::new(exit)));
        self.later(wait, Delivery::Remind(attempt, wait * 2));
    }

    /// A report sets out. It may be late, lost, or come twice.
    fn tell(&mut self, attempt: dagbook_events::ids::AttemptId, body: ReportBody) {
        let at = self.wall();
        let Some(execution) = self.fleet.held.get(&attempt) else { return };
        if execution.vanished {
            return;
        }
        let report = execution.report(body, at);
        let fate = if self.faults { self.chance.fleet.below(100) } else { 99 };
        if fate < 10 {
            return self.coverage.mark("report lost");
        }
        if fate < 18 {
            self.coverage.mark("report repeated");
            let after = self.chance.fleet.delay();
            self.later(after, Delivery::Report(report.clone()));
        }
        let after = self.chance.fleet.delay();
        self.later(after, Delivery::Report(report));
    }

    pub(super) fn reported(&mut self, report: dagbook_events::step::AttemptReport) -> Check {
        if self.engine.is_some() && !self.is_here(report.run) {
            // The run is over and gone from memory: the executor may forget what is recorded.
            if self.store.finished.contains_key(&report.run) {
                self.release(report.attempt);
            }
            return Ok(());
        }
        self.ask(report.run, Ask::Observe(Box::new(report)))
    }
}
