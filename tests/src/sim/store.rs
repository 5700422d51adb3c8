//! A small store with the law of the real one: expected versions, idempotency keys, appends
//! that touch several streams or none.

use std::collections::{BTreeMap, BTreeSet};

use dagbook::engine::{Conclusion, Outgoing, StreamPart};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{AttemptId, RunId, StreamName, TenantId};
use dagbook_events::ports::Expected;
use dagbook_events::run::{RunEvent, RunFact, RunStatus, fold};
use dagbook_events::step::Outcome;

use super::money::Budgeted;
use super::people::{group_key, tenant};

/// What is recorded, and indexes over it for the checks.
#[derive(Default)]
pub struct SimStore {
    /// Histories of runs.
    pub runs: BTreeMap<RunId, Vec<RunFact>>,
    /// Takes (true) and gives of places, by group.
    pub groups: BTreeMap<String, Vec<(RunId, bool)>>,
    keys: BTreeMap<String, BTreeMap<RunId, (usize, usize)>>,
    /// Planned attempts and their specs' hashes.
    pub planned: BTreeMap<AttemptId, (RunId, Sha256Digest)>,
    executors: BTreeMap<AttemptId, String>,
    /// Live attempts by tenant, and its runs that count as running.
    pub held: BTreeMap<TenantId, u32>,
    pub running: BTreeMap<TenantId, BTreeSet<RunId>>,
    /// Live attempts by executor.
    pub taken: BTreeMap<String, u32>,
    /// Ends of attempts.
    pub exited: BTreeMap<AttemptId, Outcome>,
    /// Runs of sub-DAGs that were asked for.
    pub children: BTreeSet<RunId>,
    /// Ends of runs.
    pub finished: BTreeMap<RunId, RunStatus>,
    /// A tenant's budget.
    pub(super) budgeted: Option<Budgeted>,
    /// What a recorded fact broke.
    pub broken: Option<String>,
}

impl SimStore {
    /// Appends all or nothing.
    pub fn append(&mut self, key: &str, parts: &[StreamPart]) -> Conclusion {
        if let Some(earlier) = self.keys.get(key) {
            let same = parts.iter().all(|part| match &part.outgoing {
                Outgoing::Run(run, groups) => earlier.get(run).is_some_and(|(from, to)| {
                    self.runs[run][*from..*to]
                        .iter()
                        .eq(groups.iter().flat_map(|group| &group.facts))
                }),
                _ => true,
            });
            // The key names a version of the run's stream: other content is another's append.
            return match same {
                true => Conclusion::Durable,
                false => Conclusion::Conflict(parts[0].stream.clone()),
            };
        }
        for part in parts {
            if let Err(conclusion) = self.acceptable(part) {
                return conclusion;
            }
        }
        let mut kept = BTreeMap::new();
        for part in parts {
            match &part.outgoing {
                Outgoing::Run(run, groups) => {
                    let from = self.runs.get(run).map_or(0, Vec::len);
                    self.add(*run, groups.iter().flat_map(|group| &group.facts).cloned());
                    kept.insert(*run, (from, self.runs[run].len()));
                }
                Outgoing::Take { group, run, .. } => {
                    let group = self.group_of(*run, group);
                    self.group(&group).push((*run, true));
                }
                Outgoing::Give { group, run, .. } => {
                    let group = self.group_of(*run, group);
                    self.group(&group).push((*run, false));
                }
            }
        }
        self.keys.insert(key.to_string(), kept);
        Conclusion::Durable
    }

    fn acceptable(&self, part: &StreamPart) -> Result<(), Conclusion> {
        let actual = match &part.outgoing {
            Outgoing::Run(run, groups) => {
                if groups.iter().flat_map(|group| &group.facts).any(is_huge) {
                    return Err(Conclusion::Impossible("a leaf over 60 KiB".to_string()));
                }
                if part.stream != StreamName::run(*run) {
                    return Err(Conclusion::Impossible("the wrong stream".to_string()));
                }
                self.runs.get(run).map_or(0, Vec::len)
            }
            Outgoing::Take { group, run, .. } | Outgoing::Give { group, run, .. } => {
                self.groups.get(&self.group_of(*run, group)).map_or(0, Vec::len)
            }
        };
        let fits = match part.expected {
            Expected::Any => true,
            Expected::New => actual == 0,
            Expected::Exact(n) => actual as u64 == n,
        };
        fits.then_some(()).ok_or_else(|| Conclusion::Conflict(part.stream.clone()))
    }

