//! Two keepings of the record are compared, and the first difference is named.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use dagbook_events::conformance::store::ManualClock;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::journal::reconcile::{
    Agreement, KeptLeaf, LeafReading, LeafSource, ReconcileReport, Side, SourceError, StoreSource,
    reconcile,
};
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::ports::{Actor, AppendRequest, EventStore, Expected, NewEvent, StreamAppend};
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::{leaf_hash, root};
use proptest::prelude::*;
use uuid::Uuid;

/// Leaves by position, as somebody keeps them; `reads` are the positions that were read again.
struct Shelf {
    leaves: Vec<Vec<u8>>,
    reads: Mutex<Vec<u64>>,
}

impl Shelf {
    fn new(leaves: &[Vec<u8>]) -> Self {
        Self { leaves: leaves.to_vec(), reads: Mutex::default() }
    }

    fn kept(&self, at: usize) -> KeptLeaf {
        KeptLeaf {
            position: Some(Position(at as u64 + 1)),
            stated_hash: None,
            bytes: Arc::from(self.leaves[at].as_slice()),
        }
    }
}

struct Reading(Vec<KeptLeaf>);

#[async_trait]
impl LeafReading for Reading {
    async fn next(&mut self, limit: usize) -> Result<Vec<KeptLeaf>, SourceError> {
        let rest = self.0.split_off(limit.min(self.0.len()));
        Ok(std::mem::replace(&mut self.0, rest))
    }
}

#[async_trait]
impl LeafSource for Shelf {
    fn name(&self) -> &str {
        "shelf"
    }
    async fn read_all(&self) -> Result<Box<dyn LeafReading>, SourceError> {
        Ok(Box::new(Reading((0..self.leaves.len()).map(|at| self.kept(at)).collect())))
    }
    async fn leaves(
        &self,
        tenant: &TenantId,
        near: Position,
        _from: u64,
        limit: usize,
    ) -> Result<Vec<KeptLeaf>, SourceError> {
        self.reads.lock().expect("reads").push(near.0);
        let ours = |leaf: &KeptLeaf| {
            Envelope::parse(&leaf.bytes).is_ok_and(|envelope| envelope.tenant == *tenant)
        };
        let from = near.0 as usize - 1;
        Ok((from..self.leaves.len()).map(|at| self.kept(at)).filter(ours).take(limit).collect())
    }
}

/// A record in memory with so many events; the chance of each tenant is by `pick`.
async fn record(events: usize, pick: impl Fn(usize) -> &'static str) -> Arc<MemoryStore> {
    let clock = Arc::new(ManualClock::new(Timestamp(1_767_225_600_000)));
    let store = Arc::new(MemoryStore::new(clock));
    for n in 0..events {
        let event = NewEvent {
            id: EventId(Uuid::from_u128(n as u128 + 1)),
            kind: Arc::from("thing.happened"),
            at: Timestamp(1),
            actor: Arc::new(Actor::new("user", "ada")),
            causation: None,
            correlation: None,
            traceparent: None,
            data: format!("{{\"n\":{n}}}").into_bytes(),
            blob: None,
        };
        let stream = StreamAppend {
            stream: StreamName::new("run/a").expect("a stream"),
            expected: Expected::Any,
            events: vec![event],
        };
        let tenant = TenantId::new(pick(n)).expect("a tenant");
        let request = AppendRequest { tenant, key: None, streams: vec![stream], fence: None };
        store.append(request).await.expect("appended");
    }
    store
}

async fn leaves(store: &MemoryStore) -> Vec<Vec<u8>> {
    let all = store.read_after(Position(0), usize::MAX).await.expect("all");
    all.into_iter().map(|event| event.leaf.to_vec()).collect()
}

async fn compare(a: &dyn LeafSource, b: &dyn LeafSource) -> ReconcileReport {
    reconcile(a, b, &mut |_| ()).await.expect("both are readable")
}

/// Another event of the same length: only the bytes say so.
fn forge(leaf: &mut Vec<u8>) {
    let text = String::from_utf8(std::mem::take(leaf)).expect("UTF-8");
    *leaf = text.replace("\"id\":\"ada\"", "\"id\":\"eve\"").into_bytes();
}

