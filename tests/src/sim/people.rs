//! Those who submit, cancel, approve and ask again, at any moment and mostly at a bad one.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook::engine::{Input, RequestId};
use dagbook_events::dag::{Action, Plan, SourceBundle, StepIndex, WaitFor};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::run::event::{ParentLink, ReusedResult, Source, Submitted};
use dagbook_events::run::{
    Ask, HoldKind, RunCommand, RunState, RunStatus, StepBody, UnitStatus, fold,
};
use dagbook_events::step::StopCause;
use dagbook_events::value::Value;

use super::world::{Check, Delivery, World};

impl World {
    pub(super) fn schedule_people(&mut self) {
        for _ in 0..self.chance.people.between(6, 14) {
            let after = self.chance.people.below(240_000);
            self.later(after, Delivery::Act);
        }
        self.later(0, Delivery::Act);
    }

    /// Somebody does something.
    pub(super) fn act(&mut self) -> Check {
        let runs: Vec<RunId> = self.store.runs.keys().copied().collect();
        let few = self.store.runs.len() < 5;
        let Some(run) = self.chance.people.pick(&runs).copied() else { return self.submit_any() };
        match self.chance.people.below(100) {
            0..35 if few => self.submit_any(),
            0..50 => {
                let force = self.chance.people.percent(30);
                let reason = "changed my mind".to_string();
                self.ask(run, Ask::Cancel { cause: StopCause::User, reason, force })
            }
            50..58 => self.ask(run, Ask::Pause { comment: String::new() }),
            58..66 => self.ask(run, Ask::Resume { comment: "go on".to_string() }),
            66..76 => {
                let kind = if self.chance.people.percent(20) { "huge" } else { "event" };
                let name = format!("{kind}-{}", self.chance.people.below(3));
                self.ask(run, Ask::Signal { name })
            }
            76..90 => self.answer(run),
            _ => self.repeat(run),
        }
    }

    fn submit_any(&mut self) -> Check {
        let Some(plan) = self.chance.people.pick(&self.library.pipelines).cloned() else {
            return Ok(());
        };
        self.made += 1;
        let run = RunId(uuid::Uuid::from_u128(0x1000_0000 + u128::from(self.made)));
        self.submit(run, plan, None, BTreeMap::new(), None)
    }

    pub(super) fn submit(
        &mut self,
        run: RunId,
        plan: Arc<Plan>,
        parent: Option<ParentLink>,
        reuse: BTreeMap<StepKey, ReusedResult>,
        retry_of: Option<RunId>,
    ) -> Check {
        let parent_run = parent.as_ref().map(|parent| parent.run).or(retry_of);
        let whose = match parent_run {
            Some(run) => self.store.tenant_of(run),
            None => tenant(usize::from(self.chance.people.percent(40))),
        };
        let submitted = Box::new(Submitted {
            run,
            tenant: whose,
            pipeline: plan.name.clone(),
            number: self.made,
            params: BTreeMap::new(),
            trigger: "manual".to_string(),
            scheduled_at: None,
            pipeline_version: None,
            git: None,
            parent,
            retry_of,
            reuse,
            source_hash: Sha256Digest([0; 32]),
            source: Arc::new(Source {
                bundle: SourceBundle { entry: "dag.yaml".to_string(), files: BTreeMap::new() },
                folder: None,
                archive: None,
                pipelines: BTreeMap::new(),
            }),
            planner: 1,
            traceparent: None,
            driven_at: None,
            plan: Some(plan),
        });
        let request = RequestId(self.steps * 1_000 + self.submissions.len() as u64);
        self.submissions.insert(request, (run, submitted.clone()));
        let command = RunCommand { at: self.wall(), ask: Ask::Submit(submitted) };
        self.feed(Input::Command { request: Some(request), by: None, run, command })
    }

