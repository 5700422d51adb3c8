//! The database server is stopped in each of its ways while callers append, and comes back.

use std::sync::Arc;

use dagbook_events::ports::EventStore;
use dagbook_tests::servers::{Postgres, PostgresVersion};
use dagbook_tests::workload::{Ledger, Load, Tail};

use crate::support::{assert_sound, chance, open};

async fn the_server_restarts(version: PostgresVersion) {
    let (seed, mut chance) = chance("restart");
    let mut server = Postgres::start(version);
    let store = open(&server.database("record")).await;
    let shared: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let ledger = Arc::new(Ledger::default());
    let tail = Tail::start(Arc::clone(&shared));
    let callers = {
        let (load, shared, ledger) =
            (Load::new(seed, 64, 6_000), Arc::clone(&shared), Arc::clone(&ledger));
        tokio::spawn(async move { load.run(shared, ledger).await })
    };
    let ways: [fn(&mut Postgres); 3] = [Postgres::stop, Postgres::stop_immediately, Postgres::kill];
    for end in ways {
        ledger.reached(ledger.events() + 500 + chance.below(500)).await;
        tokio::task::block_in_place(|| {
            end(&mut server);
            server.restart();
        });
    }
    callers.await.expect("the callers");
    let seen = tail.finish(store.head().await.expect("a head")).await;
    assert_sound(store.as_ref(), &ledger, Some(&seen)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn debians_postgres_is_restarted_in_each_way() {
    the_server_restarts(PostgresVersion::Debian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newest_postgres_is_restarted_in_each_way() {
    the_server_restarts(PostgresVersion::Newest).await;
}
