//! The checkpoint loop: what it signs, what it publishes, and what it refuses.

mod record_support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::journal::checkpoints::{
    Publisher, PublisherError, PublisherOptions, PublisherParts, Turn,
};
use dagbook_events::journal::copy::MemoryNotes;
use dagbook_events::journal::keys::{FileCosigner, verify_note};
use dagbook_events::journal::objects::MemoryObjects;
use dagbook_events::journal::tiles::{TileError, TileLog, site_folder, tenant_folder};
use dagbook_events::journal::{Guard, GuardState};
use dagbook_events::ports::{
    AppendError, AppendRequest, Appended, Board, EventStore, LogHead, Notes, ObjectError, Objects,
    ReadError, Recorded, Signer,
};
use dagbook_events::tlog::{
    Checkpoint, Note, Tile, TileLevel, VerifierKey, encode_entries, hash_tile, leaf_hash, root,
};
use proptest::prelude::*;
use record_support::{Record, SITE, tenant};
use tokio::sync::watch;

struct Site {
    record: Record,
    objects: Arc<MemoryObjects>,
    notes: MemoryNotes,
    guard: Arc<Guard>,
}

impl Site {
    fn new() -> Self {
        let (record, guard) = (Record::new(), Arc::new(Guard::open()));
        Self { record, objects: Arc::default(), notes: MemoryNotes::new(), guard }
    }

    fn publisher(&self) -> Publisher {
        self.publisher_to(Arc::clone(&self.objects) as _, PublisherOptions::default())
    }

    fn publisher_to(&self, objects: Arc<dyn Objects>, options: PublisherOptions) -> Publisher {
        let parts = PublisherParts {
            store: Arc::clone(&self.record.store) as _,
            checkpoints: self.record.checkpoints(),
            objects: Some(objects),
            notes: Some(Arc::new(self.notes.clone())),
            guard: Arc::clone(&self.guard),
        };
        Publisher::new(parts, options).expect("options")
    }

    async fn open(&self, folder: &str) -> Result<TileLog, TileError> {
        let objects = Arc::clone(&self.objects) as Arc<dyn Objects>;
        TileLog::open(objects, folder, &self.record.log_key()).await
    }

    /// The published log of a tenant is the whole log of the record, leaf for leaf.
    async fn assert_published(&self, name: &str) {
        let timeline = self.record.store.timeline().await.expect("readable");
        let log = self.open(&tenant_folder(&tenant(name), timeline)).await.expect("published");
        let head = self.record.store.log_head(&tenant(name)).await.expect("readable");
        assert_eq!((log.checkpoint().size, log.checkpoint().root), (head.size, head.root));
        let leaves = all_leaves(&log).await.expect("whole");
        assert_eq!(leaves, self.record.leaves(name).await);
    }

    /// Leaves of the site's log.
    async fn site_leaves(&self) -> Vec<String> {
        let log = self.open(&site_folder(1)).await.expect("published");
        let leaves = all_leaves(&log).await.expect("whole");
        leaves.iter().map(|leaf| String::from_utf8(leaf.to_vec()).expect("text")).collect()
    }
}

async fn all_leaves(log: &TileLog) -> Result<Vec<Arc<[u8]>>, TileError> {
    let mut leaves = Vec::new();
    let mut pages = log.leaves(0, u64::MAX);
    while let Some(page) = pages.next().await? {
        assert_eq!(page.first, leaves.len() as u64);
        leaves.extend(page.leaves);
    }
    Ok(leaves)
}

/// All tiles of a log as they are defined, by path, from its leaves alone.
fn defined_tiles(folder: &str, leaves: &[Arc<[u8]>]) -> BTreeMap<String, Vec<u8>> {
    let hashes: Vec<Sha256Digest> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let range = |start: u64, end: u64| root(&hashes[start as usize..end as usize]);
    let tile = |tile: Tile| {
        let (start, end) = tile.leaves();
        let bytes = match tile.level {
            TileLevel::Entries => {
                let entries = leaves[start as usize..end as usize].iter().map(AsRef::as_ref);
                encode_entries(entries).expect("they fit")
            }
            TileLevel::Hashes(_) => hash_tile(&tile, range),
        };
        (format!("{folder}/{tile}"), bytes)
    };
    Tile::of_log(leaves.len() as u64).into_iter().map(tile).collect()
}

fn clean(turn: Result<Turn, PublisherError>) -> Turn {
    let turn = turn.expect("not halted");
    assert_eq!(turn.problems, Vec::<String>::new());
    turn
}

