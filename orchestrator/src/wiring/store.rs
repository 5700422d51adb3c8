//! Opening the store that the configuration names.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::journal::Guard;
use dagbook_events::journal::archive::{ArchivedAudit, ArchivedLeaves, ArchivedStore};
use dagbook_events::journal::store::postgres::{
    MigrateError, PostgresOpenError, PostgresOptions, PostgresStore, PostgresUrl, migrate,
};
use dagbook_events::journal::store::{SqliteOptions, SqliteStore};
use dagbook_events::journal::verify::AuditSource;
use dagbook_events::ports::{Archive, Clock, EventStore, Leases, Restore, Shelf, Upkeep};

use super::OpenError;
use super::archive::LateObjects;
use crate::config::{Config, DataDir, StoreLocation};

/// How long somebody else's migration is waited for.
pub const MIGRATION_PATIENCE: Duration = Duration::from_secs(120);

/// A store behind its ports.
pub(super) struct OpenedStore {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) audit: Arc<dyn AuditSource>,
    pub(super) leases: Option<Arc<dyn Leases>>,
    pub(super) restore: Arc<dyn Restore>,
    pub(super) shelf: Arc<dyn Shelf>,
    pub(super) upkeep: Arc<dyn Upkeep>,
    /// Where the oldest events can leave the store.
    pub(super) archive: Option<Arc<dyn Archive>>,
}

/// Opens it; where `may_migrate`, its schema is brought up to date first. SQLite's always is:
/// the file belongs to whoever opens it.
pub(super) async fn open(
    config: &Config,
    data: &DataDir,
    clock: Arc<dyn Clock>,
    guard: Arc<Guard>,
    may_migrate: bool,
) -> Result<OpenedStore, OpenError> {
    match &config.store {
        StoreLocation::Postgres(url) => {
            if may_migrate {
                migrate_first(url).await?;
            }
            let objects = LateObjects::new(config, data);
            postgres(url, clock, guard, objects, may_migrate).await
        }
        StoreLocation::InDataFolder | StoreLocation::Sqlite(_) => {
            sqlite(data.record(), clock, guard).await
        }
    }
}

async fn sqlite(
    path: &Path,
    clock: Arc<dyn Clock>,
    guard: Arc<Guard>,
) -> Result<OpenedStore, OpenError> {
    let failed = |reason: String| OpenError::Store { store: path.display().to_string(), reason };
    let options = SqliteOptions { guard, ..SqliteOptions::new(path, clock) };
    let store = SqliteStore::open(options).map_err(|error| failed(error.to_string()))?;
    let store = Arc::new(store);
    let (audit, leases, restore) = (store.clone(), Some(store.clone() as _), store.clone());
    let (shelf, upkeep, archive) = (store.clone(), store.clone(), None);
    Ok(OpenedStore { audit, leases, restore, shelf, upkeep, archive, store })
}

async fn postgres(
    url: &PostgresUrl,
    clock: Arc<dyn Clock>,
    guard: Arc<Guard>,
    objects: LateObjects,
    schema_is_known: bool,
) -> Result<OpenedStore, OpenError> {
    let options =
        PostgresOptions { guard, schema_is_known, ..PostgresOptions::new(url.clone(), clock) };
    let store = PostgresStore::open(options).await.map_err(|error| match error {
        PostgresOpenError::Schema(error) => OpenError::Schema(error),
        other => OpenError::Store { store: url.redacted(), reason: other.to_string() },
    })?;
    let store = Arc::new(store);
    let (leases, restore) = (Some(store.clone() as _), store.clone());
    let (shelf, upkeep) = (store.clone(), store.clone());
    let archive: Arc<dyn Archive> = store.clone();
    let leaves = Arc::new(ArchivedLeaves::new(Arc::new(objects)));
    let audit = Arc::new(ArchivedAudit::new(store.clone(), archive.clone(), leaves.clone()));
    let store = Arc::new(ArchivedStore::new(store, archive.clone(), leaves));
    let archive = Some(archive);
    Ok(OpenedStore { audit, leases, restore, shelf, upkeep, archive, store })
}

async fn migrate_first(url: &PostgresUrl) -> Result<(), OpenError> {
    let place = url.clone();
    let done = tokio::task::spawn_blocking(move || migrate(&place, MIGRATION_PATIENCE)).await;
    match done {
        Ok(Ok(report)) => {
            for migration in report.applied {
                tracing::info!(server = %url, "schema {}: {}", migration.version, migration.name);
            }
            Ok(())
        }
        Ok(Err(error)) => Err(error.into()),
        Err(error) => Err(OpenError::Store { store: url.redacted(), reason: error.to_string() }),
    }
}

impl OpenError {
    /// Whether the store is there and empty: nothing was ever recorded in it.
    pub fn is_unborn(&self) -> bool {
        matches!(self, Self::Schema(MigrateError::Older { database: 0, .. }))
    }
}
