//! Where the values of secrets come from. Executors ask at the last moment; values never reach
//! a spec, an event or a log.

use async_trait::async_trait;
use dagbook_events::ids::TenantId;

/// Why there is no value.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// No such secret: the author's or operator's mistake.
    #[error("no secret named `{0}`; set it with `dagbook secret set {0}`")]
    Missing(String),
    /// The source cannot be read now.
    #[error("the secret store is unavailable: {0}")]
    Unavailable(String),
}

/// Gives the value of a tenant's secret.
#[async_trait]
pub trait SecretSource: Send + Sync {
    /// The value of `name`, as bytes.
    async fn get(&self, tenant: &TenantId, name: &str) -> Result<Vec<u8>, SecretError>;
}

/// Knows no secret.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSecrets;

#[async_trait]
impl SecretSource for NoSecrets {
    async fn get(&self, _tenant: &TenantId, name: &str) -> Result<Vec<u8>, SecretError> {
        Err(SecretError::Missing(name.to_string()))
    }
}

/// Secrets from a map, for tests and embedded use. Every tenant sees all of them.
#[async_trait]
impl SecretSource for std::collections::BTreeMap<String, Vec<u8>> {
    async fn get(&self, _tenant: &TenantId, name: &str) -> Result<Vec<u8>, SecretError> {
        std::collections::BTreeMap::get(self, name)
            .cloned()
            .ok_or_else(|| SecretError::Missing(name.to_string()))
    }
}
