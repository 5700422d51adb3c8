//! What `dagbook serve` is made of, without its listeners: the installation, the lease, the
//! engine in the process that leads, and the door to it in every one.
//!
//! Reading order: [`Server::start`]; `lease`, who leads; `term`, what leading is; `door`, how
//! edges reach the engine; `orphans`, what nobody waits for any more; `upkeep`, what is let go;
//! `reconciling`, what is compared;
//! `accounts`, what is billed;
//! `readiness`.

mod accounts;
mod door;
pub mod lease;
mod orphans;
mod readiness;
mod reconciling;
mod sampled;
mod supervision;
mod term;
mod terms;
mod upkeep;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dagbook_events::journal::store::postgres::MigrateError;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::lease::LeaseKeeper;
pub use self::lease::{ENGINE_LEASE, Holder, Standing, Timing};
use self::readiness::Seen;
pub use self::supervision::Failure;
use self::supervision::Supervisor;
pub use self::term::Takeover;
use self::terms::Terms;
use crate::app::billing::Accounts;
use crate::app::directory::Directory;
use crate::app::error::AppError;
use crate::app::operations::{Operations, Readiness};
use crate::app::schedules::{self, Pace};
use crate::app::services::Services;
use crate::app::{budgets, quotas, waits};
use crate::config::{Config, DataDir};
use crate::runtime::news::News;
use crate::runtime::record::Recorder;
use crate::runtime::{PATIENCE, Runtime};
use crate::telemetry::Telemetry;
use crate::telemetry::metrics::{MeasuredLeases, MeasuredStore, sample_forever};
use crate::wiring::{Installation, Keeper, KeeperError, OpenError, Purpose};

/// How often an installation that cannot be opened is tried again.
const AGAIN: Duration = Duration::from_secs(1);
/// How often it is said that a start waits.
const SAY_EVERY: Duration = Duration::from_secs(5);
/// How long the engine may take to come to rest at a shutdown.
const ENDING: Duration = Duration::from_secs(15);

/// How a server is started.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The configuration.
    pub config: Config,
    /// The data folder.
    pub data: DataDir,
    /// Attempts at one time on this machine; none: four for each core.
    pub slots: Option<u32>,
    /// How long a store that is away is waited for before the start is given up.
    pub wait_for_store: Duration,
    /// How the lease is held.
    pub timing: Timing,
    /// How long an attempt of another place is waited for before it is called lost.
    pub patience: Duration,
    /// The name of this process among others; none: made of the machine's and its number.
    pub instance: Option<String>,
    /// Who counts, and where traces go.
    pub telemetry: Telemetry,
}

impl ServerOptions {
    /// With what is usual.
    pub fn new(config: Config, data: DataDir) -> Self {
        let slots = config.slots;
        Self {
            config,
            data,
            slots,
            wait_for_store: Duration::from_secs(60),
            timing: Timing::default(),
            patience: PATIENCE,
            instance: None,
            telemetry: Telemetry::default(),
        }
    }
}

