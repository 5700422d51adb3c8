//! What callers were told.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::Appended;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::script::Planned;

/// A request that was answered with positions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Acknowledged {
    /// Whose request.
    pub caller: u64,
    /// Its number.
    pub request: u64,
    /// Its tenant.
    pub tenant: TenantId,
    /// Position of its first event.
    pub first: u64,
    /// Position of its last event.
    pub last: u64,
    /// `rt` of its events.
    pub recorded_at: i64,
    /// What was asked for.
    pub digest: Sha256Digest,
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Entry {
    /// It is recorded.
    Acknowledged(Acknowledged),
    /// It was refused, as it had to be.
    Refused {
        /// Whose request.
        caller: u64,
        /// Its number.
        request: u64,
    },
}

/// How often callers had to ask again, by the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Retries {
    /// The outcome was unknown.
    pub unknown: u64,
    /// The store was unavailable.
    pub unavailable: u64,
    /// The queue was full.
    pub busy: u64,
    /// Answers that said "recorded before".
    pub duplicates: u64,
}

#[derive(Default)]
struct Inner {
    acknowledged: Vec<Acknowledged>,
    refused: Vec<(u64, u64)>,
    /// The request with which each caller goes on.
    next: BTreeMap<u64, u64>,
    surprises: Vec<String>,
    stopped: Option<String>,
    retries: Retries,
    enough: bool,
}

/// All answers, shared by the callers.
pub struct Ledger {
    inner: Mutex<Inner>,
    events: watch::Sender<u64>,
}

impl Default for Ledger {
    fn default() -> Self {
        Self { inner: Mutex::default(), events: watch::Sender::new(0) }
    }
}

impl Ledger {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes down an answer.
    pub fn enter(&self, entry: Entry) {
        let mut inner = self.lock();
        let (caller, request) = match &entry {
            Entry::Acknowledged(entry) => (entry.caller, entry.request),
            Entry::Refused { caller, request } => (*caller, *request),
        };
        let next = inner.next.entry(caller).or_default();
        *next = (*next).max(request + 1);
        match entry {
            Entry::Refused { .. } => inner.refused.push((caller, request)),
            Entry::Acknowledged(entry) => {
                let events = entry.last - entry.first + 1;
                inner.acknowledged.push(entry);
                self.events.send_modify(|sum| *sum += events);
            }
        }
    }

    pub(super) fn surprise(&self, text: String) {
        self.lock().surprises.push(text);
    }

    pub(super) fn stop(&self, reason: String) {
        self.lock().stopped.get_or_insert(reason);
    }

    pub(super) fn retried(&self, count: impl FnOnce(&mut Retries)) {
        count(&mut self.lock().retries);
    }

    /// Lets callers settle what they are at and ask for nothing more.
    pub fn enough(&self) {
        self.lock().enough = true;
    }

    pub(super) fn is_enough(&self) -> bool {
        self.lock().enough
    }

    /// Events that were acknowledged.
    pub fn events(&self) -> u64 {
        *self.events.borrow()
    }

    /// Waits until so many events were acknowledged.
    pub async fn reached(&self, events: u64) {
        let mut watched = self.events.subscribe();
        // The sender lives in this ledger, so it cannot be gone.
        let _ = watched.wait_for(|now| *now >= events).await;
    }

    /// What was acknowledged, in the order of the answers.
    pub fn acknowledged(&self) -> Vec<Acknowledged> {
        self.lock().acknowledged.clone()
    }

    /// Requests that were refused, as they had to be.
    pub fn refused(&self) -> Vec<(u64, u64)> {
        self.lock().refused.clone()
    }

    /// All of it, for another process to go on with.
    pub fn entries(&self) -> Vec<Entry> {
        let inner = self.lock();
        let refused = inner.refused.iter();
        let refused = refused.map(|&(caller, request)| Entry::Refused { caller, request });
        inner.acknowledged.iter().cloned().map(Entry::Acknowledged).chain(refused).collect()
    }

    /// The request with which a caller goes on.
    pub fn next(&self, caller: u64) -> u64 {
        self.lock().next.get(&caller).copied().unwrap_or_default()
    }

    /// Answers that no request should have had.
    pub fn surprises(&self) -> Vec<String> {
        self.lock().surprises.clone()
    }

    /// Why callers stopped early: the store was halted, or somebody else has the lease.
    pub fn stopped(&self) -> Option<String> {
        self.lock().stopped.clone()
    }

    /// How often callers asked again.
    pub fn retries(&self) -> Retries {
        self.lock().retries
    }
}

impl Acknowledged {
    /// The answer to a request.
    pub fn new(planned: &Planned, answer: &Appended) -> Self {
        Self {
            caller: planned.caller,
            request: planned.request,
            tenant: planned.append.tenant.clone(),
            first: answer.first.0,
            last: answer.last.0,
            recorded_at: answer.recorded_at.0,
            digest: planned.digest(),
        }
    }
}
