//! A store whose older events have gone reads as one that has them all, or says what is damaged.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::conformance::store::{StoreFactory, StoreUnderTest, run_all};
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::journal::archive::{
    ArchiveStep, ArchivedLeaves, ArchivedStore, Archiver, ArchiverParts, Waits,
};
use dagbook_events::journal::checkpoints::{
    Checkpoints, History, Publisher, PublisherOptions, PublisherParts,
};
use dagbook_events::journal::keys::FileSigner;
use dagbook_events::journal::objects::MemoryObjects;
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::journal::{Faults, Guard};
use dagbook_events::ports::{
    AppendError, AppendRequest, Appended, Archive, ArchivedRange, Clock, EventStore, Leases,
    LogHead, NewRange, Objects, ReadError, Recorded, Segment,
};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::tlog::VerifierKey;
use tempfile::TempDir;

mod record_support;
use record_support::{Record, SITE, tenant};

/// Positions in a segment: small, so that most reads cross several.
const WIDTH: u64 = 3;

const LATER: Timestamp = Timestamp(9_000_000_000_000);

#[derive(Default)]
struct Kept {
    ranges: BTreeMap<u64, NewRange>,
    gone: u64,
}

/// Hides from its readers what it has let go.
struct Forgetful {
    store: Arc<MemoryStore>,
    kept: Mutex<Kept>,
}

impl Forgetful {
    fn new(store: Arc<MemoryStore>) -> Self {
        Self { store, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().expect("no panic under the lock")
    }

    fn here(&self, events: Vec<Recorded>, limit: usize) -> Vec<Recorded> {
        let gone = self.kept().gone;
        events.into_iter().filter(|event| event.position.0 > gone).take(limit).collect()
    }

    fn find(&self, fits: impl Fn(&NewRange) -> bool) -> Option<ArchivedRange> {
        let kept = self.kept();
        let mut gone = kept.ranges.values().filter(|it| it.range.end.0 - 1 <= kept.gone);
        gone.find(|it| fits(it)).map(|it| it.range.clone())
    }
}

#[async_trait]
impl EventStore for Forgetful {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.store.append(request).await
    }
    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        Ok(self.here(self.store.read_stream(tenant, stream, from, usize::MAX).await?, limit))
    }
    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        Ok(self.here(self.store.read_after(cursor, usize::MAX).await?, limit))
    }
    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        Ok(self.here(self.store.read_log(tenant, from, usize::MAX).await?, limit))
    }
    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.store.streams(tenant, prefix, before, limit).await
    }
    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        self.store.open_streams(prefix, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.store.head().await
    }
    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        self.store.log_head(tenant).await
    }
    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.store.log_heads().await
    }
    async fn timeline(&self) -> Result<u64, ReadError> {
        self.store.timeline().await
    }
    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.store.begin_timeline(current).await
    }
    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.store.wait_beyond(cursor, timeout).await
    }
}

