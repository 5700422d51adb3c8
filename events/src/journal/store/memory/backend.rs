//! Tables in memory, and how a transaction over them is taken back.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::backend::{
    Backend, BackendFault, CommitFault, Freshness, Head, KeptKey, Ref, Row,
};
use crate::journal::committer::NEVER;
use crate::ports::{LogHead, Recorded};
use crate::tlog::{Frontier, empty_root};

type Answer<T> = Result<T, BackendFault>;

#[derive(Default)]
pub(super) struct MemoryBackend {
    tables: Tables,
    undo: Option<Undo>,
}

/// What was there when the transaction began.
struct Undo {
    head: Head,
    events: usize,
    tenants: usize,
    streams: usize,
    frontiers: Vec<(usize, Frontier)>,
    keys: Vec<(Ref, String)>,
}

pub(super) struct Tables {
    pub(super) head: Head,
    pub(super) events: Vec<Event>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) streams: Vec<Stream>,
    tenants_by_name: HashMap<TenantId, usize>,
    streams_by_name: HashMap<(usize, StreamName), usize>,
    keys: HashMap<(Ref, String), KeptKey>,
}

pub(super) struct Event {
    pub(super) tenant: usize,
    pub(super) tenant_sequence: u64,
    pub(super) stream: usize,
    pub(super) version: u64,
    pub(super) leaf_hash: Sha256Digest,
    pub(super) leaf: Arc<[u8]>,
}

pub(super) struct Tenant {
    pub(super) name: TenantId,
    pub(super) frontier: Frontier,
    /// Indexes of events, in the order of the log.
    log: Vec<usize>,
}

pub(super) struct Stream {
    tenant: usize,
    pub(super) name: StreamName,
    /// Indexes of events, in the order of versions.
    events: Vec<usize>,
}

impl Default for Tables {
    fn default() -> Self {
        Self {
            head: Head { timeline: 1, position: Position(0), recorded_at: NEVER },
            events: Vec::new(),
            tenants: Vec::new(),
            streams: Vec::new(),
            tenants_by_name: HashMap::new(),
            streams_by_name: HashMap::new(),
            keys: HashMap::new(),
        }
    }
}

impl Tables {
    pub(super) fn head(&self) -> Position {
        self.head.position
    }

    fn recorded(&self, index: usize) -> Recorded {
        let event = &self.events[index];
        Recorded {
            position: Position(index as u64 + 1),
            tenant: self.tenants[event.tenant].name.clone(),
            tenant_sequence: event.tenant_sequence,
            stream: self.streams[event.stream].name.clone(),
            version: event.version,
            leaf: Arc::clone(&event.leaf),
        }
    }

    pub(super) fn after(&self, cursor: Position, limit: usize) -> Vec<Recorded> {
        let start = usize::try_from(cursor.0).unwrap_or(usize::MAX);
        (start..self.events.len()).take(limit).map(|index| self.recorded(index)).collect()
    }

    pub(super) fn stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Vec<Recorded> {
        let tenant = self.tenants_by_name.get(tenant);
        let stream = tenant.and_then(|t| self.streams_by_name.get(&(*t, stream.clone())));
        let events = stream.map(|s| self.streams[*s].events.as_slice()).unwrap_or_default();
        self.page(events, from, limit)
    }

    pub(super) fn log(&self, tenant: &TenantId, from: u64, limit: usize) -> Vec<Recorded> {
        let tenant = self.tenants_by_name.get(tenant);
        let events = tenant.map(|t| self.tenants[*t].log.as_slice()).unwrap_or_default();
        self.page(events, from, limit)
    }

    fn page(&self, events: &[usize], from: u64, limit: usize) -> Vec<Recorded> {
        let from = usize::try_from(from).unwrap_or(usize::MAX);
        events.iter().skip(from).take(limit).map(|index| self.recorded(*index)).collect()
    }

    pub(super) fn stream_names(
        &self,
        tenant: &TenantId,
        prefix: &str,
        limit: usize,
    ) -> Vec<StreamName> {
        let Some(tenant) = self.tenants_by_name.get(tenant) else { return Vec::new() };
        let ours = |s: &&Stream| s.tenant == *tenant && s.name.as_str().starts_with(prefix);
        self.streams.iter().rev().filter(ours).take(limit).map(|s| s.name.clone()).collect()
    }

    pub(super) fn log_heads(&self) -> BTreeMap<TenantId, LogHead> {
        let head = |log: &Frontier| LogHead { size: log.size(), root: log.root() };
        self.tenants.iter().map(|t| (t.name.clone(), head(&t.frontier))).collect()
    }

    pub(super) fn timeline(&self) -> u64 {
        self.head.timeline
    }

    pub(super) fn log_head(&self, tenant: &TenantId) -> LogHead {
        match self.tenants_by_name.get(tenant).map(|t| &self.tenants[*t].frontier) {
            Some(log) => LogHead { size: log.size(), root: log.root() },
            None => LogHead { size: 0, root: empty_root() },
        }
    }

    /// Takes the last event away again.
    fn pop_event(&mut self) {
        if let Some(event) = self.events.pop() {
            self.tenants[event.tenant].log.pop();
            self.streams[event.stream].events.pop();
        }
    }
}

