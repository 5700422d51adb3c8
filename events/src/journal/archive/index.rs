//! The index object of an archived range.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{ArchivedLog, ArchivedRange, ArchivedStream, NewRange, Recorded};

/// Positions in one range, at most: what is held in memory when a range is looked into.
pub const MAX_RANGE: u64 = 8_192;

/// The format that is written.
const FORMAT: u64 = 1;

/// A tenant with leaves in the range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IndexedTenant {
    /// Its name.
    pub name: TenantId,
    /// Its first leaf in the range; the others follow it.
    pub first_leaf: u64,
    /// The folder of its tiles.
    pub folder: String,
    /// Leaves below the head that was published when the range was archived: so far its tiles
    /// were there.
    pub published: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct IndexedStream {
    tenant: u32,
    name: StreamName,
    first_version: u64,
    /// Offsets of its events from the first position.
    at: Vec<u32>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    format: u64,
    first: u64,
    tenants: Vec<IndexedTenant>,
    /// The tenant at each position.
    of: Vec<u32>,
    /// The hashes of the leaves, in hexadecimal, one behind the other.
    hashes: String,
    streams: Vec<IndexedStream>,
}

/// Where the leaf of a position is.
#[derive(Debug, Clone, Copy)]
pub(super) struct Place<'a> {
    pub(super) tenant: &'a IndexedTenant,
    pub(super) leaf: u64,
    pub(super) hash: Sha256Digest,
}

/// The index of a range, ready to be looked into.
#[derive(Debug)]
pub struct RangeIndex {
    wire: Wire,
    hashes: Vec<Sha256Digest>,
    /// Index in the tenant's log at each position.
    leaves: Vec<u64>,
    /// Offsets of each tenant's leaves.
    logs: Vec<Vec<u32>>,
    streams: BTreeMap<(u32, StreamName), usize>,
}

impl RangeIndex {
    /// Reads an index object. Its hash must have been checked: only its form is checked here.
    ///
    /// # Errors
    /// Says what is wrong.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let wire: Wire = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if wire.format != FORMAT {
            return Err(format!("its format is {}, {FORMAT} is known here", wire.format));
        }
        Self::of(wire)
    }

    fn of(wire: Wire) -> Result<Self, String> {
        let (hashes, rest) = wire.hashes.as_bytes().as_chunks::<64>();
        if !rest.is_empty() || hashes.len() != wire.of.len() || wire.of.is_empty() {
            return Err("it has another number of hashes than of positions".to_string());
        }
        let hash = |hex: &[u8; 64]| {
            let text = std::str::from_utf8(hex).map_err(|error| error.to_string())?;
            text.parse::<Sha256Digest>().map_err(|error| error.to_string())
        };
        let hashes = hashes.iter().map(hash).collect::<Result<Vec<_>, _>>()?;
        let mut logs = vec![Vec::new(); wire.tenants.len()];
        let mut leaves = Vec::with_capacity(wire.of.len());
        for (at, tenant) in wire.of.iter().enumerate() {
            let unknown = || format!("offset {at} belongs to a tenant that is not named");
            let log = logs.get_mut(*tenant as usize).ok_or_else(unknown)?;
            leaves.push(wire.tenants[*tenant as usize].first_leaf + log.len() as u64);
            log.push(at as u32);
        }
        let mut streams = BTreeMap::new();
        for (at, stream) in wire.streams.iter().enumerate() {
            if stream.at.iter().any(|at| wire.of.get(*at as usize) != Some(&stream.tenant)) {
                return Err(format!("the stream {} stands elsewhere than its tenant", stream.name));
            }
            streams.insert((stream.tenant, stream.name.clone()), at);
        }
        Ok(Self { wire, hashes, leaves, logs, streams })
    }

    /// The first position.
    pub fn first(&self) -> Position {
        Position(self.wire.first)
    }

    /// Positions in it.
    pub fn len(&self) -> usize {
        self.wire.of.len()
    }

    /// Never.
    pub fn is_empty(&self) -> bool {
        self.wire.of.is_empty()
    }

    /// Tenants that have leaves in it.
    pub fn tenants(&self) -> &[IndexedTenant] {
        &self.wire.tenants
    }

    /// The offset of a position.
    pub(super) fn offset(&self, position: Position) -> Option<usize> {
        let at = usize::try_from(position.0.checked_sub(self.wire.first)?).ok()?;
        (at < self.len()).then_some(at)
    }

    pub(super) fn place(&self, offset: usize) -> Option<Place<'_>> {
        let tenant = self.wire.tenants.get(*self.wire.of.get(offset)? as usize)?;
        Some(Place { tenant, leaf: self.leaves[offset], hash: self.hashes[offset] })
    }

    fn tenant(&self, name: &TenantId) -> Option<u32> {
        let at = self.wire.tenants.iter().position(|tenant| tenant.name == *name)?;
        u32::try_from(at).ok()
    }

    /// Offsets of a stream's events from a version on.
    pub(super) fn of_stream(&self, tenant: &TenantId, name: &StreamName, from: u64) -> &[u32] {
        let at = self.tenant(tenant).and_then(|t| self.streams.get(&(t, name.clone())));
        let Some(stream) = at.map(|at| &self.wire.streams[*at]) else { return &[] };
        let skip = from.checked_sub(stream.first_version).and_then(|n| usize::try_from(n).ok());
        skip.and_then(|skip| stream.at.get(skip..)).unwrap_or(&[])
    }

    /// Offsets of a tenant's leaves from an index on.
    pub(super) fn of_log(&self, tenant: &TenantId, from: u64) -> &[u32] {
        let Some(at) = self.tenant(tenant).map(|at| at as usize) else { return &[] };
        let first = self.wire.tenants[at].first_leaf;
        let skip = from.checked_sub(first).and_then(|n| usize::try_from(n).ok());
        skip.and_then(|skip| self.logs[at].get(skip..)).unwrap_or(&[])
    }
}

