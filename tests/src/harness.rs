//! A whole orchestrator in one process, for scenarios and benchmarks.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, anyhow};
use dagbook::app::ports::NoCache;
use dagbook::app::source::Loaded;
use dagbook::app::stamp;
use dagbook::app::submit::{Stamp, submission};
use dagbook::runtime::news::News;
use dagbook::runtime::record::Recorder;
use dagbook::runtime::{Deps, NoOwnership, Runtime, Watch, start};
use dagbook_events::codec::planner::Planner;
use dagbook_events::dag::SourceBundle;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::journal::blobs::MemoryBlobs;
use dagbook_events::journal::clock::{SystemClock, SystemRng};
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::journal::store::{SqliteOptions, SqliteStore};
use dagbook_events::ports::{Actor, Blobs, Clock, EventStore};
use dagbook_events::run::event::{Source, Submitted};
use dagbook_events::run::{RunState, fold};
use dagbook_events::value::Value;
use dagbook_executors::{Executor, Registry};

/// A running orchestrator with its ports.
pub struct Rig {
    /// The runtime.
    pub runtime: Runtime,
    /// Reads and writes runs.
    pub recorder: Recorder,
    /// The ports.
    pub deps: Deps,
}

/// Which store stands behind it.
pub enum StoreKind<'a> {
    /// In memory.
    Memory,
    /// In one SQLite file of this folder.
    Sqlite(&'a Path),
}

/// A store of that kind.
pub fn store(kind: &StoreKind<'_>) -> Result<Arc<dyn EventStore>> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Ok(match kind {
        StoreKind::Memory => Arc::new(MemoryStore::new(clock)),
        StoreKind::Sqlite(folder) => {
            let options = SqliteOptions::new(folder.join("events.sqlite"), clock);
            Arc::new(SqliteStore::open(options).context("opening the store")?)
        }
    })
}

impl Rig {
    /// With one executor, called `local`, that has so many places.
    pub fn new(
        store: Arc<dyn EventStore>,
        blobs: Arc<dyn Blobs>,
        executor: Arc<dyn Executor>,
        slots: u32,
    ) -> Self {
        let deps = Deps {
            news: News::of(store.clone()),
            store,
            blobs,
            shelf: Arc::new(MemoryStore::new(Arc::new(SystemClock))),
            executors: Registry::new().with("local", executor),
            slots: BTreeMap::from([("local".to_string(), slots)]),
            limits: Default::default(),
            clock: Arc::new(SystemClock),
            rng: Arc::new(SystemRng),
            cache: Arc::new(NoCache),
            places: BTreeMap::new(),
            patience: dagbook::runtime::PATIENCE,
            leading: None,
            ownership: Arc::new(NoOwnership),
            tenant: TenantId::new("local").expect("a slug"),
            person: Actor::new("user", "test"),
        };
        let recorder = Recorder::new(&deps);
        Self { runtime: start(deps.clone()), recorder, deps }
    }

    /// With an executor that runs nothing, and blobs in memory.
    pub fn scripted(kind: &StoreKind<'_>, executor: Arc<dyn Executor>, slots: u32) -> Result<Self> {
        Ok(Self::new(store(kind)?, Arc::new(MemoryBlobs::default()), executor, slots))
    }

    /// A submission of the text, to be handed to the runtime.
    pub fn prepare(&self, dag: &str, params: BTreeMap<String, Value>) -> Result<Submitted> {
        self.prepare_in(dag, params, None)
    }

    /// The same, its steps running in a folder.
    pub fn prepare_in(
        &self,
        dag: &str,
        params: BTreeMap<String, Value>,
        folder: Option<&Path>,
    ) -> Result<Submitted> {
        let files = BTreeMap::from([("dag.yaml".to_string(), dag.to_string())]);
        let bundle = SourceBundle { entry: "dag.yaml".to_string(), files };
        let folder = folder.map(|path| path.display().to_string());
        let loaded = Loaded {
            source: Source { bundle, folder, archive: None, pipelines: BTreeMap::new() },
            hash: Sha256Digest::of(dag.as_bytes()),
            path: "dag.yaml".into(),
        };
        let stamp = Stamp {
            run: stamp::run_id(self.deps.clock.as_ref(), self.deps.rng.as_ref()),
            number: 1,
            tenant: self.deps.tenant.clone(),
        };
        submission(&Planner::default(), &loaded, params, stamp)
            .map_err(|findings| anyhow!("{findings:#?}"))
    }

    /// Submits and waits for the end.
    pub async fn run(&self, submitted: Submitted) -> Result<RunId> {
        let run = submitted.run;
        let mut watch = self.runtime.watch();
        self.runtime.submit(submitted, &self.deps.person).await?;
        while let Some(seen) = watch.recv().await {
            if Watch::ends(&seen, run) {
                return Ok(run);
            }
        }
        Err(anyhow!("the orchestrator stopped"))
    }

    /// Submits the text, waits for the end and folds what was recorded.
    pub async fn run_dag(&self, dag: &str) -> Result<RunState> {
        let run = self.run(self.prepare(dag, BTreeMap::new())?).await?;
        Ok(fold(&self.recorder.facts(&self.deps.tenant, run).await?))
    }
}
