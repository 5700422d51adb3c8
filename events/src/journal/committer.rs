//! Decides batches of appends, in order, within one transaction each.
//!
//! Each request is decided against the state of the transaction, so it sees the requests
//! before it in the same batch. One that is rejected takes no number and leaves no trace.

use std::collections::HashMap;
use std::sync::Arc;

use super::backend::{Backend, BackendFault, CommitFault, Freshness, Head, KeptKey, Ref, Row};
use super::fault::{Fault, Faults};
use super::request::{Prepared, PreparedStream};
use crate::digest::Sha256Digest;
use crate::envelope::Numbers;
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{AppendError, Appended, Clock, Expected};
use crate::time::Timestamp;
use crate::tlog::{Frontier, leaf_hash};

/// Streams that are remembered between transactions; beyond it they are read again.
const REMEMBERED_STREAMS: usize = 20_000;

pub(super) type Outcome = Result<Appended, AppendError>;

pub(super) struct Committer<B> {
    backend: B,
    clock: Arc<dyn Clock>,
    faults: Option<Arc<Faults>>,
    memory: Memory,
}

/// What is known of the store within a transaction, and after it for as long as nobody else
/// writes.
#[derive(Default)]
struct Memory {
    head: Option<Head>,
    tenants: HashMap<TenantId, Tenant>,
    streams: HashMap<(Ref, StreamName), Stream>,
}

struct Tenant {
    reference: Option<Ref>,
    log: Frontier,
    /// Changed in this transaction.
    dirty: bool,
}

#[derive(Clone, Copy)]
struct Stream {
    reference: Option<Ref>,
    size: u64,
}

/// The last event of a batch: if it stands in the store after a lost answer, the batch does.
struct Witness {
    position: Position,
    leaf_hash: Sha256Digest,
}

impl<B: Backend> Committer<B> {
    pub(super) fn new(backend: B, clock: Arc<dyn Clock>, faults: Option<Arc<Faults>>) -> Self {
        Self { backend, clock, faults, memory: Memory::default() }
    }

    pub(super) fn backend(&self) -> &B {
        &self.backend
    }

    /// The head after the last batch that was committed here.
    pub(super) fn head(&self) -> Option<Position> {
        self.memory.head.map(|head| head.position)
    }

    /// Decides and commits requests until `next` has no more. The outcomes are in the order
    /// of the requests.
    pub(super) fn batch(&mut self, next: &mut dyn FnMut() -> Option<Prepared>) -> Vec<Outcome> {
        let fault = self.faults.as_ref().and_then(|faults| faults.take());
        if fault == Some(Fault::Refuse) {
            return refuse_rest(Vec::new(), next, &AppendError::Unavailable(INJECTED.into()));
        }
        let mut outcomes = Vec::new();
        let witness = match self.decide_all(next, &mut outcomes) {
            Ok(witness) => witness,
            Err(fault) => {
                self.abandon();
                return refuse_rest(outcomes, next, &fault.into());
            }
        };
        match witness {
            None => self.backend.rollback(),
            Some(witness) => {
                if let Err(error) = self.commit(&witness, fault) {
                    return refuse_rest(outcomes, next, &error);
                }
            }
        }
        outcomes
    }

    /// Goes over to the timeline behind `current`, in a transaction of its own.
    pub(super) fn begin_timeline(&mut self, current: u64) -> Result<u64, AppendError> {
        let begun = self.begin_timeline_in_transaction(current);
        match begun {
            Ok(Ok(next)) => match self.backend.commit() {
                Ok(()) => Ok(next),
                Err(CommitFault::NotCommitted(fault)) => {
                    self.abandon();
                    Err(fault.into())
                }
                Err(CommitFault::AnswerLost(reason)) => {
                    // Asked again with the old number it is refused if it was done.
                    self.memory = Memory::default();
                    Err(AppendError::Unknown(reason))
                }
            },
            Ok(Err(refusal)) => {
                self.abandon();
                Err(refusal)
            }
            Err(fault) => {
                self.abandon();
                Err(fault.into())
            }
        }
    }

    fn begin_timeline_in_transaction(
        &mut self,
        current: u64,
    ) -> Result<Result<u64, AppendError>, BackendFault> {
        self.begin()?;
        let mut head = self.memory.head.ok_or_else(no_head)?;
        if head.timeline != current {
            let message = format!("timeline {} is written, not {current}", head.timeline);
            return Ok(Err(AppendError::Invalid(message)));
        }
        head.timeline += 1;
        self.backend.set_head(&head)?;
        self.memory.head = Some(head);
        Ok(Ok(head.timeline))
    }

