//! One batch: what it touches, and what becomes of its requests.
//!
//! Requests are decided in order, each against the state that those before it have left, and
//! purely in memory. One that is rejected takes no number and leaves no trace.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use super::backend::{
    Found, Head, KeptKey, KeyWrite, Ref, Row, Snapshot, StreamWrite, TenantWrite, Wanted,
    WantedKey, WantedLease, WantedStream, WantedTenant, Write,
};
use super::memory::{KnownStream, Memory};
use super::request::{Prepared, PreparedKey, PreparedStream};
use crate::digest::Sha256Digest;
use crate::envelope::{Numbers, closes_stream};
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{AppendError, Appended, Clock, Expected, Fence, Recorded};
use crate::tlog::{Frontier, leaf_hash};

pub(super) type Outcome = Result<Appended, AppendError>;

/// Everything that a batch touches, each thing once.
#[derive(Debug, Default)]
pub(super) struct Book {
    tenants: Vec<Tenant>,
    streams: Vec<Stream>,
    keys: Vec<Key>,
    leases: Vec<Lease>,
    asks: Vec<Ask>,
    /// Indexes of the streams of all asks, one ask behind the other.
    asked_streams: Vec<usize>,
    covered: bool,
}

/// A request, with what it touches as indexes.
#[derive(Debug)]
struct Ask {
    tenant: usize,
    streams: Range<usize>,
    key: Option<usize>,
    lease: Option<usize>,
}

#[derive(Debug)]
struct Tenant {
    name: TenantId,
    known: bool,
    reference: Option<Ref>,
    log: Frontier,
    created: bool,
    changed: bool,
}

#[derive(Debug)]
struct Stream {
    tenant: usize,
    name: StreamName,
    known: bool,
    reference: Option<Ref>,
    size: u64,
    created: bool,
    /// An event of this batch closes it.
    closes: bool,
    /// First and last position in this batch.
    added: Option<(Position, Position)>,
}

#[derive(Debug)]
struct Key {
    tenant: usize,
    text: Arc<str>,
    kept: Option<KeptKey>,
    created: bool,
}

#[derive(Debug)]
struct Lease {
    name: Arc<str>,
    known: bool,
    epoch: u64,
}

/// What was decided.
#[derive(Debug)]
pub(super) struct Decision {
    /// In the order of the requests.
    pub(super) outcomes: Vec<Outcome>,
    /// The head behind the batch.
    pub(super) head: Head,
    before: Head,
    rows: Vec<Row>,
    /// Indexes of requests whose events are among the rows.
    accepted: Vec<usize>,
}

impl Decision {
    /// Where the record ended before.
    pub(super) fn before(&self) -> Position {
        self.before.position
    }

    /// The events as they are read from the store once they stand there.
    pub(super) fn recorded(&self, requests: &[Prepared]) -> Vec<Recorded> {
        let drafts = self.accepted.iter().flat_map(|at| {
            let Prepared { tenant, streams, .. } = &requests[*at];
            let drafts = streams
                .iter()
                .flat_map(|stream| stream.drafts.iter().map(|draft| (&stream.name, draft.leaf())));
            drafts.map(move |(stream, leaf)| (tenant, stream, leaf))
        });
        let events = self.rows.iter().zip(drafts).map(|(row, (tenant, stream, leaf))| Recorded {
            position: row.position,
            tenant: tenant.clone(),
            tenant_sequence: row.tenant_sequence,
            stream: stream.clone(),
            version: row.version,
            leaf: Arc::from(leaf),
        });
        events.collect()
    }
}

/// The last event of a batch: if it stands in the store after a lost answer, the batch does.
#[derive(Debug, Clone, Copy)]
pub(super) struct Witness {
    pub(super) position: Position,
    pub(super) leaf_hash: Sha256Digest,
}

impl Book {
    /// Lists what the requests touch, with what is remembered of it.
    pub(super) fn open(memory: &Memory, requests: &[Prepared]) -> Self {
        let mut index = Index::default();
        let mut this = Self { covered: memory.head.is_some(), ..Self::default() };
        this.asks.reserve(requests.len());
        for request in requests {
            let tenant = this.tenant(&mut index, memory, &request.tenant);
            let from = this.asked_streams.len();
            for stream in &request.streams {
                let at = this.stream(&mut index, memory, tenant, stream);
                this.asked_streams.push(at);
            }
            let streams = from..this.asked_streams.len();
            let key = request.key.as_ref().map(|key| this.key(&mut index, tenant, key));
            let lease = request.fence.as_ref().map(|fence| this.lease(memory, fence));
            this.asks.push(Ask { tenant, streams, key, lease });
        }
        this
    }

