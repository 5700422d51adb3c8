//! The writing side: one connection, on the thread of the committer.

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, params};

use super::open::Database;
use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::backend::{
    Backend, BackendFault, CommitFault, Freshness, Head, KeptKey, Ref, Row,
};
use crate::time::Timestamp;
use crate::tlog::Frontier;

type Answer<T> = Result<T, BackendFault>;

pub(super) struct SqliteBackend {
    database: Database,
    connection: Connection,
    /// `PRAGMA data_version` of the last transaction: it changes when someone else commits.
    data_version: Option<i64>,
}

impl SqliteBackend {
    pub(super) fn open(database: Database) -> Answer<Self> {
        let connection = database.writer().map_err(fault)?;
        Ok(Self { database, connection, data_version: None })
    }

    fn execute(&self, sql: &str, params: impl Params) -> Answer<()> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        statement.execute(params).map_err(fault)?;
        Ok(())
    }

    fn row<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
    ) -> Answer<Option<T>> {
        let mut statement = self.connection.prepare_cached(sql).map_err(fault)?;
        statement.query_row(params, read).optional().map_err(fault)
    }
}

impl Backend for SqliteBackend {
    fn begin(&mut self) -> Answer<Freshness> {
        if !self.connection.is_autocommit() {
            // A transaction that could not be rolled back: only a new connection is rid of it.
            self.reopen()?;
        }
        self.execute("BEGIN IMMEDIATE", [])?;
        let now: Option<i64> = self.row("PRAGMA data_version", [], |row| row.get(0))?;
        let fresh = now.is_some() && now == self.data_version;
        self.data_version = now;
        Ok(if fresh { Freshness::Unchanged } else { Freshness::Unknown })
    }

    fn head(&mut self) -> Answer<Head> {
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Head {
                timeline: unsigned(row, 0)?,
                position: Position(unsigned(row, 1)?),
                recorded_at: Timestamp(row.get(2)?),
            })
        };
        self.row(include_str!("sql/head_read.sql"), [], read)?
            .ok_or_else(|| BackendFault::Corrupt("the row of counters is missing".to_string()))
    }

    fn tenant(&mut self, name: &TenantId) -> Answer<Option<(Ref, Frontier)>> {
        let found = self.row(include_str!("sql/tenant_read.sql"), [name.as_str()], |row| {
            let frontier = row.get_ref(2)?.as_blob()?;
            Ok((row.get(0)?, Frontier::from_bytes(unsigned(row, 1)?, frontier)))
        })?;
        match found {
            None => Ok(None),
            Some((reference, Ok(frontier))) => Ok(Some((reference, frontier))),
            Some((_, Err(error))) => {
                Err(BackendFault::Corrupt(format!("the log of tenant {name}: {error}")))
            }
        }
    }

    fn create_tenant(&mut self, name: &TenantId) -> Answer<Ref> {
        self.execute(include_str!("sql/tenant_create.sql"), [name.as_str()])?;
        Ok(self.connection.last_insert_rowid())
    }

    fn stream(&mut self, tenant: Ref, name: &StreamName) -> Answer<Option<(Ref, u64)>> {
        let sql = include_str!("sql/stream_read.sql");
        self.row(sql, params![tenant, name.as_str()], |row| Ok((row.get(0)?, unsigned(row, 1)?)))
    }

    fn create_stream(&mut self, tenant: Ref, name: &StreamName) -> Answer<Ref> {
        self.execute(include_str!("sql/stream_create.sql"), params![tenant, name.as_str()])?;
        Ok(self.connection.last_insert_rowid())
    }

    fn key(&mut self, tenant: Ref, key: &str) -> Answer<Option<KeptKey>> {
        self.row(include_str!("sql/key_read.sql"), params![tenant, key], |row| {
            Ok(KeptKey {
                content: Sha256Digest(row.get(0)?),
                first: Position(unsigned(row, 1)?),
                last: Position(unsigned(row, 2)?),
                recorded_at: Timestamp(row.get(3)?),
            })
        })
    }

    fn keep_key(&mut self, tenant: Ref, key: &str, kept: &KeptKey) -> Answer<()> {
        let KeptKey { content, first, last, recorded_at } = kept;
        let (first, last) = (signed(first.0)?, signed(last.0)?);
        self.execute(
            include_str!("sql/key_write.sql"),
            params![tenant, key, content.0, first, last, recorded_at.0],
        )
    }

    fn insert(&mut self, row: Row) -> Answer<()> {
        self.execute(
            include_str!("sql/event_insert.sql"),
            params![
                signed(row.position.0)?,
                row.tenant,
                signed(row.tenant_sequence)?,
                row.stream,
                signed(row.version)?,
                row.leaf_hash.0,
                row.leaf
            ],
        )
    }

    fn set_tenant(&mut self, tenant: Ref, frontier: &Frontier) -> Answer<()> {
        let params = params![tenant, signed(frontier.size())?, frontier.to_bytes()];
        self.execute(include_str!("sql/tenant_write.sql"), params)
    }

    fn set_head(&mut self, head: &Head) -> Answer<()> {
        let (timeline, position) = (signed(head.timeline)?, signed(head.position.0)?);
        let params = params![timeline, position, head.recorded_at.0];
        self.execute(include_str!("sql/head_write.sql"), params)
    }

    /// A commit that fails and leaves the transaction open has kept nothing. Where SQLite has
    /// closed the transaction by itself (an error of the disk), only the file can tell.
    fn commit(&mut self) -> Result<(), CommitFault> {
        match self.execute("COMMIT", []) {
            Ok(()) => Ok(()),
            Err(fault) if !self.connection.is_autocommit() => Err(CommitFault::NotCommitted(fault)),
            Err(BackendFault::Unavailable(reason) | BackendFault::Corrupt(reason)) => {
                Err(CommitFault::AnswerLost(reason))
            }
        }
    }

    fn rollback(&mut self) {
        if !self.connection.is_autocommit() {
            // If it fails, `begin` sees the open transaction and connects anew.
            let _ = self.execute("ROLLBACK", []);
        }
    }

    fn reopen(&mut self) -> Answer<()> {
        self.data_version = None;
        self.connection = self.database.writer().map_err(fault)?;
        Ok(())
    }

    fn leaf_hash_at(&mut self, position: Position) -> Answer<Option<Sha256Digest>> {
        let position = signed(position.0)?;
        let sql = include_str!("sql/event_hash.sql");
        self.row(sql, [position], |row| row.get(0).map(Sha256Digest))
    }
}

/// A number that must not be negative.
pub(super) fn unsigned(row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<u64> {
    let value: i64 = row.get(column)?;
    u64::try_from(value).map_err(|error| {
        rusqlite::Error::FromSqlConversionFailure(column, Type::Integer, Box::new(error))
    })
}

/// A number as SQLite keeps it.
fn signed(value: u64) -> Answer<i64> {
    i64::try_from(value).map_err(|_| BackendFault::Corrupt(format!("{value} is out of range")))
}

/// Tells damage from what may pass.
pub(super) fn fault(error: rusqlite::Error) -> BackendFault {
    let damaged = match &error {
        rusqlite::Error::SqliteFailure(failure, _) => matches!(
            failure.code,
            ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation
        ),
        rusqlite::Error::FromSqlConversionFailure(..)
        | rusqlite::Error::InvalidColumnType(..)
        | rusqlite::Error::IntegralValueOutOfRange(..) => true,
        _ => false,
    };
    match damaged {
        true => BackendFault::Corrupt(error.to_string()),
        false => BackendFault::Unavailable(error.to_string()),
    }
}