impl MemoryBackend {
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    fn undo(&mut self) -> Answer<&mut Undo> {
        let outside = || BackendFault::Unavailable("written outside a transaction".to_string());
        self.undo.as_mut().ok_or_else(outside)
    }
}

/// Short names are indexes, which fit.
fn index(reference: Ref) -> usize {
    usize::try_from(reference).unwrap_or(usize::MAX)
}

fn reference(index: usize) -> Ref {
    Ref::try_from(index).unwrap_or(Ref::MAX)
}

impl Backend for MemoryBackend {
    fn begin(&mut self) -> Answer<Freshness> {
        self.undo = Some(Undo {
            head: self.tables.head,
            events: self.tables.events.len(),
            tenants: self.tables.tenants.len(),
            streams: self.tables.streams.len(),
            frontiers: Vec::new(),
            keys: Vec::new(),
        });
        Ok(Freshness::Unchanged)
    }

    fn head(&mut self) -> Answer<Head> {
        Ok(self.tables.head)
    }

    fn tenant(&mut self, name: &TenantId) -> Answer<Option<(Ref, Frontier)>> {
        let found = self.tables.tenants_by_name.get(name);
        Ok(found.map(|i| (reference(*i), self.tables.tenants[*i].frontier.clone())))
    }

    fn create_tenant(&mut self, name: &TenantId) -> Answer<Ref> {
        let index = self.tables.tenants.len();
        self.tables.tenants_by_name.insert(name.clone(), index);
        let tenant = Tenant { name: name.clone(), frontier: Frontier::new(), log: Vec::new() };
        self.tables.tenants.push(tenant);
        Ok(reference(index))
    }

    fn stream(&mut self, tenant: Ref, name: &StreamName) -> Answer<Option<(Ref, u64)>> {
        let found = self.tables.streams_by_name.get(&(index(tenant), name.clone()));
        Ok(found.map(|i| (reference(*i), self.tables.streams[*i].events.len() as u64)))
    }

    fn create_stream(&mut self, tenant: Ref, name: &StreamName) -> Answer<Ref> {
        let at = self.tables.streams.len();
        let tenant = index(tenant);
        self.tables.streams_by_name.insert((tenant, name.clone()), at);
        self.tables.streams.push(Stream { tenant, name: name.clone(), events: Vec::new() });
        Ok(reference(at))
    }

    fn key(&mut self, tenant: Ref, key: &str) -> Answer<Option<KeptKey>> {
        Ok(self.tables.keys.get(&(tenant, key.to_string())).copied())
    }

    fn keep_key(&mut self, tenant: Ref, key: &str, kept: &KeptKey) -> Answer<()> {
        self.undo()?.keys.push((tenant, key.to_string()));
        self.tables.keys.insert((tenant, key.to_string()), *kept);
        Ok(())
    }

    fn insert(&mut self, row: Row) -> Answer<()> {
        let at = self.tables.events.len();
        if row.position.0 != at as u64 + 1 {
            return Err(BackendFault::Corrupt(format!("position {} is taken", row.position)));
        }
        let (tenant, stream) = (index(row.tenant), index(row.stream));
        self.tables.tenants[tenant].log.push(at);
        self.tables.streams[stream].events.push(at);
        self.tables.events.push(Event {
            tenant,
            tenant_sequence: row.tenant_sequence,
            stream,
            version: row.version,
            leaf_hash: row.leaf_hash,
            leaf: Arc::from(row.leaf),
        });
        Ok(())
    }

    fn set_tenant(&mut self, tenant: Ref, frontier: &Frontier) -> Answer<()> {
        let at = index(tenant);
        let before = std::mem::replace(&mut self.tables.tenants[at].frontier, frontier.clone());
        self.undo()?.frontiers.push((at, before));
        Ok(())
    }

    fn set_head(&mut self, head: &Head) -> Answer<()> {
        self.tables.head = *head;
        Ok(())
    }

    fn commit(&mut self) -> Result<(), CommitFault> {
        self.undo = None;
        Ok(())
    }

    fn rollback(&mut self) {
        let Some(undo) = self.undo.take() else { return };
        let tables = &mut self.tables;
        while tables.events.len() > undo.events {
            tables.pop_event();
        }
        for (at, frontier) in undo.frontiers {
            tables.tenants[at].frontier = frontier;
        }
        for stream in tables.streams.drain(undo.streams..) {
            tables.streams_by_name.remove(&(stream.tenant, stream.name));
        }
        for tenant in tables.tenants.drain(undo.tenants..) {
            tables.tenants_by_name.remove(&tenant.name);
        }
        for key in undo.keys {
            tables.keys.remove(&key);
        }
        tables.head = undo.head;
    }

    fn reopen(&mut self) -> Answer<()> {
        Ok(())
    }

    fn leaf_hash_at(&mut self, position: Position) -> Answer<Option<Sha256Digest>> {
        let at = usize::try_from(position.0).ok().and_then(|at| at.checked_sub(1));
        Ok(at.and_then(|at| self.tables.events.get(at)).map(|event| event.leaf_hash))
    }
}
