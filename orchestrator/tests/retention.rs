//! What went, what stayed, and what is recorded of it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dagbook::adapters::KeptFiles;
use dagbook::app::retention::{Keeping, Turn, change, load};
use dagbook::config::Config;
use dagbook::runtime::record::Recorder;
use dagbook::wiring::{self, Layout};
use dagbook_events::ids::{EventId, Position, RunId, StreamName, TenantId};
use dagbook_events::journal::blobs::DiskBlobs;
use dagbook_events::journal::clock::SystemRng;
use dagbook_events::journal::store::{SqliteOptions, SqliteStore};
use dagbook_events::ports::{
    Actor, AppendError, AppendRequest, Appended, Blobs, Clock, EventStore, Expected, LogHead,
    NewEvent, ReadError, Recorded, StreamAppend,
};
use dagbook_events::retention::{HoldPlaced, Policy, RetentionCommand};
use dagbook_events::time::{Millis, Timestamp};
use tempfile::TempDir;
use uuid::Uuid;

const DAY: u64 = 24 * 3_600 * 1_000;

/// Now, so many days from when the test began: files have the times of the machine.
struct Ahead(std::sync::atomic::AtomicU64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        let days = self.0.load(std::sync::atomic::Ordering::SeqCst);
        dagbook_events::journal::clock::SystemClock.now() + Millis(days * DAY)
    }
}

struct House {
    folder: TempDir,
    clock: Arc<Ahead>,
    keeping: Keeping,
    /// What there really is: a process remembers for a moment what it used.
    disk: DiskBlobs,
    tenant: TenantId,
}

impl House {
    fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        let clock = Arc::new(Ahead(0.into()));
        let options = SqliteOptions::new(folder.path().join("record.db"), clock.clone());
        let store = Arc::new(SqliteStore::open(options).expect("opened"));
        let layout = Layout { data: folder.path().to_path_buf() };
        let config = Config::default();
        let deps = wiring::deps(&config, &layout, store.clone()).expect("ports");
        let files = KeptFiles::open(layout.logs(), layout.cache(), &layout.blobs());
        let keeping = Keeping {
            store: store.clone(),
            recorder: Recorder::new(&deps),
            blobs: deps.blobs.clone(),
            shelf: store.clone(),
            upkeep: store,
            files: files.expect("files"),
            archiver: None,
            clock: clock.clone(),
            rng: Arc::new(SystemRng),
            actor: Actor::new("system", "retention"),
        };
        let tenant = config.tenant;
        let disk = DiskBlobs::open(layout.blobs()).expect("a folder");
        Self { folder, clock, keeping, disk, tenant }
    }

    fn days_later(&self, days: u64) {
        self.clock.0.store(days, std::sync::atomic::Ordering::SeqCst);
    }

    async fn change(&self, tenant: &TenantId, command: RetentionCommand) {
        let keeping = &self.keeping;
        let ports = (keeping.store.as_ref(), keeping.clock.as_ref(), keeping.rng.as_ref());
        change(ports, tenant, &Actor::new("user", "ada"), &command).await.expect("changed");
    }

    /// A run with a log that names some content; ended or not.
    async fn run(&self, n: u128, content: &str, ends: bool) -> RunId {
        self.run_of(&self.tenant, n, content, ends).await
    }

    async fn run_of(&self, tenant: &TenantId, n: u128, content: &str, ends: bool) -> RunId {
        let run = RunId(Uuid::from_u128(n));
        let folder = self.folder.path().join("logs").join(run.to_string());
        std::fs::create_dir_all(&folder).expect("a folder");
        std::fs::write(folder.join("a.log"), b"some words\n").expect("a log");
        let mut kinds = vec!["attempt.exited"];
        kinds.extend(ends.then_some("run.finished"));
        let at = self.clock.now();
        let event = |(i, kind): (usize, &&str)| NewEvent {
            id: EventId(Uuid::from_u128(n * 100 + i as u128)),
            kind: Arc::from(*kind),
            at,
            actor: Arc::new(Actor::new("system", "engine")),
            causation: None,
            correlation: None,
            traceparent: None,
            data: format!("{{\"artifact\":\"{content}\"}}").into_bytes(),
            blob: None,
        };
        let events = kinds.iter().enumerate().map(event).collect();
        let streams =
            vec![StreamAppend { stream: StreamName::run(run), expected: Expected::New, events }];
        let request = AppendRequest { tenant: tenant.clone(), key: None, streams, fence: None };
        self.keeping.store.append(request).await.expect("appended");
        run
    }

    async fn blob(&self, text: &str) -> String {
        self.keeping.blobs.put(text.as_bytes()).await.expect("kept").to_hex()
    }

    fn has_logs(&self, run: RunId) -> bool {
        self.folder.path().join("logs").join(run.to_string()).exists()
    }
}

