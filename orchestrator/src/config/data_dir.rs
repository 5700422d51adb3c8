//! The data folder of the embedded installation: where it is and what lies in it.

use std::path::{Path, PathBuf};

use super::location::{project_root, user_data_folder};
use super::{Config, StoreLocation};

/// A data folder. Its parts are made by those who use them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DataDir {
    root: PathBuf,
    record: PathBuf,
}

impl DataDir {
    /// The folder itself, with the record in it.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        let root = root.into();
        let record = root.join("events.sqlite");
        Self { root, record }
    }

    /// Finds the folder: the configured one, else `.dagbook/` at the root of the repository of
    /// the DAG file (or of the current folder), else the user's data folder.
    ///
    /// `beside` is the DAG file, when there is one. None: there is no home folder either.
    pub fn find(
        config: &Config,
        beside: Option<&Path>,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Option<Self> {
        let here = match beside {
            Some(file) => std::path::absolute(file).ok()?.parent().map(Path::to_path_buf),
            None => std::env::current_dir().ok(),
        };
        let in_project = || Some(project_root(&here?)?.join(".dagbook"));
        let root = match &config.data {
            Some(data) => std::path::absolute(data).ok()?,
            None => in_project().or_else(|| user_data_folder(variable))?,
        };
        let mut found = Self::new(root);
        if let StoreLocation::Sqlite(path) = &config.store {
            found.record = std::path::absolute(path).ok()?;
        }
        Some(found)
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The SQLite file with the events, where they are kept in SQLite.
    pub fn record(&self) -> &Path {
        &self.record
    }

    /// Content by hash.
    pub fn blobs(&self) -> PathBuf {
        self.root.join("blobs")
    }

    /// Logs of attempts: `logs/<run>/<attempt>.log`.
    pub fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    /// What attempts have on disk while they live.
    pub fn attempts(&self) -> PathBuf {
        self.root.join("attempts")
    }

    /// Secrets, a file each.
    pub fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// The index of earlier results.
    pub fn cache(&self) -> PathBuf {
        self.root.join("cache")
    }

    /// Which process drives which run.
    pub fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    /// The signing key and what was signed with it.
    pub fn keys(&self) -> PathBuf {
        self.root.join("keys")
    }
}
