//! A store that was set back gets its events back from the copy: all of them, byte by byte, or
//! none.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use dagbook_events::conformance::store::ManualClock;
use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::journal::copy::MemoryCopy;
use dagbook_events::journal::recovery::{RecoveryError, recover};
use dagbook_events::journal::store::{MemoryStore, SqliteOptions, SqliteStore};
use dagbook_events::journal::verify::{SignedHead, verify};
use dagbook_events::ports::{
    Actor, AppendError, AppendRequest, CopiedEvent, CopyError, CopyScan, EventStore, Expected,
    NewEvent, RecordCopy, Recorded, Restore, StreamAppend,
};
use dagbook_events::time::Timestamp;
use proptest::prelude::*;
use uuid::Uuid;

const EPOCH: i64 = 1_767_225_600_000;

fn tenant(n: u64) -> TenantId {
    TenantId::new(["acme", "umbrella", "x"][n as usize % 3]).expect("a tenant")
}

fn request(n: u64) -> AppendRequest {
    let event = |m: u64| NewEvent {
        id: EventId(Uuid::from_u128(u128::from(n * 10 + m))),
        kind: Arc::from(if n.is_multiple_of(700) && n > 0 {
            "run.finished"
        } else {
            "thing.happened"
        }),
        at: Timestamp(EPOCH),
        actor: Arc::new(Actor::new("user", "ada")),
        causation: None,
        correlation: Some(Arc::from("a run")),
        traceparent: None,
        data: format!("{{\"m\":{m},\"n\":{n}}}").into_bytes(),
        blob: None,
    };
    let stream = |name: &str, events: u64| StreamAppend {
        stream: StreamName::new(name).expect("a stream"),
        expected: Expected::Any,
        events: (0..events).map(event).collect(),
    };
    let streams = vec![stream(&format!("run/{}", n % 5), 1 + n % 3), stream("limits", n % 2)];
    AppendRequest { tenant: tenant(n), key: None, streams, fence: None }
}

/// Appends requests to a store whose clock goes on, sometimes not at all.
async fn fill(store: &dyn EventStore, clock: &ManualClock, requests: std::ops::Range<u64>) {
    for n in requests {
        clock.set(Timestamp(EPOCH + (n as i64 / 3) * 7));
        store.append(request(n)).await.expect("appended");
    }
}

async fn all(store: &dyn EventStore) -> Vec<Recorded> {
    store.read_after(Position(0), usize::MAX).await.expect("all")
}

async fn copied(events: &[Recorded]) -> MemoryCopy {
    let copy = MemoryCopy::new();
    for page in events.chunks(200) {
        let after = Position(page[0].position.0 - 1);
        copy.add(1, after, page).await.expect("copied");
    }
    copy
}

fn memory() -> (MemoryStore, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::new(Timestamp(EPOCH)));
    (MemoryStore::new(clock.clone()), clock)
}

