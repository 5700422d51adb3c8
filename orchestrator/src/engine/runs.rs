//! The runs that the engine owns: their live state, and what waits for them.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use dagbook_events::admission::Line;
use dagbook_events::effect::{Effect, Timer};
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::ports::Actor;
use dagbook_events::run::{
    self, Ask, Hold, Phase, Rejection, RunCommand, RunEvent, RunFact, RunState, fold, handle,
    react, timer_due,
};
use dagbook_events::step::ReportBody;
use dagbook_events::time::Timestamp;

use super::planted::Planted;
use super::{AppendId, Decided, Engine, EngineEffect, Refusal, RequestId};

/// A command and who waits for its answer.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    pub(super) request: Option<RequestId>,
    pub(super) by: Option<Arc<Actor>>,
    pub(super) command: RunCommand,
}

impl Asked {
    /// What the engine asks itself.
    pub(super) fn own(command: RunCommand) -> Self {
        Self { request: None, by: None, command }
    }
}

/// A run that the engine owns.
#[derive(Debug)]
pub(super) struct RunSlot {
    /// Whose it is.
    pub(super) tenant: TenantId,
    /// Folded as far as anything was decided.
    pub(super) state: RunState,
    /// Events that the store has confirmed.
    pub(super) durable: u64,
    /// Order among the runs of one priority.
    pub(super) order: u64,
    /// Decided and not yet sent.
    pub(super) open: Vec<Decided>,
    /// The commands behind them that must be decided again if the store refuses.
    pub(super) asked: Vec<Asked>,
    /// What waits for the append on its way, or for the run to be read.
    pub(super) inbox: VecDeque<Asked>,
    /// The append on its way.
    pub(super) in_flight: Option<AppendId>,
    /// It is being read again.
    pub(super) loading: bool,
    /// Events that its stream is known to have, whoever appended them.
    pub(super) seen: u64,
    /// It took a place in its concurrency group, as the store confirmed.
    pub(super) holds_place: bool,
    /// So many of those that wait go to the store one by one.
    pub(super) one_by_one: usize,
    /// It got a place and could not use it: it waits for none until something changed.
    pub(super) turned_down: bool,
    /// How its demands stand, as admission was told.
    pub(super) lines: Vec<Line>,
    /// Demands that wait for money, with what would be put aside.
    pub(super) short: BTreeMap<u16, Hold>,
}

impl RunSlot {
    fn new(tenant: TenantId, order: u64) -> Self {
        Self {
            tenant,
            state: RunState::unborn(),
            durable: 0,
            order,
            open: Vec::new(),
            asked: Vec::new(),
            inbox: VecDeque::new(),
            in_flight: None,
            loading: false,
            seen: 0,
            holds_place: false,
            one_by_one: 0,
            turned_down: false,
            lines: Vec::new(),
            short: BTreeMap::new(),
        }
    }

    /// What was decided and not sent is void: the commands behind it wait to be decided again.
    /// Attempts are chosen afresh by admission.
    pub(super) fn decide_again(&mut self) {
        let again = self.asked.drain(..).filter(|asked| !super::append::is_own(&asked.command.ask));
        let waiting: Vec<Asked> = again.chain(self.inbox.drain(..)).collect();
        self.inbox = waiting.into();
        self.open.clear();
    }

    /// Whether something has to come back before the run can be decided on.
    pub(super) fn is_busy(&self) -> bool {
        self.in_flight.is_some() || self.loading
    }
}

impl Engine {
    pub(super) fn command(
        &mut self,
        request: Option<RequestId>,
        by: Option<Arc<Actor>>,
        run: RunId,
        command: RunCommand,
    ) {
        if !self.runs.contains_key(&run) {
            let Ask::Submit(submitted) = &command.ask else {
                return self.reply(request, Err(Refusal::NotHere(run)));
            };
            self.new_slot(submitted.tenant.clone(), run);
        }
        let slot = self.runs.get_mut(&run).expect("it was found or made");
        slot.inbox.push_back(Asked { request, by, command });
        self.work(run);
    }

    fn new_slot(&mut self, tenant: TenantId, run: RunId) -> &mut RunSlot {
        self.next_order += 1;
        self.runs.entry(run).or_insert(RunSlot::new(tenant, self.next_order))
    }

