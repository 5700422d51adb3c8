//! The clock steps an hour back, and forth again.

use std::sync::Arc;

use dagbook_events::conformance::store::ManualClock;
use dagbook_events::ids::Position;
use dagbook_events::ports::EventStore;
use dagbook_events::time::Timestamp;
use dagbook_tests::servers::{Postgres, PostgresVersion};
use dagbook_tests::stores::{self, AnyStore};
use dagbook_tests::workload::{Ledger, Load, Tail};

use crate::support::{assert_sound, chance, sqlite};

const NOON: Timestamp = Timestamp(1_795_262_400_000);
const HOUR: i64 = 3_600_000;

/// Recording times of all events.
async fn recorded_at(store: &dyn AnyStore) -> Vec<i64> {
    let page = store.read_after(Position(0), usize::MAX >> 1).await.expect("all events");
    let parse = |leaf: &[u8]| dagbook_events::envelope::Envelope::parse(leaf).expect("an envelope");
    page.iter().map(|event| parse(&event.leaf).recorded_at.0).collect()
}

/// A load during which the clock goes on, an hour back, and three hours forth.
pub async fn the_clock_steps(address: &str) {
    let (seed, _) = chance("clock");
    let clock = Arc::new(ManualClock::new(NOON));
    let store = stores::open(address, Arc::clone(&clock) as _).await.expect("a store");
    let shared: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let ledger = Arc::new(Ledger::default());
    let tail = Tail::start(Arc::clone(&shared));
    for (events, now) in [(200, 0), (400, 1_000), (600, -HOUR), (800, 2 * HOUR)] {
        clock.set(Timestamp(NOON.0 + now));
        Load::new(seed, 8, events).run(Arc::clone(&shared), Arc::clone(&ledger)).await;
    }
    let seen = tail.finish(store.head().await.expect("a head")).await;
    assert_sound(store.as_ref(), &ledger, Some(&seen)).await;
    let times = recorded_at(store.as_ref()).await;
    assert!(times.is_sorted(), "what was recorded later has a later time");
    let at = |after: i64| times.iter().filter(|time| **time == NOON.0 + after).count();
    // While the clock was back, time stood still. Callers end a few events beyond their mark,
    // which the next span then lacks.
    assert!(at(0) >= 200 && at(1_000) >= 300 && at(2 * HOUR) >= 100);
    assert_eq!(at(0) + at(1_000) + at(2 * HOUR), times.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_records_no_time_before_the_last() {
    let folder = tempfile::tempdir().expect("a folder");
    the_clock_steps(&sqlite(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_records_no_time_before_the_last() {
    let server = Postgres::start(PostgresVersion::Debian);
    the_clock_steps(&server.database("record")).await;
}
