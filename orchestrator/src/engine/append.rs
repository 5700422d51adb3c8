//! Appends: what was decided in one step goes to the store as one request a run.

use dagbook_events::ids::{RunId, StreamName};
use dagbook_events::ports::Expected;
use dagbook_events::run::{Ask, RunEvent, RunFact, RunState};
use dagbook_events::step::ReportBody;
use dagbook_events::time::Timestamp;

use super::admission::{Held, held};
use super::input::runs_of;
use super::planted::Planted;
use super::runs::Asked;
use super::{AppendId, Conclusion, Engine, EngineEffect, Outgoing, Refusal, StreamPart};

/// An append on its way to the store.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) key: String,
    pub(super) parts: Vec<StreamPart>,
    /// The commands that must be decided again if the store refuses.
    pub(super) asked: Vec<Asked>,
    pub(super) tries: u32,
}

impl Engine {
    /// Admits what can start, and sends what was decided.
    pub(super) fn flush(&mut self) {
        self.admit();
        while let Some(run) = self.touched.pop_first() {
            self.send(run);
        }
    }

    fn send(&mut self, run: RunId) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        if slot.is_busy() || slot.open.is_empty() {
            return;
        }
        let groups = std::mem::take(&mut slot.open);
        let asked = std::mem::take(&mut slot.asked);
        let expected = match slot.durable {
            0 => Expected::New,
            n => Expected::Exact(n),
        };
        let at = groups.last().and_then(|g| g.last()).map_or(Timestamp(0), |fact| fact.at);
        let mut parts = vec![StreamPart {
            stream: Self::stream(run),
            expected,
            outgoing: Outgoing::Run(run, groups),
        }];
        let durable = slot.durable;
        parts.extend(self.group_part(run, &parts, at));
        self.next_append += 1;
        let append = AppendId(self.next_append);
        let key = format!("{run}/{durable}");
        self.runs.get_mut(&run).expect("it is there").in_flight = Some(append);
        self.line_up(run);
        self.effects.push(EngineEffect::Append { append, key: key.clone(), parts: parts.clone() });
        self.in_flight.insert(append, InFlight { key, parts, asked, tries: 1 });
    }

    pub(super) fn appended(&mut self, append: AppendId, result: Conclusion, at: Timestamp) {
        match result {
            Conclusion::Durable => self.confirmed(append, at),
            Conclusion::Conflict(stream) => self.conflicted(append, &stream),
            Conclusion::Impossible(reason) => self.impossible(append, &reason),
            Conclusion::Uncertain(reason) => {
                if let Some(flight) = self.in_flight.get(&append) {
                    let tries = flight.tries;
                    self.effects.push(EngineEffect::RetryLater { append, tries, reason });
                }
            }
        }
    }

    pub(super) fn retry_append(&mut self, append: AppendId) {
        if let Some(flight) = self.in_flight.get_mut(&append) {
            flight.tries += 1;
            let (key, parts) = (flight.key.clone(), flight.parts.clone());
            self.effects.push(EngineEffect::Append { append, key, parts });
        }
    }

    fn confirmed(&mut self, append: AppendId, at: Timestamp) {
        let Some(flight) = self.in_flight.remove(&append) else { return };
        for asked in flight.asked {
            self.reply(asked.request, Ok(()));
        }
        for part in flight.parts {
            match part.outgoing {
                Outgoing::Run(run, groups) => {
                    if admits(&groups) {
                        self.admission_over(run);
                    }
                    if let Some(slot) = self.runs.get_mut(&run) {
                        slot.in_flight = None;
                    }
                    self.durable(run, groups, at);
                    if !self.catch_up(run) {
                        self.work(run);
                        self.retire(run);
                    }
                }
                Outgoing::Take { group, run, .. } => self.group_taken(&group, run),
                Outgoing::Give { group, run, .. } => self.group_given(&group, run, at),
            }
        }
    }

    /// A finished run for which something still waited is forgotten once that is answered.
    fn retire(&mut self, run: RunId) {
        if let Some(slot) = self.runs.get(&run)
            && slot.state.is_finished()
            && slot.inbox.is_empty()
            && slot.open.is_empty()
            && !slot.is_busy()
        {
            self.forget(run);
        }
    }

    /// Somebody else appended first: what was decided is void. It is decided again on the run
    /// as it is recorded; attempts are chosen afresh by admission.
    fn conflicted(&mut self, append: AppendId, stream: &StreamName) {
        let Some(flight) = self.in_flight.remove(&append) else { return };
        self.takes_failed(&flight.parts);
        for run in runs_of(&flight.parts) {
            let Some(slot) = self.runs.get_mut(&run) else { continue };
            slot.in_flight = None;
            slot.asked.splice(0..0, flight.asked.iter().cloned());
            slot.decide_again();
            self.reload(run, stream);
        }
    }

    /// Another process appended while something of ours was on its way, and ours went through:
    /// the run is read again, for what came between was not seen.
    pub(super) fn catch_up(&mut self, run: RunId) -> bool {
        let Some(slot) = self.runs.get_mut(&run) else { return false };
        let behind = slot.seen > slot.durable && !slot.is_busy();
        if behind {
            slot.decide_again();
            slot.loading = true;
            self.touched.remove(&run);
            self.effects.push(EngineEffect::Load(run));
        }
        behind
    }

    fn reload(&mut self, run: RunId, stream: &StreamName) {
        let slot = self.runs.get_mut(&run).expect("the caller has it");
        if slot.durable == 0 && *stream == Self::stream(run) {
            // A new run's stream exists already: the submission was made before.
            let exists = dagbook_events::run::Rejection::Exists(run);
            return self.abandon(run, &exists.into());
        }
        slot.loading = true;
        self.touched.remove(&run);
        self.effects.push(EngineEffect::Load(run));
    }

    /// The store can never take it: whoever asked hears it, and the run goes on without.
    fn impossible(&mut self, append: AppendId, reason: &str) {
        let Some(flight) = self.in_flight.remove(&append) else { return };
        self.takes_failed(&flight.parts);
        let refusal = Refusal::Unrecordable(reason.to_string());
        for run in runs_of(&flight.parts) {
            let asked: Vec<Asked> =
                flight.asked.iter().filter(|a| !is_own(&a.command.ask)).cloned().collect();
            let Some(slot) = self.runs.get_mut(&run) else { continue };
            slot.in_flight = None;
            if slot.durable == 0 && asked.len() == 1 {
                for asked in asked {
                    self.reply(asked.request, Err(refusal.clone()));
                }
                self.abandon(run, &refusal);
                continue;
            }
            let again = self.without_the_guilty(run, asked, &refusal);
            let slot = self.runs.get_mut(&run).expect("it was found above");
            for asked in again.into_iter().rev() {
                slot.inbox.push_front(asked);
            }
            slot.loading = true;
            self.effects.push(EngineEffect::Load(run));
        }
    }

    /// Which commands of a refused append are tried again. Of several nobody knows which one the
    /// store cannot take: each then goes alone. Alone, it is refused, but for the end of an
    /// attempt: that happened, and is recorded without what the attempt left.
    fn without_the_guilty(
        &mut self,
        run: RunId,
        mut asked: Vec<Asked>,
        refusal: &Refusal,
    ) -> Vec<Asked> {
        if asked.len() > 1 {
            if let Some(slot) = self.runs.get_mut(&run) {
                slot.one_by_one = asked.len();
            }
            return asked;
        }
        let Some(mut alone) = asked.pop() else { return Vec::new() };
        if let Ask::Observe(report) = &mut alone.command.ask
            && let ReportBody::Exited(exit) = &mut report.body
            && !(exit.outputs.is_empty() && exit.artifacts.is_empty())
        {
            exit.outputs.clear();
            exit.artifacts.clear();
            exit.output_error = Some(refusal.to_string());
            return vec![alone];
        }
        self.reply(alone.request, Err(refusal.clone()));
        Vec::new()
    }

    /// Forgets a run that was never recorded, and tells those that wait why.
    fn abandon(&mut self, run: RunId, why: &Refusal) {
        let waiting = self.runs.get_mut(&run).map(|slot| std::mem::take(&mut slot.inbox));
        self.forget(run);
        for asked in waiting.unwrap_or_default() {
            self.reply(asked.request, Err(why.clone()));
        }
    }

    /// What the append should have taken in groups is not taken.
    fn takes_failed(&mut self, parts: &[StreamPart]) {
        for part in parts {
            if let Outgoing::Run(run, groups) = &part.outgoing
                && admits(groups)
            {
                self.admission_over(*run);
            }
            if let Outgoing::Take { group, .. } = &part.outgoing {
                self.group_stale(group);
            }
        }
    }

    /// Keeps the pools' counts in step with a run's.
    pub(super) fn count(&mut self, run: RunId, before: &[Held]) {
        let Some(slot) = self.runs.get(&run) else { return };
        let after = held(slot);
        let kept = self.has_planted(Planted::SlotKept) && slot.state.cancel.is_some();
        if after != before && !kept {
            let pools = slot.state.pools.clone();
            self.recount(&pools, before, &after);
        }
    }
}

/// Whether the engine itself asked, on what it knew then: it asks again when it knows better.
pub(super) fn is_own(ask: &Ask) -> bool {
    matches!(ask, Ask::Plan(_) | Ask::Admit | Ask::Refuse)
}

/// Whether the run's place in its group ends with these facts.
pub(super) fn ends(groups: &[Vec<RunFact>]) -> bool {
    groups.iter().flatten().any(|fact| matches!(fact.event, RunEvent::Finished(_)))
}

/// Whether the run takes its place in its group with these facts.
pub(super) fn admits(groups: &[Vec<RunFact>]) -> bool {
    groups.iter().flatten().any(|fact| matches!(fact.event, RunEvent::Admitted(_)))
}

/// The group of a run, if it has one.
pub(super) fn group_of(state: &RunState) -> Option<&str> {
    state.plan.concurrency.as_ref().map(|c| c.group.as_str())
}
