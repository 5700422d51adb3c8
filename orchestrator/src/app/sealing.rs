//! Sealing values so that only a holder of the site's key reads them.

use dagbook_events::ids::TenantId;
use serde::{Deserialize, Serialize};

/// Whose value it is. It is part of what is sealed, so that a value cannot be moved to another
/// name, tenant or version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SealedFor<'a> {
    /// The tenant.
    pub tenant: &'a TenantId,
    /// The secret's name.
    pub name: &'a str,
    /// The secret's version.
    pub version: u64,
}

/// A sealed value as it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SealedValue {
    /// The algorithm: `A256GCM`.
    pub alg: String,
    /// The id of the key.
    pub key: String,
    /// The secret's version.
    pub version: u64,
    /// Base64 of the nonce.
    pub nonce: String,
    /// Base64 of the ciphertext and its tag.
    pub sealed: String,
}

/// Why something is not sealed or opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SealError {
    /// The site's keys cannot be used.
    #[error("the site's key cannot be used: {0}")]
    Keys(String),
    /// It was sealed with a key that is not here.
    #[error(
        "a secret was sealed with the site key {0}, which is not in the key file: put it back \
         there, below the current one"
    )]
    UnknownKey(String),
    /// It was changed, or moved from another place.
    #[error("the sealed value of `{0}` is not the one that was kept; set the secret again")]
    Damaged(String),
}

/// Seals and opens values.
pub trait Sealer: Send + Sync {
    /// Seals with the current key.
    ///
    /// # Errors
    /// [`SealError::Keys`].
    fn seal(&self, of: SealedFor<'_>, value: &[u8]) -> Result<SealedValue, SealError>;

    /// Opens with whichever key it was sealed with.
    ///
    /// # Errors
    /// Where the key is not here, or the value is not the one that was sealed.
    fn open(&self, of: SealedFor<'_>, sealed: &SealedValue) -> Result<Vec<u8>, SealError>;

    /// The id of the key that seals now.
    ///
    /// # Errors
    /// [`SealError::Keys`].
    fn current(&self) -> Result<String, SealError>;
}
