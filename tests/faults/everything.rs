//! Everything at once: many callers, both servers killed again and again, and at the end
//! nothing is lost, nothing doubled, the copy is complete and the witness has co-signed.

use std::sync::Arc;

use dagbook_events::journal::GuardState;
use dagbook_events::ports::EventStore;
use dagbook_tests::servers::NatsVersion;
use dagbook_tests::workload::{Ledger, Load, Tail, compare_with_copy};

use crate::site::Site;
use crate::support::{assert_sound, chance, deep};

const CALLERS: u64 = 128;

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_lost_while_both_servers_are_killed_under_128_callers() {
    let events = if deep() { 200_000 } else { 20_000 };
    let (seed, _) = chance("everything");
    let mut site = Site::new(NatsVersion::Current);
    let running = site.run().await;
    let ledger = Arc::new(Ledger::default());
    let tail = Tail::start(running.events());
    let callers = {
        let (store, ledger) = (running.events(), Arc::clone(&ledger));
        tokio::spawn(async move { Load::new(seed, CALLERS, events).run(store, ledger).await })
    };
    // Six parts of the load: between them a server goes, five times.
    for part in 1..=5 {
        ledger.reached(events * part / 6).await;
        tokio::task::block_in_place(|| match part {
            2 => site.postgres.restart(),
            4 => {
                site.postgres.kill();
                site.postgres.restart();
            }
            _ => {
                site.nats.kill();
                site.nats.restart();
            }
        });
    }
    callers.await.expect("the callers");
    assert!(ledger.events() >= events, "{:?} {:?}", ledger.stopped(), ledger.surprises());
    running.caught_up().await;
    assert_eq!(running.guard.state(), GuardState::Open);
    let store: &dyn EventStore = running.store.as_ref();
    let differences = compare_with_copy(store, running.copy.as_ref(), 1).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    running.cosigned().await;
    let seen = tail.finish(store.head().await.expect("a head")).await;
    assert_sound(running.store.as_ref(), &ledger, Some(&seen)).await;
    println!(
        "{} events, {:?}, {} failed reads",
        seen.hashes.len(),
        ledger.retries(),
        seen.failures
    );
    running.stop().await;
}
