//! The writing side: one connection, on the thread of the committer.

use rusqlite::types::Type;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Params, params};

use super::open::Database;
use crate::digest::Sha256Digest;
use crate::ids::{Position, StreamName, TenantId};
use crate::journal::backend::{
    Backend, BackendFault, CommitFault, Ending, Found, Freshness, Head, KeptKey, KeyWrite, Row,
    Snapshot, StoredStream, StoredTenant, StreamWrite, TenantWrite, Wanted, Write,
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

impl SqliteBackend {
    /// Opens a transaction with the write lock.
    fn lock(&mut self) -> Answer<Freshness> {
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

    fn head(&self) -> Answer<Head> {
        let read = |row: &rusqlite::Row<'_>| {
            Ok(Head {
                timeline: unsigned(row, 0)?,
                position: Position(unsigned(row, 1)?),
                recorded_at: Timestamp(row.get(2)?),
                tenants: row.get(3)?,
                streams: row.get(4)?,
                generation: 0,
            })
        };
        self.row(include_str!("sql/counters_read.sql"), [], read)?
            .ok_or_else(|| BackendFault::Corrupt("the row of counters is missing".to_string()))
    }

    fn tenant(&self, name: &TenantId) -> Answer<Option<StoredTenant>> {
        let found = self.row(include_str!("sql/tenant_read.sql"), [name.as_str()], |row| {
            let frontier = row.get_ref(2)?.as_blob()?;
            Ok((row.get(0)?, Frontier::from_bytes(unsigned(row, 1)?, frontier)))
        })?;
        match found {
            None => Ok(None),
            Some((reference, Ok(log))) => Ok(Some(StoredTenant { reference, log })),
            Some((_, Err(error))) => {
                Err(BackendFault::Corrupt(format!("the log of tenant {name}: {error}")))
            }
        }
    }

    fn stream(&self, tenant: &str, name: &StreamName) -> Answer<Option<StoredStream>> {
        let sql = include_str!("sql/stream_read.sql");
        self.row(sql, params![tenant, name.as_str()], |row| {
            Ok(StoredStream { reference: row.get(0)?, size: unsigned(row, 1)? })
        })
    }

    fn key(&self, tenant: &str, key: &str) -> Answer<Option<KeptKey>> {
        self.row(include_str!("sql/key_read.sql"), params![tenant, key], |row| {
            Ok(KeptKey {
                content: Sha256Digest(row.get(0)?),
                first: Position(unsigned(row, 1)?),
                last: Position(unsigned(row, 2)?),
                recorded_at: Timestamp(row.get(3)?),
            })
        })
    }

    fn epoch(&self, lease: &str) -> Answer<Option<u64>> {
        self.row(include_str!("sql/lease_read.sql"), [lease], |row| unsigned(row, 0))
    }

    fn write_tenant(&self, tenant: &TenantWrite<'_>) -> Answer<()> {
        let (size, frontier) = (signed(tenant.log.size())?, tenant.log.to_bytes());
        match tenant.created {
            true => self.execute(
                include_str!("sql/tenant_create.sql"),
                params![tenant.reference, tenant.name.as_str(), size, frontier],
            ),
            false => self.execute(
                include_str!("sql/tenant_write.sql"),
                params![tenant.reference, size, frontier],
            ),
        }
    }

    fn create_stream(&self, stream: &StreamWrite<'_>) -> Answer<()> {
        let params = params![stream.reference, stream.tenant, stream.name.as_str()];
        self.execute(include_str!("sql/stream_create.sql"), params)
    }

    fn keep_key(&self, key: &KeyWrite<'_>) -> Answer<()> {
        let KeptKey { content, first, last, recorded_at } = key.kept;
        let (first, last) = (signed(first.0)?, signed(last.0)?);
        self.execute(
            include_str!("sql/key_write.sql"),
            params![key.tenant, &**key.text, content.0, first, last, recorded_at.0],
        )
    }

    fn insert(&self, row: &Row, leaf: &[u8]) -> Answer<()> {
        self.execute(
            include_str!("sql/event_insert.sql"),
            params![
                signed(row.position.0)?,
                row.tenant,
                signed(row.tenant_sequence)?,
                row.stream,
                signed(row.version)?,
                row.leaf_hash.0,
                leaf
            ],
        )
    }

    fn write_all(&self, write: &Write<'_>) -> Answer<()> {
        write.tenants.iter().try_for_each(|tenant| self.write_tenant(tenant))?;
        let created = write.streams.iter().filter(|stream| stream.created);
        created.into_iter().try_for_each(|stream| self.create_stream(stream))?;
        let mut closed = write.streams.iter().filter(|stream| stream.closes);
        closed
            .try_for_each(|s| self.execute(include_str!("sql/stream_close.sql"), [s.reference]))?;
        let mut events = write.rows.iter().zip(&write.leaves);
        events.try_for_each(|(row, leaf)| self.insert(row, leaf))?;
        write.keys.iter().try_for_each(|key| self.keep_key(key))?;
        let Head { timeline, position, recorded_at, .. } = write.head;
        let params = params![signed(timeline)?, signed(position.0)?, recorded_at.0];
        self.execute(include_str!("sql/head_write.sql"), params)
    }

    /// A commit that fails and leaves the transaction open has kept nothing. Where SQLite has
    /// closed the transaction by itself (an error of the disk), only the file can tell.
    fn commit(&mut self) -> Result<(), CommitFault> {
        match self.execute("COMMIT", []) {
            Ok(()) => Ok(()),
            Err(fault) if !self.connection.is_autocommit() => Err(CommitFault::NotCommitted(fault)),
            Err(
                BackendFault::Unavailable(reason)
                | BackendFault::Unreachable(reason)
                | BackendFault::Corrupt(reason),
            ) => Err(CommitFault::AnswerLost(reason)),
        }
    }
}

impl Backend for SqliteBackend {
    fn begin(&mut self, wanted: &Wanted<'_>) -> Answer<Snapshot> {
        let freshness = self.lock()?;
        let holds = freshness == Freshness::Unchanged;
        let head = match wanted.head.filter(|_| holds) {
            Some(head) => head,
            None => self.head()?,
        };
        let tenants = wanted.tenants.iter().map(|tenant| match holds && tenant.known {
            true => Ok(Found::AsRemembered),
            false => self.tenant(tenant.name).map(Found::from),
        });
        let name_of = |at: usize| wanted.tenants[at].name.as_str();
        let streams = wanted.streams.iter().map(|stream| match holds && stream.known {
            true => Ok(Found::AsRemembered),
            false => self.stream(name_of(stream.tenant), stream.name).map(Found::from),
        });
        let keys = wanted.keys.iter().map(|key| self.key(name_of(key.tenant), key.text));
        let leases = wanted.leases.iter().map(|lease| match holds && lease.known {
            true => Ok(Found::AsRemembered),
            false => self.epoch(lease.name).map(Found::from),
        });
        Ok(Snapshot {
            freshness,
            head,
            tenants: tenants.collect::<Answer<_>>()?,
            streams: streams.collect::<Answer<_>>()?,
            keys: keys.collect::<Answer<_>>()?,
            leases: leases.collect::<Answer<_>>()?,
        })
    }

    fn write(&mut self, write: &Write<'_>, ending: Ending) -> Result<(), CommitFault> {
        self.write_all(write)?;
        match ending {
            Ending::Commit => self.commit(),
            Ending::TakeBack => {
                self.rollback();
                Ok(())
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