#[async_trait]
impl Archive for Forgetful {
    async fn range_of(&self, position: Position) -> Result<Option<ArchivedRange>, ReadError> {
        Ok(self.find(|it| it.range.first <= position && position < it.range.end))
    }
    async fn range_of_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        version: u64,
    ) -> Result<Option<ArchivedRange>, ReadError> {
        Ok(self.find(|it| {
            it.streams.iter().any(|part| {
                let versions = part.first_version..part.first_version + part.events;
                part.tenant == *tenant && part.stream == *stream && versions.contains(&version)
            })
        }))
    }
    async fn range_of_leaf(
        &self,
        tenant: &TenantId,
        leaf: u64,
    ) -> Result<Option<ArchivedRange>, ReadError> {
        Ok(self.find(|it| {
            it.logs.iter().any(|part| {
                let leaves = part.first_leaf..part.first_leaf + part.leaves;
                part.tenant == *tenant && leaves.contains(&leaf)
            })
        }))
    }
    async fn ranges(&self, from: Position, limit: usize) -> Result<Vec<ArchivedRange>, ReadError> {
        let kept = self.kept();
        Ok(kept.ranges.range(from.0..).take(limit).map(|(_, it)| it.range.clone()).collect())
    }
    async fn gone_until(&self) -> Result<Position, ReadError> {
        Ok(Position(self.kept().gone + 1))
    }
    async fn oldest_segment(&self) -> Result<Option<Segment>, ReadError> {
        let head = self.store.head().await?;
        let first = Position(self.kept().gone + 1);
        let end = Position(first.0 + WIDTH);
        Ok((end <= head).then_some(Segment { first, end }))
    }
    async fn open_stream(
        &self,
        segment: Segment,
    ) -> Result<Option<(TenantId, StreamName)>, ReadError> {
        let open = self.store.open_streams("run/", None, usize::MAX).await?;
        let after = Position(segment.first.0 - 1);
        let events = self.store.read_after(after, WIDTH as usize).await?;
        // The laws of stores close hardly anything; theirs are told by their tenant.
        let is_open = |it: &&(TenantId, StreamName)| {
            it.0.as_str() == "strict"
                && events.iter().any(|event| (&event.tenant, &event.stream) == (&it.0, &it.1))
        };
        Ok(open.iter().find(is_open).cloned())
    }
    async fn keep(&self, range: &NewRange) -> Result<(), ReadError> {
        self.kept().ranges.entry(range.range.first.0).or_insert_with(|| range.clone());
        Ok(())
    }
    async fn let_go(&self, segment: Segment) -> Result<(), ReadError> {
        let mut kept = self.kept();
        assert_eq!(kept.gone + 1, segment.first.0, "the oldest first");
        assert!(kept.ranges.contains_key(&segment.first.0), "it was told of it");
        kept.gone = segment.end.0 - 1;
        Ok(())
    }
}

/// A store, what it let go, and what brings it there.
struct Site {
    inner: Arc<Forgetful>,
    objects: Arc<MemoryObjects>,
    reads: ArchivedStore,
    key: VerifierKey,
    publisher: tokio::sync::Mutex<Publisher>,
    _folder: TempDir,
}

impl Site {
    fn new(store: Arc<MemoryStore>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let signer = FileSigner::open(folder.path().join("key"), SITE).expect("a key");
        let key = signer.verifier().clone();
        let history = History::new(folder.path().join("checkpoints"), key.clone());
        let inner = Arc::new(Forgetful::new(store));
        let objects = Arc::new(MemoryObjects::new());
        let leaves = Arc::new(ArchivedLeaves::new(objects.clone()));
        let reads = ArchivedStore::new(inner.clone(), inner.clone(), leaves);
        let parts = PublisherParts {
            store: inner.store.clone(),
            checkpoints: Checkpoints::new(history, Arc::new(signer), SITE),
            objects: Some(objects.clone()),
            notes: None,
            guard: Arc::new(Guard::open()),
        };
        let publisher = Publisher::new(parts, PublisherOptions::default()).expect("a publisher");
        let publisher = tokio::sync::Mutex::new(publisher);
        Self { inner, objects, reads, key, publisher, _folder: folder }
    }

    fn archiver(&self) -> Archiver {
        Archiver::new(ArchiverParts {
            store: self.inner.clone(),
            archive: self.inner.clone(),
            objects: self.objects.clone(),
            key: self.key.clone(),
            witnesses: Vec::new(),
            copy: None,
        })
    }

    async fn publish(&self) {
        let turn = self.publisher.lock().await.turn().await.expect("a turn");
        assert!(turn.problems.is_empty(), "{turn:?}");
    }

    /// Everything that can go, goes.
    async fn archive_all(&self) {
        if self.inner.oldest_segment().await.expect("a segment").is_none() {
            return;
        }
        self.publish().await;
        let archiver = self.archiver();
        while archiver.turn(LATER, Millis(0), false).await.expect("a turn").waits.is_none() {}
    }

    /// A reader that remembers nothing.
    fn fresh_reader(&self) -> ArchivedStore {
        let leaves = Arc::new(ArchivedLeaves::new(self.objects.clone()));
        ArchivedStore::new(self.inner.clone(), self.inner.clone(), leaves)
    }
}

/// The same, archiving before each read.
struct Eager(Site, tokio::sync::Mutex<()>);

