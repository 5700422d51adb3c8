//! When tokens were last used: noted on the shelf, at most once a minute for each.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use dagbook_events::ids::TenantId;
use dagbook_events::ports::{ReadError, Shelf, ShelfExpected};
use dagbook_events::time::{Millis, Timestamp};

/// Keys of last uses on the shelf begin with it; the token's id follows.
pub const USED_PREFIX: &str = "token-used/";
/// How exact it is.
const GRAIN: Millis = Millis::seconds(60);
/// How long it is kept.
const KEPT: Millis = Millis::seconds(400 * 24 * 3_600);

#[derive(Default)]
pub(super) struct LastUse(Mutex<Noted>);

#[derive(Default)]
struct Noted {
    last: BTreeMap<(TenantId, String), Timestamp>,
    unwritten: BTreeMap<(TenantId, String), Timestamp>,
}

impl LastUse {
    fn lock(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note(&self, tenant: &TenantId, token: &str, now: Timestamp) {
        let mut noted = self.lock();
        let key = (tenant.clone(), token.to_string());
        if noted.last.get(&key).is_some_and(|last| now.since(*last) < GRAIN) {
            return;
        }
        noted.last.insert(key.clone(), now);
        noted.unwritten.insert(key, now);
    }

    pub(super) async fn write(&self, shelf: &dyn Shelf) -> Result<(), ReadError> {
        let unwritten = std::mem::take(&mut self.lock().unwritten);
        for ((tenant, token), at) in unwritten {
            let key = format!("{USED_PREFIX}{token}");
            let value = at.0.to_string();
            let (any, kept) = (ShelfExpected::Any, Some(KEPT));
            shelf.put(&tenant, &key, value.as_bytes(), any, kept).await?;
        }
        Ok(())
    }
}