    fn answer(&mut self, run: RunId) -> Check {
        let Some(state) = self.engine.as_ref().and_then(|engine| engine.run(run)) else {
            return Ok(());
        };
        let asked = state.units().filter(|(_, u)| u.status == UnitStatus::Held(HoldKind::Approval));
        let asked: Vec<StepKey> = asked.map(|(at, _)| state.key(at)).collect();
        let step = match self.chance.people.pick(&asked) {
            Some(step) => step.clone(),
            None => StepKey::new("s0"),
        };
        let approved = self.chance.people.percent(60);
        self.ask(run, Ask::Approve { step, approved, comment: String::new() })
    }

    /// Submits a run again, with what it had achieved.
    fn repeat(&mut self, run: RunId) -> Check {
        let ended = self.store.finished.get(&run);
        if ended.is_none_or(|status| *status == RunStatus::Rejected) {
            return Ok(());
        }
        let state = fold(&self.store.runs[&run]);
        if state.facts().parent.is_some() {
            return Ok(());
        }
        let reuse = reuse(&state);
        let mut plan = (*state.plan).clone();
        if self.chance.people.percent(40) {
            let item = Value::str(format!("other{}", self.made));
            plan.params.insert("items".to_string(), Value::list(vec![item]));
        }
        self.made += 1;
        self.coverage.mark("retry");
        let again = RunId(uuid::Uuid::from_u128(0x1000_0000 + u128::from(self.made)));
        self.submit(again, Arc::new(plan), None, reuse, Some(run))
    }

    /// Everything that waits for a person gets what it waits for.
    pub(super) fn help(&mut self, wait: u64) -> Check {
        for run in self.store.unfinished() {
            let Some(state) = self.engine.as_ref().and_then(|engine| engine.run(run)) else {
                continue;
            };
            let mut asks = Vec::new();
            if state.paused {
                asks.push(Ask::Resume { comment: String::new() });
            }
            for (at, unit) in state.units() {
                let step = state.key(at);
                match (unit.status, &state.planned(at.step).action) {
                    (UnitStatus::Held(HoldKind::Approval), _) => {
                        asks.push(Ask::Approve { step, approved: true, comment: String::new() });
                    }
                    (
                        UnitStatus::Held(HoldKind::Wait(None)),
                        Action::Wait(WaitFor::Event(name)),
                    ) => {
                        asks.push(Ask::Signal { name: name.clone() });
                    }
                    _ => {}
                }
            }
            for ask in asks {
                self.ask(run, ask)?;
            }
        }
        self.later(wait, Delivery::Help(wait * 2));
        Ok(())
    }
}

/// What a run achieved, by step and child.
fn reuse(state: &RunState) -> BTreeMap<StepKey, ReusedResult> {
    let mut reuse = BTreeMap::new();
    let empty = |items| ReusedResult {
        from_run: state.id(),
        outputs: BTreeMap::new(),
        artifacts: BTreeMap::new(),
        items,
    };
    for (at, unit) in state.units() {
        if let Some(result) = unit.result.as_ref().filter(|_| unit.status == UnitStatus::Succeeded)
        {
            let outputs = (*result.outputs).clone();
            reuse.insert(state.key(at), ReusedResult { outputs, ..empty(None) });
        }
    }
    for (index, planned) in (0u32..).zip(&state.plan.steps) {
        if let StepBody::FanOut(fan) = &state.step(StepIndex(index)).body {
            reuse.insert(StepKey::step(&planned.name), empty(fan.items.clone()));
        }
    }
    reuse
}

/// One of the tenants.
pub(super) fn tenant(n: usize) -> TenantId {
    TenantId::new(TENANTS[n % TENANTS.len()]).expect("a tenant")
}

/// Whose runs the simulation has.
pub(super) const TENANTS: [&str; 2] = ["acme", "bolt"];

/// A group of a tenant, as the store of the simulation finds it.
pub(super) fn group_key(tenant: &TenantId, group: &str) -> String {
    format!("{tenant}/{group}")
}
