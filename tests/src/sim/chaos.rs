//! What goes wrong around the engine: crashes, clocks that jump, timers that come early, another
//! process that appends to the same streams.

use dagbook::engine::{Engine, Input};
use dagbook_events::admission::Capacity;
use dagbook_events::ids::RunId;
use dagbook_events::run::{Ask, RunCommand, decide, fold};
use dagbook_events::step::{ReportBody, StopCause};

use super::fleet::started;
use super::library::EXECUTORS;
use super::people::{group_key, tenant};
use super::world::{Check, Delivery, World};

/// After so long, faults stop and everything must come to its end.
const FAULTS_MS: u64 = 300_000;

impl World {
    pub(super) fn schedule_chaos(&mut self) {
        let rng = &mut self.chance.chaos;
        let mut plan = Vec::new();
        for _ in 0..rng.below(4) {
            plan.push((rng.below(FAULTS_MS), Delivery::Crash));
        }
        for _ in 0..rng.below(3) {
            plan.push((rng.below(FAULTS_MS), Delivery::ClockJump));
        }
        for _ in 0..rng.below(4) {
            plan.push((rng.below(FAULTS_MS), Delivery::EarlyTimer));
        }
        for _ in 0..rng.below(5) {
            plan.push((rng.below(FAULTS_MS), Delivery::ForeignRun));
        }
        for _ in 0..rng.below(5) {
            plan.push((rng.below(FAULTS_MS), Delivery::ForeignGroup));
        }
        plan.push((FAULTS_MS, Delivery::Calm));
        for (after, delivery) in plan {
            self.later(after, delivery);
        }
    }

    pub(super) fn chaos(&mut self, delivery: Delivery) -> Check {
        match delivery {
            Delivery::Crash => {
                self.crash();
                Ok(())
            }
            Delivery::Boot => self.boot(),
            Delivery::ClockJump => {
                let hour = 3_600_000;
                let jump = if self.chance.chaos.percent(50) { hour } else { -hour };
                self.offset += jump;
                self.coverage.mark("clock jump");
                self.note(|_| format!("the clock jumps by {jump} ms"));
                Ok(())
            }
            Delivery::EarlyTimer => {
                let timers: Vec<_> = self.timers.keys().cloned().collect();
                let Some(timer) = self.chance.chaos.pick(&timers).cloned() else { return Ok(()) };
                self.timers.remove(&timer);
                self.coverage.mark("early timer");
                self.ask(timer.run, Ask::Timer(timer.kind))
            }
            Delivery::ForeignRun => self.foreign_run(),
            Delivery::ForeignGroup => self.foreign_group(),
            Delivery::ForeignGive(run) => self.foreign_give(run),
            Delivery::ForeignHint(run, from) => self.foreign_hint(run, from),
            Delivery::Calm => self.calm(),
            _ => Ok(()),
        }
    }

    pub(super) fn boot_first(&mut self) {
        let mut engine = Engine::new().with_planted(self.planted);
        for (name, slots) in EXECUTORS {
            engine.step(Input::Pool { name: name.to_string(), capacity: Capacity::places(slots) });
        }
        for (n, quota) in self.quotas.into_iter().enumerate() {
            engine.step(Input::Tenant { tenant: tenant(n), quota });
        }
        if let Some(terms) = self.terms() {
            engine.step(terms);
        }
        self.engine = Some(engine);
        self.ask_spent();
    }

    /// The orchestrator dies between any two effects; executors and the store go on.
    fn crash(&mut self) {
        if self.engine.is_none() {
            return;
        }
        self.coverage.mark("crash");
        self.note(|_| "the orchestrator crashes".to_string());
        self.die();
        // Another process may have waited for just this: what the first one sent is fenced off.
        let after = match self.chance.chaos.percent(25) {
            true => {
                self.coverage.mark("takeover at once");
                0
            }
            false => self.chance.chaos.below(20_000),
        };
        self.later(after, Delivery::Boot);
    }

    fn boot(&mut self) -> Check {
        self.note(|_| "the orchestrator starts".to_string());
        self.fence = self.life;
        self.engine = Some(Engine::recovering().with_planted(self.planted));
        for (name, slots) in EXECUTORS {
            self.feed(Input::Pool { name: name.to_string(), capacity: Capacity::places(slots) })?;
        }
        for (n, quota) in self.quotas.into_iter().enumerate() {
            self.feed(Input::Tenant { tenant: tenant(n), quota })?;
        }
        if let Some(terms) = self.terms() {
            self.feed(terms)?;
        }
        self.ask_spent();
        let mut runs = self.store.unfinished();
        self.chance.chaos.shuffle(&mut runs);
        for run in runs {
            let (facts, at) = (self.store.runs[&run].clone(), self.wall());
            self.feed(Input::Adopt { run, facts, at })?;
            if self.faults && self.chance.chaos.percent(3) {
                self.crash();
                return Ok(());
            }
        }
        // Executors are asked what they have before anything is started again.
        let held: Vec<_> = self.fleet.held.values().filter(|e| !e.vanished).collect();
        let at = self.wall();
        let mut reports = Vec::new();
        for execution in held {
            let body = match &execution.exit {
                Some(exit) => ReportBody::Exited(Box::new(exit.clone())),
                None if execution.running => started(),
                None => continue,
            };
            reports.push(execution.report(body, at));
        }
        for report in reports {
            self.reported(report)?;
        }
        self.feed(Input::Recovered)
    }

