//! What a batch costs, as counts that do not depend on the machine.

use std::sync::Arc;

use dagbook_events::journal::store::postgres::{PostgresCounters, PostgresStore};
use dagbook_events::journal::{Fault, Faults};
use dagbook_events::ports::{AppendError, EventStore, Expected, LeaseAnswer, Leases};
use dagbook_events::time::Millis;

use super::subject::{Server, open, request};

/// What was counted since.
fn since(store: &PostgresStore, before: PostgresCounters) -> PostgresCounters {
    let now = store.counters();
    PostgresCounters {
        fast: now.fast - before.fast,
        slow: now.slow - before.slow,
        stale: now.stale - before.stale,
        round_trips: now.round_trips - before.round_trips,
        statements: now.statements - before.statements,
        connections: now.connections - before.connections,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_from_memory_costs_one_round_trip_and_one_statement() {
    let server = Server::debian();
    let store = open(server.options(&server.database())).await;
    store.append(request("run/first", Expected::New, 1)).await.expect("appended");
    let first = store.counters();
    assert_eq!((first.fast, first.slow, first.connections), (0, 1, 1), "nothing was known");
    assert_eq!(first.round_trips, 2);

    // New streams, streams that grow, keys and fences.
    let held = store.acquire("engine", "laws", Millis::seconds(60)).await.expect("an answer");
    let LeaseAnswer::Held(lease) = held else { panic!("{held:?}") };
    let mut fenced = request("run/first", Expected::Any, 1);
    fenced.fence = Some(lease.fence.clone());
    store.append(fenced.clone()).await.expect("appended");
    let before = store.counters();
    for n in 0..20u64 {
        let name = format!("run/{}", n / 2);
        let mut ask = request(&name, Expected::Exact(n % 2), 3);
        ask.key = Some(n.to_string());
        if n % 2 == 1 {
            ask.streams[0].expected = Expected::Any;
            ask.fence = Some(lease.fence.clone());
        }
        store.append(ask).await.expect("appended");
    }
    let expected = PostgresCounters {
        fast: 20,
        round_trips: 20,
        statements: 20,
        ..PostgresCounters::default()
    };
    assert_eq!(since(&store, before), expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn many_callers_share_round_trips() {
    let server = Server::debian();
    let store = open(server.options(&server.database())).await;
    store.append(request("run/first", Expected::New, 1)).await.expect("appended");
    let before = store.counters();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..64 {
        let store = Arc::clone(&store);
        callers.spawn(async move {
            for round in 0..20 {
                let ask = request(&format!("run/{n}"), Expected::Exact(round), 1);
                store.append(ask).await.expect("appended");
            }
        });
    }
    while let Some(caller) = callers.join_next().await {
        caller.expect("no panic");
    }
    let spent = since(&store, before);
    assert_eq!((spent.slow, spent.stale, spent.connections), (0, 0, 0));
    assert_eq!((spent.round_trips, spent.statements), (spent.fast, spent.fast));
    assert!(spent.fast < 64 * 20 / 4, "callers wait together: {spent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_must_ask_costs_two_round_trips() {
    let server = Server::debian();
    let database = server.database();
    let store = open(server.options(&database)).await;
    for n in 0..5 {
        store.append(request(&format!("run/{n}"), Expected::New, 1)).await.expect("appended");
    }
    // Another handle knows nothing of them.
    let other = open(server.options(&database)).await;
    let ask = request("run/0", Expected::Any, 1);
    other.append(ask).await.expect("appended");
    let spent = other.counters();
    assert_eq!((spent.fast, spent.slow, spent.stale, spent.round_trips), (0, 1, 0, 2));
    // BEGIN, head, tenants, streams; the batch, COMMIT.
    assert_eq!(spent.statements, 6);
    let ask = request("run/1", Expected::Any, 1);
    other.append(ask).await.expect("appended");
    assert_eq!(other.counters().round_trips, 4, "a stream that it does not know yet");

    // The first handle remembers a head that is no longer the head.
    let before = store.counters();
    store.append(request("run/2", Expected::Exact(1), 1)).await.expect("appended");
    let spent = since(&store, before);
    assert_eq!((spent.stale, spent.slow, spent.round_trips), (1, 1, 3), "one try in vain");
}

/// Otherwise a caller would be told of a state that is no more.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejection_is_never_answered_from_memory() {
    let server = Server::debian();
    let database = server.database();
    let (store, other) =
        (open(server.options(&database)).await, open(server.options(&database)).await);
    store.append(request("run/a", Expected::New, 1)).await.expect("appended");
    let ask = request("run/a", Expected::Exact(1), 1);
    other.append(ask).await.expect("appended");
    // By what it remembers this would be refused.
    store.append(request("run/a", Expected::Exact(2), 1)).await.expect("appended");
    let before = store.counters();
    let refused = store.append(request("run/a", Expected::Exact(9), 1)).await;
    assert!(matches!(refused, Err(AppendError::Conflict { actual: 3, .. })), "{refused:?}");
    let spent = since(&store, before);
    assert_eq!((spent.fast, spent.slow, spent.round_trips), (0, 1, 2));
}

/// A guess that a stream is new, or a key unused, is checked by the database.
#[tokio::test(flavor = "multi_thread")]
async fn wrong_guesses_are_noticed() {
    let server = Server::debian();
    let database = server.database();
    let other = open(server.options(&database)).await;
    let mut keyed = request("run/keyed", Expected::New, 1);
    keyed.key = Some("k".to_string());
    other.append(keyed.clone()).await.expect("appended");
    let store = open(server.options(&database)).await;
    store.append(request("run/mine", Expected::New, 1)).await.expect("appended");
    let before = store.counters();
    let refused = store.append(request("run/keyed", Expected::New, 1)).await;
    assert!(matches!(refused, Err(AppendError::Conflict { actual: 1, .. })), "{refused:?}");
    assert_eq!(since(&store, before).stale, 1, "it was guessed to be new");
    let again = store.append(keyed).await.expect("answered");
    assert_eq!((again.first.0, again.duplicate), (1, true));
}

/// Also where the batch writes something else, so that its own write would succeed.
#[tokio::test(flavor = "multi_thread")]
async fn guesses_that_no_write_would_test_are_asked_about() {
    let server = Server::debian();
    let database = server.database();
    let store = open(server.options(&database)).await;
    store.append(request("run/forgotten", Expected::New, 1)).await.expect("appended");
    for n in 0..30 {
        // Until the first stream is no longer remembered.
        let mut many = request(&format!("run/{n}"), Expected::New, 1);
        for m in 1..1_000 {
            many.streams.extend(request(&format!("run/{n}-{m}"), Expected::New, 1).streams);
        }
        store.append(many).await.expect("appended");
    }
    let keyed = || {
        let mut keyed = request("run/recent", Expected::New, 1);
        keyed.key = Some("k".to_string());
        keyed
    };
    store.append(keyed()).await.expect("appended");
    // While someone else holds the head, all come into one batch, in which `run/added` is one
    // that memory can decide.
    let mut other = Holder::take(&server, &database);
    let before = store.counters();
    let (_, added, retried, only_asked, ()) = tokio::join!(
        store.append(request("run/first", Expected::New, 1)),
        store.append(request("run/added", Expected::New, 1)),
        store.append(keyed()),
        async {
            let mut ask = request("run/other", Expected::New, 1);
            ask.streams.extend(request("run/forgotten", Expected::New, 0).streams);
            store.append(ask).await
        },
        async { other.give_back() },
    );
    assert!(retried.expect("answered").duplicate, "its key counts, not its version");
    assert!(matches!(only_asked, Err(AppendError::Conflict { actual: 1, .. })), "{only_asked:?}");
    added.expect("appended");
    assert!(since(&store, before).slow >= 1);
}

/// A session that holds the lock of the head.
struct Holder(Option<postgres::Client>);

impl Holder {
    fn take(server: &Server, database: &str) -> Self {
        let url = server.server.url_of(database);
        let client = std::thread::spawn(move || {
            let mut client = postgres::Client::connect(&url, postgres::NoTls).expect("connected");
            client.batch_execute("BEGIN; SELECT FROM head FOR UPDATE").expect("locked");
            client
        });
        Self(Some(client.join().expect("no panic")))
    }

    fn give_back(&mut self) {
        let client = self.0.take();
        std::thread::spawn(move || drop(client)).join().expect("no panic");
    }
}

/// In one request: its events go in several statements, and are read back as any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_very_large_append_is_one_transaction() {
    let server = Server::debian();
    let store = open(server.options(&server.database())).await;
    store.append(request("run/a", Expected::New, 1)).await.expect("appended");
    let before = store.counters();
    let done = store.append(request("run/a", Expected::Exact(1), 20_000)).await.expect("appended");
    assert_eq!((done.first.0, done.last.0), (2, 20_001));
    let spent = since(&store, before);
    // BEGIN and what is asked, five parts of the events, the rest, COMMIT.
    assert_eq!((spent.slow, spent.round_trips), (1, 8), "{spent:?}");
    let log = store.read_log(&super::subject::tenant(), 19_990, 100).await.expect("the end");
    assert_eq!(log.len(), 11);
}

/// The answer of a commit is lost, twice: on either path it is found again, and a new
/// connection goes on.
#[tokio::test(flavor = "multi_thread")]
async fn a_lost_answer_costs_a_new_connection() {
    let server = Server::debian();
    let mut options = server.options(&server.database());
    let faults = Arc::new(Faults::default());
    options.faults = Some(Arc::clone(&faults));
    let store = open(options).await;
    for round in 0..4u64 {
        faults.inject(Fault::LoseAnswer);
        let done = store.append(request("run/a", Expected::Exact(round), 1)).await;
        assert_eq!(done.expect("found").first.0, round + 1);
    }
    let spent = store.counters();
    assert_eq!(spent.connections, 5, "{spent:?}");
    assert_eq!(store.head().await.expect("the head").0, 4);
}
