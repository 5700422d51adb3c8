//! The shelf, beside the events and as forgetful.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;

use super::MemoryStore;
use crate::ids::TenantId;
use crate::journal::shelf::{check_key, check_value};
use crate::ports::{ReadError, Shelf, ShelfAnswer, ShelfExpected, ShelfItem};
use crate::time::{Millis, Timestamp};

type Key = (TenantId, String);

/// What is on the shelf.
#[derive(Default)]
pub(super) struct Shelved {
    items: BTreeMap<Key, Kept>,
    counters: BTreeMap<Key, u64>,
}

struct Kept {
    item: ShelfItem,
    expires_at: Option<Timestamp>,
}

impl Kept {
    fn at(&self, now: Timestamp) -> Option<&ShelfItem> {
        self.expires_at.is_none_or(|end| end > now).then_some(&self.item)
    }
}

fn key_of(tenant: &TenantId, key: &str) -> Key {
    (tenant.clone(), key.to_string())
}

impl MemoryStore {
    fn shelved(&self) -> MutexGuard<'_, Shelved> {
        self.shelf.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Shelf for MemoryStore {
    async fn get(&self, tenant: &TenantId, key: &str) -> Result<Option<ShelfItem>, ReadError> {
        check_key(key)?;
        let (now, shelved) = (self.clock.now(), self.shelved());
        Ok(shelved.items.get(&key_of(tenant, key)).and_then(|kept| kept.at(now)).cloned())
    }

    async fn put(
        &self,
        tenant: &TenantId,
        key: &str,
        value: &[u8],
        expected: ShelfExpected,
        lasting: Option<Millis>,
    ) -> Result<ShelfAnswer, ReadError> {
        check_value(tenant, key, value)?;
        let now = self.clock.now();
        let items = &mut self.shelved().items;
        let before = items.get(&key_of(tenant, key));
        let there = before.and_then(|kept| kept.at(now));
        let fits = match expected {
            ShelfExpected::Any => true,
            ShelfExpected::New => there.is_none(),
            ShelfExpected::Version(version) => there.is_some_and(|item| item.version == version),
        };
        if !fits {
            return Ok(ShelfAnswer::Differs(there.cloned()));
        }
        let version = before.map_or(1, |kept| kept.item.version + 1);
        let item = ShelfItem { key: key.to_string(), value: value.to_vec(), version, at: now };
        let expires_at = lasting.map(|lasting| now + lasting);
        items.insert(key_of(tenant, key), Kept { item, expires_at });
        Ok(ShelfAnswer::Kept(version))
    }

    async fn remove(&self, tenant: &TenantId, key: &str) -> Result<bool, ReadError> {
        check_key(key)?;
        let (now, mut shelved) = (self.clock.now(), self.shelved());
        let removed = shelved.items.remove(&key_of(tenant, key));
        Ok(removed.is_some_and(|kept| kept.at(now).is_some()))
    }

    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<ShelfItem>, ReadError> {
        let (now, shelved) = (self.clock.now(), self.shelved());
        let from = match after.filter(|after| *after >= prefix) {
            Some(after) => Bound::Excluded(key_of(tenant, after)),
            None => Bound::Included(key_of(tenant, prefix)),
        };
        let behind = shelved.items.range((from, Bound::Unbounded));
        let of_prefix = behind
            .take_while(|((owner, key), _)| owner == tenant && key.starts_with(prefix))
            .filter_map(|(_, kept)| kept.at(now));
        Ok(of_prefix.take(limit).cloned().collect())
    }

    async fn count(
        &self,
        tenant: &TenantId,
        key: &str,
        by: u64,
        at_least: u64,
    ) -> Result<u64, ReadError> {
        check_key(key)?;
        let mut shelved = self.shelved();
        let counter = shelved.counters.entry(key_of(tenant, key)).or_default();
        *counter = (*counter).max(at_least) + by;
        Ok(*counter)
    }

    async fn sweep(&self, limit: usize) -> Result<usize, ReadError> {
        let (now, mut shelved) = (self.clock.now(), self.shelved());
        let old = shelved.items.iter().filter(|(_, kept)| kept.at(now).is_none());
        let old: Vec<Key> = old.take(limit).map(|(key, _)| key.clone()).collect();
        for key in &old {
            shelved.items.remove(key);
        }
        Ok(old.len())
    }
}
