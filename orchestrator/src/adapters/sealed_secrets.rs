//! Where executors get the values of secrets: sealed ones from the shelf, and, for the tenant of
//! an embedded installation, files that an earlier program kept.

use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::Shelf;
use dagbook_executors::{SecretError, SecretSource};

use super::SecretFiles;
use crate::app::sealing::{SealedFor, Sealer};
use crate::app::secrets::{read, shelf_key};

/// Values of secrets by tenant.
#[derive(Clone)]
pub struct SealedSecrets {
    shelf: Arc<dyn Shelf>,
    sealer: Arc<dyn Sealer>,
    files: SecretFiles,
    files_of: TenantId,
}

impl SealedSecrets {
    /// Secrets on the shelf; and those in files, which are all of one tenant.
    pub fn new(
        shelf: Arc<dyn Shelf>,
        sealer: Arc<dyn Sealer>,
        files: SecretFiles,
        files_of: TenantId,
    ) -> Self {
        Self { shelf, sealer, files, files_of }
    }
}

#[async_trait]
impl SecretSource for SealedSecrets {
    async fn get(&self, tenant: &TenantId, name: &str) -> Result<Vec<u8>, SecretError> {
        let away = |error: &dyn std::fmt::Display| SecretError::Unavailable(error.to_string());
        // A name that cannot be a key on the shelf is nobody's.
        let missing = || SecretError::Missing(name.to_string());
        dagbook_events::tenant::check_secret_name(name).map_err(|_| missing())?;
        if let Some(item) = self.shelf.get(tenant, &shelf_key(name)).await.map_err(|e| away(&e))? {
            let sealed = read(&item).map_err(|e| away(&e))?;
            let of = SealedFor { tenant, name, version: sealed.version };
            return self.sealer.open(of, &sealed).map_err(|e| away(&e));
        }
        match *tenant == self.files_of {
            true => self.files.get(tenant, name).await,
            false => Err(missing()),
        }
    }
}
