//! Where archived events are read from: opened when the first of them is wanted, because most
//! commands want none, and a command that only looks makes no folder.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use dagbook_events::ports::{ObjectError, Objects};

use super::{Layout, copy};
use crate::config::{Config, DataDir};

/// The published objects of a configuration.
pub(super) struct LateObjects {
    config: Config,
    layout: Layout,
    opened: Mutex<Option<Arc<dyn Objects>>>,
}

impl LateObjects {
    pub(super) fn new(config: &Config, data: &DataDir) -> Self {
        let layout = Layout { data: data.root().to_path_buf() };
        Self { config: config.clone(), layout, opened: Mutex::new(None) }
    }

    fn open(&self) -> Result<Arc<dyn Objects>, ObjectError> {
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(objects) = &*opened {
            return Ok(objects.clone());
        }
        let objects = copy::objects(&self.config, &self.layout)
            .map_err(|error| ObjectError::Unavailable(error.to_string()))?;
        let objects = objects.ok_or_else(|| {
            let reason = "old events were archived as tiles, and the configuration names no \
                          `objects` to read them from";
            ObjectError::Unavailable(reason.to_string())
        })?;
        *opened = Some(objects.clone());
        Ok(objects)
    }
}

#[async_trait]
impl Objects for LateObjects {
    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        self.open()?.put(path, bytes).await
    }

    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        self.open()?.get(path).await
    }

    async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        self.open()?.list(folder).await
    }

    async fn remove(&self, path: &str) -> Result<(), ObjectError> {
        self.open()?.remove(path).await
    }
}