    fn decide_all(
        &mut self,
        next: &mut dyn FnMut() -> Option<Prepared>,
        outcomes: &mut Vec<Outcome>,
    ) -> Result<Option<Witness>, BackendFault> {
        let mut witness = None;
        let mut begun = false;
        while let Some(request) = next() {
            // Answered before it is decided: should the database fail now, this request is
            // among those that hear of it.
            outcomes.push(Err(AppendError::Unavailable(String::new())));
            if !begun {
                self.begin()?;
                begun = true;
            }
            let outcome = self.decide(request, &mut witness)?;
            if let Some(last) = outcomes.last_mut() {
                *last = outcome;
            }
        }
        if witness.is_some() {
            self.write_counters()?;
        }
        Ok(witness)
    }

    fn begin(&mut self) -> Result<(), BackendFault> {
        if self.backend.begin()? == Freshness::Unknown {
            self.memory = Memory::default();
        }
        if self.memory.streams.len() > REMEMBERED_STREAMS {
            self.memory.streams.clear();
        }
        if self.memory.head.is_none() {
            self.memory.head = Some(self.backend.head()?);
        }
        Ok(())
    }

    fn decide(
        &mut self,
        request: Prepared,
        witness: &mut Option<Witness>,
    ) -> Result<Outcome, BackendFault> {
        let tenant = self.tenant(&request.tenant)?;
        if let (Some(key), Some(tenant)) = (&request.key, tenant)
            && let Some(kept) = self.backend.key(tenant, &key.text)?
        {
            return Ok(answer_by_key(&key.text, &key.content, &kept));
        }
        for stream in &request.streams {
            let actual = self.stream(tenant, &stream.name)?.size;
            if let Err(error) = check_version(stream, actual) {
                return Ok(Err(error));
            }
        }
        self.apply(request, witness).map(Ok)
    }

    /// The tenant's short name, if it has events.
    fn tenant(&mut self, name: &TenantId) -> Result<Option<Ref>, BackendFault> {
        if let Some(known) = self.memory.tenants.get(name) {
            return Ok(known.reference);
        }
        let (reference, log) = match self.backend.tenant(name)? {
            Some((reference, log)) => (Some(reference), log),
            None => (None, Frontier::new()),
        };
        self.memory.tenants.insert(name.clone(), Tenant { reference, log, dirty: false });
        Ok(reference)
    }

    fn stream(&mut self, tenant: Option<Ref>, name: &StreamName) -> Result<Stream, BackendFault> {
        let absent = Stream { reference: None, size: 0 };
        let Some(tenant) = tenant else { return Ok(absent) };
        let key = (tenant, name.clone());
        if let Some(known) = self.memory.streams.get(&key) {
            return Ok(*known);
        }
        let stream = match self.backend.stream(tenant, name)? {
            Some((reference, size)) => Stream { reference: Some(reference), size },
            None => absent,
        };
        self.memory.streams.insert(key, stream);
        Ok(stream)
    }

    /// Gives the events their numbers and writes them.
    fn apply(
        &mut self,
        request: Prepared,
        witness: &mut Option<Witness>,
    ) -> Result<Appended, BackendFault> {
        let mut head = self.memory.head.ok_or_else(no_head)?;
        head.recorded_at = head.recorded_at.max(self.clock.now());
        let first = Position(head.position.0 + 1);
        let tenant = self.writable_tenant(&request.tenant)?;
        for stream in request.streams {
            if !stream.drafts.is_empty() {
                self.apply_stream(&request.tenant, tenant, stream, &mut head, witness)?;
            }
        }
        self.memory.head = Some(head);
        let (last, recorded_at) = (head.position, head.recorded_at);
        if let Some(key) = request.key {
            let kept = KeptKey { content: key.content, first, last, recorded_at };
            self.backend.keep_key(tenant, &key.text, &kept)?;
        }
        Ok(Appended { first, last, recorded_at, duplicate: false })
    }

    fn apply_stream(
        &mut self,
        tenant_name: &TenantId,
        tenant: Ref,
        stream: PreparedStream,
        head: &mut Head,
        witness: &mut Option<Witness>,
    ) -> Result<(), BackendFault> {
        let mut known = self.stream(Some(tenant), &stream.name)?;
        let reference = match known.reference {
            Some(reference) => reference,
            None => self.backend.create_stream(tenant, &stream.name)?,
        };
        let log = &mut self.memory.tenants.get_mut(tenant_name).ok_or_else(no_head)?.log;
        for draft in stream.drafts {
            head.position.0 += 1;
            let numbers = Numbers {
                timeline: head.timeline,
                position: head.position,
                tenant_sequence: log.size(),
                version: known.size,
                recorded_at: head.recorded_at,
            };
            let leaf = draft.seal(tenant_name, &stream.name, numbers);
            let leaf_hash = leaf_hash(&leaf);
            log.push(leaf_hash);
            known.size += 1;
            *witness = Some(Witness { position: head.position, leaf_hash });
            let (position, tenant_sequence) = (numbers.position, numbers.tenant_sequence);
            let version = numbers.version;
            let stream = reference;
            let row = Row { position, tenant, tenant_sequence, stream, version, leaf_hash, leaf };
            self.backend.insert(row)?;
        }
        known.reference = Some(reference);
        self.memory.streams.insert((tenant, stream.name), known);
        Ok(())
    }

