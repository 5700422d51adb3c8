//! The store that forgets: for tests, simulations and trials.
//!
//! It takes the same path as the others (drafts, committer, backend), but without a queue: an
//! append is done when its first poll returns, so a simulation stays in one thread.

mod audit;
mod backend;
mod lease;
mod shelf;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;

use self::backend::{MemoryBackend, Tables};
use self::shelf::Shelved;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::committer::Committer;
use crate::journal::fault::Faults;
use crate::journal::guard::Guard;
use crate::journal::request::Prepared;
use crate::journal::wake::Wakeups;
use crate::ports::{
    AppendError, AppendRequest, Appended, Clock, EventStore, LogHead, ReadError, Recorded, Restore,
};

/// Keeps events in memory. Clones of the `Arc` around it are its only handles.
pub struct MemoryStore {
    committer: Mutex<Committer<MemoryBackend>>,
    wakeups: Wakeups,
    guard: Arc<Guard>,
    clock: Arc<dyn Clock>,
    shelf: Mutex<Shelved>,
}

impl MemoryStore {
    /// An empty store that takes `rt` from the clock.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self::with_faults(clock, None)
    }

    /// An empty store whose commits can be made to fail.
    pub fn with_faults(clock: Arc<dyn Clock>, faults: Option<Arc<Faults>>) -> Self {
        let guard = Arc::new(Guard::open());
        let (backend, wakeups) = (MemoryBackend::default(), Wakeups::new(Position(0)));
        let committer = Committer::new(backend, Arc::clone(&clock), Arc::clone(&guard), faults);
        Self { committer: Mutex::new(committer), wakeups, guard, clock, shelf: Mutex::default() }
    }

    /// The same store behind another guard.
    pub fn guarded(mut self, guard: Arc<Guard>) -> Self {
        self.lock().set_guard(Arc::clone(&guard));
        self.guard = guard;
        self
    }

    fn lock(&self) -> MutexGuard<'_, Committer<MemoryBackend>> {
        self.committer.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read<T>(&self, read: impl FnOnce(&Tables) -> T) -> T {
        read(self.lock().backend().tables())
    }
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.guard.check()?;
        let request = Prepared::new(request)?;
        let (outcome, head) = {
            let mut committer = self.lock();
            let outcome = committer.batch(vec![request]).pop();
            (outcome, committer.backend().tables().head())
        };
        self.wakeups.tell(head);
        outcome.unwrap_or_else(|| Err(AppendError::Unavailable("nothing was decided".into())))
    }

    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        Ok(self.read(|tables| tables.stream(tenant, stream, from_version, limit)))
    }

    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        Ok(self.read(|tables| tables.after(cursor, limit)))
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        Ok(self.read(|tables| tables.log(tenant, from, limit)))
    }

    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        Ok(self.read(|tables| tables.stream_names(tenant, prefix, before, limit)))
    }

    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        Ok(self.read(|tables| tables.open_streams(prefix, after, limit)))
    }

    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.read(Tables::head))
    }

    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        Ok(self.read(|tables| tables.log_head(tenant)))
    }

    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        Ok(self.read(Tables::log_heads))
    }

    async fn timeline(&self) -> Result<u64, ReadError> {
        Ok(self.read(Tables::timeline))
    }

    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.lock().begin_timeline(current)
    }

    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.wakeups.wait(cursor, timeout, || std::future::ready(Ok(self.read(Tables::head)))).await
    }
}

#[async_trait]
impl Restore for MemoryStore {
    async fn restore(&self, leaves: Vec<Arc<[u8]>>) -> Result<Position, AppendError> {
        let head = self.lock().restore(&leaves)?;
        self.wakeups.tell(head);
        Ok(head)
    }
}