/// Why a server does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The installation cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The record cannot be read.
    #[error(transparent)]
    App(#[from] AppError),
    /// The store keeps no leases, so that nobody could know who leads.
    #[error("the store keeps no leases; a server needs them")]
    NoLeases,
    /// The machine does not give what is needed.
    #[error("the server cannot start: {0}")]
    Machine(#[from] std::io::Error),
}

/// A running server. Its engine runs where it leads; everything else in every process.
pub struct Server {
    installation: Arc<Installation>,
    keeper: Arc<Mutex<Option<Keeper>>>,
    services: Services,
    directory: Directory,
    lease: tokio::sync::Mutex<LeaseKeeper>,
    standing: watch::Receiver<Standing>,
    runtime: watch::Receiver<Option<Runtime>>,
    leads: watch::Receiver<bool>,
    takeover: watch::Receiver<Takeover>,
    seen: watch::Receiver<Seen>,
    stopping: watch::Sender<bool>,
    terms: tokio::sync::Mutex<Option<JoinHandle<()>>>,
    holder: Holder,
    supervisor: Supervisor,
    telemetry: Telemetry,
}

impl Server {
    /// Starts it. Returns when the record can be read; who leads is seen afterwards.
    ///
    /// # Errors
    /// Where the configuration makes no sense, or the store stayed away for too long.
    pub async fn start(options: ServerOptions) -> Result<Self, StartError> {
        let (mut installation, directory) = open(&options).await?;
        let telemetry = options.telemetry.clone();
        let leases = installation.leases.clone().ok_or(StartError::NoLeases)?;
        let leases = MeasuredLeases::around(leases, telemetry.metrics.clone());
        let keeper = Arc::new(Mutex::new(installation.keeper.take()));
        installation.deps.patience = options.patience;
        let installation = Arc::new(installation);
        let place = installation.layout().place()?.to_string();
        let instance = options.instance.clone().unwrap_or_else(|| name(&installation));
        let holder = Holder { instance, place };
        let lease = LeaseKeeper::start(leases, &holder, options.timing.clone())?;
        let standing = lease.standing();
        let supervisor = Supervisor::default();
        let (stopping, stop) = watch::channel(false);
        let (tell_runtime, runtime) = watch::channel(None);
        let (tell_leads, leads) = watch::channel(false);
        let (tell_takeover, takeover) = watch::channel(Takeover::default());
        let terms = Terms {
            installation: installation.clone(),
            directory: directory.clone(),
            slots: options.slots,
            holder: holder.clone(),
            standing: standing.clone(),
            ended: lease.ended(),
            board: term::TermBoard {
                runtime: tell_runtime,
                leads: tell_leads,
                takeover: tell_takeover,
            },
            stopping: stop,
            supervisor: supervisor.clone(),
            telemetry: telemetry.clone(),
        };
        let terms = tokio::spawn(terms.run());
        let (tell_seen, seen) = watch::channel(Seen::default());
        let (store, data) = (installation.deps.store.clone(), installation.data.clone());
        let led = standing.clone();
        supervisor.spawn("the look at the store", async move {
            readiness::look(store.as_ref(), &data, led, tell_seen).await;
        });
        let deps = &installation.deps;
        let recorder = Recorder::new(deps);
        let door = door::Door {
            runtime: runtime.clone(),
            recorder: recorder.clone(),
            clock: deps.clock.clone(),
            shelf: deps.shelf.clone(),
            directory: directory.clone(),
            site: deps.limits.site,
        };
        let sampled = sampled::Sampled {
            runtime: runtime.clone(),
            keeper: keeper.clone(),
            directory: directory.clone(),
            clock: deps.clock.clone(),
        };
        let metrics = telemetry.metrics.clone();
        supervisor.spawn("the look at the engine's numbers", sample_forever(metrics, sampled));
        supervisor.spawn("the feed of quotas", quotas::feed(directory.clone(), runtime.clone()));
        let (store, clock) = (deps.store.clone(), deps.clock.clone());
        let shelf = deps.shelf.clone();
        let fed = budgets::feed(directory.clone(), store, shelf, clock, runtime.clone());
        supervisor.spawn("the feed of budgets", fed);
        let picture = waits::publish(runtime.clone(), deps.shelf.clone(), deps.clock.clone());
        supervisor.spawn("the picture of what waits", picture);
        let services = Services {
            store: deps.store.clone(),
            news: deps.news.clone(),
            blobs: deps.blobs.clone(),
            shelf: deps.shelf.clone(),
            clock: deps.clock.clone(),
            rng: deps.rng.clone(),
            recorder,
            engine: Arc::new(door),
            numbers: Default::default(),
        };
        let server = Self {
            keeper,
            installation,
            services,
            directory,
            lease: tokio::sync::Mutex::new(lease),
            standing,
            runtime,
            leads,
            takeover,
            seen,
            stopping,
            terms: tokio::sync::Mutex::new(Some(terms)),
            holder,
            supervisor,
            telemetry,
        };
        server.feed("the schedules", fire(server.services.clone(), server.engine()));
        let reconciliation = reconciling::Reconciliation {
            installation: server.installation.clone(),
            config: options.config.clone(),
            leads: server.leads(),
            metrics: server.telemetry.metrics.clone(),
            pace: reconciling::Pace::default(),
        };
        server.feed("the reconciliation", reconciliation.run());
        let upkeep = upkeep::Upkeep {
            installation: server.installation.clone(),
            config: options.config,
            leads: server.leads(),
            metrics: server.telemetry.metrics.clone(),
        };
        server.feed("the upkeep", upkeep.run());
        let accounting = accounts::Accounting {
            accounts: server.accounts(),
            leads: server.leads(),
            standing: server.standing(),
            metrics: server.telemetry.metrics.clone(),
        };
        server.feed("the billing", accounting.run());
        Ok(server)
    }

    /// What use cases work with.
    pub fn services(&self) -> &Services {
        &self.services
    }

    /// What billing works with.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(self.services.clone(), self.installation.site())
    }

    /// Who may come in.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The installation behind it.
    pub fn installation(&self) -> &Arc<Installation> {
        &self.installation
    }

    /// Who this process is to the others.
    pub fn holder(&self) -> &Holder {
        &self.holder
    }

    /// Who leads, as it changes.
    pub fn standing(&self) -> watch::Receiver<Standing> {
        self.standing.clone()
    }

    /// The engine, while it runs here.
    pub fn engine(&self) -> watch::Receiver<Option<Runtime>> {
        self.runtime.clone()
    }

    /// Whether this process leads and has taken everything over: what only the leader may do
    /// (firing schedules) looks at this.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leads.clone()
    }

    /// Runs a task as long as the process: one that ends or panics before the server stops ends
    /// the process with its name.
    pub fn feed(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let mut stopping = self.stopping.subscribe();
        self.supervisor.spawn(name, async move {
            tokio::select! {
                () = task => {}
                () = term::asked_to_stop(&mut stopping) => std::future::pending().await,
            }
        });
    }

    /// How it stands, part by part, from what was last seen.
    pub fn readiness(&self) -> Readiness {
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner);
        let status = keeper.as_ref().map(Keeper::status);
        readiness::readiness(
            &self.seen.borrow(),
            &self.standing.borrow(),
            *self.takeover.borrow(),
            status.as_ref(),
            self.directory.is_fresh(),
            *self.stopping.borrow(),
        )
    }

    /// Returns when a part of the server has died: the process should end and say so.
    pub async fn failed(&self) -> Failure {
        self.supervisor.failed().await
    }

    /// Stops: nothing new is taken, what is on its way to the store arrives, the lease is given
    /// back. Attempts run on, and whoever leads next takes them over. Bounded in time.
    pub async fn shutdown(&self) {
        self.supervisor.quiet();
        self.stopping.send_replace(true);
        if let Some(terms) = self.terms.lock().await.take()
            && tokio::time::timeout(ENDING, terms).await.is_err()
        {
            tracing::warn!("the engine did not come to rest in time; what it did is on record");
        }
        self.lease.lock().await.stop().await;
        let keeper = self.keeper.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(keeper) = keeper {
            keeper.stop().await;
        }
    }
}

