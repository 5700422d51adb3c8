//! The only file that names concrete adapters: from a data folder to everything behind the
//! ports.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::journal::blobs::DiskBlobs;
use dagbook_events::journal::checkpoints::{
    CheckpointError, Checkpoints, History, SignedCheckpoint,
};
use dagbook_events::journal::clock::{SystemClock, SystemRng};
use dagbook_events::journal::keys::FileSigner;
use dagbook_events::journal::store::{SqliteOptions, SqliteStore};
use dagbook_events::journal::verify::{AuditSource, SignedHead};
use dagbook_events::ports::{Actor, Blobs, Clock};
use dagbook_executors::Registry;
use dagbook_executors::local::{LocalConfig, LocalExecutor};

use crate::adapters::{CacheFiles, RunLocks, SecretFiles};
use crate::runtime::Deps;

/// The name of the embedded installation's logs and of its key.
const SITE: &str = "dagbook.local";
const KEY_NAME: &str = "dagbook.local";
/// The timeline that a store begins with.
const TIMELINE: u64 = 1;

/// The embedded installation: everything in one data folder.
pub struct Embedded {
    /// The ports, for the runtime and the readers.
    pub deps: Deps,
    /// The data folder.
    pub data: PathBuf,
    /// Who drives what.
    pub locks: RunLocks,
    /// Secrets.
    pub secrets: SecretFiles,
    /// The store as an auditor reads it.
    pub audit: Arc<dyn AuditSource>,
}

/// What can be set about it.
#[derive(Debug, Clone)]
pub struct EmbeddedOptions {
    /// The data folder; made with mode 0700 when it is missing.
    pub data: PathBuf,
    /// The SQLite file, when it is not in the data folder.
    pub store: Option<PathBuf>,
    /// Attempts at one time on this machine; by default four for each core.
    pub slots: Option<u32>,
    /// Whether steps will be run (and the local executor is needed), or only looked at.
    pub execute: bool,
}

/// Why the installation cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The folder cannot be made or used.
    #[error("the data folder {path} cannot be used: {reason}")]
    Folder {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// The store cannot be opened.
    #[error("the store {path} cannot be opened: {reason}")]
    Store {
        /// Which.
        path: String,
        /// Why.
        reason: String,
    },
    /// The local executor cannot be made.
    #[error("steps cannot be run on this machine: {0}")]
    Executor(String),
}

/// Where the parts of a data folder are.
#[derive(Debug, Clone)]
pub struct Layout {
    /// The folder itself.
    pub data: PathBuf,
}

impl Layout {
    /// The store's file.
    pub fn store(&self) -> PathBuf {
        self.data.join("events.sqlite")
    }

    /// Kept content.
    pub fn blobs(&self) -> PathBuf {
        self.data.join("blobs")
    }

    /// Logs of attempts.
    pub fn logs(&self) -> PathBuf {
        self.data.join("logs")
    }

    /// Locks of runs.
    pub fn locks(&self) -> PathBuf {
        self.data.join("locks")
    }

    /// Secrets.
    pub fn secrets(&self) -> PathBuf {
        self.data.join("secrets")
    }

    /// The cache index.
    pub fn cache(&self) -> PathBuf {
        self.data.join("cache")
    }

    /// The signing key, what it signed last, and the checkpoints.
    pub fn keys(&self) -> PathBuf {
        self.data.join("keys")
    }
}

impl Embedded {
    /// Opens the folder, making what is missing.
    pub async fn open(options: EmbeddedOptions) -> Result<Self, OpenError> {
        let data = make_folder(&options.data)?;
        let layout = Layout { data: data.clone() };
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let path = options.store.unwrap_or_else(|| layout.store());
        let store =
            Arc::new(SqliteStore::open(SqliteOptions::new(&path, clock.clone())).map_err(|e| {
                OpenError::Store { path: path.display().to_string(), reason: e.to_string() }
            })?);
        let folder = |path: PathBuf| {
            let shown = path.display().to_string();
            move |reason: String| OpenError::Folder { path: shown, reason }
        };
        let blobs: Arc<dyn Blobs> = Arc::new(
            DiskBlobs::open(layout.blobs()).map_err(|e| folder(layout.blobs())(e.to_string()))?,
        );
        let locks =
            RunLocks::new(layout.locks()).map_err(|e| folder(layout.locks())(e.to_string()))?;
        let secrets = SecretFiles::new(layout.secrets());
        let (executors, slots) = match options.execute {
            true => local(&data, &blobs, &secrets, options.slots).await?,
            false => (Registry::new(), BTreeMap::new()),
        };
        let audit: Arc<dyn AuditSource> = store.clone();
        let deps = Deps {
            store,
            blobs,
            executors,
            slots,
            clock,
            rng: Arc::new(SystemRng),
            cache: Arc::new(CacheFiles::new(layout.cache())),
            ownership: Arc::new(locks.clone()),
            tenant: TenantId::new("local").expect("a slug"),
            person: Actor { kind: "user".to_string(), id: user() },
        };
        Ok(Self { deps, data, locks, secrets, audit })
    }

    /// Signs a checkpoint of the tenant's log as it is now, with a key that is made on first
    /// use, and keeps it beside the earlier ones.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, CheckpointError> {
        let signer = FileSigner::open(self.key_file(), KEY_NAME)?;
        let history = History::new(self.checkpoints(), signer.verifier().clone());
        let checkpoints = Checkpoints::new(history, Arc::new(signer), SITE);
        checkpoints.write(self.deps.store.as_ref(), &self.deps.tenant, TIMELINE).await
    }

    /// What was signed so far; nothing where no key was made yet.
    pub fn signed_heads(&self) -> Result<Vec<SignedHead>, CheckpointError> {
        if !self.key_file().exists() {
            return Ok(Vec::new());
        }
        let signer = FileSigner::open(self.key_file(), KEY_NAME)?;
        History::new(self.checkpoints(), signer.verifier().clone()).signed_heads()
    }

    /// The signing key's file.
    pub fn key_file(&self) -> PathBuf {
        Layout { data: self.data.clone() }.keys().join("signing.key")
    }

    fn checkpoints(&self) -> PathBuf {
        self.data.join("checkpoints")
    }

    /// Runs that a process drove and did not end: it was killed, or the machine stopped.
    pub fn interrupted(&self) -> Vec<RunId> {
        self.locks.left_behind()
    }
}

async fn local(
    data: &Path,
    blobs: &Arc<dyn Blobs>,
    secrets: &SecretFiles,
    slots: Option<u32>,
) -> Result<(Registry, BTreeMap<String, u32>), OpenError> {
    let failed = |e: &dyn std::fmt::Display| OpenError::Executor(e.to_string());
    let mut config =
        LocalConfig::new(data, blobs.clone(), Arc::new(secrets.clone())).map_err(|e| failed(&e))?;
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

fn make_folder(path: &Path) -> Result<PathBuf, OpenError> {
    use std::os::unix::fs::DirBuilderExt;
    let failed = |e: std::io::Error| OpenError::Folder {
        path: path.display().to_string(),
        reason: e.to_string(),
    };
    let existed = path.is_dir();
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
    let path = path.canonicalize().map_err(failed)?;
    let is_default = path.file_name().is_some_and(|name| name == ".dagbook");
    if !existed && is_default {
        // A data folder inside a repository must not end up in it.
        std::fs::write(path.join(".gitignore"), "*\n").map_err(failed)?;
    }
    Ok(path)
}

fn user() -> String {
    let name = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_default();
    if name.is_empty() { format!("uid:{}", rustix::process::getuid().as_raw()) } else { name }
}
