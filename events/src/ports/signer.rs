//! Signing of checkpoints.

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

/// Holds one Ed25519 key.
pub trait Signer: Send + Sync {
    /// The key's name, as it stands in notes.
    fn name(&self) -> &str;
    /// The 32 bytes of the public key.
    fn public_key(&self) -> [u8; 32];
    /// The 64 bytes of the signature over the message.
    fn sign(&self, message: &[u8]) -> Result<[u8; 64], SignError>;
}
