//! Opening the file: pragmas, and migrations under a lock.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};

use super::super::migrating::bring_up_to_date;
use super::schema::{SqliteSchema, sqlite_schema};
use crate::journal::backend::BackendFault;
use crate::ports::ReadError;

pub(super) mod migrations {
    refinery::embed_migrations!("../migrations/sqlite");
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file or its lock cannot be used.
    #[error("cannot open the record {path}: {reason}")]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        reason: String,
    },
    /// A later program was here.
    #[error(
        "{path} has schema {database}, and this program knows schemas up to {program} only: a \
         newer program has migrated it; use that one"
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// The schema there.
        database: u32,
        /// The newest one that is known here.
        program: u32,
    },
    /// The schema cannot be brought up to date.
    #[error("cannot bring the schema of {path} up to date: {reason}")]
    Schema {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// What it holds cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The database refuses.
    #[error("the record is not usable: {0}")]
    Database(String),
    /// No thread for the writer.
    #[error("cannot start the writer: {0}")]
    Thread(String),
}

impl From<BackendFault> for OpenError {
    fn from(fault: BackendFault) -> Self {
        match fault {
            BackendFault::Unavailable(reason)
            | BackendFault::Unreachable(reason)
            | BackendFault::Corrupt(reason) => Self::Database(reason),
        }
    }
}

/// A file whose schema is up to date.
#[derive(Debug, Clone)]
pub(super) struct Database {
    path: PathBuf,
    busy_timeout: Duration,
}

impl Database {
    /// Makes the file if need be, and migrates it. A lock file beside it keeps two processes
    /// that start together apart, because the migration runner takes no lock.
    pub(super) fn prepare(path: &Path, busy_timeout: Duration) -> Result<Self, OpenError> {
        let this = Self { path: path.to_path_buf(), busy_timeout };
        let file = |reason: String| OpenError::File { path: path.to_path_buf(), reason };
        let mut lock_path = path.as_os_str().to_os_string();
        lock_path.push(".lock");
        let lock = File::create(&lock_path).map_err(|error| file(error.to_string()))?;
        lock.lock().map_err(|error| file(error.to_string()))?;
        let schema = sqlite_schema(path).map_err(|error| file(error.to_string()))?;
        if schema.database > schema.program {
            let SqliteSchema { database, program, .. } = schema;
            return Err(OpenError::Newer { path: path.to_path_buf(), database, program });
        }
        let mut connection = this.connect(true).map_err(|error| file(error.to_string()))?;
        let runner = migrations::migrations::runner;
        bring_up_to_date(runner, &mut connection, schema.database).map_err(|error| {
            let reason = error.to_string();
            OpenError::Schema { path: path.to_path_buf(), reason }
        })?;
        Ok(this)
    }

    pub(super) fn writer(&self) -> rusqlite::Result<Connection> {
        self.connect(true)
    }

    pub(super) fn reader(&self) -> rusqlite::Result<Connection> {
        self.connect(false)
    }

    fn connect(&self, write: bool) -> rusqlite::Result<Connection> {
        let access = match write {
            true => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
            false => OpenFlags::SQLITE_OPEN_READ_ONLY,
        };
        // Each connection stays on one thread at a time, so SQLite's own locks are not needed.
        let connection =
            Connection::open_with_flags(&self.path, access | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
        connection.busy_timeout(self.busy_timeout)?;
        connection.set_prepared_statement_cache_capacity(32);
        if write {
            connection.pragma_update(None, "journal_mode", "wal")?;
            connection.pragma_update(None, "synchronous", "full")?;
            connection.pragma_update(None, "foreign_keys", "on")?;
            // An append touches five pages; with the default of 1,000 every 200th would pay
            // for a checkpoint of the file.
            connection.pragma_update(None, "wal_autocheckpoint", 4_000)?;
        }
        connection.pragma_update(None, "trusted_schema", "off")?;
        connection.pragma_update(None, "cache_size", -16_384)?;
        Ok(connection)
    }
}
