//! The only place that names concrete adapters: from the configuration to everything behind the
//! ports.
//!
//! Reading order: [`Installation::open`] puts a record together; [`copy`] reaches its second
//! copy and its tiles, also where the store is away; [`keeper`] keeps them up to date.

mod administration;
mod archive;
mod copy;
mod evidence;
mod keeper;
mod layout;
mod local;
mod reconciling;
mod retention;
mod sources;
mod store;
mod witness;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::RunId;
use dagbook_events::journal::Guard;
use dagbook_events::journal::blobs::{DiskBlobs, RecentBlobs};
use dagbook_events::journal::checkpoints::{
    CheckpointError, Checkpoints, History, SignedCheckpoint,
};
use dagbook_events::journal::clock::{SystemClock, SystemRng};
use dagbook_events::journal::keys::FileSigner;
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::journal::store::postgres::MigrateError;
use dagbook_events::journal::verify::{AuditSource, SignedHead};
use dagbook_events::ports::{
    Actor, Archive, Blobs, Clock, EventStore, Leases, Restore, Shelf, Upkeep,
};
use dagbook_executors::Registry;

pub use self::copy::{Jet, objects, shown_objects};
pub use self::keeper::{Keeper, KeeperError, KeeperStatus};
pub use self::layout::Layout;
pub use self::local::default_slots;
pub use self::reconciling::kept;
pub use self::sources::{SourceName, SourceUnknown, Sources, SourcesError, site_key};
pub use self::store::MIGRATION_PATIENCE;
pub use self::witness::{WitnessOpenError, WitnessPlace, open_witness};
use crate::adapters::{CacheFiles, RunLocks, SealedSecrets, SecretFiles, SiteKeys};
use crate::config::{Config, DataDir, Migrate};
use crate::runtime::Deps;
use crate::runtime::news::News;

/// How long the first comparison with the copy is waited for.
const FIRST_LOOK: Duration = Duration::from_secs(15);

/// A record with everything that belongs to it.
pub struct Installation {
    /// The ports, for the runtime and the readers.
    pub deps: Deps,
    /// The data folder.
    pub data: PathBuf,
    /// Who drives what.
    pub locks: RunLocks,
    /// Secrets that an earlier program kept in files.
    pub secrets: SecretFiles,
    /// The keys that seal secrets.
    pub site_keys: Arc<SiteKeys>,
    /// The store as an auditor reads it.
    pub audit: Arc<dyn AuditSource>,
    /// Leases, where the store is shared by many.
    pub leases: Option<Arc<dyn Leases>>,
    /// Small things that change, beside the record.
    pub shelf: Arc<dyn Shelf>,
    /// What the store keeps beside events for a while.
    pub upkeep: Arc<dyn Upkeep>,
    /// Lets the oldest events leave the store for the tiles, where it can.
    pub archive: Option<Arc<dyn Archive>>,
    /// Gives the store back what it has lost.
    pub restore: Arc<dyn Restore>,
    /// Keeps the copy and the tiles up to date, where there are any and this process appends.
    pub keeper: Option<Keeper>,
    site: String,
    usage_every: std::time::Duration,
}

