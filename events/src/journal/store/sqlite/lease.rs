//! Leases in the file that they fence, by the store's clock.

use std::sync::Arc;

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, Params, params};

use super::SqliteStore;
use super::read::unreadable;
use super::write::unsigned;
use crate::journal::lease::check_names;
use crate::ports::{Fence, Lease, LeaseAnswer, Leases, ReadError};
use crate::time::{Millis, Timestamp};

#[async_trait]
impl Leases for SqliteStore {
    async fn acquire(
        &self,
        lease: &str,
        holder: &str,
        lasting: Millis,
    ) -> Result<LeaseAnswer, ReadError> {
        check_names(lease, holder)?;
        let (name, holder, now) = (Arc::<str>::from(lease), holder.to_string(), self.clock.now());
        self.changing(move |connection| {
            let sql = include_str!("sql/lease_acquire.sql");
            let params = params![&*name, holder, now.0, (now + lasting).0];
            if let Some(held) = row(connection, sql, params, &name)? {
                return Ok(LeaseAnswer::Held(held));
            }
            let sql = include_str!("sql/lease_read.sql");
            let other = row(connection, sql, params![&*name], &name)?;
            let gone = || ReadError::Unavailable(format!("the lease {name} is gone"));
            other.map(LeaseAnswer::TakenBy).ok_or_else(gone)
        })
        .await
    }

    async fn renew(&self, held: &Lease, lasting: Millis) -> Result<Option<Lease>, ReadError> {
        self.until(&held.fence, Some(held.holder.clone()), lasting).await
    }

    async fn release(&self, fence: &Fence) -> Result<(), ReadError> {
        self.until(fence, None, Millis(0)).await.map(drop)
    }

    async fn lease(&self, lease: &str) -> Result<Option<Lease>, ReadError> {
        let name = Arc::<str>::from(lease);
        let sql = include_str!("sql/lease_read.sql");
        self.readers.run(move |reader| row(&reader.connection, sql, params![&*name], &name)).await
    }
}

impl SqliteStore {
    /// Lets a lease that still is at this epoch end so long from now.
    async fn until(
        &self,
        fence: &Fence,
        holder: Option<String>,
        lasting: Millis,
    ) -> Result<Option<Lease>, ReadError> {
        let (name, ends) = (Arc::clone(&fence.lease), self.clock.now() + lasting);
        let Ok(epoch) = i64::try_from(fence.epoch) else { return Ok(None) };
        let sql = include_str!("sql/lease_until.sql");
        self.changing(move |connection| {
            row(connection, sql, params![&*name, epoch, ends.0, holder], &name)
        })
        .await
    }

    /// Changes something in a transaction of its own, on a connection that goes with it: leases
    /// and the like are seldom touched, and the writer's connection belongs to the writer.
    pub(super) async fn changing<T: Send + 'static>(
        &self,
        change: impl FnOnce(&Connection) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, ReadError> {
        let database = self.database.clone();
        tokio::task::spawn_blocking(move || {
            let connection = database.writer().map_err(unreadable)?;
            connection.execute_batch("BEGIN IMMEDIATE").map_err(unreadable)?;
            let answer = change(&connection)?;
            connection.execute_batch("COMMIT").map_err(unreadable)?;
            Ok(answer)
        })
        .await
        .map_err(|error| ReadError::Unavailable(format!("the change stopped: {error}")))?
    }
}

fn row(
    connection: &Connection,
    sql: &str,
    params: impl Params,
    name: &Arc<str>,
) -> Result<Option<Lease>, ReadError> {
    let read = |row: &rusqlite::Row<'_>| {
        let fence = Fence { lease: Arc::clone(name), epoch: unsigned(row, 0)? };
        Ok(Lease { fence, holder: row.get(1)?, expires_at: Timestamp(row.get(2)?) })
    };
    connection.query_row(sql, params, read).optional().map_err(unreadable)
}
