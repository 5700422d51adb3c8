//! The store in Postgres: one writer connection for each handle, any number of handles and
//! processes, readers from a pool, and an ear for what others append.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use async_trait::async_trait;

use super::counters::{Counters, PostgresCounters};
use super::listen::Listener;
use super::migrate::check_schema;
use super::options::{PostgresOpenError, PostgresOptions};
use super::pool::Readers;
use super::read::Reading;
use super::url::PostgresUrl;
use super::writer::{PostgresBackend, WriterOptions};
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::committer::{Committer, Fresh};
use crate::journal::group_commit::{GroupCommit, QueueLimits};
use crate::journal::guard::Guard;
use crate::journal::request::Prepared;
use crate::journal::wake::Wakeups;
use crate::ports::{
    AppendError, AppendRequest, Appended, EventStore, LogHead, ReadError, Recorded, Restore,
};

/// Whole partitions that there are ahead of the head when a store is opened that is not empty.
const PARTITIONS_AHEAD: i32 = 2;

/// Keeps events in a Postgres database.
pub struct PostgresStore {
    writer: GroupCommit,
    reading: Arc<Reading>,
    wakeups: Arc<Wakeups>,
    guard: Arc<Guard>,
    counters: Arc<Counters>,
    fresh: Fresh,
    _listener: Listener,
}

impl PostgresStore {
    /// Opens a record whose schema is there; `migrate` makes it. Needs a runtime, on which it
    /// listens until it is dropped.
    ///
    /// # Errors
    /// Where the server cannot be reached or refuses, or the schema is not the one of this
    /// program.
    pub async fn open(options: PostgresOptions) -> Result<Self, PostgresOpenError> {
        let server = options.url.redacted();
        let partition_width = match i64::try_from(options.partition_width) {
            Ok(width) if width > 0 => width,
            _ => {
                let reason = "a partition holds at least one position".to_string();
                return Err(PostgresOpenError::Option { server, reason });
            }
        };
        if !options.schema_is_known {
            check(options.url.clone()).await?;
        }
        let readers = Readers::new(&options.url, options.readers)?;
        let reading = Arc::new(Reading::new(readers));
        let unreadable = |reason| PostgresOpenError::Read { server: server.clone(), reason };
        let (_, head) = reading.head().await.map_err(unreadable)?;
        // In an empty record the first is enough for now; the writer makes the others.
        let ahead = if head.0 == 0 { 0 } else { PARTITIONS_AHEAD };
        // A role that may only read makes none and needs none; whoever appends without them
        // hears why they cannot be made.
        let partitions_end = partitions_ahead(&reading, partition_width, ahead).await.unwrap_or(0);
        let (wakeups, counters) = (Arc::new(Wakeups::new(head)), Arc::new(Counters::default()));
        let process = Arc::new(AtomicI32::new(0));
        let PostgresOptions { url, clock, guard, faults, .. } = options;
        let writer = WriterOptions {
            url: url.clone(),
            answer_timeout: options.answer_timeout,
            resolve_deadline: options.resolve_deadline,
            partition_width,
            partitions_end,
            process: Arc::clone(&process),
        };
        let backend = PostgresBackend::new(writer, Arc::clone(&counters));
        let mut committer = Committer::new(backend, clock, Arc::clone(&guard), faults);
        let fresh = committer.fresh();
        let limits = QueueLimits { bytes: options.queue_bytes, deadline: options.queue_deadline };
        let writer = GroupCommit::start(committer, limits, wakeups.teller())
            .map_err(|error| PostgresOpenError::Thread(error.to_string()))?;
        let _listener = Listener::start(url, Arc::clone(&reading), Arc::clone(&wakeups), process);
        Ok(Self { writer, reading, wakeups, guard, counters, fresh, _listener })
    }

    /// What its writer has cost so far.
    pub fn counters(&self) -> PostgresCounters {
        self.counters.read()
    }

    pub(super) fn reading(&self) -> &Reading {
        &self.reading
    }
}

impl Drop for PostgresStore {
    fn drop(&mut self) {
        self.reading.readers.close();
    }
}

/// The client that looks at schemas blocks.
async fn check(url: PostgresUrl) -> Result<(), PostgresOpenError> {
    let looked = tokio::task::spawn_blocking(move || check_schema(&url)).await;
    Ok(looked.map_err(|error| PostgresOpenError::Thread(error.to_string()))??)
}

async fn partitions_ahead(reading: &Reading, width: i64, ahead: i32) -> Result<i64, ReadError> {
    let sql = include_str!("sql/partitions_ahead.sql");
    let rows = reading.readers.rows(sql, &[&width, &ahead]).await?;
    let end = rows.first().and_then(|row| row.try_get(0).ok());
    end.ok_or_else(|| ReadError::Unavailable("nothing is known of partitions".to_string()))
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.guard.check()?;
        self.writer.append(Prepared::new(request)?).await
    }

    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.reading.stream(tenant, stream, from_version, limit).await
    }

    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let known = self.wakeups.known();
        let events = self.reading.after(cursor, limit).await?;
        if events.is_empty() && limit > 0 && cursor < known {
            let (_, head) = self.reading.head().await?;
            self.wakeups.believe(known, head);
        }
        Ok(events)
    }

    fn recent(&self, cursor: Position) -> Vec<Recorded> {
        self.fresh.behind(cursor)
    }

    fn recent_of(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        reached: Position,
    ) -> Vec<Recorded> {
        self.fresh.stream((tenant, stream), from_version, reached)
    }

    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.reading.log(tenant, from, limit).await
    }

    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.reading.stream_names(tenant, prefix, before, limit).await
    }

    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        self.reading.open_streams(prefix, after, limit).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        let (_, head) = self.reading.head().await?;
        self.wakeups.saw(head).await;
        Ok(head)
    }

    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        self.reading.log_head(tenant).await
    }

    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.reading.log_heads().await
    }

    async fn timeline(&self) -> Result<u64, ReadError> {
        Ok(self.reading.head().await?.0)
    }

    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.writer.begin_timeline(current).await
    }

    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        let look = async || Ok(self.reading.head().await?.1);
        self.wakeups.wait(cursor, timeout, look).await
    }
}

#[async_trait]
impl Restore for PostgresStore {
    async fn restore(&self, leaves: Vec<Arc<[u8]>>) -> Result<Position, AppendError> {
        self.writer.restore(leaves).await
    }
}
