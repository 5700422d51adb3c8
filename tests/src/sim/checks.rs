//! What must be true of the whole: beside the properties of each history, those that hold
//! between the engine, the store and the executors.

use dagbook::engine::Input;
use dagbook_events::admission::{Amounts, Quota};
use dagbook_events::dag::Concurrency;
use dagbook_events::effect::{Effect, Timer};
use dagbook_events::ids::RunId;
use dagbook_events::invariants::check_all;
use dagbook_events::run::{Ask, HoldKind, RunEvent, TimerKind, UnitStatus, fold, pending};
use dagbook_events::step::{AttemptState, Outcome};

use super::library::EXECUTORS;
use super::people::{TENANTS, group_key, tenant};
use super::world::{Check, World};

/// What of a quota is exceeded.
fn over_quota(quota: &Quota, taken: &Amounts, running: u32) -> Check {
    let over = |what: &str, taken: u64, bound: Option<u64>| match bound {
        Some(bound) if taken > bound => Err(format!("has {taken} {what} and may have {bound}")),
        _ => Ok(()),
    };
    over("runs", u64::from(running), quota.running_runs.map(u64::from))?;
    over("attempts", taken.attempts, quota.attempts.map(u64::from))?;
    over("thousandths of a core", taken.cpu_milli, quota.cpu_milli)?;
    over("bytes of memory", taken.memory_bytes, quota.memory_bytes)?;
    over("GPUs", taken.gpus, quota.gpus.map(u64::from))
}

impl World {
    /// Counts what an input visits.
    pub(super) fn visited(&mut self, input: &Input) {
        let Input::Command { run, command, .. } = input else { return };
        self.coverage.ask(&command.ask);
        let Ask::Observe(report) = &command.ask else { return };
        let Some(state) = self.engine.as_ref().and_then(|engine| engine.run(*run)) else { return };
        let at = state.live.get(&report.attempt).and_then(|at| state.unit(*at).attempt());
        let from = at.map_or(AttemptState::Exited, |(_, state)| state);
        self.coverage.cell(from, &report.body);
    }

    /// After every input: slots are those of the fold, and no pool is overfull.
    pub(super) fn after_step(&mut self) -> Check {
        let Some(engine) = &self.engine else { return Ok(()) };
        let folded = engine.held_by_fold();
        for pool in engine.admission().pool_figures() {
            let (name, live, taken) = (pool.name, pool.live.attempts, pool.taken.attempts);
            let by_fold = folded.get(name).copied().unwrap_or(0);
            if live != by_fold {
                return Err(format!(
                    "slots: pool `{name}` counts {live} attempts and the runs have {by_fold}"
                ));
            }
            let places = pool.capacity.places.map_or(u64::MAX, u64::from);
            if taken > places {
                return Err(format!("slots: pool `{name}` has {places} places and {taken} taken"));
            }
            if engine.is_settled() && !engine.is_reading() && taken != live {
                return Err(format!("slots: pool `{name}` leaks: {taken} taken, {live} live"));
            }
        }
        self.money()?;
        for tenant in engine.admission().tenant_figures() {
            over_quota(tenant.quota, tenant.taken, tenant.running)
                .map_err(|what| format!("quota: tenant `{}` {what}", tenant.id))?;
        }
        Ok(())
    }

    /// What led to the effect must be recorded already.
    pub(super) fn is_durable(&self, effect: &Effect) -> Check {
        let early = |what: String| Err(format!("early effect: {what} is not recorded"));
        let known = |run: &RunId| self.store.runs.contains_key(run);
        match effect {
            Effect::Start(spec) => match self.store.planned.get(&spec.attempt) {
                Some((_, hash)) if *hash == spec.hash() => Ok(()),
                Some(_) => Err(format!("attempt {} has another spec than recorded", spec.attempt)),
                None => early(format!("attempt {} of `{}`", spec.attempt, spec.step)),
            },
            Effect::Stop(stop) if !self.store.planned.contains_key(&stop.attempt) => {
                early(format!("attempt {}", stop.attempt))
            }
            Effect::Stop(stop) => self.may_stop(stop.run, stop.attempt),
            Effect::Release { attempt, .. } if !self.store.exited.contains_key(attempt) => {
                early(format!("the end of attempt {attempt}"))
            }
            Effect::SubmitChild(child) if !self.store.children.contains(&child.run) => {
                early(format!("the request for run {}", child.run))
            }
            Effect::CancelChild { run, .. } if !self.store.children.contains(run) => {
                early(format!("the request for run {run}"))
            }
            Effect::NotifyParent { run, .. } if !self.store.finished.contains_key(run) => {
                early(format!("the end of run {run}"))
            }
            Effect::SetTimer { timer, .. } if !known(&timer.run) => {
                early(format!("run {}", timer.run))
            }
            _ => Ok(()),
        }
    }

    /// The `finally` part is spared by a cancel that came before it and not by force.
    fn may_stop(&self, run: RunId, attempt: dagbook_events::ids::AttemptId) -> Check {
        let state = fold(&self.store.runs[&run]);
        let Some(at) = state.live.get(&attempt) else { return Ok(()) };
        let unit = state.unit(*at);
        let fan = matches!(&state.step(at.step).body,
            dagbook_events::run::StepBody::FanOut(fan) if fan.stopping);
        let overdue = self.store.runs[&run].iter().any(|fact| {
            matches!(&fact.event, RunEvent::TimerFired(e) if e.timer == TimerKind::Overdue(attempt))
        });
        let wanted =
            fan || overdue || unit.exhausted || state.cancels(state.planned(at.step).section);
        match wanted {
            true => Ok(()),
            false => Err(format!(
                "attempt {attempt} of `{}` is stopped and nobody asked",
                state.key(*at)
            )),
        }
    }

