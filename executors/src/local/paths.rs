//! Where an attempt's files are.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use dagbook_events::ids::AttemptId;

/// The folder of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttemptDir(PathBuf);

impl AttemptDir {
    pub(crate) fn new(root: &Path, attempt: AttemptId) -> Self {
        Self(root.join(attempt.to_string()))
    }

    /// The folder in which it is put together before it appears under its name.
    pub(crate) fn preparing(root: &Path, attempt: AttemptId) -> Self {
        static DRAFTS: AtomicU32 = AtomicU32::new(0);
        let draft = DRAFTS.fetch_add(1, Ordering::Relaxed);
        Self(root.join(format!("{PREPARE}{attempt}-{draft}-{}", std::process::id())))
    }

    pub(crate) fn at(path: &Path) -> Self {
        Self(path.to_path_buf())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    pub(crate) fn record(&self) -> PathBuf {
        self.0.join("attempt.json")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.0.join("lock")
    }

    pub(crate) fn cancel(&self) -> PathBuf {
        self.0.join("cancel")
    }

    pub(crate) fn started(&self) -> PathBuf {
        self.0.join("started")
    }

    pub(crate) fn measured(&self) -> PathBuf {
        self.0.join("usage")
    }

    pub(crate) fn exit(&self) -> PathBuf {
        self.0.join("exit")
    }

    pub(crate) fn report(&self) -> PathBuf {
        self.0.join("report.json")
    }

    pub(crate) fn shim_errors(&self) -> PathBuf {
        self.0.join("shim.err")
    }

    pub(crate) fn output(&self) -> PathBuf {
        self.0.join("output")
    }

    pub(crate) fn artifacts(&self) -> PathBuf {
        self.0.join("artifacts")
    }

    pub(crate) fn scratch(&self) -> PathBuf {
        self.0.join("scratch")
    }

    pub(crate) fn inputs(&self) -> PathBuf {
        self.0.join("scratch").join("inputs")
    }

    pub(crate) fn work(&self) -> PathBuf {
        self.0.join("work")
    }

    pub(crate) fn script(&self) -> PathBuf {
        self.0.join("script")
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        self.0.join("secrets")
    }
}

/// Start of the names of folders that are not complete.
pub(crate) const PREPARE: &str = ".prepare-";

/// Start of the names of empty folders that a process keeps.
pub(crate) const SPARE: &str = ".spare-";

/// The process that was preparing a folder of this name, or keeps it.
pub(crate) fn owner(name: &str) -> Option<u32> {
    let rest = name.strip_prefix(PREPARE).or_else(|| name.strip_prefix(SPARE))?;
    rest.rsplit_once('-')?.1.parse().ok()
}