#[tokio::test]
async fn the_same_record_agrees_with_itself() {
    let store = record(700, |n| if n % 3 == 0 { "acme" } else { "umbrella" }).await;
    let shelf = Shelf::new(&leaves(&store).await);
    let mut seen = 0;
    let source = StoreSource::new("memory", store.clone());
    let report = reconcile(&source, &shelf, &mut |n| seen = n).await.expect("readable");
    assert_eq!((report.agrees(), report.first_difference(), seen), (true, None, 700));
    let acme = &report.logs[&TenantId::new("acme").expect("a tenant")];
    let hashes: Vec<_> = leaves(&store)
        .await
        .iter()
        .filter(|leaf| Envelope::parse(leaf).expect("a leaf").tenant.as_str() == "acme")
        .map(|leaf| leaf_hash(leaf))
        .collect();
    assert_eq!((acme.a_size, acme.a_root), (hashes.len() as u64, root(&hashes)));
    assert_eq!((acme.b_size, acme.b_root), (acme.a_size, acme.a_root));
}

#[tokio::test]
async fn a_change_in_a_log_is_found_by_reading_one_tile_again() {
    let store = record(1_400, |_| "acme").await;
    let good = leaves(&store).await;
    for at in [0, 255, 256, 1_279, 1_280, 1_399] {
        let mut bad = good.clone();
        forge(&mut bad[at]);
        let (a, b) = (Shelf::new(&good), Shelf::new(&bad));
        let report = compare(&a, &b).await;
        assert_eq!(report.first_difference(), Some(Position(at as u64 + 1)));
        let log = report.logs.values().next().expect("a log");
        let Agreement::Differs(found) = &log.agreement else { panic!("{log:?}") };
        assert_eq!((found.index, found.a), (at as u64, Some(leaf_hash(&good[at]))));
        assert_eq!(found.b, Some(leaf_hash(&bad[at])));
        let tile = at as u64 / 256 * 256 + 1;
        assert_eq!(*a.reads.lock().expect("reads"), [tile], "one tile was read again");
    }
}

#[tokio::test]
async fn damage_that_belongs_to_no_log_is_named_by_its_position() {
    let store = record(40, |_| "acme").await;
    let good = leaves(&store).await;
    let mut bad = good.clone();
    bad[16] = b"{}".to_vec();
    let report = compare(&Shelf::new(&good), &Shelf::new(&bad)).await;
    assert!(!report.agrees());
    assert_eq!(report.first_difference(), Some(Position(17)));
    assert_eq!(report.b.suspects[0].position, Some(Position(17)));
    assert!(report.a.suspects.is_empty());
}

#[tokio::test]
async fn two_leaves_that_changed_places_are_found() {
    let store = record(600, |_| "acme").await;
    let good = leaves(&store).await;
    let mut bad = good.clone();
    bad.swap(299, 300);
    let report = compare(&Shelf::new(&good), &Shelf::new(&bad)).await;
    assert_eq!(report.first_difference(), Some(Position(300)));
    assert_eq!(report.b.suspects[0].reason, "it is kept at 300 and says position 301");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever is changed, cut off or left alone: what is said is what is so.
    #[test]
    fn what_is_said_is_what_is_so(
        size in 1usize..900,
        cut in 0usize..600,
        change in proptest::option::of(0usize..900),
        swap_sides in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
        runtime.block_on(async {
            let pick = |n: usize| ["acme", "umbrella", "x"][n * n % 7 % 3];
            let good = leaves(&*record(size, pick).await).await;
            let kept = size.saturating_sub(cut);
            let mut other = good[..kept].to_vec();
            let change = change.filter(|at| *at < kept);
            if let Some(at) = change {
                forge(&mut other[at]);
            }
            let (a, b) = (Shelf::new(&good), Shelf::new(&other));
            let (report, lagging) = match swap_sides {
                false => (compare(&a, &b).await, Side::B),
                true => (compare(&b, &a).await, Side::A),
            };
            assert_eq!(report.agrees(), change.is_none());
            assert_eq!(report.first_difference(), change.map(|at| Position(at as u64 + 1)));
            if change.is_none() {
                assert_eq!(report.behind(lagging), (size - kept) as u64);
                let mut by_tenant: BTreeMap<String, u64> = BTreeMap::new();
                for leaf in &good {
                    let tenant = Envelope::parse(leaf).expect("a leaf").tenant.to_string();
                    *by_tenant.entry(tenant).or_default() += 1;
                }
                for (tenant, log) in &report.logs {
                    assert_eq!(log.a_size.max(log.b_size), by_tenant[tenant.as_str()]);
                }
            }
        });
    }
}
