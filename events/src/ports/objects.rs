//! Objects by path: what is published for others to fetch, such as tiles and checkpoints.

use async_trait::async_trait;

/// Why an object could not be kept or read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// The path is empty, absolute, or leads elsewhere.
    #[error("`{0}` is not a path of an object")]
    Path(String),
    /// The object store cannot be used now.
    #[error("the object store is unavailable: {0}")]
    Unavailable(String),
}

/// Keeps bytes under paths of `/`-separated names. A put is atomic and durable when it returns.
#[async_trait]
pub trait Objects: Send + Sync {
    /// Keeps the bytes, in the place of what was there.
    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ObjectError>;
    /// The bytes, or `None` where nothing is kept.
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ObjectError>;
    /// Paths of all objects below a folder, in order.
    async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectError>;
    /// Removes an object; nothing happens where there is none.
    async fn remove(&self, path: &str) -> Result<(), ObjectError>;
}
