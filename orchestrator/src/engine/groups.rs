//! Concurrency groups: so many runs of a group at one time, whichever process they are in. A
//! place is taken and given in the group's own stream, in the same append as the run's event,
//! so that the stream's version decides between two processes.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::admission::Wait;
use dagbook_events::dag::WhenFull;
use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::Expected;
use dagbook_events::run::{Ask, Phase, RunCommand};
use dagbook_events::step::StopCause;
use dagbook_events::time::Timestamp;

use super::append::{admits, ends};
use super::runs::{Asked, RunSlot};
use super::{Engine, EngineEffect, Outgoing, StreamPart};

/// A group of a tenant: what one calls a group is nothing to another.
pub(super) type GroupKey = (TenantId, String);

/// What is known of the groups that runs here belong to.
#[derive(Debug, Default)]
pub(super) struct Groups {
    known: BTreeMap<GroupKey, Group>,
    /// Groups with a free place and a run that may not begin for another reason.
    held_back: BTreeSet<GroupKey>,
}

#[derive(Debug, Default)]
struct Group {
    /// None while it is being read.
    version: Option<u64>,
    holders: Vec<RunId>,
    /// Runs here that wait for a place, oldest first.
    queue: BTreeSet<(u64, RunId)>,
    /// The run whose append, on its way, takes a place.
    taking: Option<RunId>,
}

impl Engine {
    /// A run waits for its place.
    pub(super) fn seek_place(&mut self, run: RunId, at: Timestamp) {
        let Some(slot) = self.runs.get(&run) else { return };
        let Some(name) = group_of(slot) else { return };
        let order = slot.order;
        let group = self.groups.known.entry(name.clone()).or_default();
        let first = group.queue.is_empty();
        group.queue.insert((order, run));
        if first {
            // Whatever was known is old: others take and give places too.
            group.version = None;
            self.load_group(name);
        } else {
            self.fill(&name, at);
        }
    }

    fn load_group(&mut self, (tenant, group): GroupKey) {
        self.effects.push(EngineEffect::LoadGroup { tenant, group });
    }

    pub(super) fn group_loaded(
        &mut self,
        name: &GroupKey,
        holders: Vec<RunId>,
        version: u64,
        at: Timestamp,
    ) {
        let Some(group) = self.groups.known.get_mut(name) else { return };
        if group.version.is_some_and(|known| known > version) {
            return;
        }
        group.version = Some(version);
        group.holders = holders;
        self.fill(name, at);
    }

    pub(super) fn group_stale(&mut self, name: &GroupKey) {
        if let Some(group) = self.groups.known.get_mut(name) {
            group.version = None;
            self.load_group(name.clone());
        }
    }

    pub(super) fn group_taken(&mut self, name: &GroupKey, run: RunId) {
        if let Some(group) = self.groups.known.get_mut(name) {
            // A reading that came in between has it already.
            if !group.holders.contains(&run) {
                group.version = group.version.map(|v| v + 1);
                group.holders.push(run);
            }
            group.queue.retain(|(_, waiting)| *waiting != run);
        }
    }

    /// A place became free: its version is not certain (others give places back too).
    pub(super) fn group_given(&mut self, name: &GroupKey, run: RunId, _at: Timestamp) {
        if let Some(group) = self.groups.known.get_mut(name) {
            group.holders.retain(|holder| *holder != run);
            group.version = None;
            if group.queue.is_empty() {
                self.groups.known.remove(name);
            } else {
                self.load_group(name.clone());
            }
        }
    }

    /// The run waits no longer: the next in the queue may have been behind it.
    pub(super) fn left_group(&mut self, run: RunId, at: Timestamp) {
        let Some(name) = self.runs.get(&run).and_then(group_of) else { return };
        let Some(group) = self.groups.known.get_mut(&name) else { return };
        group.queue.retain(|(_, waiting)| *waiting != run);
        if group.queue.is_empty() && group.holders.is_empty() {
            self.groups.known.remove(&name);
        } else {
            self.fill(&name, at);
        }
    }

    /// The append with which the run took its place has come to something.
    pub(super) fn admission_over(&mut self, run: RunId) {
        let name = self.runs.get(&run).and_then(group_of);
        if let Some(group) = name.and_then(|name| self.groups.known.get_mut(&name)) {
            group.taking = group.taking.filter(|taking| *taking != run);
        }
    }

