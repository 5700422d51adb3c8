//! The raw rows, for `verify`: nothing is checked or repaired on the way.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::names::{corrupt, damaged};
use super::read::bound;
use super::store::PostgresStore;
use super::writer::{get, unsigned};
use crate::ids::Position;
use crate::journal::backend::BackendFault;
use crate::journal::verify::{AuditSource, RawEvent, RawHead, RawTenant};
use crate::ports::ReadError;

#[async_trait]
impl AuditSource for PostgresStore {
    async fn raw_counters(&self) -> Result<(RawHead, Vec<RawTenant>), ReadError> {
        let sql = include_str!("sql/audit_counters.sql");
        let rows = self.reading().readers.rows(sql, &[]).await?;
        let first = rows
            .first()
            .ok_or_else(|| corrupt(Position(0), "the row of counters is missing".to_string()))?;
        let head = read_head(first).map_err(damaged)?;
        let mut tenants = Vec::new();
        for row in &rows {
            tenants.extend(read_tenant(row).map_err(damaged)?);
        }
        Ok((head, tenants))
    }

    async fn raw_events(&self, after: Position, limit: usize) -> Result<Vec<RawEvent>, ReadError> {
        let (after, limit) = (bound(after.0), bound(limit as u64));
        let sql = include_str!("sql/audit_events.sql");
        let rows = self.reading().readers.rows(sql, &[&after, &limit]).await?;
        rows.iter().map(|row| read_event(row).map_err(damaged)).collect()
    }
}

fn read_head(row: &Row) -> Result<RawHead, BackendFault> {
    let (timeline, position) = (unsigned(row, 0)?, unsigned(row, 1)?);
    Ok(RawHead { timeline, position, recorded_at: get(row, 2)? })
}

/// `None` in the row of a store without tenants.
fn read_tenant(row: &Row) -> Result<Option<RawTenant>, BackendFault> {
    let Some(name) = get::<Option<String>>(row, 3)? else { return Ok(None) };
    Ok(Some(RawTenant { name, size: unsigned(row, 4)?, frontier: get(row, 5)? }))
}

fn read_event(row: &Row) -> Result<RawEvent, BackendFault> {
    Ok(RawEvent {
        position: unsigned(row, 0)?,
        tenant: get(row, 1)?,
        tenant_sequence: unsigned(row, 2)?,
        stream: get(row, 3)?,
        version: unsigned(row, 4)?,
        leaf_hash: get(row, 5)?,
        leaf: get(row, 6)?,
    })
}
