//! Secrets, without their values.

use dagbook_events::tenant::SecretRecord;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A secret of a tenant. Its value is shown to nobody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SecretReport {
    /// Its name.
    pub name: String,
    /// Grows with every change; 0 for one that is kept in a file of its own.
    pub version: u64,
    /// When its value was set; left out for one that is kept in a file of its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub set_at: Option<String>,
}

impl SecretReport {
    /// One that is in the record.
    pub fn of(name: &str, record: &SecretRecord) -> Self {
        let set_at = Some(record.set_at.to_rfc3339());
        Self { name: name.to_string(), version: record.version, set_at }
    }
}
