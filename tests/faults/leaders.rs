//! Two processes believe that they lead: the one whose lease was taken is refused.

use std::sync::Arc;

use dagbook_events::ids::Position;
use dagbook_events::ports::{EventStore, Fence, LeaseAnswer};
use dagbook_events::time::Millis;
use dagbook_tests::servers::{Postgres, PostgresVersion, eventually};
use dagbook_tests::stores::AnyStore;
use dagbook_tests::workload::{Ledger, Load, Tail};

use crate::support::{SOON, assert_sound, chance, open, sqlite};

const LEASE: &str = "engine";

async fn lead(store: &dyn AnyStore, holder: &str, lasting: Millis) -> Fence {
    let held = || async {
        match store.acquire(LEASE, holder, lasting).await.expect("leases can be asked for") {
            LeaseAnswer::Held(lease) => Some(lease.fence),
            LeaseAnswer::TakenBy(_) => None,
        }
    };
    eventually("the lease", SOON, held).await
}

fn load(seed: u64, first_caller: u64, fence: &Fence) -> Load {
    let fence = Some(fence.clone());
    Load { first_caller, fence, events: u64::MAX, ..Load::new(seed, 12, 0) }
}

async fn two_leaders(address: &str) {
    let (seed, _) = chance("leaders");
    let (old, new) = (open(address).await, open(address).await);
    let (of_old, of_new) = (Arc::new(Ledger::default()), Arc::new(Ledger::default()));
    let tail = Tail::start(Arc::clone(&new) as _);
    // The old leader holds its lease for a moment only and never renews it, as one that hangs.
    let fence = lead(old.as_ref(), "old", Millis(300)).await;
    let begin = |store: &Arc<dyn AnyStore>, load: Load, ledger: &Arc<Ledger>| {
        let (shared, ledger): (Arc<dyn EventStore>, _) =
            (Arc::clone(store) as _, Arc::clone(ledger));
        tokio::spawn(async move { load.run(shared, ledger).await })
    };
    let old_callers = begin(&old, load(seed, 0, &fence), &of_old);
    of_old.reached(200).await;
    let taken = lead(new.as_ref(), "new", Millis::seconds(60)).await;
    assert!(taken.epoch > fence.epoch);
    let border = new.head().await.expect("a head");
    let new_callers = begin(&new, load(seed, 100, &taken), &of_new);
    // The old one stops by itself, because each of its appends is refused.
    old_callers.await.expect("the old leader's callers");
    let reason = of_old.stopped().expect("the old leader was told");
    assert!(reason.contains(LEASE), "{reason}");
    of_new.reached(500).await;
    of_new.enough();
    new_callers.await.expect("the new leader's callers");

    let beyond = new.read_after(border, usize::MAX >> 1).await.expect("events");
    let foreign = |event: &&dagbook_events::ports::Recorded| {
        let leaf = String::from_utf8_lossy(&event.leaf).into_owned();
        (0..12).any(|caller| leaf.contains(&format!("\"caller\":{caller},")))
    };
    let late: Vec<Position> = beyond.iter().filter(foreign).map(|event| event.position).collect();
    assert!(late.is_empty(), "the old leader wrote after it was fenced off: {late:?}");
    let seen = tail.finish(new.head().await.expect("a head")).await;
    of_old.entries().into_iter().for_each(|entry| of_new.enter(entry));
    assert_eq!(of_old.surprises(), Vec::<String>::new());
    assert_sound(new.as_ref(), &of_new, Some(&seen)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_refuses_the_leader_whose_lease_was_taken() {
    let folder = tempfile::tempdir().expect("a folder");
    two_leaders(&sqlite(folder.path())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_refuses_the_leader_whose_lease_was_taken() {
    let server = Postgres::start(PostgresVersion::Debian);
    two_leaders(&server.database("record")).await;
}
