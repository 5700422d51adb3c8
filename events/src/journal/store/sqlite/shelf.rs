//! The shelf in the same file, by the store's clock.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, Row, params};

use super::SqliteStore;
use super::open::Database;
use super::read::unreadable;
use super::write::unsigned;
use crate::ids::TenantId;
use crate::journal::shelf::{bounded, check_key, check_value, mode, signed};
use crate::ports::{ReadError, Shelf, ShelfAnswer, ShelfExpected, ShelfItem};
use crate::time::{Millis, Timestamp};

type Answer<T> = Result<T, ReadError>;

/// A connection for changes of the shelf, made when it is first needed: the writer's own belongs
/// to the writer.
#[derive(Clone)]
pub(super) struct ShelfConnection {
    database: Database,
    connection: Arc<Mutex<Option<Connection>>>,
}

impl ShelfConnection {
    pub(super) fn new(database: Database) -> Self {
        Self { database, connection: Arc::default() }
    }

    /// Changes the shelf in a transaction of its own, off the runtime's threads.
    async fn change<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let this = self.clone();
        tokio::task::spawn_blocking(move || this.now(change))
            .await
            .map_err(|error| ReadError::Unavailable(format!("the change stopped: {error}")))?
    }

    fn now<T>(&self, change: impl FnOnce(&Connection) -> Answer<T>) -> Answer<T> {
        let mut kept = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        let mut connection = match kept.take() {
            Some(connection) => connection,
            None => self.database.writer().map_err(unreadable)?,
        };
        let turn = connection
            .transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)
            .map_err(unreadable)?;
        let answer = change(&turn)?;
        turn.commit().map_err(unreadable)?;
        // One on which something failed is not used again.
        *kept = Some(connection);
        Ok(answer)
    }
}

fn item(row: &Row<'_>) -> rusqlite::Result<ShelfItem> {
    let (key, value, version) = (row.get(0)?, row.get(1)?, unsigned(row, 2)?);
    Ok(ShelfItem { key, value, version, at: Timestamp(row.get(3)?) })
}

fn one<T>(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    read: impl FnOnce(&Row<'_>) -> rusqlite::Result<T>,
) -> Answer<Option<T>> {
    let mut statement = connection.prepare_cached(sql).map_err(unreadable)?;
    statement.query_row(params, read).optional().map_err(unreadable)
}

#[async_trait]
impl Shelf for SqliteStore {
    async fn get(&self, tenant: &TenantId, key: &str) -> Answer<Option<ShelfItem>> {
        check_key(key)?;
        let (tenant, key, now) = (tenant.clone(), key.to_string(), self.clock.now());
        let sql = include_str!("sql/shelf_get.sql");
        let read = move |connection: &Connection| {
            one(connection, sql, params![tenant.as_str(), key, now.0], item)
        };
        self.readers.run(move |reader| read(&reader.connection)).await
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
        let (tenant, key, value) = (tenant.clone(), key.to_string(), value.to_vec());
        let now = self.clock.now().0;
        let ends = lasting.map(|lasting| now.saturating_add(bounded(lasting)));
        let sql = match expected {
            ShelfExpected::Version(_) => include_str!("sql/shelf_replace.sql"),
            _ => include_str!("sql/shelf_put.sql"),
        };
        let put = move |connection: &Connection| {
            let params = params![tenant.as_str(), key, value, now, ends, mode(expected)];
            if let Some(version) = one(connection, sql, params, |row| unsigned(row, 0))? {
                return Ok(ShelfAnswer::Kept(version));
            }
            let sql = include_str!("sql/shelf_get.sql");
            let there = one(connection, sql, params![tenant.as_str(), key, now], item)?;
            Ok(ShelfAnswer::Differs(there))
        };
        self.shelf.change(put).await
    }

    async fn remove(&self, tenant: &TenantId, key: &str) -> Answer<bool> {
        check_key(key)?;
        let (tenant, key, now) = (tenant.clone(), key.to_string(), self.clock.now());
        let sql = include_str!("sql/shelf_remove.sql");
        let remove = move |connection: &Connection| {
            let was = one(connection, sql, params![tenant.as_str(), key, now.0], |row| row.get(0))?;
            Ok(was.unwrap_or(false))
        };
        self.shelf.change(remove).await
    }

    async fn list(
        &self,
        tenant: &TenantId,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Answer<Vec<ShelfItem>> {
        let (tenant, prefix, now) = (tenant.clone(), prefix.to_string(), self.clock.now());
        let (after, limit) = (after.unwrap_or("").to_string(), signed(limit as u64));
        let list = move |connection: &Connection| {
            let sql = include_str!("sql/shelf_list.sql");
            let mut statement = connection.prepare_cached(sql).map_err(unreadable)?;
            let params = params![tenant.as_str(), prefix, after, now.0, limit];
            let rows = statement.query_map(params, item).map_err(unreadable)?;
            rows.collect::<Result<Vec<_>, _>>().map_err(unreadable)
        };
        self.readers.run(move |reader| list(&reader.connection)).await
    }

    async fn count(&self, tenant: &TenantId, key: &str, by: u64, at_least: u64) -> Answer<u64> {
        check_key(key)?;
        let (tenant, key) = (tenant.clone(), key.to_string());
        let sql = include_str!("sql/shelf_count.sql");
        let count = move |connection: &Connection| {
            let params = params![tenant.as_str(), key, signed(by), signed(at_least)];
            let value = one(connection, sql, params, |row| unsigned(row, 0))?;
            value.ok_or_else(|| ReadError::Unavailable("nothing was counted".to_string()))
        };
        self.shelf.change(count).await
    }

    async fn sweep(&self, limit: usize) -> Answer<usize> {
        let (now, limit) = (self.clock.now(), signed(limit as u64));
        let sql = include_str!("sql/shelf_sweep.sql");
        let sweep = move |connection: &Connection| {
            connection.execute(sql, params![now.0, limit]).map_err(unreadable)
        };
        self.shelf.change(sweep).await
    }
}