#[tokio::test]
async fn only_logs_that_changed_are_touched() {
    let site = Site::new();
    let mut publisher = site.publisher();
    for i in 0..40 {
        site.record.append(&format!("t{i}"), 2).await;
    }
    let turn = clean(publisher.turn().await);
    assert_eq!((turn.touched, turn.published, turn.posted), (40, 40, 40));
    let turn = clean(publisher.turn().await);
    assert_eq!((turn.touched, turn.published, turn.posted), (0, 0, 0));
    for name in ["t3", "t17", "t39"] {
        site.record.append(name, 1).await;
    }
    let turn = clean(publisher.turn().await);
    assert_eq!((turn.touched, turn.published, turn.posted), (3, 3, 3));
    for i in 0..40 {
        site.assert_published(&format!("t{i}")).await;
    }
    // Each head is shown once, and each stands in the site's log.
    assert_eq!(site.site_leaves().await.len(), 43);
    let shown = site.notes.after(Board::Signed, 0, 100, Duration::ZERO).await.expect("readable");
    assert_eq!(shown.len(), 40);
    assert!(shown.iter().all(|posted| {
        verify_note(&posted.note, &site.record.log_key()).is_ok()
            && posted.note.text.starts_with(&posted.origin)
    }));
}

#[tokio::test]
async fn the_site_log_holds_every_published_head_in_order() {
    let site = Site::new();
    let mut publisher = site.publisher();
    let mut expected = Vec::new();
    for round in 0..300usize {
        let name = ["a", "b", "c"][round % 3];
        site.record.append(name, 1).await;
        clean(publisher.turn().await);
        let head = site.record.store.log_head(&tenant(name)).await.expect("readable");
        let origin = format!("{SITE}/t/{name}/1");
        let text = Checkpoint { origin, size: head.size, root: head.root }.to_text();
        expected.push(text);
        if round % 70 == 69 {
            // Another process goes on.
            publisher = site.publisher();
        }
    }
    assert_eq!(site.site_leaves().await, expected);
    let log = site.open(&site_folder(1)).await.expect("published");
    assert_eq!(log.checkpoint().origin, format!("{SITE}/site/1"));
}

/// Fails the n-th call: before anything is done, or after everything was done.
struct Failing {
    objects: Arc<MemoryObjects>,
    left: AtomicUsize,
    after: bool,
    failed: AtomicBool,
}

impl Failing {
    fn new(objects: &Arc<MemoryObjects>, calls: usize, after: bool) -> Arc<Self> {
        let (objects, left) = (Arc::clone(objects), AtomicUsize::new(calls));
        Arc::new(Self { objects, left, after, failed: AtomicBool::new(false) })
    }

    /// From the n-th call on the store is gone, as for a process that was killed.
    fn fails(&self) -> bool {
        let gone = self.failed.load(Ordering::SeqCst);
        let now = self.left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1));
        let first = !gone && now == Err(0);
        if now == Err(0) {
            self.failed.store(true, Ordering::SeqCst);
        }
        gone || (first && !self.after)
    }

    fn error<T>(&self) -> Result<T, ObjectError> {
        Err(ObjectError::Unavailable("cut off".to_string()))
    }
}

#[async_trait]
impl Objects for Failing {
    async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), ObjectError> {
        if self.fails() {
            return self.error();
        }
        self.objects.put(path, bytes).await?;
        if self.failed.load(Ordering::SeqCst) { self.error() } else { Ok(()) }
    }
    async fn get(&self, path: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        if self.fails() { self.error() } else { self.objects.get(path).await }
    }
    async fn list(&self, folder: &str) -> Result<Vec<String>, ObjectError> {
        if self.fails() { self.error() } else { self.objects.list(folder).await }
    }
    async fn remove(&self, path: &str) -> Result<(), ObjectError> {
        if self.fails() { self.error() } else { self.objects.remove(path).await }
    }
}

