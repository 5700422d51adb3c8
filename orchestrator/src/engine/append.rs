//! Appends: what was decided in one step goes to the store as one request a run.

use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::Expected;
use dagbook_events::run::{Ask, RunEvent, RunFact};
use dagbook_events::step::ReportBody;
use dagbook_events::time::Timestamp;

use super::input::runs_of;
use super::runs::Asked;
use super::{AppendId, Conclusion, Decided, Engine, EngineEffect, Outgoing, Refusal, StreamPart};

/// An append on its way to the store.
#[derive(Debug, Clone)]
pub(super) struct InFlight {
    pub(super) tenant: TenantId,
    pub(super) key: String,
    pub(super) parts: Vec<StreamPart>,
    /// The commands that must be decided again if the store refuses.
    pub(super) asked: Vec<Asked>,
    pub(super) tries: u32,
}

impl InFlight {
    fn effect(&self, append: AppendId) -> EngineEffect {
        let (tenant, key, parts) = (self.tenant.clone(), self.key.clone(), self.parts.clone());
        EngineEffect::Append { append, tenant, key, parts }
    }
}

impl Engine {
    /// Admits what can start, and sends what was decided.
    pub(super) fn flush(&mut self) {
        if !self.money.is_empty() {
            self.money_moved();
        }
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
        let at = groups.last().and_then(|g| g.facts.last()).map_or(Timestamp(0), |fact| fact.at);
        let mut parts = vec![StreamPart {
            stream: Self::stream(run),
            expected,
            outgoing: Outgoing::Run(run, groups),
        }];
        let (durable, tenant) = (slot.durable, slot.tenant.clone());
        parts.extend(self.group_part(run, &parts, at));
        self.next_append += 1;
        let append = AppendId(self.next_append);
        let key = format!("{run}/{durable}");
        self.runs.get_mut(&run).expect("it is there").in_flight = Some(append);
        self.line_up(run);
        let flight = InFlight { tenant, key, parts, asked, tries: 1 };
        self.effects.push(flight.effect(append));
        self.in_flight.insert(append, flight);
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
            let again = flight.effect(append);
            self.effects.push(again);
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
                    let facts = groups.into_iter().flat_map(|group| group.facts).collect();
                    self.durable(run, facts, at);
                    if !self.catch_up(run) {
                        self.work(run);
                        self.retire(run);
                    }
                }
                Outgoing::Take { group, run, .. } => {
                    self.group_taken(&(flight.tenant.clone(), group), run);
                }
                Outgoing::Give { group, run, .. } => {
                    self.group_given(&(flight.tenant.clone(), group), run, at);
                }
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
        self.takes_failed(&flight);
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
            self.read_again(run);
        }
        behind
    }

    /// Asks for the run as it is recorded. Until it comes nothing is decided on it, and admission
    /// gives it nothing: a decision would be one on a state that is void.
    pub(super) fn read_again(&mut self, run: RunId) {
        let Some(slot) = self.runs.get_mut(&run) else { return };
        slot.loading = true;
        let tenant = slot.tenant.clone();
        self.touched.remove(&run);
        self.line_up(run);
        self.effects.push(EngineEffect::Load { tenant, run });
    }

    fn reload(&mut self, run: RunId, stream: &StreamName) {
        let slot = self.runs.get_mut(&run).expect("the caller has it");
        if slot.durable == 0 && *stream == Self::stream(run) {
            // A new run's stream exists already: the submission was made before.
            let exists = dagbook_events::run::Rejection::Exists(run);
            return self.abandon(run, &exists.into());
        }
        self.read_again(run);
    }

    /// The store can never take it: whoever asked hears it, and the run goes on without.
    fn impossible(&mut self, append: AppendId, reason: &str) {
        let Some(flight) = self.in_flight.remove(&append) else { return };
        self.takes_failed(&flight);
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
            self.read_again(run);
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
    fn takes_failed(&mut self, flight: &InFlight) {
        for part in &flight.parts {
            if let Outgoing::Run(run, groups) = &part.outgoing
                && admits(groups)
            {
                self.admission_over(*run);
            }
            if let Outgoing::Take { group, .. } = &part.outgoing {
                self.group_stale(&(flight.tenant.clone(), group.clone()));
            }
        }
    }
}

/// Whether the engine itself asked, on what it knew then: it asks again when it knows better.
pub(super) fn is_own(ask: &Ask) -> bool {
    matches!(ask, Ask::Plan(..) | Ask::Admit | Ask::Refuse)
}

/// Whether the run's place in its group ends with these facts.
pub(super) fn ends(groups: &[Decided]) -> bool {
    facts_of(groups).any(|fact| matches!(fact.event, RunEvent::Finished(_)))
}

/// Whether the run takes its place in its group with these facts.
pub(super) fn admits(groups: &[Decided]) -> bool {
    facts_of(groups).any(|fact| matches!(fact.event, RunEvent::Admitted(_)))
}

/// The facts of all commands, in order.
fn facts_of(groups: &[Decided]) -> impl Iterator<Item = &RunFact> {
    groups.iter().flat_map(|group| &group.facts)
}