    /// Whether it can be decided from memory. What is not remembered is taken to be absent
    /// where the request expects that, which is a guess.
    pub(super) fn is_covered(&self) -> bool {
        self.covered
    }

    /// Whether writing what was decided tests every guess: what was taken to be absent must be
    /// made, so that the database can object. Where a request was rejected, or only wanted to
    /// know, nothing is made.
    pub(super) fn is_tested(&self) -> bool {
        self.streams.iter().all(|stream| stream.known || stream.created)
            && self.keys.iter().all(|key| key.created)
    }

    fn tenant<'a>(&mut self, index: &mut Index<'a>, memory: &Memory, name: &'a TenantId) -> usize {
        if let Some(at) = index.tenants.get(name) {
            return *at;
        }
        let remembered = memory.tenant(name);
        let known = remembered.is_some();
        self.covered &= known;
        let (reference, log) = match remembered {
            Some(tenant) => (tenant.reference, tenant.log.clone()),
            None => (None, Frontier::new()),
        };
        let (created, changed) = (false, false);
        self.tenants.push(Tenant { name: name.clone(), known, reference, log, created, changed });
        index.tenants.insert(name, self.tenants.len() - 1);
        self.tenants.len() - 1
    }

    fn stream<'a>(
        &mut self,
        index: &mut Index<'a>,
        memory: &Memory,
        tenant: usize,
        stream: &'a PreparedStream,
    ) -> usize {
        let name = &stream.name;
        if let Some(at) = index.streams.get(&(tenant, name)) {
            return *at;
        }
        let remembered = memory.tenant(&self.tenants[tenant].name).and_then(|t| t.stream(name));
        let known = remembered.is_some();
        self.covered &= known || matches!(stream.expected, Expected::New | Expected::Exact(0));
        let KnownStream { reference, size } =
            remembered.unwrap_or(KnownStream { reference: None, size: 0 });
        let (name, created, closes, added) = (name.clone(), false, false, None);
        let stream_of_batch =
            Stream { tenant, name, known, reference, size, created, closes, added };
        self.streams.push(stream_of_batch);
        index.streams.insert((tenant, &stream.name), self.streams.len() - 1);
        self.streams.len() - 1
    }

    fn key<'a>(&mut self, index: &mut Index<'a>, tenant: usize, key: &'a PreparedKey) -> usize {
        *index.keys.entry((tenant, &key.text)).or_insert_with(|| {
            let (text, kept, created) = (Arc::clone(&key.text), None, false);
            self.keys.push(Key { tenant, text, kept, created });
            self.keys.len() - 1
        })
    }

    fn lease(&mut self, memory: &Memory, fence: &Fence) -> usize {
        if let Some(at) = self.leases.iter().position(|lease| lease.name == fence.lease) {
            return at;
        }
        let remembered = memory.lease(&fence.lease);
        let (known, epoch) = (remembered.is_some(), remembered.unwrap_or(0));
        self.covered &= known;
        self.leases.push(Lease { name: Arc::clone(&fence.lease), known, epoch });
        self.leases.len() - 1
    }

    /// What the database is to be asked.
    pub(super) fn wanted(&self, head: Option<Head>) -> Wanted<'_> {
        let tenants = self.tenants.iter();
        let streams = self.streams.iter();
        let leases = self.leases.iter();
        Wanted {
            head,
            tenants: tenants.map(|t| WantedTenant { name: &t.name, known: t.known }).collect(),
            streams: streams
                .map(|s| WantedStream { tenant: s.tenant, name: &s.name, known: s.known })
                .collect(),
            keys: self.keys.iter().map(|k| WantedKey { tenant: k.tenant, text: &k.text }).collect(),
            leases: leases.map(|l| WantedLease { name: &l.name, known: l.known }).collect(),
        }
    }

    /// Takes over what the database has answered.
    pub(super) fn fill(&mut self, snapshot: Snapshot) {
        for (tenant, found) in self.tenants.iter_mut().zip(snapshot.tenants) {
            match found {
                Found::AsRemembered => {}
                Found::Absent => (tenant.reference, tenant.log) = (None, Frontier::new()),
                Found::Stored(stored) => {
                    (tenant.reference, tenant.log) = (Some(stored.reference), stored.log);
                }
            }
        }
        for (stream, found) in self.streams.iter_mut().zip(snapshot.streams) {
            match found {
                Found::AsRemembered => {}
                Found::Absent => (stream.reference, stream.size) = (None, 0),
                Found::Stored(stored) => {
                    (stream.reference, stream.size) = (Some(stored.reference), stored.size);
                }
            }
        }
        for (key, kept) in self.keys.iter_mut().zip(snapshot.keys) {
            key.kept = kept;
        }
        for (lease, found) in self.leases.iter_mut().zip(snapshot.leases) {
            match found {
                Found::AsRemembered => {}
                Found::Absent => lease.epoch = 0,
                Found::Stored(epoch) => lease.epoch = epoch,
            }
        }
    }

    /// Decides all requests, and gives the events of those that are accepted their numbers.
    pub(super) fn decide(
        &mut self,
        requests: &mut [Prepared],
        before: Head,
        clock: &dyn Clock,
    ) -> Decision {
        let events = requests.iter().map(|request| request.events).sum();
        let mut decision = Decision {
            outcomes: Vec::with_capacity(requests.len()),
            head: before,
            before,
            rows: Vec::with_capacity(events),
            accepted: Vec::with_capacity(requests.len()),
        };
        for (at, request) in requests.iter_mut().enumerate() {
            let outcome = match self.answer(at, request) {
                Some(outcome) => outcome,
                None => Ok(self.apply(at, request, clock, &mut decision)),
            };
            decision.outcomes.push(outcome);
        }
        decision
    }

    /// What a request is told if it does not add anything.
    fn answer(&self, at: usize, request: &Prepared) -> Option<Outcome> {
        let ask = &self.asks[at];
        if let (Some(fence), Some(lease)) = (&request.fence, ask.lease) {
            let current = self.leases[lease].epoch;
            if current != fence.epoch {
                let (lease, held) = (Arc::clone(&fence.lease), fence.epoch);
                return Some(Err(AppendError::Fenced { lease, held, current }));
            }
        }
        if let (Some(key), Some(index)) = (&request.key, ask.key)
            && let Some(kept) = &self.keys[index].kept
        {
            return Some(answer_by_key(&key.text, &key.content, kept));
        }
        let streams = self.asked_streams[ask.streams.clone()].iter();
        let mut checks = request.streams.iter().zip(streams);
        checks.find_map(|(stream, index)| check_version(stream, self.streams[*index].size)).map(Err)
    }

    /// Gives the events their numbers.
    fn apply(
        &mut self,
        at: usize,
        request: &mut Prepared,
        clock: &dyn Clock,
        decision: &mut Decision,
    ) -> Appended {
        let Ask { tenant, streams, key, .. } = &self.asks[at];
        let (tenant, streams, key) = (*tenant, streams.clone(), *key);
        let head = &mut decision.head;
        head.recorded_at = head.recorded_at.max(clock.now());
        let first = Position(head.position.0 + 1);
        self.tenants[tenant].make(head);
        for (stream, asked) in request.streams.iter_mut().zip(streams) {
            if !stream.drafts.is_empty() {
                let slot = self.asked_streams[asked];
                self.streams[slot].make(&mut decision.head);
                self.add(slot, stream, decision);
            }
        }
        decision.accepted.push(at);
        let Head { position: last, recorded_at, .. } = decision.head;
        if let (Some(asked), Some(index)) = (&request.key, key) {
            let content = asked.content;
            self.keys[index].kept = Some(KeptKey { content, first, last, recorded_at });
            self.keys[index].created = true;
        }
        Appended { first, last, recorded_at, duplicate: false }
    }

    fn add(&mut self, slot: usize, asked: &mut PreparedStream, decision: &mut Decision) {
        let stream = &mut self.streams[slot];
        let tenant = &mut self.tenants[stream.tenant];
        let head = &mut decision.head;
        let references = tenant.reference.zip(stream.reference);
        let (tenant_reference, stream_reference) = references.unwrap_or_default();
        let begins = Position(head.position.0 + 1);
        for draft in &mut asked.drafts {
            head.position.0 += 1;
            let numbers = Numbers {
                timeline: head.timeline,
                position: head.position,
                tenant_sequence: tenant.log.size(),
                version: stream.size,
                recorded_at: head.recorded_at,
            };
            let leaf_hash = leaf_hash(draft.number(&tenant.name, &stream.name, numbers));
            tenant.log.push(leaf_hash);
            stream.size += 1;
            stream.closes |= closes_stream(draft.kind());
            decision.rows.push(Row {
                position: numbers.position,
                tenant: tenant_reference,
                tenant_sequence: numbers.tenant_sequence,
                stream: stream_reference,
                version: numbers.version,
                leaf_hash,
            });
        }
        let first = stream.added.map_or(begins, |(first, _)| first);
        stream.added = Some((first, head.position));
    }

    /// What is to be written.
    pub(super) fn write<'a>(
        &'a self,
        decision: &'a Decision,
        requests: &'a [Prepared],
    ) -> Write<'a> {
        let mut leaves = Vec::with_capacity(decision.rows.len());
        for at in &decision.accepted {
            let drafts = requests[*at].streams.iter().flat_map(|stream| &stream.drafts);
            leaves.extend(drafts.map(|draft| draft.leaf()));
        }
        let tenants = self.tenants.iter().filter(|tenant| tenant.changed);
        let tenants = tenants.filter_map(|Tenant { name, reference, log, created, .. }| {
            let (reference, created) = ((*reference)?, *created);
            Some(TenantWrite { reference, name, created, log })
        });
        Write {
            before: decision.before,
            head: decision.head,
            rows: &decision.rows,
            leaves,
            tenants: tenants.collect(),
            streams: self.streams.iter().filter_map(|stream| self.stream_write(stream)).collect(),
            keys: self.keys.iter().filter_map(|key| self.key_write(key)).collect(),
        }
    }

    fn stream_write<'a>(&self, stream: &'a Stream) -> Option<StreamWrite<'a>> {
        let (first, last) = stream.added?;
        Some(StreamWrite {
            reference: stream.reference?,
            tenant: self.tenants[stream.tenant].reference?,
            name: &stream.name,
            created: stream.created,
            closes: stream.closes,
            size: stream.size,
            first,
            last,
        })
    }

    fn key_write<'a>(&self, key: &'a Key) -> Option<KeyWrite<'a>> {
        let kept = key.kept.filter(|_| key.created)?;
        Some(KeyWrite { tenant: self.tenants[key.tenant].reference?, text: &key.text, kept })
    }

    /// Leaves what it knows to memory, after the batch was kept.
    pub(super) fn close(mut self, memory: &mut Memory) {
        for tenant in &mut self.tenants {
            memory.learn_tenant(&tenant.name, tenant.reference, std::mem::take(&mut tenant.log));
        }
        for stream in self.streams {
            let known = KnownStream { reference: stream.reference, size: stream.size };
            memory.learn_stream(&self.tenants[stream.tenant].name, stream.name, known);
        }
        for lease in self.leases {
            memory.learn_lease(lease.name, lease.epoch);
        }
    }
}

