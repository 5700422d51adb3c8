//! Partitions leave a real database for the tiles, and everything reads as before.

use std::sync::Arc;

use dagbook_events::ids::Position;
use dagbook_events::journal::Guard;
use dagbook_events::journal::archive::{
    ArchiveStep, ArchivedAudit, ArchivedLeaves, ArchivedStore, Archiver, ArchiverParts, Waits,
};
use dagbook_events::journal::checkpoints::{
    Checkpoints, History, Publisher, PublisherOptions, PublisherParts,
};
use dagbook_events::journal::copy::MemoryCopy;
use dagbook_events::journal::keys::FileSigner;
use dagbook_events::journal::objects::MemoryObjects;
use dagbook_events::journal::reconcile::{
    CopySource, LeafSource, StoreSource, TileSource, reconcile,
};
use dagbook_events::journal::store::postgres::{PostgresStore, grant_server};
use dagbook_events::ports::{
    Archive, EventStore, Expected, Objects, RecordCopy, Recorded, Segment, Upkeep,
};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::tlog::VerifierKey;
use tempfile::TempDir;

use super::subject::{Server, open, request, stream, tenant, url};

const SITE: &str = "dagbook.example";
const LATER: Timestamp = Timestamp(9_000_000_000_000);

struct Site {
    server: Arc<Server>,
    database: String,
    store: Arc<PostgresStore>,
    objects: Arc<MemoryObjects>,
    publisher: Publisher,
    key: VerifierKey,
    _folder: TempDir,
}

impl Site {
    /// Runs that end, one after the other, in partitions of 20 positions; beside them a stream
    /// that never ends.
    async fn with_runs(runs: usize) -> Self {
        let server = Server::debian();
        let database = server.database();
        let mut options = server.options(&database);
        options.partition_width = 20;
        let store = open(options).await;
        let folder = TempDir::new().expect("a folder");
        let signer = FileSigner::open(folder.path().join("key"), SITE).expect("a key");
        let key = signer.verifier().clone();
        let history = History::new(folder.path().join("checkpoints"), key.clone());
        let objects = Arc::new(MemoryObjects::new());
        // As a server's does, it reads through the archive what has left the store.
        let leaves = Arc::new(ArchivedLeaves::new(objects.clone()));
        let parts = PublisherParts {
            store: Arc::new(ArchivedStore::new(store.clone(), store.clone(), leaves)),
            checkpoints: Checkpoints::new(history, Arc::new(signer), SITE),
            objects: Some(objects.clone()),
            notes: None,
            guard: Arc::new(Guard::open()),
        };
        let publisher = Publisher::new(parts, PublisherOptions::default()).expect("a publisher");
        let this = Self { server, database, store, objects, publisher, key, _folder: folder };
        for n in 0..runs {
            this.run(&format!("run/{n}"), true).await;
            this.append("pipeline/nightly", 1, None).await;
        }
        this
    }

    async fn append(&self, name: &str, events: u128, last: Option<&str>) {
        let mut request = request(name, Expected::Any, events);
        if let (Some(kind), Some(event)) = (last, request.streams[0].events.last_mut()) {
            event.kind = Arc::from(kind);
        }
        self.store.append(request).await.expect("appended");
    }

    async fn run(&self, name: &str, ends: bool) {
        self.append(name, 4, ends.then_some("run.finished")).await;
    }

    async fn publish(&mut self) {
        let turn = self.publisher.turn().await.expect("a turn");
        assert!(turn.problems.is_empty(), "{turn:?}");
    }

    fn reader(&self) -> ArchivedStore {
        let leaves = Arc::new(ArchivedLeaves::new(self.objects.clone()));
        ArchivedStore::new(self.store.clone(), self.store.clone(), leaves)
    }

    fn audit(&self) -> Arc<ArchivedAudit> {
        let leaves = Arc::new(ArchivedLeaves::new(self.objects.clone()));
        Arc::new(ArchivedAudit::new(self.store.clone(), self.store.clone(), leaves))
    }

    fn archiver(&self, copy: Option<Arc<dyn RecordCopy>>) -> Archiver {
        Archiver::new(ArchiverParts {
            store: Arc::new(self.reader()),
            archive: self.store.clone(),
            objects: self.objects.clone(),
            key: self.key.clone(),
            witnesses: Vec::new(),
            copy,
        })
    }

    async fn all(&self) -> Vec<Recorded> {
        let mut all: Vec<Recorded> = Vec::new();
        let reader = self.reader();
        loop {
            let cursor = all.last().map_or(Position(0), |event| event.position);
            let page = reader.read_after(cursor, 37).await.expect("a page");
            if page.is_empty() {
                return all;
            }
            all.extend(page);
        }
    }

