//! Exactly one firing for each instant, and one run for each firing: two servers that both
//! believe that they lead, killed and started again at any moment, also between the two appends.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dagbook::app::error::AppError;
use dagbook::app::pipelines;
use dagbook::app::ports::WaitFigures;
use dagbook::app::principal::Principal;
use dagbook::app::schedules::{self, Pace};
use dagbook::app::services::{EngineDoor, Services};
use dagbook::engine::{Decided, Outgoing, StreamPart};
use dagbook::runtime::record::Recorder;
use dagbook_events::access::Role;
use dagbook_events::dag::SourceBundle;
use dagbook_events::dag::trigger::{CatchUp, Overlap};
use dagbook_events::ids::{RunId, StepKey, StreamName, TenantId};
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::ports::{Actor, AppendRequest, Clock, EventStore, Expected};
use dagbook_events::run::event::{Source, Submitted};
use dagbook_events::run::{Ask, RunEvent, RunFact};
use dagbook_events::schedule::{BackfillAsk, Order, ScheduleEvent, ScheduleSpec};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_tests::books::ports;
use dagbook_tests::servers::{Postgres, PostgresVersion};
use dagbook_tests::stores;
use tokio::sync::watch;
use tokio::task::JoinHandle;

const DAG: &str = "dagbook: v1\nname: tick\nsteps:\n  a: { run: \"true\" }\n";

/// Time as the test says.
struct TestClock(AtomicI64);

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::SeqCst))
    }
}

/// A door that records runs, and whose process may hang before it does.
struct Door {
    store: Arc<dyn EventStore>,
    recorder: Recorder,
    hangs: Arc<AtomicBool>,
    hung: Arc<AtomicU64>,
}

#[async_trait]
impl EngineDoor for Door {
    async fn submit(
        &self,
        submitted: Submitted,
        _by: &Actor,
        _traceparent: Option<&str>,
    ) -> Result<Timestamp, AppError> {
        if self.hangs.load(Ordering::SeqCst) {
            self.hung.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>().await;
        }
        let (run, tenant) = (submitted.run, submitted.tenant.clone());
        let at = submitted.scheduled_at.unwrap_or_default();
        let fact = RunFact { at, event: RunEvent::Submitted(Box::new(submitted)) };
        let decided = Decided { facts: vec![fact], by: None, trace: None };
        let part = StreamPart {
            stream: StreamName::run(run),
            expected: Expected::New,
            outgoing: Outgoing::Run(run, vec![decided]),
        };
        let streams = self.recorder.prepare(&[part]).await?;
        self.store.append(AppendRequest { tenant, key: None, streams, fence: None }).await?;
        Ok(at)
    }

    async fn ask(&self, _: &TenantId, _: RunId, _: Ask, _: &Actor) -> Result<(), AppError> {
        Ok(())
    }

    async fn waits(
        &self,
        _: &TenantId,
        _: RunId,
        _: &StepKey,
    ) -> Result<Option<WaitFigures>, AppError> {
        Ok(None)
    }
}

struct World {
    store: Arc<dyn EventStore>,
    clock: Arc<TestClock>,
    services: Services,
    hangs: Arc<AtomicBool>,
    hung: Arc<AtomicU64>,
    tenant: TenantId,
}

impl World {
    fn new(store: Arc<dyn EventStore>) -> Self {
        let tenant = TenantId::new("acme").expect("a slug");
        let clock = Arc::new(TestClock(AtomicI64::new(
            Timestamp::parse_rfc3339("2026-03-01T00:00:30Z").expect("an instant").0,
        )));
        let deps = ports(store.clone(), clock.clone(), &tenant);
        let recorder = Recorder::new(&deps);
        let (hangs, hung) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let door = Door {
            store: store.clone(),
            recorder: recorder.clone(),
            hangs: hangs.clone(),
            hung: hung.clone(),
        };
        let services = Services {
            store: store.clone(),
            news: deps.news.clone(),
            blobs: deps.blobs.clone(),
            shelf: deps.shelf.clone(),
            clock: clock.clone(),
            rng: deps.rng.clone(),
            recorder,
            engine: Arc::new(door),
            numbers: Default::default(),
        };
        Self { store, clock, services, hangs, hung, tenant }
    }

