//! Tables in memory. A transaction over them is one call, so there is nothing to take back.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::backend::{
    Backend, BackendFault, CommitFault, Ending, Found, Freshness, Head, KeptKey, Ref, Row,
    Snapshot, StoredStream, StoredTenant, Wanted, Write,
};
use crate::journal::committer::NEVER;
use crate::ports::{Lease, LogHead, Recorded};
use crate::tlog::{Frontier, empty_root};

type Answer<T> = Result<T, BackendFault>;

#[derive(Default)]
pub(super) struct MemoryBackend {
    tables: Tables,
}

pub(super) struct Tables {
    pub(super) head: Head,
    pub(super) events: Vec<Event>,
    pub(super) tenants: Vec<Tenant>,
    pub(super) streams: Vec<Stream>,
    tenants_by_name: HashMap<TenantId, usize>,
    streams_by_name: HashMap<(usize, StreamName), usize>,
    /// Streams that nothing has closed, by kind and age.
    open: BTreeSet<(String, usize)>,
    keys: HashMap<(Ref, Arc<str>), KeptKey>,
    pub(super) leases: BTreeMap<String, Lease>,
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
            head: Head {
                timeline: 1,
                position: Position(0),
                recorded_at: NEVER,
                tenants: 0,
                streams: 0,
                generation: 0,
            },
            events: Vec::new(),
            tenants: Vec::new(),
            streams: Vec::new(),
            tenants_by_name: HashMap::new(),
            streams_by_name: HashMap::new(),
            open: BTreeSet::new(),
            keys: HashMap::new(),
            leases: BTreeMap::new(),
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

    fn stream_index(&self, tenant: &TenantId, stream: &StreamName) -> Option<usize> {
        let tenant = self.tenants_by_name.get(tenant)?;
        self.streams_by_name.get(&(*tenant, stream.clone())).copied()
    }

    pub(super) fn stream_names(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Vec<StreamName> {
        let end = match before {
            None => self.streams.len(),
            Some(name) => self.stream_index(tenant, name).unwrap_or(0),
        };
        let Some(tenant) = self.tenants_by_name.get(tenant) else { return Vec::new() };
        let ours = |s: &&Stream| s.tenant == *tenant && s.name.as_str().starts_with(prefix);
        let newest = self.streams[..end].iter().rev();
        newest.filter(ours).take(limit).map(|s| s.name.clone()).collect()
    }

    pub(super) fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Vec<(TenantId, StreamName)> {
        let begin = match after {
            None => Bound::Unbounded,
            Some((tenant, name)) => match self.stream_index(tenant, name) {
                Some(at) => Bound::Excluded((kind_of(name), at)),
                None => return Vec::new(),
            },
        };
        let open = self.open.range((begin, Bound::Unbounded)).map(|(_, at)| &self.streams[*at]);
        open.filter(|stream| stream.name.as_str().starts_with(prefix))
            .take(limit)
            .map(|stream| (self.tenants[stream.tenant].name.clone(), stream.name.clone()))
            .collect()
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

    fn add(&mut self, row: &Row, leaf: &[u8]) {
        let at = self.events.len();
        let (tenant, stream) = (index(row.tenant), index(row.stream));
        self.tenants[tenant].log.push(at);
        self.streams[stream].events.push(at);
        self.events.push(Event {
            tenant,
            tenant_sequence: row.tenant_sequence,
            stream,
            version: row.version,
            leaf_hash: row.leaf_hash,
            leaf: Arc::from(leaf),
        });
    }
}

impl MemoryBackend {
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    pub(super) fn tables_mut(&mut self) -> &mut Tables {
        &mut self.tables
    }
}

/// Short names are dense from 1.
fn index(reference: Ref) -> usize {
    usize::try_from(reference - 1).unwrap_or(usize::MAX)
}

/// What stands before the first slash.
fn kind_of(name: &StreamName) -> String {
    let name = name.as_str();
    name.split_once('/').map_or(name, |(kind, _)| kind).to_string()
}

fn reference(index: usize) -> Ref {
    Ref::try_from(index + 1).unwrap_or(Ref::MAX)
}

impl Backend for MemoryBackend {
    /// Reads all that is wanted: a look into a table costs what a look into memory does.
    fn begin(&mut self, wanted: &Wanted<'_>) -> Answer<Snapshot> {
        let tables = &self.tables;
        let tenants: Vec<Option<usize>> =
            wanted.tenants.iter().map(|t| tables.tenants_by_name.get(t.name).copied()).collect();
        let stored_tenant = |at: &Option<usize>| {
            Found::from(at.map(|at| StoredTenant {
                reference: reference(at),
                log: tables.tenants[at].frontier.clone(),
            }))
        };
        let streams = wanted.streams.iter().map(|stream| {
            let tenant = tenants[stream.tenant];
            let at = tenant.and_then(|t| tables.streams_by_name.get(&(t, stream.name.clone())));
            Found::from(at.map(|at| StoredStream {
                reference: reference(*at),
                size: tables.streams[*at].events.len() as u64,
            }))
        });
        let keys = wanted.keys.iter().map(|key| {
            let tenant = tenants[key.tenant].map(reference)?;
            tables.keys.get(&(tenant, Arc::from(key.text))).copied()
        });
        let leases = wanted
            .leases
            .iter()
            .map(|lease| Found::from(tables.leases.get(lease.name).map(|lease| lease.fence.epoch)));
        Ok(Snapshot {
            freshness: Freshness::Unchanged,
            head: tables.head,
            streams: streams.collect(),
            keys: keys.collect(),
            leases: leases.collect(),
            tenants: tenants.iter().map(stored_tenant).collect(),
        })
    }

    fn write(&mut self, write: &Write<'_>, ending: Ending) -> Result<(), CommitFault> {
        if ending == Ending::TakeBack {
            return Ok(());
        }
        let tables = &mut self.tables;
        if write.before != tables.head {
            let message = "decided against a head that is not the head".to_string();
            return Err(BackendFault::Corrupt(message).into());
        }
        for tenant in write.tenants.iter().filter(|tenant| tenant.created) {
            let name = tenant.name.clone();
            tables.tenants_by_name.insert(name.clone(), index(tenant.reference));
            tables.tenants.push(Tenant { name, frontier: Frontier::new(), log: Vec::new() });
        }
        for stream in write.streams.iter().filter(|stream| stream.created) {
            let (tenant, name) = (index(stream.tenant), stream.name.clone());
            tables.streams_by_name.insert((tenant, name.clone()), index(stream.reference));
            tables.open.insert((kind_of(&name), index(stream.reference)));
            tables.streams.push(Stream { tenant, name, events: Vec::new() });
        }
        for stream in write.streams.iter().filter(|stream| stream.closes) {
            tables.open.remove(&(kind_of(stream.name), index(stream.reference)));
        }
        for (row, leaf) in write.rows.iter().zip(&write.leaves) {
            tables.add(row, leaf);
        }
        for tenant in &write.tenants {
            tables.tenants[index(tenant.reference)].frontier = tenant.log.clone();
        }
        for key in &write.keys {
            tables.keys.insert((key.tenant, Arc::clone(key.text)), key.kept);
        }
        tables.head = write.head;
        Ok(())
    }

    fn rollback(&mut self) {}

    fn reopen(&mut self) -> Answer<()> {
        Ok(())
    }

    fn leaf_hash_at(&mut self, position: Position) -> Answer<Option<Sha256Digest>> {
        let at = usize::try_from(position.0).ok().and_then(|at| at.checked_sub(1));
        Ok(at.and_then(|at| self.tables.events.get(at)).map(|event| event.leaf_hash))
    }
}