/// Fires schedules while the engine runs here.
async fn fire(services: Services, mut engine: watch::Receiver<Option<Runtime>>) {
    let (tell, leads) = watch::channel(false);
    let follows = async move {
        loop {
            tell.send_replace(engine.borrow_and_update().is_some());
            if engine.changed().await.is_err() {
                // No term follows: nobody acts here any more.
                tell.send_replace(false);
                std::future::pending::<()>().await;
            }
        }
    };
    tokio::select! {
        () = follows => {}
        () = schedules::run(services, leads, Pace::default()) => {}
    }
}

#[async_trait]
impl Operations for Server {
    async fn readiness(&self) -> Readiness {
        Self::readiness(self)
    }

    fn metrics(&self) -> String {
        self.telemetry.metrics.render()
    }
}

/// Opens the installation and the directory; a store that is away is waited for.
async fn open(options: &ServerOptions) -> Result<(Installation, Directory), StartError> {
    let began = Instant::now();
    let mut said: Option<Instant> = None;
    loop {
        let error = match try_open(options).await {
            Ok(opened) => return Ok(opened),
            Err(error) => error,
        };
        if !may_pass(&error) || began.elapsed() >= options.wait_for_store {
            return Err(error);
        }
        if said.is_none_or(|said| said.elapsed() >= SAY_EVERY) {
            said = Some(Instant::now());
            let left_s = options.wait_for_store.saturating_sub(began.elapsed()).as_secs();
            tracing::warn!(%error, left_s, "the server waits for its store");
        }
        tokio::time::sleep(AGAIN).await;
    }
}

async fn try_open(options: &ServerOptions) -> Result<(Installation, Directory), StartError> {
    let purpose = Purpose::Serve;
    let mut installation = Installation::open(&options.config, &options.data, purpose).await?;
    let (deps, metrics) = (&mut installation.deps, options.telemetry.metrics.clone());
    deps.store = MeasuredStore::around(deps.store.clone(), metrics);
    deps.news = News::of(deps.store.clone());
    let directory = Directory::open(installation.directory_parts()).await?;
    Ok((installation, directory))
}

/// Whether it may be otherwise in a while.
fn may_pass(error: &StartError) -> bool {
    let schema = |error: &MigrateError| {
        matches!(error, MigrateError::Server(_) | MigrateError::Locked { .. })
    };
    match error {
        StartError::Open(OpenError::Schema(error)) => schema(error),
        StartError::Open(error) => matches!(
            error,
            OpenError::Store { .. } | OpenError::Keeper(KeeperError::TooSlow { .. })
        ),
        StartError::App(error) => matches!(error, AppError::Unavailable { .. }),
        StartError::NoLeases | StartError::Machine(_) => false,
    }
}

/// A name that no other process has.
fn name(installation: &Installation) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let random = installation.deps.rng.bytes();
    let tail: String = random[..3].iter().map(|byte| format!("{byte:02x}")).collect();
    // Holders of leases have at most 256 bytes.
    let host: String = host.chars().take(64).collect();
    format!("{host}-{}-{tail}", std::process::id())
}

/// Whether the engine of the record's site is led by some server now, as its lease says.
pub async fn is_led(installation: &Installation) -> bool {
    let Some(leases) = &installation.leases else { return false };
    match leases.lease(ENGINE_LEASE).await {
        Ok(Some(lease)) => lease.expires_at > installation.deps.clock.now(),
        _ => false,
    }
}

/// The data folder of a server.
pub fn data_folder(server: &Server) -> &Path {
    &server.installation.data
}