    fn person(&self) -> Principal {
        Principal::whole(Actor::new("user", "ann"), self.tenant.clone(), Role::Owner, false)
    }

    /// A server that believes that it leads.
    fn replica(&self) -> (JoinHandle<()>, watch::Sender<bool>) {
        let (tell, leads) = watch::channel(true);
        let pace = Pace { longest_sleep: Duration::from_millis(10), ..Pace::default() };
        (tokio::spawn(schedules::run(self.services.clone(), leads, pace)), tell)
    }

    fn pass(&self, span: Millis) {
        self.clock.0.fetch_add(i64::try_from(span.0).expect("small"), Ordering::SeqCst);
    }

    async fn prepare(&self, overlap: Overlap) {
        let bundle = SourceBundle {
            entry: "dag.yaml".to_string(),
            files: BTreeMap::from([("dag.yaml".to_string(), DAG.to_string())]),
        };
        let source = Source { bundle, folder: None, archive: None, pipelines: BTreeMap::new() };
        let by = self.person();
        let first = pipelines::register(&self.services, &by, "tick", source.clone(), "first")
            .await
            .expect("registered");
        assert!(first.created);
        let again = pipelines::register(&self.services, &by, "tick", source, "again").await;
        assert!(!again.expect("the same").created, "the same content is no new version");
        let spec = ScheduleSpec {
            pipeline: "tick".to_string(),
            version: None,
            cron: "* * * * *".to_string(),
            timezone: "UTC".to_string(),
            overlap,
            catch_up: CatchUp::All,
            jitter_ms: Millis(0),
            params: BTreeMap::new(),
        };
        schedules::create(&self.services, &by, "minutely", spec).await.expect("made");
    }

    async fn events(&self) -> Vec<ScheduleEvent> {
        let stream = StreamName::new("schedule/minutely").expect("a name");
        let all = self.store.read_stream(&self.tenant, &stream, 0, 10_000).await.expect("read");
        let read = |recorded| dagbook::app::streams::read::<ScheduleEvent>(recorded);
        all.iter().filter_map(|it| read(it).expect("ours")).map(|(_, event)| event).collect()
    }

    /// Instants and runs of all firings.
    async fn fired(&self) -> Vec<(Timestamp, RunId)> {
        let events = self.events().await;
        let one = |event: ScheduleEvent| match event {
            ScheduleEvent::Fired(it) => Some((it.instant, it.run)),
            _ => None,
        };
        events.into_iter().filter_map(one).collect()
    }

    async fn runs(&self) -> BTreeSet<RunId> {
        let names = self.store.streams(&self.tenant, "run/", None, 10_000).await.expect("read");
        names.iter().filter_map(StreamName::as_run).collect()
    }