    /// Whose run it is; of one that is not recorded yet that of the first tenant.
    pub fn tenant_of(&self, run: RunId) -> TenantId {
        let submitted = self.runs.get(&run).and_then(|facts| match &facts.first()?.event {
            RunEvent::Submitted(submitted) => Some(submitted.tenant.clone()),
            _ => None,
        });
        submitted.unwrap_or_else(|| tenant(0))
    }

    /// A group is its tenant's own.
    fn group_of(&self, run: RunId, group: &str) -> String {
        group_key(&self.tenant_of(run), group)
    }

    /// The history of a group's places.
    pub fn group(&mut self, name: &str) -> &mut Vec<(RunId, bool)> {
        self.groups.entry(name.to_string()).or_default()
    }

    /// Who holds a place, oldest first.
    pub fn holders(&self, name: &str) -> Vec<RunId> {
        let mut holders = Vec::new();
        for (run, takes) in self.groups.get(name).into_iter().flatten() {
            match takes {
                true => holders.push(*run),
                false => holders.retain(|holder| holder != run),
            }
        }
        holders
    }

    /// Adds facts to a run's history.
    pub fn add(&mut self, run: RunId, facts: impl IntoIterator<Item = RunFact>) {
        let mut may_begin = false;
        for fact in facts {
            // The first fact says whose it is.
            self.runs.entry(run).or_default();
            match &fact.event {
                RunEvent::Admitted(_) => may_begin = true,
                RunEvent::AttemptPlanned(e) => {
                    may_begin = true;
                    self.planned.insert(e.attempt, (run, e.spec_hash));
                    self.executors.insert(e.attempt, e.executor.clone());
                    *self.taken.entry(e.executor.clone()).or_default() += 1;
                    *self.held.entry(self.tenant_of(run)).or_default() += 1;
                }
                RunEvent::AttemptExited(e) => {
                    self.exited.insert(e.attempt, e.exit.outcome.clone());
                    let executor = self.executors[&e.attempt].clone();
                    *self.taken.entry(executor).or_default() -= 1;
                    *self.held.entry(self.tenant_of(run)).or_default() -= 1;
                }
                RunEvent::ChildRequested(e) => {
                    self.children.insert(e.run);
                }
                RunEvent::Finished(e) => {
                    self.finished.insert(run, e.status);
                    self.running.entry(self.tenant_of(run)).or_default().remove(&run);
                }
                _ => {}
            }
            let submitted = match &fact.event {
                RunEvent::Submitted(submitted) => Some(submitted.tenant.clone()),
                _ => None,
            };
            let whose = submitted.unwrap_or_else(|| self.tenant_of(run));
            if let Some(budgeted) = self.budgeted.as_mut().filter(|it| it.tenant == whose)
                && let Err(broken) = budgeted.recorded(run, &fact)
            {
                self.broken.get_or_insert(broken);
            }
            self.runs.entry(run).or_default().push(fact);
        }
        if may_begin {
            self.count_running(run);
        }
    }

    fn count_running(&mut self, run: RunId) {
        let state = fold(&self.runs[&run]);
        if state.has_begun && !state.is_finished() && state.facts().parent.is_none() {
            self.running.entry(state.facts().tenant.clone()).or_default().insert(run);
        }
    }

    /// Runs that are recorded and not over.
    pub fn unfinished(&self) -> Vec<RunId> {
        self.runs.keys().filter(|run| !self.finished.contains_key(run)).copied().collect()
    }
}

/// Whether the event stands for one that no leaf can hold.
fn is_huge(fact: &RunFact) -> bool {
    match &fact.event {
        RunEvent::Signaled(e) => e.name.starts_with("huge"),
        RunEvent::AttemptExited(e) => e.exit.outputs.contains_key("huge"),
        _ => false,
    }
}
