//! A second copy in memory, with everything that can happen to a real one: lost tails, deleted
//! streams, changed bodies, other publishers, lost answers and silence.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::watch;
use tokio::time::Instant;

use super::{BATCH_EVENTS, check_dense};
use crate::ids::{Position, TenantId};
use crate::ports::{CopiedEvent, CopyError, CopyScan, RecordCopy, Recorded};
use crate::tlog::leaf_hash;

/// What goes wrong with one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyFault {
    /// Nothing is done, and nobody answers.
    Refuse,
    /// Everything is done, and the answer is lost.
    LoseAnswer,
    /// Of what was to be added only the first so many are, and the answer is lost.
    AddOnly(usize),
    /// Before the call another publisher adds the first so many of what was to be added.
    Overtake(usize),
    /// Before the call the last so many events are lost.
    LoseTail(u64),
    /// Before the call everything is deleted.
    Delete,
}

/// Keeps copies in memory; clones are handles of the same one.
#[derive(Clone, Default)]
pub struct MemoryCopy(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Grows with every change, so that scans wake up.
    changes: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    timelines: BTreeMap<u64, Vec<Kept>>,
    silent: bool,
    faults: VecDeque<Option<CopyFault>>,
    added: Vec<(u64, CopiedEvent)>,
    batches: Vec<usize>,
    calls: u64,
}

#[derive(Clone)]
struct Kept {
    tenant: Option<TenantId>,
    event: CopiedEvent,
}

impl MemoryCopy {
    /// An empty copy.
    pub fn new() -> Self {
        Self::default()
    }

    /// Goes silent, or comes back.
    pub fn set_available(&self, available: bool) {
        self.change(|state| state.silent = !available);
    }

    /// Orders a fault for the next call that has none yet.
    pub fn inject(&self, fault: CopyFault) {
        self.lock().faults.push_back(Some(fault));
    }

    /// Orders a fault for the call after `calls` more that are left in peace.
    pub fn inject_after(&self, calls: usize, fault: CopyFault) {
        let mut state = self.lock();
        state.faults.extend(std::iter::repeat_n(None, calls));
        state.faults.push_back(Some(fault));
    }

    /// Takes back all faults that were ordered and did not happen yet.
    pub fn calm(&self) {
        self.lock().faults.clear();
    }

    /// Loses everything behind a position, as a server that was killed before it synced.
    pub fn lose_tail(&self, timeline: u64, keep: Position) {
        self.change(|state| state.truncate(timeline, keep.0));
    }

    /// Deletes everything of all timelines.
    pub fn delete(&self) {
        self.change(|state| state.timelines.clear());
    }

    /// Changes the event at a position; false where there is none.
    pub fn tamper(
        &self,
        timeline: u64,
        position: Position,
        change: impl FnOnce(&mut CopiedEvent),
    ) -> bool {
        self.change(|state| {
            let events = state.timelines.entry(timeline).or_default();
            let found = index(position).and_then(|at| events.get_mut(at));
            found.map(|kept| change(&mut kept.event)).is_some()
        })
    }

    /// Adds what nobody recorded, as a stranger with the right to publish could; returns where.
    pub fn intrude(&self, timeline: u64, tenant: Option<&TenantId>, leaf: &[u8]) -> Position {
        self.change(|state| {
            let events = state.timelines.entry(timeline).or_default();
            let position = Position(events.len() as u64 + 1);
            let leaf: Arc<[u8]> = Arc::from(leaf);
            let stated_hash = Some(leaf_hash(&leaf));
            let event = CopiedEvent { position, leaf, stated_hash };
            events.push(Kept { tenant: tenant.cloned(), event });
            position
        })
    }

    /// What is kept of a timeline.
    pub fn events(&self, timeline: u64) -> Vec<CopiedEvent> {
        let state = self.lock();
        let events = state.timelines.get(&timeline).map(Vec::as_slice).unwrap_or_default();
        events.iter().map(|kept| kept.event.clone()).collect()
    }

    /// Everything that was ever added through the port, with its timeline, in order; also what
    /// was lost later.
    pub fn added(&self) -> Vec<(u64, CopiedEvent)> {
        self.lock().added.clone()
    }

    /// Sizes of the batches that were added: one round trip each.
    pub fn batches(&self) -> Vec<usize> {
        self.lock().batches.clone()
    }

