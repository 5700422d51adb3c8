//! Decides batches of appends, and gets them written in one transaction each.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::backend::{Backend, BackendFault, CommitFault, Ending, Freshness, Head, Wanted, Write};
pub(super) use super::book::Outcome;
use super::book::{Book, Decision, Witness};
use super::fault::{Fault, Faults};
use super::guard::Guard;
use super::memory::Memory;
use super::recent::Recent;
use super::request::Prepared;
use super::restore::Recorded;
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{self, AppendError, Clock};
use crate::time::Timestamp;

/// After so many guarded writes that were in vain the next try waits longest.
const LONGEST_DISTRUST: u32 = 63;

pub(super) struct Committer<B> {
    backend: B,
    clock: Arc<dyn Clock>,
    guard: Arc<Guard>,
    faults: Option<Arc<Faults>>,
    memory: Memory,
    /// The highest head that callers were told of here: only ones that were read under the
    /// lock, or written under the condition that nobody else had. It never goes back.
    committed: Option<Position>,
    /// Why the database could not be reached at all, until somebody asks.
    outage: Option<String>,
    trust: Trust,
    /// Where somebody wants it.
    fresh: Option<Fresh>,
}

/// What was committed here a moment ago, for those who follow the record. Clones share it.
#[derive(Debug, Default, Clone)]
pub(super) struct Fresh(Arc<Mutex<Recent>>);

impl Fresh {
    /// What stands directly behind a position; nothing: it is not known here.
    pub(super) fn behind(&self, cursor: Position) -> Vec<ports::Recorded> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.forget(Instant::now());
        recent.behind(cursor)
    }

    /// What a stream has from a version on, all of it at least up to a position; nothing: it is
    /// not known here.
    pub(super) fn stream(
        &self,
        of: (&TenantId, &StreamName),
        from: u64,
        reached: Position,
    ) -> Vec<ports::Recorded> {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.forget(Instant::now());
        recent.stream(of, from, reached)
    }

    fn add(&self, before: Position, events: Vec<ports::Recorded>) {
        let mut recent = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        recent.add(before, events, Instant::now());
    }

    fn clear(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Recent::default();
    }
}

/// Whether it pays to write from memory: not while others write, too.
#[derive(Debug, Default)]
struct Trust {
    /// Batches that will not be tried.
    skip: u32,
    /// How many that were last time.
    penalty: u32,
}

impl Trust {
    fn allows(&mut self) -> bool {
        let allowed = self.skip == 0;
        self.skip = self.skip.saturating_sub(1);
        allowed
    }

    fn disappointed(&mut self) {
        self.skip = self.penalty;
        self.penalty = (self.penalty * 2 + 1).min(LONGEST_DISTRUST);
    }

    fn confirmed(&mut self) {
        self.penalty /= 2;
    }
}

impl<B: Backend> Committer<B> {
    pub(super) fn new(
        backend: B,
        clock: Arc<dyn Clock>,
        guard: Arc<Guard>,
        faults: Option<Arc<Faults>>,
    ) -> Self {
        let (memory, committed, trust) = (Memory::default(), None, Trust::default());
        let (outage, fresh) = (None, None);
        Self { backend, clock, guard, faults, memory, committed, outage, trust, fresh }
    }

    /// What will have been committed a moment ago, which is kept from now on.
    pub(super) fn fresh(&mut self) -> Fresh {
        self.fresh.get_or_insert_default().clone()
    }

    pub(super) fn backend(&self) -> &B {
        &self.backend
    }

    pub(super) fn backend_mut(&mut self) -> &mut B {
        &mut self.backend
    }

    pub(super) fn set_guard(&mut self, guard: Arc<Guard>) {
        self.guard = guard;
    }

    /// The head after the last batch that was committed here.
    pub(super) fn head(&self) -> Option<Position> {
        self.committed
    }

    /// Decides and commits the requests in one transaction. The outcomes are in their order.
    pub(super) fn batch(&mut self, mut requests: Vec<Prepared>) -> Vec<Outcome> {
        let fault = self.faults.as_ref().and_then(|faults| faults.take());
        let outcomes = match fault {
            Some(Fault::Refuse) => Err(AppendError::Unavailable(INJECTED.into())),
            // Looked at again here: it may have been halted while they waited.
            _ => self.guard.check().and_then(|()| self.decide_and_commit(&mut requests, fault)),
        };
        // All requests of a batch that was not kept hear why. That includes rejections: they
        // were decided against events that do not exist.
        outcomes.unwrap_or_else(|error| vec![Err(error); requests.len()])
    }

