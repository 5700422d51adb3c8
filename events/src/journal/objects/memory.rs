//! Objects that are forgotten: for tests and trials.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;

use super::{check_folder, check_path, is_below};
use crate::ports::{ObjectError, Objects};

/// Keeps objects in memory.
#[derive(Debug, Default)]
pub struct MemoryObjects(Mutex<BTreeMap<String, Vec<u8>>>);

impl MemoryObjects {
    /// An empty store.
    pub fn new() -> Self {
        Self::default()
    }

    /// All that is kept, by path.
    pub fn snapshot(&self) -> BTreeMap<String, Vec<u8>> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Objects for MemoryObjects {
    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        check_path(path)?;
        self.lock().insert(path.to_string(), bytes);
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        check_path(path)?;
        Ok(self.lock().get(path).cloned())
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        check_folder(folder)?;
        Ok(self.lock().keys().filter(|path| is_below(path, folder)).cloned().collect())
    }

    async fn remove(&self, path: &str) -> Result<(), ObjectError> {
        check_path(path)?;
        self.lock().remove(path);
        Ok(())
    }
}
