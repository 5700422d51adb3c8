//! Stores by their address, as tests, helpers and the benchmark open them.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use dagbook_events::journal::Guard;
use dagbook_events::journal::store::postgres::{
    PostgresOptions, PostgresStore, PostgresUrl, migrate,
};
use dagbook_events::journal::store::{SqliteOptions, SqliteStore};
use dagbook_events::journal::verify::AuditSource;
use dagbook_events::ports::{Clock, EventStore, Leases};

/// How long others that migrate the same database are waited for.
const MIGRATION: Duration = Duration::from_secs(30);

/// A store that can be used and looked into, and that keeps leases.
pub trait AnyStore: EventStore + AuditSource + Leases {}

impl<S: EventStore + AuditSource + Leases> AnyStore for S {}

/// Opens `sqlite:PATH` or `postgres://…`, and makes it if need be.
///
/// # Errors
/// Where it cannot be opened.
pub async fn open(address: &str, clock: Arc<dyn Clock>) -> anyhow::Result<Arc<dyn AnyStore>> {
    open_guarded(address, clock, Arc::new(Guard::open())).await
}

/// The same with somebody who says whether it may be added to.
///
/// # Errors
/// Where it cannot be opened.
pub async fn open_guarded(
    address: &str,
    clock: Arc<dyn Clock>,
    guard: Arc<Guard>,
) -> anyhow::Result<Arc<dyn AnyStore>> {
    if let Some(path) = address.strip_prefix("sqlite:") {
        let options = SqliteOptions { guard, ..SqliteOptions::new(path, clock) };
        return Ok(Arc::new(tokio::task::spawn_blocking(|| SqliteStore::open(options)).await??));
    }
    Ok(Arc::new(open_postgres(address, clock, guard).await?))
}

/// Opens a store in Postgres, and makes it if need be.
///
/// # Errors
/// Where it cannot be opened.
pub async fn open_postgres(
    address: &str,
    clock: Arc<dyn Clock>,
    guard: Arc<Guard>,
) -> anyhow::Result<PostgresStore> {
    let url = PostgresUrl::parse(address).context("a store is `sqlite:PATH` or `postgres://…`")?;
    let made = url.clone();
    tokio::task::spawn_blocking(move || migrate(&made, MIGRATION)).await??;
    let options = PostgresOptions { guard, ..PostgresOptions::new(url, clock) };
    Ok(PostgresStore::open(options).await?)
}