    /// Decides everything that waits for the run, if nothing of it is on its way.
    pub(super) fn work(&mut self, run: RunId) {
        while let Some(slot) = self.runs.get_mut(&run)
            && !slot.is_busy()
            && (slot.one_by_one == 0 || slot.open.is_empty())
            && let Some(asked) = slot.inbox.pop_front()
        {
            slot.one_by_one = slot.one_by_one.saturating_sub(1);
            self.decide(run, asked);
        }
        self.line_up(run);
    }

    /// Decides one command and keeps its facts for the next append.
    /// Says whether it was accepted.
    pub(super) fn decide(&mut self, run: RunId, mut asked: Asked) -> bool {
        if self.has_planted(Planted::LateReportApplied) {
            self.mistake(run, &mut asked);
        }
        let early = self.has_planted(Planted::EffectsEarly);
        let Some(slot) = self.runs.get_mut(&run) else { return false };
        let decided = handle(&mut slot.state, &asked.command);
        let accepted = decided.is_ok();
        match decided {
            Ok(facts) => {
                // What it waits for may be another step now, of another price.
                let was_short = !slot.short.is_empty();
                if early {
                    let effects = facts.iter().flat_map(|fact| react(&slot.state, fact));
                    self.effects.extend(effects.map(EngineEffect::World));
                }
                slot.turned_down = false;
                let trace = slot.state.facts().traceparent.as_deref().map(Arc::from);
                slot.open.push(Decided { facts, by: asked.by.clone(), trace });
                slot.asked.push(asked);
                self.touched.insert(run);
                if was_short {
                    self.not_aside(run);
                }
            }
            Err(rejection) => self.refused(run, &asked, rejection),
        }
        self.line_up(run);
        accepted
    }

    /// The planted bug: a report is taken for one of the step's current attempt.
    fn mistake(&self, run: RunId, asked: &mut Asked) {
        if let Ask::Observe(report) = &mut asked.command.ask
            && !matches!(report.body, ReportBody::Usage(_))
            && let Some(slot) = self.runs.get(&run)
            && let Some(unit) = slot.state.find(&report.step).map(|at| slot.state.unit(at))
            && let Some((attempt, _)) = unit.attempt()
        {
            (report.attempt, report.epoch) = (attempt, unit.epoch);
        }
    }

    fn refused(&mut self, run: RunId, asked: &Asked, rejection: Rejection) {
        let slot = &self.runs[&run];
        match &asked.command.ask {
            // An executor that repeats an end did not hear that it may forget the attempt.
            Ask::Observe(report) if matches!(report.body, ReportBody::Exited(_)) => {
                // What is decided and not yet recorded may be that very end.
                if let Some(unit) = slot.state.find(&report.step)
                    && slot.open.is_empty()
                    && !slot.state.live.contains_key(&report.attempt)
                {
                    let pool = usize::from(slot.state.step(unit.step).pool);
                    let executor = slot.state.pools[pool].executor.to_string();
                    let attempt = report.attempt;
                    self.effects.push(EngineEffect::World(Effect::Release { executor, attempt }));
                }
            }
            // The clock stepped back after the timer was set.
            Ask::Timer(kind) => {
                let due = timer_due(&slot.state, kind).filter(|due| *due > asked.command.at);
                let timer = Timer { run, kind: kind.clone() };
                let again = due.map(|at| EngineEffect::World(Effect::SetTimer { timer, at }));
                self.effects.extend(again);
            }
            _ => {}
        }
        self.reply(asked.request, Err(rejection.into()));
        let slot = &self.runs[&run];
        if slot.state.submitted.is_none() && slot.inbox.is_empty() {
            self.forget(run);
        }
    }

    pub(super) fn reply(&mut self, request: Option<RequestId>, result: Result<(), Refusal>) {
        if let Some(request) = request {
            self.effects.push(EngineEffect::Reply { request, result });
        }
    }

