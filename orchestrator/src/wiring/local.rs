//! What this machine gives: its executor, its user, its slots.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dagbook_events::ports::Blobs;
use dagbook_executors::local::{LocalConfig, LocalExecutor};
use dagbook_executors::{Registry, SecretSource};

use super::OpenError;

pub(super) async fn executor(
    data: &Path,
    blobs: &Arc<dyn Blobs>,
    secrets: Arc<dyn SecretSource>,
    slots: Option<u32>,
    usage_every: std::time::Duration,
) -> Result<(Registry, BTreeMap<String, u32>), OpenError> {
    let failed = |e: &dyn std::fmt::Display| OpenError::Executor(e.to_string());
    let mut config = LocalConfig::new(data, blobs.clone(), secrets).map_err(|e| failed(&e))?;
    config.measure_every = usage_every;
    config.passthrough = vec!["HOME".to_string(), "USER".to_string()];
    let executor = LocalExecutor::new(config).map_err(|e| failed(&e))?;
    let slots = slots.unwrap_or_else(default_slots);
    let registry = Registry::new().with("local", Arc::new(executor));
    Ok((registry, BTreeMap::from([("local".to_string(), slots)])))
}

/// Four attempts for each core: steps of pipelines wait more than they compute.
pub fn default_slots() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get());
    u32::try_from(cores * 4).unwrap_or(4)
}

pub(super) fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    if name.is_empty() { format!("uid:{}", rustix::process::getuid().as_raw()) } else { name }
}

impl super::Installation {
    /// Reads what attempts of this machine wrote.
    pub fn logs(&self) -> std::sync::Arc<dyn crate::app::logs::Logs> {
        std::sync::Arc::new(crate::adapters::LogFiles::new(self.layout().logs()))
    }
}