    /// When nothing is under way: live state is the refold, and all that a run waits for is
    /// on its way to it.
    pub(super) fn when_quiet(&mut self) -> Check {
        self.holders()?;
        self.money_when_quiet()?;
        for (name, slots) in EXECUTORS {
            let taken = self.store.taken.get(name).copied().unwrap_or(0);
            if taken > slots {
                return Err(format!(
                    "slots: `{name}` has {slots} places and {taken} recorded attempts live"
                ));
            }
        }
        for (n, quota) in self.quotas.iter().enumerate() {
            let (tenant, bound) = (tenant(n), |bound: Option<u32>| bound.unwrap_or(u32::MAX));
            let held = self.store.held.get(&tenant).copied().unwrap_or(0);
            let running = self.store.running.get(&tenant).map_or(0, |runs| runs.len());
            if held > bound(quota.attempts) || running > bound(quota.running_runs) as usize {
                return Err(format!(
                    "quota: tenant `{tenant}` has {held} attempts and {running} running runs on \
                     record under {quota:?}"
                ));
            }
        }
        self.checks += 1;
        if !self.checks.is_multiple_of(8) {
            return Ok(());
        }
        let Some(engine) = &self.engine else { return Ok(()) };
        for run in self.store.unfinished() {
            let facts = &self.store.runs[&run];
            let Some(live) = engine.run(run) else {
                return Err(format!("run {run} is not over and no engine has it"));
            };
            // A foreign append that was not heard of yet.
            if live.version != facts.len() as u64 {
                continue;
            }
            if *live != fold(facts) {
                return Err(format!("refold: run {run} is not what its history says"));
            }
            self.awaited(live)?;
        }
        Ok(())
    }

    fn awaited(&self, live: &dagbook_events::run::RunState) -> Check {
        for effect in pending(live) {
            match effect {
                Effect::SetTimer { timer, at } => match self.timers.get(&timer) {
                    None if self.is_fenced(&timer) => {}
                    None => {
                        return Err(format!(
                            "no timer is set for {:?} of {}",
                            timer.kind, timer.run
                        ));
                    }
                    Some(set) if *set > at && !matches!(timer.kind, TimerKind::Overdue(_)) => {
                        return Err(format!("{:?} of {} is set too late", timer.kind, timer.run));
                    }
                    Some(_) => {}
                },
                Effect::Start(spec) if !self.fleet.executed.contains(&spec.attempt) => {
                    return Err(format!("attempt {} was never asked for", spec.attempt));
                }
                _ => {}
            }
        }
        for (at, unit) in live.units() {
            if let UnitStatus::Held(HoldKind::Child(run)) = unit.status {
                let step = live.key(at);
                if !self.store.runs.contains_key(&run) {
                    return Err(format!("`{step}` waits for run {run}, which nobody submitted"));
                }
                let heard = self.engine.as_ref().is_none_or(|engine| engine.run(run).is_none());
                if heard && self.store.finished.contains_key(&run) {
                    return Err(format!("`{step}` waits for run {run}, which is over"));
                }
            }
        }
        Ok(())
    }

    /// Whether an overdue attempt was killed, and waits to be given up.
    fn is_fenced(&self, timer: &Timer) -> bool {
        let TimerKind::Overdue(attempt) = timer.kind else { return false };
        self.timers.contains_key(&Timer { run: timer.run, kind: TimerKind::Fence(attempt) })
    }

    /// Every concurrency group that there may be: what one tenant calls a group is not another's.
    fn groups(&self) -> impl Iterator<Item = (&Concurrency, String)> {
        let rules = self.library.pipelines.iter().filter_map(|plan| plan.concurrency.as_ref());
        rules.flat_map(|rule| {
            let keys = (0..TENANTS.len()).map(|n| group_key(&tenant(n), &rule.group));
            keys.map(move |key| (rule, key))
        })
    }

    fn holders(&self) -> Check {
        for (rule, group) in self.groups() {
            let holders = self.store.holders(&group);
            if holders.len() > rule.limit as usize {
                return Err(format!(
                    "group `{group}` has {} places and the holders {holders:?}",
                    rule.limit
                ));
            }
        }
        Ok(())
    }

    /// After the end: every history keeps every property, and the executors agree with it.
    pub(super) fn at_end(&self) -> Check {
        for (run, facts) in &self.store.runs {
            if let Some(violation) = check_all(facts).into_iter().next() {
                return Err(format!("run {run}: {violation}"));
            }
        }
        for (attempt, recorded) in &self.store.exited {
            let truth = self.fleet.truth.get(attempt);
            if !matches!(recorded, Outcome::Lost { .. }) && truth != Some(recorded) {
                return Err(format!(
                    "truth: attempt {attempt} is recorded {recorded:?}, it was {truth:?}"
                ));
            }
        }
        for (_, group) in self.groups() {
            let holders = self.store.holders(&group);
            let ours: Vec<_> =
                holders.iter().filter(|run| !self.foreign.contains_key(run)).collect();
            if !ours.is_empty() {
                return Err(format!("group `{group}` still has the holders {ours:?}"));
            }
        }
        Ok(())
    }
}
