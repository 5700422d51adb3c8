//! The shelf in the same database, by the clock of that database.

use async_trait::async_trait;
use tokio_postgres::Row;

use super::names::damaged;
use super::store::PostgresStore;
use super::writer::{get, unsigned};
use crate::ids::TenantId;
use crate::journal::backend::BackendFault;
use crate::journal::shelf::{bounded, check_key, check_value, mode, signed};
use crate::ports::{ReadError, Shelf, ShelfAnswer, ShelfExpected, ShelfItem};
use crate::time::{Millis, Timestamp};

type Answer<T> = Result<T, ReadError>;

fn item(row: &Row) -> Answer<ShelfItem> {
    let read = || -> Result<ShelfItem, BackendFault> {
        let (key, value, version) = (get(row, 0)?, get(row, 1)?, unsigned(row, 2)?);
        Ok(ShelfItem { key, value, version, at: Timestamp(get(row, 3)?) })
    };
    read().map_err(damaged)
}

#[async_trait]
impl Shelf for PostgresStore {
    async fn get(&self, tenant: &TenantId, key: &str) -> Answer<Option<ShelfItem>> {
        check_key(key)?;
        let sql = include_str!("sql/shelf_get.sql");
        let rows = self.reading().readers.rows(sql, &[&tenant.as_str(), &key]).await?;
        rows.first().map(item).transpose()
    }

    async fn put(
        &self,
        tenant: &TenantId,
        key: &str,
        value: &[u8],
        expected: ShelfExpected,
        lasting: Option<Millis>,
    ) -> Answer<ShelfAnswer> {
        check_value(tenant, key, value)?;
        let (lasting, mode) = (lasting.map(bounded), mode(expected));
        let sql = match expected {
            ShelfExpected::Version(_) => include_str!("sql/shelf_replace.sql"),
            _ => include_str!("sql/shelf_put.sql"),
        };
        let readers = &self.reading().readers;
        // Asked once: what is expected the first time is no longer so after it was done.
        let rows = readers.change(sql, &[&tenant.as_str(), &key, &value, &lasting, &mode]).await?;
        match rows.first() {
            Some(row) => Ok(ShelfAnswer::Kept(unsigned(row, 0).map_err(damaged)?)),
            None => Ok(ShelfAnswer::Differs(self.get(tenant, key).await?)),
        }
    }

    async fn remove(&self, tenant: &TenantId, key: &str) -> Answer<bool> {
        check_key(key)?;
        let sql = include_str!("sql/shelf_remove.sql");
        let rows = self.reading().readers.change(sql, &[&tenant.as_str(), &key]).await?;
        rows.first().map_or(Ok(false), |row| get(row, 0).map_err(damaged))
    }

    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Vec<ShelfItem>> {
        let (after, limit) = (after.unwrap_or(""), signed(limit as u64));
        let sql = include_str!("sql/shelf_list.sql");
        let params: [&(dyn tokio_postgres::types::ToSql + Sync); 4] =
            [&tenant.as_str(), &prefix, &after, &limit];
        let rows = self.reading().readers.rows(sql, &params).await?;
        rows.iter().map(item).collect()
    }

    async fn count(&self, tenant: &TenantId, key: &str, by: u64, at_least: u64) -> Answer<u64> {
        check_key(key)?;
        let (by, at_least) = (signed(by), signed(at_least));
        let sql = include_str!("sql/shelf_count.sql");
        let readers = &self.reading().readers;
        // A number that is counted twice is left out; that does no harm.
        let rows = readers.rows(sql, &[&tenant.as_str(), &key, &by, &at_least]).await?;
        let row = rows.first();
        let row = row.ok_or_else(|| ReadError::Unavailable("nothing was counted".to_string()))?;
        unsigned(row, 0).map_err(damaged)
    }

    async fn sweep(&self, limit: usize) -> Answer<usize> {
        let sql = include_str!("sql/shelf_sweep.sql");
        let rows = self.reading().readers.change(sql, &[&signed(limit as u64)]).await?;
        Ok(rows.len())
    }
}