/// What was signed of the whole record.
async fn signed(store: &dyn EventStore) -> Vec<SignedHead> {
    let heads = store.log_heads().await.expect("heads");
    heads.into_iter().map(|(tenant, h)| SignedHead { tenant, size: h.size, root: h.root }).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_set_back_gets_every_byte_back_and_goes_on() {
    let (whole, its_clock) = memory();
    fill(&whole, &its_clock, 0..900).await;
    let history = all(&whole).await;
    let copy = copied(&history).await;
    let folder = tempfile::TempDir::new().expect("a folder");
    let clock = Arc::new(ManualClock::new(Timestamp(EPOCH)));
    let older = SqliteStore::open(SqliteOptions::new(folder.path().join("r.db"), clock.clone()));
    let older = older.expect("opened");
    fill(&older, &clock, 0..300).await;
    let lost = history.len() as u64 - older.head().await.expect("a head").0;
    assert!(lost > 1_000, "more than one page is to come back");

    let heads = signed(&whole).await;
    let looked = recover(&older, &older, &copy, &heads, true, &mut |_| ()).await.expect("proven");
    assert_eq!((looked.to.0 - looked.from.0, looked.confirmed), (lost, 3));
    assert_eq!(older.head().await.expect("a head"), looked.from, "looking writes nothing");

    let done = recover(&older, &older, &copy, &heads, false, &mut |_| ()).await.expect("recovered");
    assert_eq!(done, looked);
    assert!(all(&older).await == history, "not the same bytes");
    assert!(verify(&older, &heads).await.expect("readable").is_clean());
    let open = older.open_streams("", None, 100).await.expect("open streams");
    assert!(!open.contains(&(tenant(700), StreamName::new("run/0").expect("a stream"))));
    assert_eq!(
        open.into_iter().collect::<std::collections::BTreeSet<_>>(),
        whole.open_streams("", None, 100).await.expect("open streams").into_iter().collect(),
        "what closes a stream came back, too"
    );
    fill(&older, &clock, 900..905).await;
    fill(&whole, &its_clock, 900..905).await;
    assert!(all(&older).await == all(&whole).await, "not the same bytes");
}

#[tokio::test]
async fn a_copy_that_was_changed_is_refused_before_anything_is_written() {
    let (whole, clock) = memory();
    fill(&whole, &clock, 0..60).await;
    let history = all(&whole).await;
    let heads = signed(&whole).await;
    for (at, keep_hash) in [(3u64, true), (3, false), (70, true), (70, false)] {
        let copy = copied(&history).await;
        let changed = copy.tamper(1, Position(at), |event| {
            let text = String::from_utf8(event.leaf.to_vec()).expect("UTF-8");
            event.leaf = Arc::from(text.replace("\"id\":\"ada\"", "\"id\":\"eve\"").into_bytes());
            if !keep_hash {
                event.stated_hash = Some(dagbook_events::tlog::leaf_hash(&event.leaf));
            }
        });
        assert!(changed);
        let (older, clock) = memory();
        fill(&older, &clock, 0..20).await;
        let before = older.head().await.expect("a head");
        assert!(before < Position(70));
        let error =
            recover(&older, &older, &copy, &heads, false, &mut |_| ()).await.expect_err("changed");
        assert!(matches!(error, RecoveryError::Unfit(_)), "{error}");
        assert_eq!(older.head().await.expect("a head"), before, "{error}");
    }
}

/// Gives one copy to whoever reads first, and another one from then on.
struct TwoFaced {
    first: MemoryCopy,
    then: MemoryCopy,
    scans: AtomicUsize,
}

#[async_trait]
impl RecordCopy for TwoFaced {
    async fn last(&self, timeline: u64) -> Result<Position, CopyError> {
        self.first.last(timeline).await
    }
    async fn at(&self, timeline: u64, at: Position) -> Result<Option<CopiedEvent>, CopyError> {
        self.first.at(timeline, at).await
    }
    async fn add(
        &self,
        timeline: u64,
        after: Position,
        events: &[Recorded],
    ) -> Result<Position, CopyError> {
        self.first.add(timeline, after, events).await
    }
    async fn scan(
        &self,
        timeline: u64,
        after: Position,
        tenant: Option<&TenantId>,
    ) -> Result<Box<dyn CopyScan>, CopyError> {
        match self.scans.fetch_add(1, Ordering::SeqCst) {
            0 => self.first.scan(timeline, after, tenant).await,
            _ => self.then.scan(timeline, after, tenant).await,
        }
    }
}

/// The leaf is as good as the one that was proven, and its hash stands beside it: only that it
/// is another one speaks against it.
#[tokio::test]
async fn what_changes_between_the_proof_and_the_writing_is_not_written() {
    let (whole, clock) = memory();
    fill(&whole, &clock, 0..1_400).await;
    let (history, heads) = (all(&whole).await, signed(&whole).await);
    for page in [0u64, 1, 2] {
        let (older, clock) = memory();
        fill(&older, &clock, 0..20).await;
        let from = older.head().await.expect("a head");
        let changed = Position(from.0 + page * 1_000 + 7);
        assert!(changed.0 < history.len() as u64, "more than two pages are to come back");
        let copy = TwoFaced {
            first: copied(&history).await,
            then: copied(&history).await,
            scans: AtomicUsize::new(0),
        };
        assert!(copy.then.tamper(1, changed, |event| {
            let text = String::from_utf8(event.leaf.to_vec()).expect("UTF-8");
            event.leaf = Arc::from(text.replace("\"id\":\"ada\"", "\"id\":\"eve\"").into_bytes());
            event.stated_hash = Some(dagbook_events::tlog::leaf_hash(&event.leaf));
        }));
        let refused =
            recover(&older, &older, &copy, &heads, false, &mut |_| ()).await.expect_err("changed");
        let written = Position(from.0 + page * 1_000);
        assert!(
            matches!(refused, RecoveryError::Changed { after, .. } if after == written),
            "{refused}"
        );
        // What was written is right, and the rest still comes back from a copy that stands.
        assert_eq!(older.head().await.expect("a head"), written);
        recover(&older, &older, &copy.first, &heads, false, &mut |_| ()).await.expect("recovered");
        assert!(all(&older).await == history, "not the same bytes");
    }
}

#[tokio::test]
async fn a_store_that_went_on_by_itself_is_no_part_of_the_copy() {
    let (whole, clock) = memory();
    fill(&whole, &clock, 0..40).await;
    let copy = copied(&all(&whole).await).await;
    let (forked, clock) = memory();
    fill(&forked, &clock, 0..20).await;
    fill(&forked, &clock, 100..103).await;
    let error =
        recover(&forked, &forked, &copy, &[], false, &mut |_| ()).await.expect_err("forked");
    assert!(matches!(error, RecoveryError::Unfit(_)), "{error}");
}

#[tokio::test]
async fn a_copy_that_lost_what_was_signed_is_refused() {
    let (whole, clock) = memory();
    fill(&whole, &clock, 0..40).await;
    let (history, heads) = (all(&whole).await, signed(&whole).await);
    let copy = copied(&history[..history.len() - 1]).await;
    let (older, clock) = memory();
    fill(&older, &clock, 0..20).await;
    let error =
        recover(&older, &older, &copy, &heads, false, &mut |_| ()).await.expect_err("too short");
    assert!(error.to_string().contains("a signed checkpoint has"), "{error}");
}

#[tokio::test]
async fn leaves_that_do_not_continue_the_record_are_refused_and_named() {
    let (whole, clock) = memory();
    fill(&whole, &clock, 0..40).await;
    let leaves: Vec<Arc<[u8]>> = all(&whole).await.into_iter().map(|event| event.leaf).collect();
    let (older, clock) = memory();
    fill(&older, &clock, 0..20).await;
    let head = older.head().await.expect("a head").0 as usize;
    let cases = [
        vec![leaves[head + 1].clone()],
        vec![leaves[head - 1].clone()],
        vec![leaves[head].clone(), leaves[head + 2].clone()],
        vec![leaves[head].clone(), leaves[head].clone()],
        vec![leaves[head].clone(), Arc::from(&b"{}"[..])],
        vec![],
    ];
    for (case, leaves) in cases.into_iter().enumerate() {
        let refused = older.restore(leaves).await;
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "case {case}: {refused:?}");
        assert_eq!(older.head().await.expect("a head").0 as usize, head, "case {case}");
    }
    older.restore(leaves[head..].to_vec()).await.expect("all of them, in order");
    assert!(all(&older).await == all(&whole).await, "not the same bytes");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, ..ProptestConfig::default() })]

    /// Wherever the store was set back to, and wherever the copy ends.
    #[test]
    fn what_comes_back_is_what_was_lost(size in 1u64..120, kept in 0u64..120, cut in 0usize..20) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let (whole, clock) = memory();
            fill(&whole, &clock, 0..size).await;
            let mut history = all(&whole).await;
            let (older, clock) = memory();
            fill(&older, &clock, 0..kept.min(size)).await;
            let head = older.head().await.expect("a head").0 as usize;
            history.truncate(history.len().saturating_sub(cut));
            let copy = copied(&history).await;
            let outcome = recover(&older, &older, &copy, &[], false, &mut |_| ()).await;
            match history.len() < head {
                true => assert!(matches!(outcome, Err(RecoveryError::Unfit(_))), "{outcome:?}"),
                false => {
                    outcome.expect("recovered");
                    assert!(all(&older).await == history, "not the same bytes");
                    assert!(verify(&older, &[]).await.expect("readable").is_clean());
                }
            }
        });
    }
}