/// What an installation is opened for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To look. Nothing is made, migrated or appended.
    Look,
    /// To append, without running steps here.
    Append,
    /// To bring the schema up to date, whatever the configuration says about that.
    Migrate,
    /// To keep the copy, the signed heads and the tiles up to date for others. Does not wait
    /// for the first comparison.
    Keep,
    /// To serve: to append, and to run steps with [`Installation::executors`] while this process
    /// leads. Does not wait for the first comparison: until then nothing can be appended.
    Serve,
    /// To run steps, so many at one time; by default four for each core.
    Execute {
        /// Attempts at one time.
        slots: Option<u32>,
    },
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
    #[error("the store {store} cannot be opened: {reason}")]
    Store {
        /// Which.
        store: String,
        /// Why.
        reason: String,
    },
    /// The schema of the store is not the one that is needed.
    #[error(transparent)]
    Schema(#[from] MigrateError),
    /// Tiles cannot be published.
    #[error("tiles cannot be kept in {place}: {reason}")]
    Objects {
        /// Where.
        place: String,
        /// Why.
        reason: String,
    },
    /// The site's key or what it signed cannot be used.
    #[error(transparent)]
    Checkpoints(#[from] CheckpointError),
    /// The copy is not there, or contradicts the record.
    #[error(transparent)]
    Keeper(#[from] KeeperError),
    /// The local executor cannot be made.
    #[error("steps cannot be run on this machine: {0}")]
    Executor(String),
}

fn folder(path: &Path) -> impl Fn(String) -> OpenError {
    let path = path.display().to_string();
    move |reason| OpenError::Folder { path: path.clone(), reason }
}

impl Installation {
    /// Opens it, making what is missing in the data folder. Where it is opened to append and
    /// there is a copy, this returns when the two have been compared.
    pub async fn open(
        config: &Config,
        data: &DataDir,
        purpose: Purpose,
    ) -> Result<Self, OpenError> {
        let folder = layout::make_folder(data.root())?;
        let layout = Layout { data: folder.clone() };
        let appends = !matches!(purpose, Purpose::Look | Purpose::Migrate);
        let may_migrate = match purpose {
            Purpose::Look => false,
            Purpose::Migrate => true,
            _ => config.migrate == Migrate::Auto,
        };
        let jet = if appends { Jet::of(config) } else { None };
        let guard = Arc::new(match &jet {
            Some(_) => Guard::waiting("the record has not been compared with its copy yet"),
            None => Guard::open(),
        });
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let opened = store::open(config, data, clock, guard.clone(), may_migrate).await?;
        let locks = RunLocks::new(layout.locks())
            .map_err(|error| self::folder(&layout.locks())(error.to_string()))?;
        let secrets = SecretFiles::new(layout.secrets());
        let mut deps = deps(config, &layout, opened.store.clone())?;
        deps.ownership = Arc::new(locks.clone());
        deps.shelf = opened.shelf.clone();
        let site_keys = Arc::new(site_keys(config, &layout));
        if let Purpose::Execute { slots } = purpose {
            let every = config.usage_every;
            let local = executors(&deps, &layout, &site_keys, &secrets, slots, every).await?;
            (deps.executors, deps.slots, deps.places) = local;
        }
        let objects = if appends { copy::objects(config, &layout)? } else { None };
        let keeper = match jet.is_some() || objects.is_some() {
            false => None,
            true => {
                let keeper = Keeper::start(keeper::KeeperParts {
                    store: opened.store.clone(),
                    guard,
                    jet,
                    objects,
                    checkpoints: checkpoints(&layout, &config.site)?,
                    witnesses: config.witnesses.clone(),
                })?;
                if !matches!(purpose, Purpose::Keep | Purpose::Serve) {
                    keeper.first_look(FIRST_LOOK).await?;
                }
                Some(keeper)
            }
        };
        Ok(Self {
            deps,
            data: folder,
            locks,
            secrets,
            site_keys,
            usage_every: config.usage_every,
            audit: opened.audit,
            leases: opened.leases,
            restore: opened.restore,
            shelf: opened.shelf,
            upkeep: opened.upkeep,
            archive: opened.archive,
            keeper,
            site: config.site.clone(),
        })
    }

    /// Executors of this machine, with their slots and places, that nobody else shares: for one
    /// term of leading. They are to be shut down when it is over.
    pub async fn executors(&self, slots: Option<u32>) -> Result<Executors, OpenError> {
        let (layout, every) = (self.layout(), self.usage_every);
        executors(&self.deps, &layout, &self.site_keys, &self.secrets, slots, every).await
    }

    /// Signs a checkpoint of the tenant's log as it is now, with a key that is made on first
    /// use, and keeps it beside the earlier ones.
    pub async fn checkpoint(&self) -> Result<SignedCheckpoint, CheckpointError> {
        let store = self.deps.store.as_ref();
        let timeline = store.timeline().await?;
        checkpoints(&self.layout(), &self.site)?.write(store, &self.deps.tenant, timeline).await
    }

    /// What was signed of the timeline that is written; nothing where no key was made yet.
    pub async fn signed_heads(&self) -> Result<Vec<SignedHead>, CheckpointError> {
        let layout = self.layout();
        if !layout.signing_key().exists() {
            return Ok(Vec::new());
        }
        let timeline = self.deps.store.timeline().await?;
        let checkpoints = checkpoints(&layout, &self.site)?;
        checkpoints.history().on(timeline).signed_heads()
    }

    /// The site's name, as its checkpoints and invoices have it.
    pub fn site(&self) -> Arc<str> {
        Arc::from(self.site.as_str())
    }

    /// Where things are.
    pub fn layout(&self) -> Layout {
        Layout { data: self.data.clone() }
    }

    /// Runs that a process drove and did not end: it was killed, or the machine stopped.
    pub fn interrupted(&self) -> Vec<RunId> {
        self.locks.left_behind()
    }
}

/// Executors by name, their slots, and the places to which they are bound.
pub type Executors = (Registry, BTreeMap<String, u32>, BTreeMap<String, Arc<str>>);

async fn executors(
    deps: &Deps,
    layout: &Layout,
    keys: &Arc<SiteKeys>,
    files: &SecretFiles,
    slots: Option<u32>,
    usage_every: std::time::Duration,
) -> Result<Executors, OpenError> {
    let files_of = deps.tenant.clone();
    let source = SealedSecrets::new(deps.shelf.clone(), keys.clone(), files.clone(), files_of);
    let source = Arc::new(source);
    let local = local::executor(&layout.data, &deps.blobs, source, slots, usage_every).await?;
    let places = BTreeMap::from([("local".to_string(), layout.place()?)]);
    Ok((local.0, local.1, places))
}

/// The keys that seal secrets: those of the configured file, or those of the data folder.
fn site_keys(config: &Config, layout: &Layout) -> SiteKeys {
    match &config.site_key_file {
        Some(path) => SiteKeys::shared(path.clone(), Arc::new(SystemRng)),
        None => SiteKeys::own(layout.site_key(), Arc::new(SystemRng)),
    }
}

/// The ports over some store, for readers: nothing can be run with them.
pub fn deps(
    config: &Config,
    layout: &Layout,
    store: Arc<dyn EventStore>,
) -> Result<Deps, OpenError> {
    let blobs =
        DiskBlobs::open(layout.blobs()).map_err(|e| folder(&layout.blobs())(e.to_string()))?;
    let blobs: Arc<dyn Blobs> = Arc::new(RecentBlobs::over(Arc::new(blobs)));
    Ok(Deps {
        news: News::of(store.clone()),
        store,
        blobs,
        // A copy of the record has none; what is put here is forgotten.
        shelf: Arc::new(MemoryStore::new(Arc::new(SystemClock))),
        executors: Registry::new(),
        slots: BTreeMap::new(),
        limits: config.limits.clone(),
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        cache: Arc::new(CacheFiles::new(layout.cache())),
        places: BTreeMap::new(),
        patience: crate::runtime::PATIENCE,
        leading: None,
        ownership: Arc::new(crate::runtime::NoOwnership),
        tenant: config.tenant.clone(),
        person: Actor::new("user", &local::user()),
    })
}

/// The site's checkpoints, with its key, which is made on first use.
pub fn checkpoints(layout: &Layout, site: &str) -> Result<Checkpoints, CheckpointError> {
    let signer = FileSigner::open(layout.signing_key(), site)?;
    let history = History::new(layout.checkpoints(), signer.verifier().clone());
    Ok(Checkpoints::new(history, Arc::new(signer), site))
}