    /// Another process appends to a run.
    fn foreign_run(&mut self) -> Check {
        let open = self.store.unfinished();
        let Some(run) = self.chance.chaos.pick(&open).copied() else { return Ok(()) };
        let state = fold(&self.store.runs[&run]);
        let ask = match self.chance.chaos.below(4) {
            0 => Ask::Pause { comment: "from elsewhere".to_string() },
            1 => Ask::Resume { comment: "from elsewhere".to_string() },
            2 => Ask::Signal { name: format!("event-{}", self.chance.chaos.below(3)) },
            _ => Ask::Cancel {
                cause: StopCause::User,
                reason: "from elsewhere".to_string(),
                force: false,
            },
        };
        let Ok(facts) = decide(&state, &RunCommand { at: self.wall(), ask }) else { return Ok(()) };
        let ends = facts.iter().any(|f| f.event.kind() == "run.finished");
        if ends && state.plan.concurrency.is_some() {
            return Ok(());
        }
        self.coverage.mark("foreign append");
        self.note(|_| {
            format!("foreign append to {}: {}", run.short(), super::trace::kinds(&facts))
        });
        let from = self.store.runs[&run].len();
        self.store.add(run, facts);
        let after = self.chance.chaos.delay();
        self.later(after, Delivery::ForeignHint(run, from));
        Ok(())
    }

    /// The bus tells of it, or a slow poll of the store finds it.
    fn foreign_hint(&mut self, run: RunId, from: usize) -> Check {
        let facts = self.store.runs[&run][from..].to_vec();
        let at = self.wall();
        self.feed(Input::Foreign {
            tenant: self.store.tenant_of(run),
            run,
            from: from as u64,
            facts,
            at,
        })
    }

    /// A run of another process takes a place in a group.
    fn foreign_group(&mut self) -> Check {
        let rules = self.library.pipelines.iter().filter_map(|plan| plan.concurrency.clone());
        let rules: Vec<_> = rules.collect();
        let Some(rule) = self.chance.chaos.pick(&rules).cloned() else { return Ok(()) };
        let group = group_key(&tenant(usize::from(self.chance.chaos.percent(40))), &rule.group);
        if self.store.holders(&group).len() >= rule.limit as usize {
            return Ok(());
        }
        self.made += 1;
        let run = RunId(uuid::Uuid::from_u128(0xf000_0000 + u128::from(self.made)));
        self.coverage.mark("foreign holder");
        self.note(|_| format!("foreign run {} takes a place in {group}", run.short()));
        self.store.group(&group).push((run, true));
        self.foreign.insert(run, group.clone());
        let after = self.chance.chaos.below(120_000);
        self.later(after, Delivery::ForeignGive(run));
        self.group_moved(group)
    }

    fn foreign_give(&mut self, run: RunId) -> Check {
        let Some(group) = self.foreign.get(&run).cloned() else { return Ok(()) };
        if !self.store.holders(&group).contains(&run) {
            return Ok(());
        }
        self.note(|_| format!("foreign run {} gives its place back", run.short()));
        self.store.group(&group).push((run, false));
        self.group_moved(group)
    }

    /// Who watches a group's stream hears of it.
    fn group_moved(&mut self, group: String) -> Check {
        if self.watched.contains(&group) {
            let after = self.chance.chaos.delay();
            self.later(after, Delivery::LoadGroup(self.life, group));
        }
        Ok(())
    }

    /// Faults stop. What was broken is mended, and people answer.
    fn calm(&mut self) -> Check {
        self.note(|_| "faults stop".to_string());
        self.faults = false;
        self.raise_budget()?;
        for run in self.foreign.clone().into_keys() {
            self.later(1_000, Delivery::ForeignGive(run));
        }
        self.help(10_000)
    }

    /// Whether every accepted run has ended and nothing is left to be said about it.
    pub(super) fn is_over(&self) -> bool {
        self.is_quiet() && self.store.unfinished().is_empty()
    }

    pub(super) fn describe(&self, run: RunId) -> String {
        let state = fold(&self.store.runs[&run]);
        let open = state.units().filter(|(_, unit)| !unit.status.is_done());
        let open: Vec<String> =
            open.map(|(at, unit)| format!("{} {:?}", state.key(at), unit.status)).collect();
        format!(
            "  run {} ({}) {:?} paused {} cancelled {} parent {:?}: {}",
            run.short(),
            state.plan.name,
            state.phase,
            state.paused,
            state.cancel.is_some(),
            state.facts().parent.as_ref().map(|p| p.run.short()),
            open.join("; ")
        )
    }
}