fn logs(days: u32) -> RetentionCommand {
    RetentionCommand::Set(Policy {
        logs_days: Some(days),
        blobs_days: Some(days),
        ..Policy::default()
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_go_after_their_days_unless_a_run_goes_on_or_is_held() {
    let house = House::new();
    let ended = house.run(1, "", true).await;
    let open = house.run(2, "", false).await;
    let held = house.run(3, "", true).await;
    let hold =
        HoldPlaced { hold: "audit".to_string(), run: Some(held), reason: "an audit".to_string() };
    house.change(&house.tenant, RetentionCommand::Place(hold)).await;
    house.days_later(1_000);
    let mut turn = Turn::default();
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!(swept.logs, 0, "without a policy everything stays");
    house.change(&house.tenant, logs(30)).await;
    let site = TenantId::new("site").expect("a name");
    let at_least = Policy { at_least_days: Some(1_001), ..Policy::default() };
    house.change(&site, RetentionCommand::Set(at_least)).await;
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!(swept.logs, 0, "the site keeps for longer");
    house.days_later(1_002);
    let looked = turn.take(&house.keeping, true).await.expect("a look");
    assert_eq!((looked.logs, looked.logs_bytes), (1, 11));
    assert!(house.has_logs(ended), "it was only asked");
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!((swept.logs, swept.problems), (1, Vec::new()));
    assert!(!house.has_logs(ended) && house.has_logs(open) && house.has_logs(held));
    let recorded = load(house.keeping.store.as_ref()).await.expect("read").of(&house.tenant).1;
    let (_, applied) = recorded.applied.get("logs").expect("it is recorded");
    assert_eq!((applied.count, applied.bytes), (1, 11));
    let ended_at = house.clock.now() - Millis(1_002 * DAY);
    assert!(recorded.logs_went(ended_at).is_some());
    assert!(recorded.logs_went(house.clock.now()).is_none());
    house.change(&house.tenant, RetentionCommand::Lift("audit".to_string())).await;
    assert_eq!(turn.take(&house.keeping, false).await.expect("a turn").logs, 1);
    assert_eq!(turn.take(&house.keeping, false).await.expect("a turn").logs, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_goes_when_no_kept_run_names_it() {
    let house = House::new();
    let (gone, shared, young) =
        (house.blob("gone").await, house.blob("shared").await, house.blob("young").await);
    house.run(1, &format!("{gone} {shared}"), true).await;
    house.run(2, &shared, false).await;
    house.change(&house.tenant, logs(30)).await;
    let mut turn = Turn::default();
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!(swept.blobs, 0, "nothing is old");
    house.days_later(40);
    house.run(3, &young, true).await;
    let looked = turn.take(&house.keeping, true).await.expect("a look");
    assert_eq!((looked.blobs, looked.blobs_bytes), (1, 4));
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!((swept.blobs, swept.problems), (1, Vec::new()));
    let has =
        async |hash: &str| house.disk.has(&hash.parse().expect("a hash")).await.expect("asked");
    assert!(!has(&gone).await && has(&shared).await && has(&young).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn content_that_is_wanted_again_is_not_taken_away() {
    let folder = TempDir::new().expect("a folder");
    let blobs = DiskBlobs::open(folder.path()).expect("opened");
    let (old, again) = (blobs.put(b"old").await, blobs.put(b"again").await);
    let (old, again) = (old.expect("kept"), again.expect("kept"));
    let long_ago = std::time::SystemTime::now() - std::time::Duration::from_secs(90 * 86_400);
    for hash in [&old, &again] {
        let file = std::fs::File::open(blobs.path(hash)).expect("there");
        file.set_modified(long_ago).expect("aged");
    }
    let than = std::time::SystemTime::now() - std::time::Duration::from_secs(86_400);
    assert_eq!(blobs.older(than, None, 10).await.expect("listed").len(), 2);
    // Somebody keeps the same bytes before their event is recorded.
    blobs.put(b"again").await.expect("kept");
    assert_eq!(blobs.older(than, None, 10).await.expect("listed"), [old]);
    assert_eq!(blobs.remove_older(&again, than).await.expect("looked"), None);
    assert_eq!(blobs.remove_older(&old, than).await.expect("removed"), Some(3));
    assert!(blobs.has(&again).await.expect("asked") && !blobs.has(&old).await.expect("asked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_kept_content_names_is_kept_with_it() {
    let house = House::new();
    let site = TenantId::new("site").expect("a name");
    let (file, deep, lost) =
        (house.blob("a file").await, house.blob("deep").await, house.blob("of no one").await);
    let inner = house.blob(&format!("[\"{deep}\"]")).await;
    // As the manifest of a folder, or the list of a source's pieces, does.
    let manifest = house.blob(&format!("[{{\"sha256\":\"{file}\"}},\"{inner}\"]")).await;
    let binary = house.blob(&format!("\u{1}{lost}")).await;
    let run = house.run(1, &format!("{manifest} {binary}"), true).await;
    let hold = HoldPlaced { hold: "a".to_string(), run: Some(run), reason: "audit".to_string() };
    house.change(&house.tenant, RetentionCommand::Place(hold)).await;
    house.change(&site, logs(30)).await;
    house.days_later(400);
    let mut turn = Turn::default();
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!((swept.blobs, swept.problems), (1, Vec::new()), "only what no text names");
    for hash in [&file, &deep, &inner, &manifest, &binary] {
        let hash = hash.parse().expect("a hash");
        assert!(house.disk.has(&hash).await.expect("asked"), "{hash}");
    }
    assert!(!house.disk.has(&lost.parse().expect("a hash")).await.expect("asked"));
    house.change(&house.tenant, RetentionCommand::Lift("a".to_string())).await;
    house.days_later(800);
    let swept = Turn::default().take(&house.keeping, false).await.expect("a turn");
    assert_eq!((swept.blobs, swept.problems), (5, Vec::new()), "nothing holds them any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_of_two_tenants_stays_while_one_of_them_needs_it() {
    let house = House::new();
    let other = TenantId::new("other").expect("a name");
    let (shared, own) = (house.blob("shared").await, house.blob("own").await);
    house.run(1, &format!("{shared} {own}"), true).await;
    house.run_of(&other, 2, &shared, true).await;
    house.change(&house.tenant, logs(30)).await;
    house.change(&other, logs(300)).await;
    house.days_later(100);
    let mut turn = Turn::default();
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!((swept.blobs, swept.problems), (1, Vec::new()));
    let shared = shared.parse().expect("a hash");
    assert!(house.disk.has(&shared).await.expect("asked"), "the other one needs it");
    // Asking has made it young.
    house.days_later(401);
    assert_eq!(turn.take(&house.keeping, false).await.expect("a turn").blobs, 1);
    assert!(!house.disk.has(&shared).await.expect("asked"));
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_a_crash_left_set_aside_go_on_their_way_or_back() {
    let house = House::new();
    let (gone, held, open) =
        (house.run(1, "", true).await, house.run(2, "", true).await, house.run(3, "", false).await);
    house.change(&house.tenant, logs(30)).await;
    house.days_later(40);
    for run in [gone, held, open] {
        assert_eq!(house.keeping.files.set_logs_aside(run).await.expect("set aside"), Some(11));
        assert!(!house.has_logs(run), "nobody reads them any more");
    }
    let hold =
        HoldPlaced { hold: "late".to_string(), run: Some(held), reason: "an audit".to_string() };
    house.change(&house.tenant, RetentionCommand::Place(hold)).await;
    let mut turn = Turn::default();
    let looked = turn.take(&house.keeping, true).await.expect("a look");
    assert_eq!(looked.logs, 0, "a look changes nothing, and tells of what is there");
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!((swept.logs, swept.logs_bytes, swept.problems), (1, 11, Vec::new()));
    assert!(!house.has_logs(gone) && house.has_logs(held) && house.has_logs(open));
    let left = house.keeping.files.logs_set_aside().await.expect("listed");
    assert_eq!(left, [], "nothing is left behind");
    let recorded = load(house.keeping.store.as_ref()).await.expect("read").of(&house.tenant).1;
    assert_eq!(recorded.applied.get("logs").map(|(_, it)| it.count), Some(1));
}

/// A store in which somebody places a hold as soon as the record has been read for content.
struct HoldsMeanwhile {
    inner: Arc<dyn EventStore>,
    hold: std::sync::Mutex<Option<AppendRequest>>,
}

#[async_trait::async_trait]
impl EventStore for HoldsMeanwhile {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.inner.append(request).await
    }
    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.inner.read_stream(tenant, stream, from, limit).await
    }
    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        let page = self.inner.read_after(cursor, limit).await?;
        let hold = self.hold.lock().expect("a lock").take();
        if let Some(hold) = hold {
            self.inner.append(hold).await.expect("held");
        }
        Ok(page)
    }
    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.inner.read_log(tenant, from, limit).await
    }
    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.inner.streams(tenant, prefix, before, limit).await
    }
    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        self.inner.open_streams(prefix, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.inner.head().await
    }
    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        self.inner.log_head(tenant).await
    }
    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.inner.log_heads().await
    }
    async fn timeline(&self) -> Result<u64, ReadError> {
        self.inner.timeline().await
    }
    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.inner.begin_timeline(current).await
    }
    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.inner.wait_beyond(cursor, timeout).await
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hold_that_is_placed_while_the_record_is_read_still_holds() {
    let mut house = House::new();
    let named = house.blob("evidence").await;
    house.run(1, &named, true).await;
    house.change(&house.tenant, logs(30)).await;
    house.days_later(40);
    let event = NewEvent {
        id: EventId(Uuid::from_u128(7)),
        kind: Arc::from("hold.placed"),
        at: house.clock.now(),
        actor: Arc::new(Actor::new("user", "ada")),
        causation: None,
        correlation: None,
        traceparent: None,
        data: br#"{"hold":"late","reason":"an audit"}"#.to_vec(),
        blob: None,
    };
    let stream = StreamName::new("retention").expect("a name");
    let streams = vec![StreamAppend { stream, expected: Expected::Any, events: vec![event] }];
    let hold = AppendRequest { tenant: house.tenant.clone(), key: None, streams, fence: None };
    let inner = house.keeping.store.clone();
    house.keeping.store =
        Arc::new(HoldsMeanwhile { inner, hold: std::sync::Mutex::new(Some(hold)) });
    let mut turn = Turn::default();
    let swept = turn.take(&house.keeping, false).await.expect("a turn");
    assert_eq!((swept.blobs, swept.problems), (0, Vec::new()), "the hold came in time");
    house.days_later(90);
    assert_eq!(turn.take(&house.keeping, false).await.expect("a turn").blobs, 0, "it holds");
    house.change(&house.tenant, RetentionCommand::Lift("late".to_string())).await;
    house.days_later(91);
    assert_eq!(turn.take(&house.keeping, false).await.expect("a turn").blobs, 1);
}