    fn partitions(&self) -> usize {
        self.server
            .ask(&self.database, "SELECT 1 FROM pg_inherits WHERE inhparent = 'event'::regclass")
            .len()
    }
}

async fn copy_of(events: &[Recorded]) -> Arc<MemoryCopy> {
    let copy = MemoryCopy::new();
    for page in events.chunks(200) {
        let after = Position(page[0].position.0 - 1);
        copy.add(1, after, page).await.expect("copied");
    }
    Arc::new(copy)
}

#[tokio::test(flavor = "multi_thread")]
async fn partitions_go_and_every_source_still_has_the_same() {
    let mut site = Site::with_runs(30).await;
    let before = site.all().await;
    let copy = copy_of(&before).await;
    site.publish().await;
    let (made, archiver) = (site.partitions(), site.archiver(Some(copy.clone())));
    for _ in 0..4 {
        let turn = archiver.turn(LATER, Millis(0), false).await.expect("a turn");
        assert_eq!((turn.gone, turn.waits), (20, None));
    }
    assert_eq!(site.partitions(), made - 4);
    let here = site.store.read_after(Position(0), 1).await.expect("a page");
    assert_eq!(here[0].position, Position(81), "the first that Postgres still has");
    assert!(site.all().await == before, "other bytes");
    // Each run, from its first version and from within.
    let reader = site.reader();
    for n in 0..30 {
        let name = stream(&format!("run/{n}"));
        let of_run: Vec<_> = before.iter().filter(|it| it.stream == name).cloned().collect();
        for from in [0, 2] {
            let read = reader.read_stream(&tenant(), &name, from, 100).await.expect("a run");
            assert_eq!(read, of_run[from as usize..]);
        }
        assert!(reader.read_stream(&tenant(), &name, 4, 9).await.expect("the end").is_empty());
    }
    // A stream that never ends is read across the border, and from within by one look.
    let name = stream("pipeline/nightly");
    let read = reader.read_stream(&tenant(), &name, 0, 1_000).await.expect("the stream");
    assert_eq!(read.iter().map(|it| it.version).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    let read = reader.read_stream(&tenant(), &name, 12, 6).await.expect("the stream");
    assert_eq!(read.iter().map(|it| it.version).collect::<Vec<_>>(), (12..18).collect::<Vec<_>>());
    let log = reader.read_log(&tenant(), 70, 20).await.expect("the log");
    assert_eq!(log, before[70..90]);
    // Store, tiles and copy agree leaf by leaf.
    let store = || StoreSource::new("store", site.audit());
    let tiles = TileSource::new("tiles", site.objects.clone(), site.key.clone(), 1);
    let copied = CopySource::new("copy", copy.clone(), 1);
    for other in [&tiles as &dyn LeafSource, &copied] {
        let report = reconcile(&store(), other, &mut |_| {}).await.expect("compared");
        assert!(report.agrees(), "{report:?}");
    }
    // It goes on as if nothing had happened.
    site.run("run/later", true).await;
    site.publish().await;
    assert_eq!(site.all().await.len(), before.len() + 4);
    // What the copy does not have stays.
    site.append("pipeline/nightly", 60, None).await;
    site.publish().await;
    let mut waits = None;
    while waits.is_none() {
        waits = archiver.turn(LATER, Millis(0), false).await.expect("a turn").waits;
    }
    assert_eq!(waits, Some(Waits::Uncopied));
    site.server.ask(&site.database, "SELECT 1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kill_between_any_two_steps_loses_nothing() {
    let mut site = Site::with_runs(20).await;
    let before = site.all().await;
    site.publish().await;
    for step in [ArchiveStep::Indexed, ArchiveStep::Kept, ArchiveStep::ReadBack, ArchiveStep::Gone]
    {
        let mut go_on = |done: ArchiveStep| done != step;
        site.archiver(None).turn_until(LATER, Millis(0), false, &mut go_on).await.expect("a turn");
        assert!(site.all().await == before, "other bytes behind {step:?}");
    }
    assert_eq!(site.store.gone_until().await, Ok(Position(21)));
    let turn = site.archiver(None).turn(LATER, Millis(0), false).await.expect("a turn");
    assert_eq!(turn.gone, 20);
    assert!(site.all().await == before, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_database_lets_nothing_go_that_is_not_in_the_archive() {
    let mut site = Site::with_runs(10).await;
    site.publish().await;
    let first = Segment { first: Position(1), end: Position(21) };
    let refused = site.store.let_go(first).await.expect_err("nothing is archived");
    assert!(refused.to_string().contains("the archive has nothing of the position 1"), "{refused}");
    let second = Segment { first: Position(21), end: Position(41) };
    let refused = site.store.let_go(second).await.expect_err("not the oldest");
    assert!(refused.to_string().contains("is not the oldest"), "{refused}");
    let forged = "INSERT INTO archive (first_position, end_position, index_path, index_hash, \
                  leaves_hash) VALUES (1, 21, 'x', sha256('x'), sha256('y'))";
    let refused = site.server.try_ask(&site.database, forged).expect_err("other leaves");
    assert!(refused.contains("are others than those in the tiles"), "{refused}");
    for sql in ["DELETE FROM event", "UPDATE event SET version = 9", "TRUNCATE event"] {
        let refused = site.server.try_ask(&site.database, sql).expect_err("never");
        assert!(refused.contains("events are never"), "{refused}");
    }
    // A run that goes on holds its partition.
    let mut site = Site::with_runs(0).await;
    site.run("run/open", false).await;
    site.append("pipeline/nightly", 40, None).await;
    site.publish().await;
    let waits = site.archiver(None).turn(LATER, Millis(0), false).await.expect("a turn").waits;
    let open = Waits::Open { tenant: tenant(), stream: stream("run/open") };
    assert_eq!(waits, Some(open));
    site.run("run/open", true).await;
    site.publish().await;
    let turn = site.archiver(None).turn(LATER, Millis(0), false).await.expect("a turn");
    assert_eq!(turn.gone, 20, "{turn:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_index_or_tile_is_named_and_everything_else_stays_readable() {
    let mut site = Site::with_runs(60).await;
    let before = site.all().await;
    site.publish().await;
    for _ in 0..13 {
        site.archiver(None).turn(LATER, Millis(0), false).await.expect("a turn");
    }
    let index = site.objects.list("archive").await.expect("listed").remove(0);
    for path in [index, "t/acme/1/tile/entries/000".to_string()] {
        let bytes = site.objects.get(&path).await.expect("read").expect("there");
        let mut changed = bytes.clone();
        let at = changed.len() / 3;
        changed[at] ^= 4;
        site.objects.put(&path, changed).await.expect("put");
        let error = site.reader().read_after(Position(0), 500).await.expect_err("damaged");
        assert!(error.to_string().contains(&path), "{error}");
        let young = site.reader().read_after(Position(260), 500).await.expect("what is here");
        assert_eq!(young, before[260..]);
        site.objects.put(&path, bytes).await.expect("put");
    }
    assert!(site.all().await == before, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_server_archives_and_still_changes_no_event() {
    let mut site = Site::with_runs(10).await;
    site.publish().await;
    site.server.ask("postgres", "CREATE ROLE app LOGIN PASSWORD 'app'");
    let owner = url(&site.server.server.url_of(&site.database));
    let rights = tokio::task::spawn_blocking(move || grant_server(&owner, "app"));
    let rights = rights.await.expect("no panic").expect("granted");
    assert!(rights.may_append && rights.may_change.is_empty(), "{rights:?}");
    for sql in [
        "SET ROLE app; UPDATE archive SET gone = true",
        "SET ROLE app; DELETE FROM archive",
        "SET ROLE app; DROP TABLE event_from_1",
        "SET ROLE app; DELETE FROM event",
    ] {
        assert!(site.server.try_ask(&site.database, sql).is_err(), "{sql}");
    }
    let none = "SET ROLE app; SELECT archive_let_go(1, 21)";
    let refused = site.server.try_ask(&site.database, none).expect_err("nothing is archived");
    assert!(refused.contains("the archive has nothing"), "{refused}");
    // Everything but the last step, and that as the server.
    let mut go_on = |done: ArchiveStep| done != ArchiveStep::ReadBack;
    site.archiver(None).turn_until(LATER, Millis(0), false, &mut go_on).await.expect("a turn");
    site.server.ask(&site.database, none);
    assert_eq!(site.store.gone_until().await, Ok(Position(21)));
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_appends_are_forgotten_when_they_are_old() {
    let server = Server::debian();
    let store = open(server.options(&server.database())).await;
    for n in 0..5 {
        let mut request = request("pipeline/a", Expected::Any, 1);
        request.key = Some(format!("key {n}"));
        store.append(request).await.expect("appended");
    }
    let recorded = Timestamp(1_767_225_600_000);
    assert_eq!(store.forget_keys(recorded, 10).await, Ok(0));
    assert_eq!(store.forget_keys(recorded + Millis(1), 3).await, Ok(3));
    assert_eq!(store.forget_keys(recorded + Millis(1), 10).await, Ok(2));
    let mut again = request("pipeline/a", Expected::Any, 1);
    again.key = Some("key 0".to_string());
    assert!(!store.append(again).await.expect("appended").duplicate);
}
