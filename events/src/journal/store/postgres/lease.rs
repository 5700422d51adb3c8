//! Leases in the database that they fence, by the clock of that database.

use std::sync::Arc;

use async_trait::async_trait;
use tokio_postgres::Row;

use super::names::damaged;
use super::store::PostgresStore;
use super::writer::{get, unsigned};
use crate::journal::backend::BackendFault;
use crate::journal::lease::check_names;
use crate::ports::{Fence, Lease, LeaseAnswer, Leases, ReadError};
use crate::time::{Millis, Timestamp};

/// The longest that a lease lasts, a hundred years, so that sums with instants stay in range.
const LONGEST: u64 = 100 * 365 * 24 * 3_600 * 1_000;

#[async_trait]
impl Leases for PostgresStore {
    async fn acquire(
        &self,
        lease: &str,
        holder: &str,
        lasting: Millis,
    ) -> Result<LeaseAnswer, ReadError> {
        check_names(lease, holder)?;
        let (name, lasting) = (Arc::<str>::from(lease), bounded(lasting));
        let sql = include_str!("sql/lease_acquire.sql");
        let rows = self.reading().readers.change(sql, &[&lease, &holder, &lasting]).await?;
        // Someone else made it in the same instant: nothing was taken, and it is not seen yet.
        let unseen = || ReadError::Unavailable(format!("the lease {lease} is being taken"));
        let row = rows.first().ok_or_else(unseen)?;
        let found = read(row, 1, &name).map_err(damaged)?;
        Ok(match get(row, 0).map_err(damaged)? {
            true => LeaseAnswer::Held(found),
            false => LeaseAnswer::TakenBy(found),
        })
    }

    async fn renew(&self, held: &Lease, lasting: Millis) -> Result<Option<Lease>, ReadError> {
        self.until(&held.fence, Some(&held.holder), lasting).await
    }

    async fn release(&self, fence: &Fence) -> Result<(), ReadError> {
        self.until(fence, None, Millis(0)).await.map(drop)
    }

    async fn lease(&self, lease: &str) -> Result<Option<Lease>, ReadError> {
        let sql = include_str!("sql/lease_read.sql");
        let rows = self.reading().readers.rows(sql, &[&lease]).await?;
        let name = Arc::from(lease);
        rows.first().map(|row| read(row, 0, &name).map_err(damaged)).transpose()
    }
}

impl PostgresStore {
    /// Lets a lease that still is at this epoch, and with this holder, end so long from now.
    async fn until(
        &self,
        fence: &Fence,
        holder: Option<&str>,
        lasting: Millis,
    ) -> Result<Option<Lease>, ReadError> {
        let Ok(epoch) = i64::try_from(fence.epoch) else { return Ok(None) };
        let (name, lasting) = (&*fence.lease, bounded(lasting));
        let sql = include_str!("sql/lease_until.sql");
        // Doing it twice does no harm, so it is asked again where a connection was gone.
        let rows = self.reading().readers.rows(sql, &[&name, &epoch, &lasting, &holder]).await?;
        rows.first().map(|row| read(row, 0, &fence.lease).map_err(damaged)).transpose()
    }
}

fn bounded(lasting: Millis) -> i64 {
    i64::try_from(lasting.0.min(LONGEST)).unwrap_or(0)
}

fn read(row: &Row, column: usize, name: &Arc<str>) -> Result<Lease, BackendFault> {
    let fence = Fence { lease: Arc::clone(name), epoch: unsigned(row, column)? };
    let expires_at = Timestamp(get(row, column + 2)?);
    Ok(Lease { fence, holder: get(row, column + 1)?, expires_at })
}
