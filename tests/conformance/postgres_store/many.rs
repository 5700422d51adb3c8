//! Several handles, as several processes have them, and servers that are not as they should be.

use std::collections::BTreeSet;
use std::sync::Arc;

use dagbook_events::ids::Position;
use dagbook_events::journal::store::postgres::{
    PostgresOptions, PostgresStore, grant_server, migrate,
};
use dagbook_events::journal::verify::verify;
use dagbook_events::journal::{Fault, Faults};
use dagbook_events::ports::{AppendError, EventStore, Expected, LeaseAnswer, Leases, ReadError};
use dagbook_events::time::Millis;
use dagbook_tests::servers::{Postgres, PostgresVersion};

use super::subject::{Server, open, request, url};

/// Each in the other's way all the time: neither loses anything, and neither is locked out.
#[tokio::test(flavor = "multi_thread")]
async fn two_processes_append_at_once() {
    let server = Server::debian();
    let database = server.database();
    let handles = [open(server.options(&database)).await, open(server.options(&database)).await];
    let mut callers = tokio::task::JoinSet::new();
    for (handle, store) in handles.iter().enumerate() {
        for caller in 0..8 {
            let store = Arc::clone(store);
            callers.spawn(async move {
                let mut acknowledged = Vec::new();
                for round in 0..25 {
                    let own = format!("run/{handle}-{caller}");
                    let mut ask = request(&own, Expected::Exact(round), 1);
                    ask.streams.extend(request("limits", Expected::Any, 1).streams);
                    ask.key = Some(format!("{own} {round}"));
                    let done = store.append(ask).await.expect("appended");
                    acknowledged.extend([done.first, done.last]);
                }
                acknowledged
            });
        }
    }
    let mut acknowledged = BTreeSet::new();
    while let Some(caller) = callers.join_next().await {
        acknowledged.extend(caller.expect("no panic"));
    }
    let expected: BTreeSet<Position> = (1..=2 * 8 * 25 * 2).map(Position).collect();
    assert_eq!(acknowledged, expected);
    let report = verify(&*handles[0], &[]).await.expect("readable");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.events, expected.len() as u64);
    for store in handles {
        let spent = store.counters();
        assert!(spent.stale * 3 <= spent.slow + spent.fast + 6, "it learns: {spent:?}");
    }
}

/// Nothing is sent over a connection that is known to be gone, so nothing is unknown.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_ended_long_ago_is_noticed_before_it_is_used() {
    let server = Server::debian();
    let database = server.database();
    let store = open(server.options(&database)).await;
    store.append(request("run/a", Expected::New, 1)).await.expect("appended");
    let end = format!(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'
         AND pid <> pg_backend_pid()"
    );
    server.ask("postgres", &end);
    // What is tried is the passing of time itself.
    tokio::time::sleep(std::time::Duration::from_millis(700)).await;
    store.append(request("run/a", Expected::Exact(1), 1)).await.expect("appended");
    let head = server.ask(&database, "SELECT generation FROM head");
    assert_eq!(head, ["0"], "there was nothing to find out about");
}

/// The sessions of a store end while nobody uses it, as with every restart of a server.
#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_ended_while_idle_are_replaced_unnoticed() {
    let server = Server::debian();
    let database = server.database();
    let store = open(server.options(&database)).await;
    for round in 0..5u64 {
        let done = store.append(request("run/a", Expected::Exact(round), 1)).await;
        assert_eq!(done.expect("appended").first.0, round + 1, "in round {round}");
        assert_eq!(store.read_after(Position(0), 10).await.expect("read").len() as u64, round + 1);
        let end = format!(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{database}'
             AND pid <> pg_backend_pid()"
        );
        server.ask("postgres", &end);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_away_is_an_answer_and_its_return_is_noticed() {
    let mut server = Postgres::start_with(PostgresVersion::Debian, &[("fsync", "off")]);
    let address = url(&server.database("record"));
    migrate(&address, std::time::Duration::from_secs(30)).expect("migrated");
    let clock = Arc::new(dagbook_events::journal::clock::SystemClock);
    let mut options = PostgresOptions::new(address, clock);
    options.resolve_deadline = std::time::Duration::from_millis(500);
    let store = open(options.clone()).await;
    store.append(request("run/a", Expected::New, 1)).await.expect("appended");
    server.stop();
    let outcome = store.append(request("run/a", Expected::Exact(1), 1)).await;
    assert!(
        matches!(outcome, Err(AppendError::Unavailable(_) | AppendError::Unknown(_))),
        "{outcome:?}"
    );
    let read = store.read_after(Position(0), 10).await;
    assert!(matches!(read, Err(ReadError::Unavailable(_))), "{read:?}");
    let refused = PostgresStore::open(options).await.err().expect("refused").to_string();
    assert!(refused.contains("127.0.0.1") && !refused.contains("password"), "{refused}");
    server.restart();
    store.append(request("run/a", Expected::Exact(1), 1)).await.expect("appended");
    assert_eq!(store.read_after(Position(0), 10).await.expect("read").len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_without_the_schema_is_not_opened() {
    let server = Server::debian();
    server.server.database("empty");
    let refused = PostgresStore::open(server.options("empty")).await.err().expect("refused");
    assert!(refused.to_string().contains("dagbook migrate"), "{refused}");
    assert!(server.ask("empty", "SELECT relname FROM pg_class WHERE relname = 'event'").is_empty());

    let newer = server.database();
    server.ask(
        &newer,
        "INSERT INTO refinery_schema_history
         SELECT 999, 'from_the_future', applied_on, '1' FROM refinery_schema_history
         WHERE version = 1",
    );
    let refused = PostgresStore::open(server.options(&newer)).await.err().expect("refused");
    assert!(refused.to_string().contains("newer program"), "{refused}");
}

/// The server's own role cannot change anything, and lacks nothing that a store does.
#[tokio::test(flavor = "multi_thread")]
async fn the_role_of_a_server_is_enough() {
    let server = Server::debian();
    let database = server.database();
    server.ask("postgres", "CREATE ROLE keeper LOGIN");
    let owner = server.options(&database).url;
    let granted = tokio::task::spawn_blocking(move || grant_server(&owner, "keeper"));
    let rights = granted.await.expect("no panic").expect("granted");
    assert!(rights.may_append && rights.may_change.is_empty(), "{rights:?}");
    let as_keeper = server.server.url_of(&database).replace("postgres@", "keeper@");
    let mut options = server.options(&database);
    options.url = url(&as_keeper);
    options.partition_width = 10;
    let faults = Arc::new(Faults::default());
    options.faults = Some(Arc::clone(&faults));
    let store = open(options).await;
    let held = store.acquire("engine", "a", Millis::seconds(60)).await.expect("an answer");
    let LeaseAnswer::Held(lease) = held else { panic!("{held:?}") };
    for round in 0..15 {
        let mut ask = request("run/a", Expected::Exact(round * 3), 3);
        ask.key = Some(round.to_string());
        ask.fence = Some(lease.fence.clone());
        if round % 5 == 0 {
            faults.inject(Fault::LoseAnswer);
        }
        store.append(ask).await.expect("appended");
    }
    store.append(request("run/large", Expected::New, 5_000)).await.expect("appended");
    assert_eq!(store.begin_timeline(1).await, Ok(2));
    let report = verify(&*store, &[]).await.expect("readable");
    assert!(report.is_clean() && report.events == 5_045, "{report:?}");
    let denied = server.try_ask(&database, "SET ROLE keeper; DELETE FROM event").expect_err("no");
    assert!(denied.contains("permission denied"), "{denied}");
}
