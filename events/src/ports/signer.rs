//! Signing of checkpoints.

use crate::digest::Sha256Digest;
use crate::ids::TenantId;
use crate::tlog::Checkpoint;

/// Why nothing was signed.
#[derive(Debug, thiserror::Error)]
pub enum SignError {
    /// The key cannot be read or made.
    #[error("the signing key is not usable: {0}")]
    Key(String),
    /// What was asked for contradicts what was signed before.
    #[error("refusing to sign: {0}")]
    Inconsistent(String),
}

/// Holds one Ed25519 key and remembers what it signed.
pub trait Signer: Send + Sync {
    /// The key's name, as it stands in notes.
    fn name(&self) -> &str;
    /// The 32 bytes of the public key.
    fn public_key(&self) -> [u8; 32];
    /// The 64 bytes of the signature over the message.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
    /// The newest checkpoint of a log that was signed, where the signer remembers.
    fn last_signed(&self, _origin: &str) -> Result<Option<Checkpoint>, SignError> {
        Ok(None)
    }
    /// The same as `sign` for a checkpoint's text, with the proof that it extends
    /// [`Signer::last_signed`].
    fn sign_extension(&self, text: &str, _proof: &[Sha256Digest]) -> Result<[u8; 64], SignError> {
        self.sign(text.as_bytes())
    }
    /// The signature over [`bundle_text`](crate::tlog::bundle_text): this manifest was made here.
    fn sign_bundle(
        &self,
        _tenant: &TenantId,
        _manifest: &Sha256Digest,
    ) -> Result<[u8; 64], SignError> {
        Err(SignError::Key("this key signs checkpoints and no bundles".to_string()))
    }
}