    fn decide_and_commit(
        &mut self,
        requests: &mut [Prepared],
        fault: Option<Fault>,
    ) -> Result<Vec<Outcome>, AppendError> {
        self.memory.bound();
        let mut book = Book::open(&self.memory, requests);
        if B::GUARDED && takes_back(fault).is_none() && book.is_covered() && self.trust.allows() {
            if let Some(outcomes) = self.try_guarded(book, requests, fault)? {
                return Ok(outcomes);
            }
            book = Book::open(&self.memory, requests);
        }
        let head = self.begin(&mut book)?;
        let decision = book.decide(requests, head, &*self.clock);
        let Some(witness) = decision.witness() else {
            self.backend.rollback();
            return Ok(self.keep(book, decision, requests));
        };
        self.commit(&book.write(&decision, requests), &witness, fault)?;
        Ok(self.keep(book, decision, requests))
    }

    /// Decides what is in the book without asking, and has it written under the condition that
    /// nothing has changed. `None`: nothing was kept, it must be asked for. That goes for a batch
    /// that adds nothing, too, and for guesses that no write would test.
    fn try_guarded(
        &mut self,
        mut book: Book,
        requests: &mut [Prepared],
        fault: Option<Fault>,
    ) -> Result<Option<Vec<Outcome>>, AppendError> {
        let Some(head) = self.memory.head else { return Ok(None) };
        let decision = book.decide(requests, head, &*self.clock);
        let Some(witness) = decision.witness().filter(|_| book.is_tested()) else {
            return Ok(None);
        };
        match self.backend.write_guarded(&book.write(&decision, requests)) {
            Ok(true) => self.after_commit(&witness, fault)?,
            Ok(false) => {
                self.trust.disappointed();
                return Ok(None);
            }
            Err(CommitFault::NotCommitted(fault)) => {
                self.abandon();
                return Err(fault.into());
            }
            Err(CommitFault::AnswerLost(reason)) => {
                // It is known not to stand, so it can be tried again, once.
                if !self.resolve(&witness, reason)? {
                    return Ok(None);
                }
            }
        }
        self.trust.confirmed();
        Ok(Some(self.keep(book, decision, requests)))
    }

    /// Opens a transaction and reads what the book lacks.
    fn begin(&mut self, book: &mut Book) -> Result<Head, AppendError> {
        match self.backend.begin(&book.wanted(self.memory.head)) {
            Ok(snapshot) => {
                self.has_not_gone_back(&snapshot.head)?;
                if snapshot.freshness == Freshness::Unknown {
                    self.memory.forget();
                }
                let head = snapshot.head;
                book.fill(snapshot);
                Ok(head)
            }
            Err(fault) => {
                self.abandon();
                Err(self.failed(fault))
            }
        }
    }

    /// A database that was restored, or a standby that was behind and took over, under a running
    /// process has lost events that callers were told are kept. Going on would give their
    /// positions to others.
    fn has_not_gone_back(&mut self, head: &Head) -> Result<(), AppendError> {
        let Some(committed) = self.committed.filter(|committed| head.position < *committed) else {
            return Ok(());
        };
        self.abandon();
        if let Some(fresh) = &self.fresh {
            fresh.clear();
        }
        let reason = format!(
            "the record ends at position {} of timeline {}, and this process has acknowledged \
             events up to position {committed}: the events behind are gone, as after a restore \
             or a failover to a standby that was behind; stop everything and follow \
             ops/runbooks/store-restored.md",
            head.position, head.timeline
        );
        self.guard.halt(&reason);
        Err(AppendError::Halted(reason))
    }

    /// What a failure of the backend means for callers.
    fn failed(&mut self, fault: BackendFault) -> AppendError {
        if let BackendFault::Unreachable(reason) = &fault {
            self.outage = Some(reason.clone());
        }
        fault.into()
    }

    /// Why the database could not be reached, if that has happened since this was last asked.
    pub(super) fn take_outage(&mut self) -> Option<String> {
        self.outage.take()
    }

    /// Remembers what the batch has left.
    fn keep(&mut self, book: Book, decision: Decision, requests: &[Prepared]) -> Vec<Outcome> {
        if let Some(fresh) = &self.fresh {
            fresh.add(decision.before(), decision.recorded(requests));
        }
        self.committed = Some(decision.head.position);
        book.close(&mut self.memory);
        self.memory.head = Some(decision.head);
        decision.outcomes
    }

    /// Commits, and finds out what became of it if the answer does not come.
    fn commit(
        &mut self,
        write: &Write<'_>,
        witness: &Witness,
        fault: Option<Fault>,
    ) -> Result<(), AppendError> {
        let refused = takes_back(fault);
        let ending = if refused.is_some() { Ending::TakeBack } else { Ending::Commit };
        match self.backend.write(write, ending) {
            Ok(()) => match refused {
                None => self.after_commit(witness, fault),
                Some(error) => {
                    self.memory.forget();
                    Err(error)
                }
            },
            Err(CommitFault::NotCommitted(fault)) => {
                self.abandon();
                Err(fault.into())
            }
            Err(CommitFault::AnswerLost(reason)) => match self.resolve(witness, reason.clone())? {
                true => Ok(()),
                false => Err(AppendError::Unavailable(format!("the commit failed: {reason}"))),
            },
        }
    }