impl Eager {
    async fn ready(&self) -> &ArchivedStore {
        let _one = self.1.lock().await;
        self.0.archive_all().await;
        &self.0.reads
    }
}

#[async_trait]
impl EventStore for Eager {
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.0.reads.append(request).await
    }
    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.ready().await.read_stream(tenant, stream, from, limit).await
    }
    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        self.ready().await.read_after(cursor, limit).await
    }
    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.ready().await.read_log(tenant, from, limit).await
    }
    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.0.reads.streams(tenant, prefix, before, limit).await
    }
    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        self.0.reads.open_streams(prefix, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.0.reads.head().await
    }
    async fn log_head(&self, tenant: &TenantId) -> Result<LogHead, ReadError> {
        self.0.reads.log_head(tenant).await
    }
    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.0.reads.log_heads().await
    }
    async fn timeline(&self) -> Result<u64, ReadError> {
        self.0.reads.timeline().await
    }
    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.0.reads.begin_timeline(current).await
    }
    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.0.reads.wait_beyond(cursor, timeout).await
    }
}

struct Everything;

struct Subject(Arc<MemoryStore>, Arc<Eager>, Arc<Faults>, Arc<Guard>);

#[async_trait]
impl StoreFactory for Everything {
    async fn fresh(&self, clock: Arc<dyn Clock>) -> Box<dyn StoreUnderTest> {
        let (faults, guard) = (Arc::new(Faults::default()), Arc::new(Guard::open()));
        let store = MemoryStore::with_faults(clock, Some(faults.clone())).guarded(guard.clone());
        let store = Arc::new(store);
        let eager = Eager(Site::new(store.clone()), tokio::sync::Mutex::new(()));
        Box::new(Subject(store, Arc::new(eager), faults, guard))
    }
}

