//! What an auditor is given: signed heads, published tiles, and bundles.

mod bundle;
mod error;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::TenantId;
use dagbook_events::journal::bundle::export::Exporter;
use dagbook_events::journal::checkpoints::{CheckpointError, Checkpoints};
use dagbook_events::journal::tiles::tenant_folder;
use dagbook_events::ports::{EventStore, ObjectError, Objects};
use dagbook_events::tlog::{ENTRY_TILE_WIDTH, Tile, VerifierKey};
use tokio::sync::Semaphore;

pub use self::bundle::{BundleFile, Bundling};
use super::error::AppError;

/// Bundles that are written at one time for others.
const AT_ONCE: usize = 2;

/// What evidence is taken from.
pub struct EvidenceParts {
    /// The record, archived events included.
    pub store: Arc<dyn EventStore>,
    /// What signs its heads, and what was signed.
    pub checkpoints: Checkpoints,
    /// Keys of the witnesses that co-sign them.
    pub witnesses: Vec<VerifierKey>,
    /// Where tiles are published; none: nowhere.
    pub objects: Option<Arc<dyn Objects>>,
    /// Where bundles for others are put together.
    pub scratch: PathBuf,
    /// How long cosignatures are waited for.
    pub patience: Duration,
}

/// Gives auditors what they check. Clones share everything.
#[derive(Clone)]
pub struct Evidence {
    parts: Arc<EvidenceParts>,
    places: Arc<Semaphore>,
}

impl Evidence {
    /// From these.
    pub fn new(parts: EvidenceParts) -> Self {
        Self { parts: Arc::new(parts), places: Arc::new(Semaphore::new(AT_ONCE)) }
    }

    /// What writes bundles.
    pub fn exporter(&self) -> Exporter<'_> {
        Exporter {
            store: self.parts.store.as_ref(),
            checkpoints: &self.parts.checkpoints,
            witnesses: &self.parts.witnesses,
            program: env!("CARGO_PKG_VERSION"),
            patience: self.parts.patience,
        }
    }

    /// The newest signed head of a tenant's log, as a note: the published one where tiles are
    /// published, so that its tiles are there.
    ///
    /// # Errors
    /// Where nothing was signed yet, or what was cannot be read.
    pub async fn checkpoint(&self, tenant: &TenantId) -> Result<Vec<u8>, AppError> {
        let missing = || AppError::not_found("signed checkpoint of", tenant);
        let timeline = self.parts.store.timeline().await?;
        if let Some(objects) = &self.parts.objects {
            let path = format!("{}/checkpoint", tenant_folder(tenant, timeline));
            return objects.get(&path).await?.ok_or_else(missing);
        }
        if self.parts.store.log_head(tenant).await?.size == 0 {
            return Err(missing());
        }
        let store = self.parts.store.as_ref();
        let signed = self.parts.checkpoints.write(store, tenant, timeline).await?;
        Ok(signed.note.encode().into_bytes())
    }

    /// A published tile of a tenant's log; of a partial one that is gone the beginning of the full
    /// one is not made up.
    ///
    /// # Errors
    /// Where it is not there, or nothing is published.
    pub async fn tile(&self, tenant: &TenantId, tile: Tile) -> Result<Vec<u8>, AppError> {
        let missing = || AppError::not_found("published tile", tile);
        let objects = self.parts.objects.as_ref().ok_or_else(missing)?;
        let timeline = self.parts.store.timeline().await?;
        let path = format!("{}/{tile}", tenant_folder(tenant, timeline));
        objects.get(&path).await?.ok_or_else(missing)
    }
}

/// The tile of these numbers; a width is that of a partial one.
///
/// # Errors
/// Where there can be no such tile.
pub fn tile(level: &str, index: u64, width: Option<u16>) -> Result<Tile, AppError> {
    use dagbook_events::tlog::TileLevel;
    let wrong = |what: &str| AppError::Invalid(what.to_string());
    let level = match level {
        "entries" => TileLevel::Entries,
        number => match number.parse::<u8>() {
            Ok(level) if level < 64 && level.to_string() == number => TileLevel::Hashes(level),
            _ => return Err(wrong("a level is `entries`, or a number from 0 to 63")),
        },
    };
    let full = ENTRY_TILE_WIDTH as u16;
    match width {
        None => Ok(Tile { level, index, width: full }),
        Some(width) if (1..full).contains(&width) => Ok(Tile { level, index, width }),
        Some(_) => Err(wrong("`width` is from 1 to 255; a full tile is asked for without it")),
    }
}

impl From<ObjectError> for AppError {
    fn from(error: ObjectError) -> Self {
        match error {
            ObjectError::Unavailable(_) => Self::unavailable(error),
            ObjectError::Path(_) => Self::Internal(error.to_string()),
        }
    }
}

impl From<CheckpointError> for AppError {
    fn from(error: CheckpointError) -> Self {
        match error {
            CheckpointError::Read(error) => error.into(),
            error if error.is_inconsistent() => Self::Damaged(error.to_string()),
            error => Self::unavailable(error),
        }
    }
}
