//! The raw rows, for `verify`: nothing is checked or repaired on the way.

use async_trait::async_trait;
use rusqlite::params;

use super::SqliteStore;
use super::read::unreadable;
use super::write::unsigned;
use crate::ids::Position;
use crate::journal::verify::{AuditSource, RawEvent, RawHead, RawTenant};
use crate::ports::ReadError;

#[async_trait]
impl AuditSource for SqliteStore {
    async fn raw_counters(&self) -> Result<(RawHead, Vec<RawTenant>), ReadError> {
        self.readers
            .run(|reader| {
                // One transaction, so that both are of the same instant.
                let snapshot = reader.connection.unchecked_transaction().map_err(unreadable)?;
                let head = snapshot
                    .query_row(include_str!("sql/head_read.sql"), [], read_head)
                    .map_err(unreadable)?;
                let sql = include_str!("sql/audit_tenants.sql");
                let mut statement = snapshot.prepare_cached(sql).map_err(unreadable)?;
                let rows = statement.query_map([], read_tenant).map_err(unreadable)?;
                let tenants = rows.collect::<Result<_, _>>().map_err(unreadable)?;
                Ok((head, tenants))
            })
            .await
    }

    async fn raw_events(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        let bound = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        let (after, limit) = (bound(after.0), bound(limit as u64));
        let read = |row: &rusqlite::Row<'_>| {
            Ok(RawEvent {
                position: unsigned(row, 0)?,
                tenant: row.get(1)?,
                tenant_sequence: unsigned(row, 2)?,
                stream: row.get(3)?,
                version: unsigned(row, 4)?,
                leaf_hash: row.get(5)?,
                leaf: row.get(6)?,
            })
        };
        self.readers
            .run(move |reader| {
                let sql = include_str!("sql/audit_events.sql");
                let mut statement = reader.connection.prepare_cached(sql).map_err(unreadable)?;
                let rows = statement.query_map(params![after, limit], read);
                rows.and_then(Iterator::collect).map_err(unreadable)
            })
            .await
    }
}

fn read_head(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawHead> {
    let (timeline, position) = (unsigned(row, 0)?, unsigned(row, 1)?);
    Ok(RawHead { timeline, position, recorded_at: row.get(2)? })
}

fn read_tenant(row: &rusqlite::Row<'_>) -> rusqlite::Result<RawTenant> {
    let (name, frontier) = (row.get(0)?, row.get(2)?);
    Ok(RawTenant { name, size: unsigned(row, 1)?, frontier })
}