    /// Calls that came through the port, those that failed too.
    pub fn calls(&self) -> u64 {
        self.lock().calls
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change<T>(&self, change: impl FnOnce(&mut State) -> T) -> T {
        let answer = change(&mut self.lock());
        self.0.changes.send_modify(|changes| *changes += 1);
        answer
    }

    /// One call with the fault that was ordered for it.
    fn call<T>(
        &self,
        timeline: u64,
        ours: &[Recorded],
        act: impl FnOnce(&mut State) -> Result<T, CopyError>,
    ) -> Result<T, CopyError> {
        self.change(|state| {
            state.calls += 1;
            if state.silent {
                return Err(unavailable("nobody answers"));
            }
            match state.faults.pop_front().flatten() {
                None => act(state),
                Some(CopyFault::Refuse) => Err(unavailable("refused on order")),
                Some(CopyFault::LoseAnswer) => {
                    act(state)?;
                    Err(unavailable("the answer was lost on order"))
                }
                Some(CopyFault::AddOnly(count)) => {
                    let events = &ours[..count.min(ours.len())];
                    state.add_if_next(timeline, events);
                    Err(unavailable("only a part was added, on order"))
                }
                Some(CopyFault::Overtake(count)) => {
                    let events = &ours[..count.min(ours.len())];
                    state.add_if_next(timeline, events);
                    act(state)
                }
                Some(CopyFault::LoseTail(count)) => {
                    let length = state.timelines.get(&timeline).map_or(0, Vec::len) as u64;
                    state.truncate(timeline, length.saturating_sub(count));
                    act(state)
                }
                Some(CopyFault::Delete) => {
                    state.timelines.clear();
                    act(state)
                }
            }
        })
    }
}

impl State {
    fn last(&self, timeline: u64) -> Position {
        Position(self.timelines.get(&timeline).map_or(0, Vec::len) as u64)
    }

    fn truncate(&mut self, timeline: u64, keep: u64) {
        if let Some(events) = self.timelines.get_mut(&timeline) {
            events.truncate(usize::try_from(keep).unwrap_or(usize::MAX));
        }
    }

    fn add_if_next(&mut self, timeline: u64, events: &[Recorded]) {
        if events.first().is_some_and(|e| e.position.0 == self.last(timeline).0 + 1) {
            self.push(timeline, events);
        }
    }

    fn push(&mut self, timeline: u64, events: &[Recorded]) {
        let kept = self.timelines.entry(timeline).or_default();
        for recorded in events {
            let event = CopiedEvent {
                position: recorded.position,
                leaf: Arc::clone(&recorded.leaf),
                stated_hash: Some(leaf_hash(&recorded.leaf)),
            };
            self.added.push((timeline, event.clone()));
            kept.push(Kept { tenant: Some(recorded.tenant.clone()), event });
        }
    }
}

fn unavailable(text: &str) -> CopyError {
    CopyError::Unavailable(text.to_string())
}

fn index(position: Position) -> Option<usize> {
    usize::try_from(position.0.checked_sub(1)?).ok()
}

#[async_trait]
impl RecordCopy for MemoryCopy {
    async fn last(&self, timeline: u64) -> Result<Position, CopyError> {
        self.call(timeline, &[], |state| Ok(state.last(timeline)))
    }

    async fn at(
        &self,
        timeline: u64,
        position: Position,
    ) -> Result<Option<CopiedEvent>, CopyError> {
        self.call(timeline, &[], |state| {
            let events = state.timelines.get(&timeline);
            let found = events.zip(index(position)).and_then(|(events, at)| events.get(at));
            Ok(found.map(|kept| kept.event.clone()))
        })
    }

    async fn add(
        &self,
        timeline: u64,
        after: Position,
        events: &[Recorded],
    ) -> Result<Position, CopyError> {
        check_dense(after, events)?;
        let mut end = after;
        for batch in events.chunks(BATCH_EVENTS) {
            end = self.call(timeline, batch, |state| {
                let last = state.last(timeline);
                if last != end {
                    let text = format!("it ends at position {last}, position {end} was expected");
                    return Err(CopyError::OutOfStep(text));
                }
                state.push(timeline, batch);
                state.batches.push(batch.len());
                Ok(state.last(timeline))
            })?;
        }
        Ok(end)
    }

    async fn scan(
        &self,
        timeline: u64,
        after: Position,
        tenant: Option<&TenantId>,
    ) -> Result<Box<dyn CopyScan>, CopyError> {
        let copy = self.clone();
        Ok(Box::new(MemoryScan { copy, timeline, seen: after, tenant: tenant.cloned() }))
    }
}

struct MemoryScan {
    copy: MemoryCopy,
    timeline: u64,
    seen: Position,
    tenant: Option<TenantId>,
}

impl MemoryScan {
    fn page(&self, limit: usize) -> Result<Vec<CopiedEvent>, CopyError> {
        let state = self.copy.lock();
        if state.silent {
            return Err(unavailable("nobody answers"));
        }
        let events = state.timelines.get(&self.timeline).map(Vec::as_slice).unwrap_or_default();
        let start = usize::try_from(self.seen.0).unwrap_or(usize::MAX);
        let ours = |kept: &&Kept| self.tenant.is_none() || kept.tenant == self.tenant;
        let page = events.iter().skip(start).filter(ours).take(limit);
        Ok(page.map(|kept| kept.event.clone()).collect())
    }
}

#[async_trait]
impl CopyScan for MemoryScan {
    async fn next(&mut self, limit: usize, wait: Duration) -> Result<Vec<CopiedEvent>, CopyError> {
        let deadline = Instant::now() + wait;
        let mut changes = self.copy.0.changes.subscribe();
        loop {
            changes.mark_unchanged();
            let page = self.page(limit)?;
            if let Some(last) = page.last() {
                self.seen = last.position;
                return Ok(page);
            }
            if limit == 0 || tokio::time::timeout_at(deadline, changes.changed()).await.is_err() {
                return Ok(page);
            }
        }
    }
}
