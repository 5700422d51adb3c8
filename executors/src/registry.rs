//! Executors by name, as steps ask for them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::port::Executor;

/// Executors by name.
#[derive(Clone, Default)]
pub struct Registry {
    executors: BTreeMap<String, Arc<dyn Executor>>,
}

impl Registry {
    /// No executor.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an executor under a name, replacing the one that had it.
    pub fn with(mut self, name: &str, executor: Arc<dyn Executor>) -> Self {
        self.executors.insert(name.to_string(), executor);
        self
    }

    /// The executor of that name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Executor>> {
        self.executors.get(name)
    }

    /// All names, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.executors.keys().map(String::as_str)
    }

    /// All executors, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Arc<dyn Executor>)> {
        self.executors.iter().map(|(name, executor)| (name.as_str(), executor))
    }
}