    /// Facts are durable: now the world may hear of them.
    pub(super) fn durable(&mut self, run: RunId, facts: Vec<RunFact>, at: Timestamp) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        let mut effects = Vec::new();
        let from = slot.durable;
        slot.durable += facts.len() as u64;
        if self.planted != Some(Planted::EffectsEarly) {
            effects.extend(facts.iter().flat_map(|fact| react(&slot.state, fact)));
        }
        let tenant = slot.state.facts().tenant.clone();
        let finished = slot.state.is_finished();
        let queued = slot.state.phase == Phase::Queued;
        if took_place(&facts) {
            slot.holds_place = true;
        }
        self.settle_money(&tenant, &facts);
        self.effects.extend(effects.into_iter().map(EngineEffect::World));
        self.line_up(run);
        let left = facts.iter().any(|fact| matches!(fact.event, RunEvent::Finished(_)));
        self.effects.push(EngineEffect::Recorded { tenant, run, from, facts });
        if queued {
            self.seek_place(run, at);
        }
        if left {
            self.left_group(run, at);
        }
        let Some(slot) = self.runs.get(&run) else { return };
        if finished && slot.inbox.is_empty() && !slot.is_busy() && slot.open.is_empty() {
            self.forget(run);
        }
    }

    /// Nothing more will be decided for the run.
    pub(super) fn forget(&mut self, run: RunId) {
        self.not_aside(run);
        self.runs.remove(&run);
        self.admission.remove(run);
        self.money.remove(run);
        self.fill_held_back();
        self.touched.remove(&run);
    }

    pub(super) fn adopt(&mut self, run: RunId, facts: Vec<RunFact>, at: Timestamp) {
        let Some(RunEvent::Submitted(submitted)) = facts.first().map(|fact| &fact.event) else {
            return;
        };
        if self.runs.contains_key(&run) {
            return;
        }
        let slot = self.new_slot(submitted.tenant.clone(), run);
        slot.state = fold(&facts);
        slot.holds_place = took_place(&facts);
        slot.durable = slot.state.version;
        self.line_up(run);
        let slot = &self.runs[&run];
        let owed = run::pending(&slot.state);
        let finished = slot.state.is_finished();
        let queued = slot.state.phase == Phase::Queued;
        self.effects.extend(owed.into_iter().map(EngineEffect::World));
        if finished {
            return self.forget(run);
        }
        if queued {
            self.seek_place(run, at);
        }
        self.work(run);
    }

    pub(super) fn loaded(&mut self, run: RunId, facts: Vec<RunFact>, at: Timestamp) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        if !slot.loading {
            return;
        }
        debug_assert!(slot.open.is_empty(), "{run}: decided on while it was read again");
        slot.turned_down = false;
        let known = usize::try_from(slot.durable).unwrap_or(usize::MAX).min(facts.len());
        slot.loading = false;
        slot.state = fold(&facts);
        slot.holds_place = took_place(&facts);
        slot.durable = slot.state.version;
        let mut effects = Vec::new();
        for fact in &facts[known..] {
            effects.extend(react(&slot.state, fact));
        }
        let recorded = facts[known..].to_vec();
        let tenant = slot.state.facts().tenant.clone();
        self.settle_money(&tenant, &recorded);
        self.effects.extend(effects.into_iter().map(EngineEffect::World));
        if !recorded.is_empty() {
            let from = known as u64;
            self.effects.push(EngineEffect::Recorded { tenant, run, from, facts: recorded });
        }
        self.line_up(run);
        // What was decided and is void may have counted as running.
        self.fill_held_back();
        if self.runs.get(&run).is_some_and(|slot| slot.state.phase == Phase::Queued) {
            self.seek_place(run, at);
        }
        if self.catch_up(run) {
            return;
        }
        self.work(run);
        let Some(slot) = self.runs.get(&run) else { return };
        if slot.state.is_finished() && slot.open.is_empty() && !slot.is_busy() {
            self.left_group(run, at);
            self.forget(run);
        }
    }

    pub(super) fn foreign(
        &mut self,
        tenant: &TenantId,
        run: RunId,
        from: u64,
        facts: &[RunFact],
        at: Timestamp,
    ) {
        let Some(slot) = self.runs.get_mut(&run).filter(|slot| slot.tenant == *tenant) else {
            return;
        };
        slot.seen = slot.seen.max(from + facts.len() as u64);
        // What is on its way may conflict with it, or have come before it: see `catch_up`.
        if slot.is_busy() || slot.seen <= slot.durable {
            return;
        }
        if !slot.open.is_empty() || from > slot.durable {
            slot.decide_again();
            return self.read_again(run);
        }
        let fresh = &facts[usize::try_from(slot.durable - from).unwrap_or(0)..];
        for fact in fresh {
            let state = std::mem::replace(&mut slot.state, RunState::unborn());
            slot.state = run::evolve(state, fact);
        }
        slot.turned_down = false;
        self.durable(run, fresh.to_vec(), at);
        self.line_up(run);
    }
}

fn took_place(facts: &[RunFact]) -> bool {
    facts.iter().any(|fact| matches!(fact.event, RunEvent::Admitted(_)))
}