impl StoreUnderTest for Subject {
    fn store(&self) -> Arc<dyn EventStore> {
        self.1.clone()
    }
    fn faults(&self) -> Option<Arc<Faults>> {
        Some(self.2.clone())
    }
    fn leases(&self) -> Option<Arc<dyn Leases>> {
        Some(self.0.clone())
    }
    fn guard(&self) -> Option<Arc<Guard>> {
        Some(self.3.clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_with_everything_archived_keeps_the_law_book() {
    let report = run_all(&Everything).await;
    report.assert_kept();
    assert_eq!(report.not_applicable().len(), 5, "{report}");
}

async fn history() -> (Record, Site) {
    let record = Record::new();
    for (name, events) in [("acme", 300), ("umbrella", 7), ("acme", 290), ("x", 1), ("acme", 5)] {
        record.append(name, events).await;
    }
    let site = Site::new(record.store.clone());
    (record, site)
}

async fn all(store: &dyn EventStore) -> Vec<Recorded> {
    store.read_after(Position(0), usize::MAX).await.expect("readable")
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_archived_is_read_byte_by_byte_as_it_was() {
    let (record, site) = history().await;
    site.archive_all().await;
    let gone = site.inner.gone_until().await.expect("known");
    assert!(gone.0 > 590, "nearly everything went: {gone}");
    assert!(all(&*site.inner).await.len() < 10, "and is not here any more");
    assert!(all(&site.reads).await == all(&*record.store).await, "other bytes");
    for name in ["acme", "umbrella", "x", "nobody"] {
        for from in [0, 1, 255, 256, 300, 594, 595, 9_000] {
            let there = record.store.read_log(&tenant(name), from, 70).await.expect("a page");
            assert_eq!(site.reads.read_log(&tenant(name), from, 70).await, Ok(there));
        }
    }
    // A head that is published later moves no leaf.
    record.append("acme", 600).await;
    site.publish().await;
    assert!(all(&site.fresh_reader()).await == all(&*record.store).await, "other bytes");
    site.archive_all().await;
    assert!(all(&site.fresh_reader()).await == all(&*record.store).await, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn archiving_goes_on_from_wherever_it_was_cut_off() {
    let (record, site) = history().await;
    let before = all(&*record.store).await;
    site.publish().await;
    let mut cut = 0;
    for step in [ArchiveStep::Indexed, ArchiveStep::Kept, ArchiveStep::ReadBack, ArchiveStep::Gone]
    {
        for _ in 0..3 {
            let mut go_on = |done: ArchiveStep| done != step;
            let turn = site.archiver().turn_until(LATER, Millis(0), false, &mut go_on).await;
            let turn = turn.expect("a turn");
            cut += usize::from(turn.waits == Some(Waits::Stopped));
            assert!(all(&site.fresh_reader()).await == before, "other bytes behind {step:?}");
        }
    }
    assert!(cut >= 5, "it was cut off {cut} times");
    site.archive_all().await;
    assert!(all(&site.fresh_reader()).await == before, "other bytes");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_young_or_open_or_not_published_stays() {
    let record = Record::new();
    record.append("acme", 10).await;
    let site = Site::new(record.store.clone());
    let waits = async |now: Timestamp, age| {
        site.archiver().turn(now, age, true).await.expect("a turn").waits
    };
    assert_eq!(waits(LATER, Millis(0)).await, Some(Waits::Unpublished { tenant: tenant("acme") }));
    site.publish().await;
    let recorded = Timestamp(1_767_225_600_000);
    let young = waits(recorded, Millis(5_000)).await;
    assert_eq!(young, Some(Waits::Young { until: recorded + Millis(5_000) }));
    assert_eq!(waits(recorded + Millis(5_000), Millis(5_000)).await, Some(Waits::DryRun));
    assert!(site.objects.list("archive").await.expect("listed").is_empty(), "it was only asked");
    site.archive_all().await;
    assert_eq!(waits(LATER, Millis(0)).await, Some(Waits::NothingWhole));
    // A run that goes on keeps its segment, and everything behind it, here.
    record.append("strict", 10).await;
    site.publish().await;
    let open = waits(LATER, Millis(0)).await;
    assert!(matches!(&open, Some(Waits::Open { tenant, .. }) if tenant.as_str() == "strict"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_or_missing_object_is_found_and_named() {
    let (record, site) = history().await;
    site.archive_all().await;
    let good = all(&*record.store).await;
    let mut paths = site.objects.list("archive").await.expect("listed");
    assert!(paths.len() > 100);
    paths.truncate(1);
    let tiles = site.objects.list("t/acme/1/tile/entries").await.expect("listed");
    paths.extend(tiles.into_iter().filter(|path| !path.contains(".p/")).take(1));
    assert_eq!(paths.len(), 2);
    for path in paths {
        let bytes = site.objects.get(&path).await.expect("read").expect("there");
        let mut changed = bytes.clone();
        let at = changed.len() / 2;
        changed[at] ^= 1;
        site.objects.put(&path, changed).await.expect("put");
        let error = site.fresh_reader().read_after(Position(0), usize::MAX).await;
        let Err(ReadError::Corrupt { detail, .. }) = error else { panic!("{path}: {error:?}") };
        assert!(detail.contains(&path) && detail.contains("runbooks"), "{detail}");
        site.objects.remove(&path).await.expect("removed");
        let error = site.fresh_reader().read_after(Position(0), usize::MAX).await;
        let Err(ReadError::Corrupt { detail, .. }) = error else { panic!("{path}: {error:?}") };
        assert!(detail.contains("is missing"), "{detail}");
        site.objects.put(&path, bytes).await.expect("put");
        assert!(all(&site.fresh_reader()).await == good);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn leaves_that_are_others_in_the_tiles_are_never_let_go() {
    let (_, site) = history().await;
    site.publish().await;
    let other = {
        let record = Record::new();
        record.append("acme", 300).await;
        let other = Site::new(record.store.clone());
        other.publish().await;
        other
    };
    let path = "t/acme/1/tile/entries/000";
    let bytes = other.objects.get(path).await.expect("read").expect("there");
    site.objects.put(path, bytes).await.expect("put");
    let error = site.archiver().turn(LATER, Millis(0), false).await.expect_err("damaged");
    assert!(error.to_string().contains(path), "{error}");
    assert_eq!(site.inner.gone_until().await, Ok(Position(1)));
}
