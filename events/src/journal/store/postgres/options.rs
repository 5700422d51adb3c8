//! How to open a store in Postgres, and why it may not open.

use std::sync::Arc;
use std::time::Duration;

use super::migrate::MigrateError;
use super::url::{PostgresUrl, PostgresUrlError};
use crate::journal::fault::Faults;
use crate::journal::guard::Guard;
use crate::ports::{Clock, ReadError};

/// How to open a store.
#[derive(Clone)]
pub struct PostgresOptions {
    /// The database; its schema must be there.
    pub url: PostgresUrl,
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
    /// How long the server may take for one answer to the writer; the lock of another writer is
    /// waited for at most half as long.
    pub answer_timeout: Duration,
    /// How long the writer tries to find out what became of a commit whose answer was lost
    /// before it says that nobody knows.
    pub resolve_deadline: Duration,
    /// Connections for readers, at most.
    pub readers: usize,
    /// Positions in one partition of the events.
    pub partition_width: u64,
    /// Whether the schema was brought up to date, and so compared, just before.
    pub schema_is_known: bool,
}

impl PostgresOptions {
    /// The usual: 64 MiB of queue, two seconds for room in it, twenty for an answer, ten to
    /// find out about a lost one, eight readers, ten million events in a partition.
    pub fn new(url: PostgresUrl, clock: Arc<dyn Clock>) -> Self {
        Self {
            url,
            clock,
            guard: Arc::new(Guard::open()),
            faults: None,
            queue_bytes: 64 * 1024 * 1024,
            queue_deadline: Duration::from_secs(2),
            answer_timeout: Duration::from_secs(20),
            resolve_deadline: Duration::from_secs(10),
            readers: 8,
            partition_width: 10_000_000,
            schema_is_known: false,
        }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum PostgresOpenError {
    /// The address or its certificates.
    #[error(transparent)]
    Url(#[from] PostgresUrlError),
    /// The schema is missing, older, newer or another; or the server cannot be asked.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// What it holds cannot be read.
    #[error("cannot open the record {server}: {reason}")]
    Read {
        /// The address, without its password.
        server: String,
        /// Why.
        reason: ReadError,
    },
    /// An option is out of range.
    #[error("cannot open the record {server}: {reason}")]
    Option {
        /// The address, without its password.
        server: String,
        /// Which, and what it must be.
        reason: String,
    },
    /// No thread for the writer.
    #[error("cannot start the writer: {0}")]
    Thread(String),
}