impl Tenant {
    /// Marks it as changed, and gives it a short name if it has none.
    fn make(&mut self, head: &mut Head) {
        self.changed = true;
        if self.reference.is_none() {
            head.tenants += 1;
            self.reference = Some(head.tenants);
            self.created = true;
        }
    }
}

impl Stream {
    /// Gives it a short name if it has none.
    fn make(&mut self, head: &mut Head) {
        if self.reference.is_none() {
            head.streams += 1;
            self.reference = Some(head.streams);
            self.created = true;
        }
    }
}

impl Decision {
    /// `None` if all requests were rejected or had been answered before.
    pub(super) fn witness(&self) -> Option<Witness> {
        let last = self.rows.last()?;
        Some(Witness { position: last.position, leaf_hash: last.leaf_hash })
    }
}

/// Where each thing of the batch stands in the book.
#[derive(Default)]
struct Index<'a> {
    tenants: HashMap<&'a TenantId, usize>,
    streams: HashMap<(usize, &'a StreamName), usize>,
    keys: HashMap<(usize, &'a Arc<str>), usize>,
}

fn answer_by_key(key: &str, content: &Sha256Digest, kept: &KeptKey) -> Outcome {
    if kept.content != *content {
        return Err(AppendError::KeyReused(key.to_string()));
    }
    let KeptKey { first, last, recorded_at, .. } = *kept;
    Ok(Appended { first, last, recorded_at, duplicate: true })
}

fn check_version(stream: &PreparedStream, actual: u64) -> Option<AppendError> {
    let fits = match stream.expected {
        Expected::Exact(size) => size == actual,
        Expected::New => actual == 0,
        Expected::Any => true,
    };
    if fits {
        return None;
    }
    let (stream, expected) = (stream.name.clone(), stream.expected);
    Some(AppendError::Conflict { stream, expected, actual })
}
