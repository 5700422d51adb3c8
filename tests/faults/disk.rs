//! The disk gets full, and later there is room again.

use std::sync::Arc;

use dagbook_events::ports::EventStore;
use dagbook_tests::servers::{Postgres, PostgresVersion, SmallDisk, eventually};
use dagbook_tests::stores::AnyStore;
use dagbook_tests::workload::{Ledger, Load, Tail};

use crate::support::{SOON, assert_sound, chance, open, sqlite};

/// Appends until callers are told again and again that they must come back later.
pub async fn until_stuck(ledger: &Ledger) {
    let refusals = || {
        let retries = ledger.retries();
        retries.unavailable + retries.unknown
    };
    let before = refusals();
    eventually("the disk to be full", SOON, || async { (refusals() > before + 50).then_some(()) })
        .await;
}

/// A load on a disk that gets full on the way; `relieved` sees to it that the store can be
/// reached again.
async fn a_full_disk(disk: &SmallDisk, address: &str, free: u64, relieved: impl FnOnce()) {
    let (seed, _) = chance("disk");
    let store: Arc<dyn AnyStore> = open(address).await;
    let shared: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let ledger = Arc::new(Ledger::default());
    let tail = Tail::start(Arc::clone(&shared));
    let load = Load::new(seed, 16, 500);
    load.run(Arc::clone(&shared), Arc::clone(&ledger)).await;
    disk.fill_but(free);
    // More than there is room for, so that only a full disk can hold it up.
    let callers = {
        let (load, shared, ledger) = (load.clone(), Arc::clone(&shared), Arc::clone(&ledger));
        tokio::spawn(async move { Load { events: u64::MAX, ..load }.run(shared, ledger).await })
    };
    until_stuck(&ledger).await;
    let stuck = ledger.events();
    disk.relieve();
    relieved();
    // The callers ask for the same again, and go on: nothing may be forgotten or doubled.
    let reached = tokio::time::timeout(SOON, ledger.reached(stuck + 1_000)).await;
    reached.unwrap_or_else(|_| panic!("it does not go on: {:?}", ledger.retries()));
    ledger.enough();
    callers.await.expect("the callers");
    let seen = tail.finish(store.head().await.expect("a head")).await;
    assert_sound(store.as_ref(), &ledger, Some(&seen)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_goes_on_where_it_was_once_there_is_room_again() {
    let Some(disk) = SmallDisk::mount(24) else { return };
    let address = sqlite(&disk.path());
    a_full_disk(&disk, &address, 512, || ()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_goes_on_where_it_was_once_there_is_room_again() {
    let Some(disk) = SmallDisk::mount(160) else { return };
    let settings = [("max_wal_size", "64MB"), ("min_wal_size", "32MB")];
    let server = Postgres::start_in(Some(&disk.path()), PostgresVersion::Debian, &settings);
    let address = server.database("record");
    let mut server = server;
    // Without room for its log it may have given up altogether.
    a_full_disk(&disk, &address, 1_024, || server.restart()).await;
}
