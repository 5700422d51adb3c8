//! Leases, beside the events that they fence.

use std::sync::Arc;

use async_trait::async_trait;

use super::MemoryStore;
use crate::journal::lease::check_names;
use crate::ports::{Fence, Lease, LeaseAnswer, Leases, ReadError};
use crate::time::Millis;

#[async_trait]
impl Leases for MemoryStore {
    async fn acquire(
        &self,
        lease: &str,
        holder: &str,
        lasting: Millis,
    ) -> Result<LeaseAnswer, ReadError> {
        check_names(lease, holder)?;
        let now = self.clock.now();
        let mut committer = self.lock();
        let leases = &mut committer.backend_mut().tables_mut().leases;
        let before = leases.get(lease);
        if let Some(held) = before.filter(|it| it.holder != holder && it.expires_at > now) {
            return Ok(LeaseAnswer::TakenBy(held.clone()));
        }
        let next = before.map_or(1, |before| before.fence.epoch + 1);
        // As in databases, which may go back to an older state.
        let epoch = next.max(u64::try_from(now.0).unwrap_or(0));
        let fence = Fence { lease: Arc::from(lease), epoch };
        let held = Lease { fence, holder: holder.to_string(), expires_at: now + lasting };
        leases.insert(lease.to_string(), held.clone());
        Ok(LeaseAnswer::Held(held))
    }

    async fn renew(&self, held: &Lease, lasting: Millis) -> Result<Option<Lease>, ReadError> {
        Ok(self.until(&held.fence, Some(&held.holder), lasting))
    }

    async fn release(&self, fence: &Fence) -> Result<(), ReadError> {
        self.until(fence, None, Millis(0));
        Ok(())
    }

    async fn lease(&self, lease: &str) -> Result<Option<Lease>, ReadError> {
        Ok(self.read(|tables| tables.leases.get(lease).cloned()))
    }
}

impl MemoryStore {
    /// Lets a lease that still is at this epoch end so long from now.
    fn until(&self, fence: &Fence, holder: Option<&str>, lasting: Millis) -> Option<Lease> {
        let ends = self.clock.now() + lasting;
        let mut committer = self.lock();
        let leases = &mut committer.backend_mut().tables_mut().leases;
        let is_it = |held: &&mut Lease| {
            held.fence == *fence && holder.is_none_or(|holder| held.holder == holder)
        };
        let held = leases.get_mut(&*fence.lease).filter(is_it)?;
        held.expires_at = ends;
        Some(held.clone())
    }
}