    /// Gives the first that waits its place, or does what its file says of a full group.
    fn fill(&mut self, name: &GroupKey, at: Timestamp) {
        let Some(group) = self.groups.known.get(name) else { return };
        if group.taking.is_some() || group.version.is_none() {
            return;
        }
        let Some((_, run)) = group.queue.first().copied() else { return };
        let Some(slot) = self.runs.get(&run) else { return };
        if slot.is_busy() || slot.state.phase != Phase::Queued {
            return;
        }
        let Some(rule) = slot.state.plan.concurrency.clone() else { return };
        let counts = slot.state.facts().parent.is_none();
        let ask = if group.holders.contains(&run) || group.holders.len() < rule.limit as usize {
            Ask::Admit
        } else {
            match rule.when_full {
                WhenFull::Queue => return,
                WhenFull::Reject => Ask::Refuse,
                WhenFull::CancelRunning => return self.cancel_oldest(name, run, at),
            }
        };
        if ask == Ask::Admit && counts && !self.may_begin(&name.0) {
            self.groups.held_back.insert(name.clone());
            return;
        }
        if let Some(group) = self.groups.known.get_mut(name) {
            group.taking = (ask == Ask::Admit).then_some(run);
        }
        self.decide(run, Asked::own(RunCommand { at, ask }));
        self.line_up(run);
    }

    /// Whether one more run of the tenant may begin to count as running. A run that has its place
    /// counts at once: were it to wait for that behind others, these might wait for its place.
    fn may_begin(&self, tenant: &TenantId) -> bool {
        let (site, _, _) = self.admission.site_figures();
        let is_bounded = self.admission.quota(tenant).running_runs.or(site.running_runs).is_some();
        match self.recovering && is_bounded {
            true => false,
            false => self.admission.may_not_begin(tenant).is_none(),
        }
    }

    /// Fewer runs count as running, or more may: groups that waited for that are looked at again.
    pub(super) fn fill_held_back(&mut self) {
        for name in std::mem::take(&mut self.groups.held_back) {
            self.fill(&name, self.now);
        }
    }

    /// Runs that wait outside a group that has room, those of each group oldest first.
    pub(super) fn held_back(&self) -> impl Iterator<Item = RunId> + '_ {
        let groups = self.groups.held_back.iter().filter_map(|name| self.groups.known.get(name));
        groups.flat_map(|group| group.queue.iter().map(|(_, run)| *run))
    }

    /// Why a run that waits for its place in its group does so, where the group has room.
    pub(super) fn waits_to_begin(&self, slot: &RunSlot) -> Option<Wait> {
        let name = group_of(slot).filter(|_| slot.state.phase == Phase::Queued)?;
        let is_held = self.groups.held_back.contains(&name);
        is_held.then(|| self.admission.may_not_begin(&slot.tenant)).flatten()
    }

    fn cancel_oldest(&mut self, name: &GroupKey, newer: RunId, at: Timestamp) {
        let Some(oldest) = self.groups.known[name].holders.first().copied() else { return };
        let ask = Ask::Cancel {
            cause: StopCause::Superseded,
            reason: format!("run {newer} takes its place in concurrency group `{}`", name.1),
            force: false,
        };
        let command = RunCommand { at, ask };
        if self.runs.contains_key(&oldest) {
            self.command(None, None, oldest, command);
        } else {
            let tenant = name.0.clone();
            self.effects.push(EngineEffect::Elsewhere { tenant, run: oldest, command });
        }
    }

    /// What an append of the run means for its group's stream.
    pub(super) fn group_part(
        &self,
        run: RunId,
        parts: &[StreamPart],
        at: Timestamp,
    ) -> Option<StreamPart> {
        let slot = self.runs.get(&run)?;
        let name = group_of(slot)?;
        let group = name.1.clone();
        let Some(Outgoing::Run(_, facts)) = parts.first().map(|part| &part.outgoing) else {
            return None;
        };
        let stream = StreamName::concurrency(&group);
        let was_admitted = admits(facts);
        if ends(facts) {
            // One that is admitted and over in the same append neither takes nor gives.
            return slot.holds_place.then_some(StreamPart {
                stream,
                expected: Expected::Any,
                outgoing: Outgoing::Give { group, run, at },
            });
        }
        if !was_admitted {
            return None;
        }
        let known = self.groups.known.get(&name)?;
        if known.holders.contains(&run) {
            return None;
        }
        let expected = match known.version? {
            0 => Expected::New,
            n => Expected::Exact(n),
        };
        Some(StreamPart { stream, expected, outgoing: Outgoing::Take { group, run, at } })
    }
}

/// The group of a run, if it has one.
fn group_of(slot: &RunSlot) -> Option<GroupKey> {
    let rule = slot.state.plan.concurrency.as_ref()?;
    Some((slot.tenant.clone(), rule.group.clone()))
}