/// What any reader may count on at any moment.
async fn assert_readable(site: &Site) {
    let mut listed = Vec::new();
    if site.objects.get("site/1/checkpoint").await.expect("readable").is_some() {
        listed = site.site_leaves().await;
    }
    for name in ["a", "b"] {
        let folder = tenant_folder(&tenant(name), 1);
        match site.open(&folder).await {
            Ok(log) => {
                let leaves = all_leaves(&log).await.expect("all tiles of the head are there");
                assert_eq!(leaves.len() as u64, log.checkpoint().size);
                assert!(listed.contains(&log.checkpoint().to_text()), "the site's log lacks it");
            }
            Err(TileError::Unpublished(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

#[tokio::test]
async fn a_turn_that_was_cut_off_before_any_call_is_finished_by_the_next_process() {
    cut_off_at_every_call(false).await;
}

#[tokio::test]
async fn a_turn_whose_answer_was_lost_at_any_call_is_finished_by_the_next_process() {
    cut_off_at_every_call(true).await;
}

async fn cut_off_at_every_call(after: bool) {
    let mut calls = 0;
    loop {
        let site = Site::new();
        let mut publisher = site.publisher();
        for name in ["a", "b"] {
            site.record.append(name, 250).await;
        }
        clean(publisher.turn().await);
        drop(publisher);
        // A tile is filled, and one on the next level begins.
        for name in ["a", "b"] {
            site.record.append(name, 10).await;
        }
        let failing = Failing::new(&site.objects, calls, after);
        let options = PublisherOptions::default();
        let mut cut = site.publisher_to(Arc::clone(&failing) as _, options);
        let turn = cut.turn().await.expect("not halted");
        drop(cut);
        assert_readable(&site).await;
        let whole = !failing.failed.load(Ordering::SeqCst);
        // Where only the answer was lost, it may have been the last that mattered.
        assert!(!whole || turn.problems.is_empty(), "{:?}", turn.problems);
        assert!(whole || after || !turn.problems.is_empty(), "call {calls} was not missed");
        // Other heads than those that the turn was about.
        site.record.append("a", 7).await;
        clean(site.publisher().turn().await);
        assert_readable(&site).await;
        for name in ["a", "b"] {
            site.assert_published(name).await;
        }
        // What was to be removed is removed when the log goes on.
        site.record.append("b", 7).await;
        clean(site.publisher().turn().await);
        for name in ["a", "b"] {
            site.assert_published(name).await;
            assert_only_defined(&site, name, &[250, 260, 267]).await;
        }
        if whole {
            assert!(calls > 20, "{calls} calls are too few for this test to mean anything");
            break;
        }
        calls += 1;
    }
}

/// Besides the tiles of the published head there are only partial ones of heads before it
/// whose full tile did not come yet, all with the right bytes.
async fn assert_only_defined(site: &Site, name: &str, sizes: &[usize]) {
    let folder = tenant_folder(&tenant(name), 1);
    let leaves = site.record.leaves(name).await;
    let mut allowed = BTreeMap::new();
    for size in sizes.iter().filter(|size| **size <= leaves.len()) {
        allowed.extend(defined_tiles(&folder, &leaves[..*size]));
    }
    let needed = defined_tiles(&folder, &leaves);
    let there = site.objects.snapshot();
    let tiles = there.iter().filter(|(path, _)| path.starts_with(&format!("{folder}/tile")));
    for (path, bytes) in tiles {
        assert_eq!(Some(bytes), allowed.get(path), "{path}");
        let tile: Tile = path[folder.len() + 1..].parse().expect("a tile");
        let full = Tile { width: 256, ..tile };
        let superseded = tile.width < 256 && needed.contains_key(&format!("{folder}/{full}"));
        assert!(!superseded, "{path} should have been removed");
    }
    assert!(needed.keys().all(|path| there.contains_key(path)), "a tile is missing");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn tiles_are_those_that_are_defined_whatever_the_steps(
        steps in proptest::collection::vec((0usize..700, any::<bool>()), 1..8)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let site = Site::new();
            let mut publisher = site.publisher();
            let mut sizes = vec![];
            for (events, restart) in steps {
                if events > 0 {
                    site.record.append("a", events).await;
                }
                clean(publisher.turn().await);
                sizes.push(site.record.leaves("a").await.len());
                if restart {
                    publisher = site.publisher();
                }
            }
            if sizes.last() > Some(&0) {
                site.assert_published("a").await;
                assert_only_defined(&site, "a", &sizes).await;
            }
        });
    }
}

#[tokio::test]
async fn a_log_of_three_levels_is_read_and_checked_to_its_root() {
    let site = Site::new();
    site.record.append("a", 66_000).await;
    clean(site.publisher().turn().await);
    site.assert_published("a").await;
    let folder = tenant_folder(&tenant("a"), 1);
    let log = site.open(&folder).await.expect("published");
    let leaves = site.record.leaves("a").await;
    for (from, to) in [(0, 1), (255, 257), (65_535, 65_537), (65_999, 66_000), (300, 300)] {
        let mut read = Vec::new();
        let mut pages = log.leaves(from, to);
        while let Some(page) = pages.next().await.expect("whole") {
            read.extend(page.leaves);
        }
        assert_eq!(read, leaves[from as usize..to as usize]);
    }
    assert_eq!(log.hashes(1, 0).await.expect("readable").expect("there").len(), 256);
    assert_eq!(log.hashes(2, 0).await.expect("readable").expect("there").len(), 1);
    assert_eq!(log.hashes(0, 258).await.expect("readable"), None);
    assert_eq!(log.hashes(9, 0).await.expect("readable"), None);
    // One byte in any kind of tile is found by whoever needs it, and its place is named.
    for (tile, needed) in [
        ("tile/0/007", true),
        ("tile/1/000", true),
        ("tile/1/001.p/1", true),
        ("tile/2/000.p/1", true),
        ("tile/entries/007", true),
        ("tile/entries/008", false),
    ] {
        let path = format!("{folder}/{tile}");
        let kept = site.objects.get(&path).await.expect("readable").expect(tile);
        let mut changed = kept.clone();
        changed[20] ^= 1;
        site.objects.put(&path, changed).await.expect("changed");
        let read = match site.open(&folder).await {
            Ok(log) => log.leaves(7 * 256, 8 * 256).next().await.map(|_| ()),
            Err(error) => Err(error),
        };
        match needed {
            true => assert!(matches!(read, Err(TileError::Damaged { .. })), "{tile}: {read:?}"),
            false => assert!(read.is_ok(), "{tile}: {read:?}"),
        }
        site.objects.put(&path, kept).await.expect("restored");
    }
}

#[tokio::test]
async fn a_published_head_of_another_log_or_key_is_refused() {
    let site = Site::new();
    site.record.append("a", 3).await;
    site.record.append("b", 3).await;
    clean(site.publisher().turn().await);
    for (path, bytes) in site.objects.snapshot() {
        if let Some(rest) = path.strip_prefix("t/a/1/") {
            site.objects.put(&format!("t/b/1/{rest}"), bytes).await.expect("copied");
        }
    }
    let swapped = site.open("t/b/1").await.err().expect("refused").to_string();
    assert!(swapped.contains("it is the head of the log dagbook.example/t/a/1"), "{swapped}");
    let stranger = Record::new().log_key();
    let objects = Arc::clone(&site.objects) as Arc<dyn Objects>;
    let refused = TileLog::open(objects, "t/a/1", &stranger).await.err().expect("refused");
    assert!(refused.to_string().contains("no signature by"), "{refused}");
}

#[tokio::test]
async fn tiles_are_never_written_over_and_missing_ones_come_back() {
    let site = Site::new();
    site.record.append("a", 300).await;
    clean(site.publisher().turn().await);
    // A tile that was lost is written again by the next process that needs the last tiles.
    for path in ["t/a/1/tile/0/000", "t/a/1/tile/0/001.p/44", "t/a/1/tile/entries/000"] {
        site.objects.remove(path).await.expect("lost");
    }
    site.record.append("a", 1).await;
    clean(site.publisher().turn().await);
    site.assert_published("a").await;
    // One that was changed is evidence, and is left alone.
    let path = "t/a/1/tile/entries/001.p/45";
    site.objects.put("t/a/1/tile/entries/001.p/46", b"forged".to_vec()).await.expect("forged");
    site.record.append("a", 1).await;
    let turn = site.publisher().turn().await.expect("not halted");
    assert!(turn.problems[0].contains("001.p/46 holds other bytes"), "{:?}", turn.problems);
    assert_eq!(site.guard.state(), GuardState::Open);
    let forged = site.objects.get("t/a/1/tile/entries/001.p/46").await.expect("readable");
    assert_eq!(forged.as_deref(), Some(b"forged".as_slice()));
    assert!(site.objects.get(path).await.expect("readable").is_some());
    let old = site.open("t/a/1").await.expect("the head before is still whole");
    assert_eq!(old.checkpoint().size, 301);
    site.objects.remove("t/a/1/tile/entries/001.p/46").await.expect("removed by a person");
    clean(site.publisher().turn().await);
    site.assert_published("a").await;
}

#[tokio::test]
async fn a_record_that_lost_what_was_signed_is_halted() {
    let mut site = Site::new();
    site.record.append("a", 8).await;
    clean(site.publisher().turn().await);
    site.record = site.record.with_another_store();
    site.record.append("a", 5).await;
    let halted = site.publisher().turn().await.expect_err("halted").to_string();
    assert!(halted.contains("tenant a") && halted.contains("8 leaves were signed, 5 are there"));
    assert_eq!(site.guard.state(), GuardState::Halted(halted));
    assert!(matches!(site.guard.check(), Err(AppendError::Halted(_))));
    // As many leaves, but others.
    site.guard = Arc::new(Guard::open());
    site.record.append("a", 5).await;
    let halted = site.publisher().turn().await.expect_err("halted").to_string();
    assert!(halted.contains("its first 8 leaves have the root"), "{halted}");
}

/// What signed heads are known by: the signer's memory, the history, the published head.
/// Each of them alone is enough to notice another record.
#[tokio::test]
async fn each_trace_of_a_signed_head_alone_stops_another_record() {
    for left in ["keys/log.signed", "checkpoints", "published"] {
        let mut site = Site::new();
        site.record.append("a", 8).await;
        clean(site.publisher().turn().await);
        let folder = site.record.folder.path().to_path_buf();
        if left != "keys/log.signed" {
            std::fs::remove_file(folder.join("keys/log.signed")).expect("lost");
        }
        if left != "checkpoints" {
            std::fs::remove_dir_all(folder.join("checkpoints")).expect("lost");
        }
        if left != "published" {
            site.objects = Arc::default();
        }
        site.record = site.record.with_another_store();
        site.record.append("a", 9).await;
        let halted = site.publisher().turn().await.expect_err(left).to_string();
        assert!(halted.contains("its first 8 leaves have the root"), "{left}: {halted}");
    }
}

#[tokio::test]
async fn a_signer_whose_memory_was_rolled_back_or_lost_goes_on_with_the_same_record() {
    let site = Site::new();
    let memory = site.record.folder.path().join("keys/log.signed");
    site.record.append("a", 5).await;
    clean(site.publisher().turn().await);
    let older = std::fs::read(&memory).expect("kept");
    site.record.append("a", 300).await;
    clean(site.publisher().turn().await);
    std::fs::write(&memory, older).expect("rolled back");
    site.record.append("a", 2).await;
    clean(site.publisher().turn().await);
    site.assert_published("a").await;
    assert_eq!(site.site_leaves().await.len(), 3);
    std::fs::remove_file(&memory).expect("lost");
    site.record.append("a", 2).await;
    clean(site.publisher().turn().await);
    site.assert_published("a").await;
    assert_eq!(site.site_leaves().await.len(), 4);
    assert_eq!(
        site.record
            .signer()
            .last_signed("dagbook.example/t/a/1")
            .expect("kept")
            .expect("signed")
            .size,
        309
    );
}

#[tokio::test]
async fn without_any_memory_nothing_is_signed_while_nobody_can_look_at_what_was_published() {
    let site = Site::new();
    site.record.append("a", 5).await;
    let gone = Failing::new(&site.objects, 0, false);
    let turn = site.publisher_to(gone, PublisherOptions::default()).turn().await.expect("a turn");
    assert!(turn.problems[0].contains("cut off"), "{:?}", turn.problems);
    assert!(site.record.history().latest(&tenant("a")).expect("readable").is_none());
    // With its own memory the signer goes on, and what is published follows later.
    clean(site.publisher().turn().await);
    site.record.append("a", 5).await;
    let gone = Failing::new(&site.objects, 0, false);
    let turn = site.publisher_to(gone, PublisherOptions::default()).turn().await.expect("a turn");
    assert_eq!((turn.problems.len(), turn.posted), (1, 1));
    let latest = site.record.history().latest(&tenant("a")).expect("readable").expect("signed");
    assert_eq!(latest.checkpoint.size, 10);
    clean(site.publisher().turn().await);
    site.assert_published("a").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn two_publishers_at_once_are_one_after_the_other() {
    let site = Arc::new(Site::new());
    site.record.append("a", 3).await;
    clean(site.publisher().turn().await);
    let turns: Vec<_> = (0..2)
        .map(|_| {
            let site = Arc::clone(&site);
            tokio::spawn(async move {
                let mut publisher = site.publisher();
                for _ in 0..10 {
                    site.record.append("a", 60).await;
                    let turn = publisher.turn().await.expect("not halted");
                    assert!(turn.problems.is_empty(), "{:?}", turn.problems);
                }
            })
        })
        .collect();
    for turn in turns {
        turn.await.expect("no panic");
    }
    clean(site.publisher().turn().await);
    site.assert_published("a").await;
    assert_eq!(site.guard.state(), GuardState::Open);
}

/// Another process begins a timeline and goes on there when a log's head is asked for.
struct Overtaken {
    record: Record,
    done: AtomicBool,
}

#[async_trait]
impl EventStore for Overtaken {
    async fn log_head(&self, of: &TenantId) -> Result<LogHead, ReadError> {
        if !self.done.swap(true, Ordering::SeqCst) {
            self.record.store.begin_timeline(1).await.expect("begun");
            self.record.append("a", 3).await;
        }
        self.record.store.log_head(of).await
    }
    async fn append(&self, request: AppendRequest) -> Result<Appended, AppendError> {
        self.record.store.append(request).await
    }
    async fn read_stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from_version: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.record.store.read_stream(tenant, stream, from_version, limit).await
    }
    async fn read_after(&self, cursor: Position, limit: usize) -> Result<Vec<Recorded>, ReadError> {
        self.record.store.read_after(cursor, limit).await
    }
    async fn read_log(
        &self,
        tenant: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        self.record.store.read_log(tenant, from, limit).await
    }
    async fn streams(
        &self,
        tenant: &TenantId,
        prefix: &str,
        before: Option<&StreamName>,
        limit: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        self.record.store.streams(tenant, prefix, before, limit).await
    }
    async fn open_streams(
        &self,
        prefix: &str,
        after: Option<(&TenantId, &StreamName)>,
        limit: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        self.record.store.open_streams(prefix, after, limit).await
    }
    async fn head(&self) -> Result<Position, ReadError> {
        self.record.store.head().await
    }
    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        self.record.store.log_heads().await
    }
    async fn timeline(&self) -> Result<u64, ReadError> {
        self.record.store.timeline().await
    }
    async fn begin_timeline(&self, current: u64) -> Result<u64, AppendError> {
        self.record.store.begin_timeline(current).await
    }
    async fn wait_beyond(
        &self,
        cursor: Position,
        timeout: Duration,
    ) -> Result<Position, ReadError> {
        self.record.store.wait_beyond(cursor, timeout).await
    }
}

#[tokio::test]
async fn leaves_of_a_new_timeline_are_never_signed_under_the_name_of_the_old_one() {
    let site = Site::new();
    site.record.append("a", 8).await;
    clean(site.publisher().turn().await);
    site.record.append("a", 1).await;
    let record = Record { store: Arc::clone(&site.record.store), ..Record::new() };
    let parts = PublisherParts {
        store: Arc::new(Overtaken { record, done: AtomicBool::new(false) }),
        checkpoints: site.record.checkpoints(),
        objects: Some(Arc::clone(&site.objects) as _),
        notes: Some(Arc::new(site.notes.clone())),
        guard: Arc::clone(&site.guard),
    };
    let mut publisher = Publisher::new(parts, PublisherOptions::default()).expect("options");
    let turn = publisher.turn().await.expect("not halted");
    assert!(turn.problems[0].contains("from timeline 1 to timeline 2"), "{:?}", turn.problems);
    let sizes = |timeline: u64| -> Vec<u64> {
        let all = site.record.history().on(timeline).all(&tenant("a")).expect("read");
        all.iter().map(|signed| signed.checkpoint.size).collect()
    };
    assert_eq!((sizes(1), sizes(2)), (vec![8], vec![]));
    clean(publisher.turn().await);
    assert_eq!((sizes(1), sizes(2)), (vec![8], vec![12]));
    site.assert_published("a").await;
}

#[tokio::test]
async fn a_new_timeline_is_another_log() {
    let site = Site::new();
    let mut publisher = site.publisher();
    site.record.append("a", 8).await;
    clean(publisher.turn().await);
    site.record.store.begin_timeline(1).await.expect("begun");
    site.record.append("a", 3).await;
    clean(publisher.turn().await);
    site.assert_published("a").await;
    let second = site.record.history().on(2).latest(&tenant("a")).expect("read").expect("signed");
    assert_eq!(second.checkpoint.origin, "dagbook.example/t/a/2");
    assert_eq!(second.checkpoint.size, 11);
    let first = site.record.history().all(&tenant("a")).expect("read");
    let sizes: Vec<u64> = first.iter().map(|signed| signed.checkpoint.size).collect();
    assert_eq!(sizes, [8], "the first timeline's history is as it was");
    assert_eq!(site.open("t/a/1").await.expect("published").checkpoint().size, 8);
    assert_eq!(site.open("site/2").await.expect("published").checkpoint().size, 1);
}

/// A witness that believes everything: only its key counts here.
fn cosigner(site: &Site, name: &str) -> FileCosigner {
    let path = site.record.folder.path().join("witness").join(name);
    FileCosigner::open(path, name).expect("a key")
}

async fn cosign(site: &Site, witness: &FileCosigner, origin: &str, note: &Note) {
    let mut note = note.clone();
    let cosigned = witness.cosign(&note.text, &[], 1_767_225_600).expect("signed");
    note.cosign_with(witness.verifier(), &cosigned);
    let by = witness.verifier().name();
    site.notes.post(Board::Cosigned, origin, by, &note).await.expect("posted");
}

fn witnessed(keys: &[&FileCosigner]) -> PublisherOptions {
    let witnesses: Vec<VerifierKey> = keys.iter().map(|key| key.verifier().clone()).collect();
    PublisherOptions { witnesses, ..PublisherOptions::default() }
}

#[tokio::test]
async fn cosignatures_of_known_witnesses_are_kept_and_published() {
    let site = Site::new();
    let (known, unknown) = (cosigner(&site, "known"), cosigner(&site, "unknown"));
    let objects = Arc::clone(&site.objects) as Arc<dyn Objects>;
    let mut publisher = site.publisher_to(objects, witnessed(&[&known]));
    site.record.append("a", 4).await;
    clean(publisher.turn().await);
    let origin = "dagbook.example/t/a/1";
    let signed = site.open("t/a/1").await.expect("published").note().clone();
    cosign(&site, &unknown, origin, &signed).await;
    assert_eq!(clean(publisher.turn().await).cosigned, 0);
    // A wrong one does no harm.
    let mut wrong = signed.clone();
    let cosigned = known.cosign(&signed.text, &[], 5).expect("signed");
    wrong.cosign_with(known.verifier(), &cosigned);
    wrong.signatures[1].signature[30] ^= 1;
    site.notes.post(Board::Cosigned, origin, "known", &wrong).await.expect("posted");
    assert_eq!(clean(publisher.turn().await).cosigned, 0);
    cosign(&site, &known, origin, &signed).await;
    assert_eq!(clean(publisher.turn().await).cosigned, 1);
    let published = site.open("t/a/1").await.expect("published").note().clone();
    assert_eq!(verify_note(&published, known.verifier()), Ok(()));
    assert!(verify_note(&published, unknown.verifier()).is_err());
    let kept = site.record.history().latest(&tenant("a")).expect("read").expect("kept");
    assert_eq!(kept.note, published);
    // Another process does not lose it.
    site.record.append("b", 1).await;
    let objects = Arc::clone(&site.objects) as Arc<dyn Objects>;
    clean(site.publisher_to(objects, witnessed(&[&known])).turn().await);
    assert_eq!(site.open("t/a/1").await.expect("published").note(), &published);
}

/// Somebody has a copy of the key and signs another history: the witness's board shows it.
#[tokio::test]
async fn a_second_head_by_the_same_key_halts_the_record() {
    let site = Site::new();
    let witness = cosigner(&site, "w");
    let objects = Arc::clone(&site.objects) as Arc<dyn Objects>;
    let mut publisher = site.publisher_to(objects, witnessed(&[&witness]));
    site.record.append("a", 4).await;
    clean(publisher.turn().await);
    let elsewhere = Record::new();
    for file in ["log", "log.vkey"] {
        std::fs::create_dir_all(elsewhere.folder.path().join("keys")).expect("a folder");
        let from = site.record.folder.path().join("keys").join(file);
        std::fs::copy(from, elsewhere.folder.path().join("keys").join(file)).expect("stolen");
    }
    elsewhere.append("a", 4).await;
    let forged = elsewhere.checkpoints().write(&*elsewhere.store, &tenant("a"), 1).await;
    cosign(&site, &witness, "dagbook.example/t/a/1", &forged.expect("signed").note).await;
    let halted = publisher.turn().await.expect_err("halted").to_string();
    assert!(halted.contains("two heads of dagbook.example/t/a/1 with 4 leaves"), "{halted}");
    assert!(matches!(site.guard.state(), GuardState::Halted(_)));
}

#[tokio::test]
async fn heads_are_shown_once_the_board_answers_again() {
    let site = Site::new();
    let mut publisher = site.publisher();
    site.record.append("a", 1).await;
    site.notes.set_available(false);
    let turn = publisher.turn().await.expect("not halted");
    assert_eq!((turn.published, turn.posted), (1, 0));
    assert!(turn.problems[0].contains("nobody answers"), "{:?}", turn.problems);
    site.notes.set_available(true);
    let turn = clean(publisher.turn().await);
    assert_eq!((turn.published, turn.posted), (0, 1));
    assert_eq!(clean(publisher.turn().await).posted, 0);
}

#[tokio::test]
async fn a_board_whose_numbers_begin_again_gets_all_heads_again_and_does_not_make_it_deaf() {
    let site = Site::new();
    let witness = cosigner(&site, "w");
    let objects = Arc::clone(&site.objects) as Arc<dyn Objects>;
    let mut publisher = site.publisher_to(objects, witnessed(&[&witness]));
    for name in ["a", "quiet"] {
        site.record.append(name, 4).await;
        clean(publisher.turn().await);
        let note = site.open(&format!("t/{name}/1")).await.expect("published").note().clone();
        cosign(&site, &witness, &format!("dagbook.example/t/{name}/1"), &note).await;
        assert_eq!(clean(publisher.turn().await).cosigned, 1);
    }
    site.notes.lose_tail(0);
    let turn = publisher.turn().await.expect("not halted");
    assert!(turn.problems[0].contains("lost notes"), "{:?}", turn.problems);
    assert_eq!(clean(publisher.turn().await).posted, 2, "the quiet one as well");
    site.record.append("new", 1).await;
    clean(publisher.turn().await);
    let note = site.open("t/new/1").await.expect("published").note().clone();
    cosign(&site, &witness, "dagbook.example/t/new/1", &note).await;
    assert_eq!(clean(publisher.turn().await).cosigned, 1);
}

#[tokio::test]
async fn heads_that_stay_without_a_cosignature_are_shown_again_and_ever_less_often() {
    let site = Site::new();
    let witness = cosigner(&site, "w");
    let objects = Arc::clone(&site.objects) as Arc<dyn Objects>;
    let mut publisher = site.publisher_to(objects, witnessed(&[&witness]));
    for i in 0..70 {
        site.record.append(&format!("t{i}"), 1).await;
    }
    assert_eq!(clean(publisher.turn().await).posted, 70);
    let note = site.open("t/t0/1").await.expect("published").note().clone();
    cosign(&site, &witness, "dagbook.example/t/t0/1", &note).await;
    let mut shown = Vec::new();
    for number in 1..=500 {
        let posted = clean(publisher.turn().await).posted;
        if posted > 0 {
            shown.push((number, posted));
        }
    }
    // All but the one that has its cosignature, and not all at once.
    assert_eq!(shown, [(59, 64), (60, 5), (179, 64), (180, 5), (419, 64), (420, 5)]);
}

#[tokio::test]
async fn a_log_key_is_not_taken_for_a_witness() {
    let site = Site::new();
    let options =
        PublisherOptions { witnesses: vec![site.record.log_key()], ..PublisherOptions::default() };
    let parts = PublisherParts {
        store: Arc::clone(&site.record.store) as _,
        checkpoints: site.record.checkpoints(),
        objects: None,
        notes: None,
        guard: Arc::clone(&site.guard),
    };
    assert!(matches!(Publisher::new(parts, options), Err(PublisherError::Options(_))));
}

#[tokio::test(start_paused = true)]
async fn it_takes_a_turn_each_second_and_a_last_one_at_the_end() {
    let site = Arc::new(Site::new());
    let mut publisher = site.publisher();
    let mut turns = publisher.turns();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { publisher.run(stopped).await });
    let started = tokio::time::Instant::now();
    for second in 0..5 {
        turns.changed().await.expect("running");
        assert_eq!(turns.borrow_and_update().published, usize::from(second > 0));
        assert_eq!(started.elapsed().as_secs(), second);
        site.record.append("a", 1).await;
    }
    turns.mark_unchanged();
    stop.send(true).expect("running");
    running.await.expect("no panic").expect("not halted");
    assert_eq!(started.elapsed().as_secs(), 4, "it does not wait for the next second");
    assert_eq!(turns.borrow().published, 1);
    site.assert_published("a").await;
}

/// Answers nobody.
struct Hanging;

#[async_trait]
impl Objects for Hanging {
    async fn put(&self, _: &str, _: Vec<u8>) -> Result<(), ObjectError> {
        std::future::pending().await
    }
    async fn get(&self, _: &str) -> Result<Option<Vec<u8>>, ObjectError> {
        std::future::pending().await
    }
    async fn list(&self, _: &str) -> Result<Vec<String>, ObjectError> {
        std::future::pending().await
    }
    async fn remove(&self, _: &str) -> Result<(), ObjectError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn a_turn_that_does_not_end_is_given_up_when_it_is_time_to_end() {
    let site = Site::new();
    site.record.append("a", 1).await;
    let mut publisher = site.publisher_to(Arc::new(Hanging), PublisherOptions::default());
    let turns = publisher.turns();
    let (stop, stopped) = watch::channel(false);
    let ending = async {
        tokio::time::sleep(Duration::from_secs(30)).await;
        stop.send_replace(true);
    };
    let begun = tokio::time::Instant::now();
    let running = tokio::time::timeout(Duration::from_secs(3_600), publisher.run(stopped));
    let (ran, ()) = tokio::join!(running, ending);
    ran.expect("it ends").expect("not halted");
    assert_eq!(begun.elapsed().as_secs(), 40);
    assert!(turns.borrow().problems[0].contains("given up"), "{:?}", turns.borrow().problems);
}

#[tokio::test(start_paused = true)]
async fn a_running_publisher_takes_up_cosignatures_before_its_next_turn() {
    let site = Arc::new(Site::new());
    let witness = cosigner(&site, "w");
    let objects = Arc::clone(&site.objects) as Arc<dyn Objects>;
    let hourly =
        PublisherOptions { interval: Duration::from_secs(3_600), ..witnessed(&[&witness]) };
    let mut publisher = site.publisher_to(objects, hourly);
    site.record.append("a", 1).await;
    let mut turns = publisher.turns();
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { publisher.run(stopped).await });
    turns.changed().await.expect("running");
    let note = site.open("t/a/1").await.expect("published").note().clone();
    let started = tokio::time::Instant::now();
    cosign(&site, &witness, "dagbook.example/t/a/1", &note).await;
    loop {
        let note = site.open("t/a/1").await.expect("published").note().clone();
        if verify_note(&note, witness.verifier()).is_ok() {
            break;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "it was not taken up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    running.abort();
}

#[tokio::test]
async fn histories_are_thinned_but_never_forget_their_first_and_newest_heads() {
    let record = Record::new();
    let checkpoints = record.checkpoints();
    for _ in 0..262 {
        record.append("a", 1).await;
        checkpoints.write(&*record.store, &tenant("a"), 1).await.expect("signed");
    }
    let all = record.history().all(&tenant("a")).expect("readable");
    let sizes: Vec<u64> = all.iter().map(|signed| signed.checkpoint.size).collect();
    assert!((128..=256).contains(&sizes.len()), "{}", sizes.len());
    assert_eq!(sizes.first(), Some(&1));
    assert_eq!(sizes[sizes.len() - 100..], (163..=262).collect::<Vec<u64>>());
}
