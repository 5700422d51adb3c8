//! The store in one SQLite file: WAL, `synchronous=FULL`, one writer thread per handle, any
//! number of handles and processes.

mod audit;
mod health;
mod lease;
mod open;
mod read;
mod schema;
mod shelf;
mod upkeep;
mod write;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

pub use self::health::{SqliteHealth, health};
pub use self::open::OpenError;
use self::read::Readers;
pub use self::schema::{SqliteSchema, sqlite_schema};
use self::write::SqliteBackend;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::committer::{Committer, Fresh};
use crate::journal::fault::Faults;
use crate::journal::group_commit::{GroupCommit, QueueLimits};
use crate::journal::guard::Guard;
use crate::journal::request::Prepared;
use crate::journal::wake::Wakeups;
use crate::ports::{
    AppendError, AppendRequest, Appended, Clock, EventStore, LogHead, ReadError, Recorded, Restore,
};

/// How to open a store.
#[derive(Clone)]
pub struct SqliteOptions {
    /// The file; made if it is not there. Its folder must be.
    pub path: PathBuf,
    /// Where `rt` comes from.
    pub clock: Arc<dyn Clock>,
    /// Whether it may be added to.
    pub guard: Arc<Guard>,
    /// Commits that shall fail, for tests.
    pub faults: Option<Arc<Faults>>,
    /// Bytes of events that may wait for the writer.
    pub queue_bytes: usize,
    /// How long an append waits for room in the queue before it is told to come back.
    pub queue_deadline: Duration,
    /// How long the writer waits for other processes' transactions.
    pub busy_timeout: Duration,
}

impl SqliteOptions {
    /// The usual: 64 MiB of queue, two seconds for room in it, ten for other processes.
    pub fn new(path: impl Into<PathBuf>, clock: Arc<dyn Clock>) -> Self {
        Self {
            path: path.into(),
            clock,
            guard: Arc::new(Guard::open()),
            faults: None,
            queue_bytes: 64 * 1024 * 1024,
            queue_deadline: Duration::from_secs(2),
            busy_timeout: Duration::from_secs(10),
        }
    }
}

/// Keeps events in one SQLite file.
pub struct SqliteStore {
    writer: GroupCommit,
    readers: Readers,
    wakeups: Wakeups,
    guard: Arc<Guard>,
    database: open::Database,
    clock: Arc<dyn Clock>,
    shelf: shelf::ShelfConnection,
    fresh: Fresh,
}

impl SqliteStore {
    /// Opens the file, makes it if need be, and brings its schema up to date. Blocks.
    pub fn open(options: SqliteOptions) -> Result<Self, OpenError> {
        let database = open::Database::prepare(&options.path, options.busy_timeout)?;
        let backend = SqliteBackend::open(database.clone())?;
        let readers = Readers::open(database.clone())?;
        let head = readers.now(|reader| reader.head()).map_err(OpenError::from)?;
        let wakeups = Wakeups::new(head);
        let SqliteOptions { clock, guard, faults, .. } = options;
        let mut committer = Committer::new(backend, Arc::clone(&clock), Arc::clone(&guard), faults);
        let fresh = committer.fresh();
        let limits = QueueLimits { bytes: options.queue_bytes, deadline: options.queue_deadline };
        let writer = GroupCommit::start(committer, limits, wakeups.teller())
            .map_err(|error| OpenError::Thread(error.to_string()))?;
        let shelf = shelf::ShelfConnection::new(database.clone());
        Ok(Self { writer, readers, wakeups, guard, database, clock, shelf, fresh })
    }
}

#[async_trait]
impl EventStore for SqliteStore {
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
        let (tenant, stream) = (tenant.clone(), stream.clone());
        self.readers.run(move |reader| reader.stream(&tenant, &stream, from_version, limit)).await
    }

    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        self.readers.run(move |reader| reader.after(cursor, limit)).await
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
        let tenant = tenant.clone();
        self.readers.run(move |reader| reader.log(&tenant, from, limit)).await
    }

    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        let (tenant, prefix, before) = (tenant.clone(), prefix.to_string(), before.cloned());
        let read = move |reader: &mut read::Reader| {
            reader.stream_names(&tenant, &prefix, before.as_ref(), limit)
        };
        self.readers.run(read).await
    }

    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        let prefix = prefix.to_string();
        let after = after.map(|(tenant, stream)| (tenant.clone(), stream.clone()));
        self.readers.run(move |reader| reader.open_streams(&prefix, after.as_ref(), limit)).await
    }

    async fn head(&self) -> Result<Position, ReadError> {
        self.readers.run(|reader| reader.head()).await
    }

    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        let tenant = tenant.clone();
        self.readers.run(move |reader| reader.log_head(&tenant)).await
    }

    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.readers.run(|reader| reader.log_heads()).await
    }

    async fn timeline(&self) -> Result<u64, ReadError> {
        self.readers.run(|reader| reader.timeline()).await
    }

    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.writer.begin_timeline(current).await
    }

    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        let look = || self.readers.run(|reader| reader.head());
        self.wakeups.wait(cursor, timeout, look).await
    }
}

#[async_trait]
impl Restore for SqliteStore {
    async fn restore(&self, leaves: Vec<Arc<[u8]>>) -> Result<Position, AppendError> {
        self.writer.restore(leaves).await
    }
}
