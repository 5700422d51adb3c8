//! A store whose oldest events are read from the archive.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::leaves::{ArchivedLeaves, damaged};
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{
    AppendError, AppendRequest, Appended, Archive, ArchivedRange, EventStore, LogHead, ReadError,
    Recorded,
};

/// Reads what the store has let go from the archive, and everything else from the store.
///
/// The store is always asked first: its answer begins where it was asked to unless something has
/// gone. So whoever reads what is young pays nothing, and no process need be told when something
/// goes.
pub struct ArchivedStore {
    inner: Arc<dyn EventStore>,
    archive: Arc<dyn Archive>,
    leaves: Arc<ArchivedLeaves>,
}

impl ArchivedStore {
    /// A store with its archive.
    pub fn new(
        inner: Arc<dyn EventStore>,
        archive: Arc<dyn Archive>,
        leaves: Arc<ArchivedLeaves>,
    ) -> Self {
        Self { inner, archive, leaves }
    }
}

/// What comes next.
enum Next {
    /// These end the answer.
    Store(Vec<Recorded>),
    /// These have gone; there may be more behind them.
    Archive(Vec<Recorded>),
}

/// Takes the store's page where it begins at the wanted number, and asks the archive otherwise.
async fn next(
    page: Vec<Recorded>,
    begins: impl Fn(&Recorded) -> bool,
    range: impl Future<Output = Result<Option<ArchivedRange>, ReadError>>,
    missing: impl Fn(Position) -> ReadError,
    read: impl AsyncFnOnce(ArchivedRange) -> Result<Vec<Recorded>, ReadError>,
) -> Result<Next, ReadError> {
    if page.first().is_some_and(begins) {
        return Ok(Next::Store(page));
    }
    match (range.await?, page.first()) {
        (Some(range), _) => {
            let first = range.first;
            let events = read(range).await?;
            match events.is_empty() {
                true => Err(missing(first)),
                false => Ok(Next::Archive(events)),
            }
        }
        (None, None) => Ok(Next::Store(page)),
        (None, Some(first)) => Err(missing(first.position)),
    }
}

#[async_trait]
impl EventStore for ArchivedStore {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.inner.append(request).await
    }

    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let mut events: Vec<Recorded> = Vec::new();
        while events.len() < limit {
            let (from, want) =
                (from_version.saturating_add(events.len() as u64), limit - events.len());
            let found = next(
                self.inner.read_stream(tenant, stream, from, want).await?,
                |event| event.version == from,
                self.archive.range_of_stream(tenant, stream, from),
                |at| {
                    let what = format!("version {from} of {stream} is in no store and no archive");
                    damaged(at, what)
                },
                async |range| self.leaves.of_stream(&range, tenant, stream, from, want).await,
            );
            match found.await? {
                Next::Archive(page) => events.extend(page),
                Next::Store(page) => {
                    events.extend(page);
                    break;
                }
            }
        }
        Ok(events)
    }

    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let mut events: Vec<Recorded> = Vec::new();
        while events.len() < limit {
            let after = Position(cursor.0.saturating_add(events.len() as u64));
            let (from, want) = (Position(after.0.saturating_add(1)), limit - events.len());
            let found = next(
                self.inner.read_after(after, want).await?,
                |event| event.position == from,
                self.archive.range_of(from),
                |at| damaged(at, format!("position {from} is in no store and no archive")),
                async |range| self.leaves.from_position(&range, from, want).await,
            );
            match found.await? {
                Next::Archive(page) => events.extend(page),
                Next::Store(page) => {
                    events.extend(page);
                    break;
                }
            }
        }
        Ok(events)
    }

    fn recent(&self, cursor: Position) -> Vec<Recorded> {
        self.inner.recent(cursor)
    }

    fn recent_of(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        reached: Position,
    ) -> Vec<Recorded> {
        self.inner.recent_of(tenant, stream, from_version, reached)
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let mut events: Vec<Recorded> = Vec::new();
        while events.len() < limit {
            let (leaf, want) = (from.saturating_add(events.len() as u64), limit - events.len());
            let found = next(
                self.inner.read_log(tenant, leaf, want).await?,
                |event| event.tenant_sequence == leaf,
                self.archive.range_of_leaf(tenant, leaf),
                |at| damaged(at, format!("leaf {leaf} of {tenant} is in no store and no archive")),
                async |range| self.leaves.of_log(&range, tenant, leaf, want).await,
            );
            match found.await? {
                Next::Archive(page) => events.extend(page),
                Next::Store(page) => {
                    events.extend(page);
                    break;
                }
            }
        }
        Ok(events)
    }

    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.inner.streams(tenant, prefix, before, limit).await
    }

    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        self.inner.open_streams(prefix, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.inner.head().await
    }

    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        self.inner.log_head(tenant).await
    }

    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.inner.log_heads().await
    }

    async fn timeline(&self) -> Result<u64, ReadError> {
        self.inner.timeline().await
    }

    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.inner.begin_timeline(current).await
    }

    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.inner.wait_beyond(cursor, timeout).await
    }
}
