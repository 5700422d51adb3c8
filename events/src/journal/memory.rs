//! What the committer remembers of the store from one batch to the next.

use std::collections::HashMap;
use std::sync::Arc;

use super::backend::{Head, Ref};
use crate::ids::{StreamName, TenantId};
use crate::tlog::Frontier;

/// Streams that are remembered; beyond it they are read again.
const REMEMBERED_STREAMS: usize = 20_000;
/// Tenants that are remembered.
const REMEMBERED_TENANTS: usize = 5_000;
/// Leases that are remembered.
const REMEMBERED_LEASES: usize = 100;

/// Holds for as long as nobody else writes. That something is absent is remembered, too.
#[derive(Debug, Default)]
pub(super) struct Memory {
    pub(super) head: Option<Head>,
    tenants: HashMap<TenantId, KnownTenant>,
    leases: HashMap<Arc<str>, u64>,
    streams: usize,
}

#[derive(Debug)]
pub(super) struct KnownTenant {
    pub(super) reference: Option<Ref>,
    pub(super) log: Frontier,
    streams: HashMap<StreamName, KnownStream>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct KnownStream {
    pub(super) reference: Option<Ref>,
    pub(super) size: u64,
}

impl Memory {
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    /// Makes room, if there is much.
    pub(super) fn bound(&mut self) {
        if self.streams > REMEMBERED_STREAMS || self.tenants.len() > REMEMBERED_TENANTS {
            self.tenants.clear();
            self.streams = 0;
        }
        if self.leases.len() > REMEMBERED_LEASES {
            self.leases.clear();
        }
    }

    pub(super) fn tenant(&self, name: &TenantId) -> Option<&KnownTenant> {
        self.tenants.get(name)
    }

    /// The epoch of a lease.
    pub(super) fn lease(&self, name: &str) -> Option<u64> {
        self.leases.get(name).copied()
    }

    pub(super) fn learn_lease(&mut self, name: Arc<str>, epoch: u64) {
        self.leases.insert(name, epoch);
    }

    pub(super) fn learn_tenant(&mut self, name: &TenantId, reference: Option<Ref>, log: Frontier) {
        match self.tenants.get_mut(name) {
            Some(known) => (known.reference, known.log) = (reference, log),
            None => {
                let streams = HashMap::new();
                self.tenants.insert(name.clone(), KnownTenant { reference, log, streams });
            }
        }
    }

    /// Its tenant must be known.
    pub(super) fn learn_stream(&mut self, tenant: &TenantId, name: StreamName, it: KnownStream) {
        if let Some(tenant) = self.tenants.get_mut(tenant)
            && tenant.streams.insert(name, it).is_none()
        {
            self.streams += 1;
        }
    }
}

impl KnownTenant {
    pub(super) fn stream(&self, name: &StreamName) -> Option<KnownStream> {
        self.streams.get(name).copied()
    }
}