/// Makes the index of a range from its events.
#[derive(Debug, Default)]
pub struct RangeBuilder {
    first: u64,
    tenants: Vec<IndexedTenant>,
    of: Vec<u32>,
    hashes: Vec<u8>,
    streams: BTreeMap<(u32, StreamName), (u64, Vec<u32>)>,
}

impl RangeBuilder {
    /// Positions so far.
    pub fn len(&self) -> u64 {
        self.of.len() as u64
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Adds the event behind the last one. `tiles`: the folder of a tenant's log and the size of
    /// its published head.
    ///
    /// # Errors
    /// Where it does not stand behind the last.
    pub fn add(
        &mut self,
        event: &Recorded,
        hash: Sha256Digest,
        tiles: impl FnOnce(&TenantId) -> (String, u64),
    ) -> Result<(), String> {
        if self.of.is_empty() {
            self.first = event.position.0;
        }
        let offset = u32::try_from(self.of.len()).unwrap_or(u32::MAX);
        if event.position.0 != self.first + u64::from(offset) {
            return Err(format!("position {} does not follow", event.position));
        }
        let tenant = match self.tenants.iter().position(|tenant| tenant.name == event.tenant) {
            Some(at) => at,
            None => {
                let (folder, published) = tiles(&event.tenant);
                let (name, first_leaf) = (event.tenant.clone(), event.tenant_sequence);
                self.tenants.push(IndexedTenant { name, first_leaf, folder, published });
                self.tenants.len() - 1
            }
        };
        let tenant = u32::try_from(tenant).unwrap_or(u32::MAX);
        self.of.push(tenant);
        self.hashes.extend_from_slice(&hash.0);
        let stream = self.streams.entry((tenant, event.stream.clone()));
        let (first, at) = stream.or_insert((event.version, Vec::new()));
        if event.version != *first + at.len() as u64 {
            return Err(format!("version {} of {} is missing", event.version, event.stream));
        }
        at.push(offset);
        Ok(())
    }

    /// The index object, and what the store is to remember. The path holds the hash, so that an
    /// index is never written over.
    ///
    /// # Errors
    /// Where it cannot be rendered.
    pub fn finish(self) -> Result<(NewRange, Vec<u8>), String> {
        let (first, end) = (Position(self.first), Position(self.first + self.len()));
        let leaves_hash = Sha256Digest::of(&self.hashes);
        let mut counts = vec![0_u64; self.tenants.len()];
        self.of.iter().for_each(|tenant| counts[*tenant as usize] += 1);
        let logs = self.tenants.iter().zip(&counts).map(|(tenant, leaves)| ArchivedLog {
            tenant: tenant.name.clone(),
            first_leaf: tenant.first_leaf,
            leaves: *leaves,
        });
        let logs = logs.collect();
        let streams: Vec<IndexedStream> = self
            .streams
            .into_iter()
            .map(|((tenant, name), (first_version, at))| IndexedStream {
                tenant,
                name,
                first_version,
                at,
            })
            .collect();
        let archived = streams.iter().map(|stream| ArchivedStream {
            tenant: self.tenants[stream.tenant as usize].name.clone(),
            stream: stream.name.clone(),
            first_version: stream.first_version,
            events: stream.at.len() as u64,
        });
        let archived = archived.collect();
        let (hashes, _) = self.hashes.as_chunks::<32>();
        let wire = Wire {
            format: FORMAT,
            first: self.first,
            tenants: self.tenants,
            of: self.of,
            hashes: hashes.iter().map(|hash| Sha256Digest(*hash).to_hex()).collect(),
            streams,
        };
        let bytes = serde_json::to_vec(&wire).map_err(|error| error.to_string())?;
        let index_hash = Sha256Digest::of(&bytes);
        let index = format!("archive/{first:020}/{}", index_hash.to_hex(), first = first.0);
        let range = ArchivedRange { first, end, index, index_hash, leaves_hash };
        Ok((NewRange { range, streams: archived, logs }, bytes))
    }
}