    /// The tenant's short name, made if need be, and marked as changed.
    fn writable_tenant(&mut self, name: &TenantId) -> Result<Ref, BackendFault> {
        let known = self.memory.tenants.get_mut(name).ok_or_else(no_head)?;
        known.dirty = true;
        match known.reference {
            Some(reference) => Ok(reference),
            None => {
                let reference = self.backend.create_tenant(name)?;
                known.reference = Some(reference);
                Ok(reference)
            }
        }
    }

    fn write_counters(&mut self) -> Result<(), BackendFault> {
        let head = self.memory.head.ok_or_else(no_head)?;
        self.backend.set_head(&head)?;
        for tenant in self.memory.tenants.values_mut().filter(|tenant| tenant.dirty) {
            if let Some(reference) = tenant.reference {
                self.backend.set_tenant(reference, &tenant.log)?;
            }
            tenant.dirty = false;
        }
        Ok(())
    }

    /// Commits, and finds out what became of it if the answer does not come.
    fn commit(&mut self, witness: &Witness, fault: Option<Fault>) -> Result<(), AppendError> {
        if matches!(fault, Some(Fault::FailBeforeCommit | Fault::UnknownFailed)) {
            self.abandon();
            return Err(match fault {
                Some(Fault::UnknownFailed) => AppendError::Unknown(INJECTED.into()),
                _ => AppendError::Unavailable(INJECTED.into()),
            });
        }
        let answer = match self.backend.commit() {
            Ok(()) if fault == Some(Fault::LoseAnswer) => {
                Err(CommitFault::AnswerLost(INJECTED.into()))
            }
            answer => answer,
        };
        match answer {
            Ok(()) if fault == Some(Fault::UnknownCommitted) => {
                self.memory = Memory::default();
                Err(AppendError::Unknown(INJECTED.into()))
            }
            Ok(()) => Ok(()),
            Err(CommitFault::NotCommitted(fault)) => {
                self.abandon();
                Err(fault.into())
            }
            Err(CommitFault::AnswerLost(reason)) => self.resolve(witness, reason),
        }
    }

    /// Looks whether the batch stands: its last leaf is at its position, or it never will be,
    /// because the connection that could have written it is gone.
    fn resolve(&mut self, witness: &Witness, reason: String) -> Result<(), AppendError> {
        let head = self.memory.head;
        self.memory = Memory::default();
        let found =
            self.backend.reopen().and_then(|()| self.backend.leaf_hash_at(witness.position));
        match found {
            Ok(Some(hash)) if hash == witness.leaf_hash => {
                // Kept for `head`; the next transaction reads everything anew.
                self.memory.head = head;
                Ok(())
            }
            Ok(_) => Err(AppendError::Unavailable(format!("the commit failed: {reason}"))),
            Err(_) => Err(AppendError::Unknown(reason)),
        }
    }

    fn abandon(&mut self) {
        self.backend.rollback();
        self.memory = Memory::default();
    }
}

const INJECTED: &str = "a fault was injected";

fn no_head() -> BackendFault {
    BackendFault::Corrupt("the store lost its own head within a transaction".to_string())
}

/// All requests of a batch that was not kept, and those that still wait for it, hear why.
///
/// That includes rejections: they were decided against events that do not exist.
fn refuse_rest(
    mut outcomes: Vec<Outcome>,
    next: &mut dyn FnMut() -> Option<Prepared>,
    error: &AppendError,
) -> Vec<Outcome> {
    for outcome in &mut outcomes {
        *outcome = Err(error.clone());
    }
    while next().is_some() {
        outcomes.push(Err(error.clone()));
    }
    outcomes
}

fn answer_by_key(key: &str, content: &Sha256Digest, kept: &KeptKey) -> Outcome {
    if kept.content != *content {
        return Err(AppendError::KeyReused(key.to_string()));
    }
    let KeptKey { first, last, recorded_at, .. } = *kept;
    Ok(Appended { first, last, recorded_at, duplicate: true })
}

fn check_version(stream: &PreparedStream, actual: u64) -> Result<(), AppendError> {
    let fits = match stream.expected {
        Expected::Exact(size) => size == actual,
        Expected::New => actual == 0,
        Expected::Any => true,
    };
    if fits {
        return Ok(());
    }
    let (stream, expected) = (stream.name.clone(), stream.expected);
    Err(AppendError::Conflict { stream, expected, actual })
}

/// An instant before all others, for stores that have recorded nothing.
pub(super) const NEVER: Timestamp = Timestamp(0);