    /// What a test wants to go wrong with an answer that came.
    fn after_commit(&mut self, witness: &Witness, fault: Option<Fault>) -> Result<(), AppendError> {
        match fault {
            Some(Fault::LoseAnswer) => match self.resolve(witness, INJECTED.into())? {
                true => Ok(()),
                false => Err(AppendError::Corrupt("a commit was answered and is gone".into())),
            },
            Some(Fault::UnknownCommitted) => {
                self.memory.forget();
                Err(AppendError::Unknown(INJECTED.into()))
            }
            _ => Ok(()),
        }
    }

    /// Looks whether the batch stands: its last leaf is at its position, or it never will be,
    /// because the connection that could have written it is gone.
    fn resolve(&mut self, witness: &Witness, reason: String) -> Result<bool, AppendError> {
        self.memory.forget();
        let found =
            self.backend.reopen().and_then(|()| self.backend.leaf_hash_at(witness.position));
        match found {
            Ok(found) => Ok(found == Some(witness.leaf_hash)),
            Err(fault) => {
                // Also where it cannot be asked: nobody behind needs to find that out again.
                self.failed(fault);
                Err(AppendError::Unknown(reason))
            }
        }
    }

    fn abandon(&mut self) {
        self.backend.rollback();
        self.memory.forget();
    }

    /// Takes leaves that were recorded once, in one transaction, and returns the new head.
    pub(super) fn restore(&mut self, leaves: &[Arc<[u8]>]) -> Result<Position, AppendError> {
        let (mut requests, clock, envelopes) = Recorded::read(leaves)?.into_parts();
        let mut book = Book::open(&self.memory, &requests);
        let head = self.begin(&mut book)?;
        let mut decision = book.decide(&mut requests, head, &clock);
        let refused =
            decision.outcomes.iter_mut().find_map(|outcome| outcome.as_ref().err().cloned());
        let write = book.write(&decision, &requests);
        let fits = refused.map_or_else(
            || Recorded::check(&envelopes, &write),
            |error| {
                Err(AppendError::Invalid(format!("the leaves do not continue the record: {error}")))
            },
        );
        let Some(witness) = decision.witness().filter(|_| fits.is_ok()) else {
            self.abandon();
            return Err(fits.err().unwrap_or_else(|| AppendError::Invalid("no leaves".into())));
        };
        self.commit(&write, &witness, None)?;
        let position = decision.head.position;
        self.keep(book, decision, &requests);
        Ok(position)
    }

    /// Goes over to the timeline behind `current`, in a transaction of its own.
    pub(super) fn begin_timeline(&mut self, current: u64) -> Result<u64, AppendError> {
        let head = self.look()?;
        if head.timeline != current {
            self.backend.rollback();
            let message = format!("timeline {} is written, not {current}", head.timeline);
            return Err(AppendError::Invalid(message));
        }
        self.memory.forget();
        let next = Head { timeline: current + 1, ..head };
        let write = Write {
            before: head,
            head: next,
            rows: &[],
            leaves: Vec::new(),
            tenants: Vec::new(),
            streams: Vec::new(),
            keys: Vec::new(),
        };
        match self.backend.write(&write, Ending::Commit) {
            Ok(()) => Ok(next.timeline),
            Err(CommitFault::NotCommitted(fault)) => {
                self.abandon();
                Err(fault.into())
            }
            Err(CommitFault::AnswerLost(reason)) => self.look_for_timeline(&next, reason),
        }
    }

    fn look_for_timeline(&mut self, wanted: &Head, reason: String) -> Result<u64, AppendError> {
        let unknown = |_| AppendError::Unknown(reason.clone());
        self.backend.reopen().map_err(unknown)?;
        let head = self.look().map_err(|_| AppendError::Unknown(reason.clone()))?;
        self.backend.rollback();
        match head.timeline == wanted.timeline {
            true => Ok(head.timeline),
            false => Err(AppendError::Unavailable(format!("the commit failed: {reason}"))),
        }
    }

    /// Opens a transaction only for the head.
    fn look(&mut self) -> Result<Head, AppendError> {
        match self.backend.begin(&Wanted::default()) {
            Ok(snapshot) => {
                self.has_not_gone_back(&snapshot.head)?;
                Ok(snapshot.head)
            }
            Err(fault) => {
                self.abandon();
                Err(self.failed(fault))
            }
        }
    }
}

const INJECTED: &str = "a fault was injected";

/// Whether the fault takes back what was written, and what callers then hear.
fn takes_back(fault: Option<Fault>) -> Option<AppendError> {
    match fault {
        Some(Fault::FailBeforeCommit) => Some(AppendError::Unavailable(INJECTED.into())),
        Some(Fault::UnknownFailed) => Some(AppendError::Unknown(INJECTED.into())),
        _ => None,
    }
}

/// An instant before all others, for stores that have recorded nothing.
pub(super) const NEVER: Timestamp = Timestamp(0);