    /// Waits until every instant to now is fired and each firing has its run.
    async fn settled(&self, instants: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let (fired, runs) = (self.fired().await, self.runs().await);
            if fired.len() >= instants && fired.iter().all(|(_, run)| runs.contains(run)) {
                return;
            }
            let seen = (fired.len(), runs.len());
            assert!(Instant::now() < deadline, "{seen:?} of {instants} fired and there");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

async fn two_servers_fire_each_instant_once(store: Arc<dyn EventStore>) {
    let world = World::new(store);
    world.prepare(Overlap::Allow).await;
    let mut replicas = [world.replica(), world.replica()];
    for minute in 0..24usize {
        // Now and then the process hangs between the firing and its run, and is killed there.
        let kills = minute % 3 == 1;
        world.hangs.store(kills, Ordering::SeqCst);
        let before = world.hung.load(Ordering::SeqCst);
        world.pass(Millis::seconds(60));
        if kills {
            let deadline = Instant::now() + Duration::from_secs(30);
            while world.hung.load(Ordering::SeqCst) == before {
                assert!(Instant::now() < deadline, "nobody came to submit");
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
            for replica in &mut replicas {
                replica.0.abort();
                *replica = world.replica();
            }
            world.hangs.store(false, Ordering::SeqCst);
            world.settled(minute + 1).await;
        } else if minute % 4 == 0 {
            replicas[minute / 4 % 2].0.abort();
            replicas[minute / 4 % 2] = world.replica();
        }
    }
    world.settled(24).await;
    let fired = world.fired().await;
    let instants: Vec<Timestamp> = fired.iter().map(|(instant, _)| *instant).collect();
    let first = Timestamp::parse_rfc3339("2026-03-01T00:01:00Z").expect("an instant");
    let expected: Vec<Timestamp> = (0..24).map(|n| first + Millis::seconds(n * 60)).collect();
    assert_eq!(instants, expected, "each instant once, in order");
    let wanted: BTreeSet<RunId> = fired.iter().map(|(_, run)| *run).collect();
    assert_eq!(world.runs().await, wanted, "each firing has its run, and there are no others");
    for run in wanted {
        let events = world.store.read_stream(&world.tenant, &StreamName::run(run), 0, 10).await;
        assert_eq!(events.expect("read").len(), 1, "submitted once");
    }
}

async fn a_backfill_goes_on_over_restarts(store: Arc<dyn EventStore>) {
    let world = World::new(store);
    world.prepare(Overlap::Allow).await;
    let by = world.person();
    let ask = BackfillAsk {
        from: Timestamp::parse_rfc3339("2026-02-28T23:00:00Z").expect("an instant"),
        to: Timestamp::parse_rfc3339("2026-03-01T00:00:00Z").expect("an instant"),
        order: Order::Oldest,
        rate_per_minute: None,
        max_parallel: 100,
        again: false,
    };
    let seen = schedules::preview(&world.services, &by, "minutely", &ask).await.expect("seen");
    assert_eq!((seen.count, seen.already_fired, seen.too_many), (60, 0, false));
    assert!(world.fired().await.is_empty(), "a preview does nothing");
    schedules::backfill(&world.services, &by, "minutely", &ask).await.expect("asked for");
    world.hangs.store(true, Ordering::SeqCst);
    let replica = world.replica();
    let deadline = Instant::now() + Duration::from_secs(30);
    while world.hung.load(Ordering::SeqCst) == 0 {
        assert!(Instant::now() < deadline, "nobody came to submit");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    replica.0.abort();
    world.hangs.store(false, Ordering::SeqCst);
    let (_replica, _leads) = world.replica();
    world.settled(60).await;
    let instants: BTreeSet<Timestamp> = world.fired().await.iter().map(|it| it.0).collect();
    assert_eq!(instants.len(), 60);
    let again = schedules::preview(&world.services, &by, "minutely", &ask).await.expect("seen");
    assert_eq!((again.count, again.already_fired), (0, 60), "nothing is fired twice");
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("one")
}

async fn sqlite(folder: &tempfile::TempDir) -> Arc<dyn EventStore> {
    let address = format!("sqlite:{}", folder.path().join("events.sqlite").display());
    stores::open(&address, Arc::new(SystemClock)).await.expect("a store")
}

async fn postgres(server: &Postgres) -> Arc<dyn EventStore> {
    let address = server.database("schedules");
    stores::open(&address, Arc::new(SystemClock)).await.expect("a store")
}

#[test]
fn two_servers_on_sqlite_fire_each_instant_once_over_kills_and_restarts() {
    let folder = tempfile::TempDir::new().expect("a folder");
    runtime().block_on(async { two_servers_fire_each_instant_once(sqlite(&folder).await).await });
}

#[test]
fn two_servers_on_postgres_fire_each_instant_once_over_kills_and_restarts() {
    let server = Postgres::start(PostgresVersion::Debian);
    runtime().block_on(async { two_servers_fire_each_instant_once(postgres(&server).await).await });
}

#[test]
fn a_backfill_on_sqlite_goes_on_where_a_killed_server_left_it() {
    let folder = tempfile::TempDir::new().expect("a folder");
    runtime().block_on(async { a_backfill_goes_on_over_restarts(sqlite(&folder).await).await });
}
