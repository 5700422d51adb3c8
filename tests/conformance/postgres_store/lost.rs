//! Answers that never come, with a proxy between the store and its server: whatever callers are
//! told is so, and nothing is there twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::journal::store::postgres::{PostgresOptions, PostgresStore};
use dagbook_events::journal::verify::verify;
use dagbook_events::ports::{AppendError, AppendRequest, EventStore, Expected};
use dagbook_tests::servers::{Proxy, eventually};

use super::subject::{Server, open, request, stream, tenant, url};

/// A store behind a proxy, and a look around it.
struct Behind {
    proxy: Proxy,
    store: Arc<PostgresStore>,
    direct: Arc<PostgresStore>,
}

impl Behind {
    async fn open(server: &Server, change: impl FnOnce(&mut PostgresOptions)) -> Self {
        let database = server.database();
        let proxy = Proxy::to(server.server.port());
        let direct = server.options(&database);
        let mut options = direct.clone();
        options.url = url(&proxy.through(&server.server.url_of(&database)));
        change(&mut options);
        let (store, direct) = (open(options).await, open(direct).await);
        Self { proxy, store, direct }
    }

    /// The stream has so many events, each once, and a request under its key is answered so.
    async fn assert_kept(&self, events: u64, last: AppendRequest) {
        let all = self.direct.read_stream(&tenant(), &stream("run/a"), 0, 1_000).await;
        let versions: Vec<u64> = all.expect("all").iter().map(|event| event.version).collect();
        assert_eq!(versions, (0..events).collect::<Vec<_>>());
        assert!(self.direct.append(last).await.expect("answered").duplicate);
        let report = verify(&*self.direct, &[]).await.expect("readable");
        assert!(report.is_clean(), "{report:?}");
    }

    /// Appends elsewhere until it works from memory again.
    async fn warm_up(&self) {
        let fast = self.store.counters().fast;
        while self.store.counters().fast == fast {
            self.store.append(request("run/b", Expected::Any, 1)).await.expect("appended");
        }
    }
}

fn keyed(round: u64) -> AppendRequest {
    let mut ask = request("run/a", Expected::Exact(round), 1);
    ask.key = Some(round.to_string());
    ask
}

/// The single statement of a batch from memory is also its commit.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_from_memory_whose_answer_is_cut_off_is_found_again() {
    let server = Server::debian();
    let behind = Behind::open(&server, |_| {}).await;
    for round in 0..4u64 {
        if round > 0 {
            behind.store.append(keyed(round - 1)).await.expect("answered");
        }
        behind.warm_up().await;
        let (cuts, before) = (behind.proxy.cuts(), behind.store.counters());
        behind.proxy.cut_before_reply(b"SELECT 1\0");
        let done = behind.store.append(keyed(round)).await.expect("found");
        assert_eq!((done.last.0 - done.first.0, done.duplicate), (0, false));
        let after = behind.store.counters();
        assert_eq!(behind.proxy.cuts(), cuts + 1);
        assert_eq!((after.slow, after.connections), (before.slow, before.connections + 1));
    }
    behind.assert_kept(4, keyed(3)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_cut_off_is_found_again() {
    let server = Server::debian();
    let behind = Behind::open(&server, |_| {}).await;
    for round in 0..4u64 {
        // Somebody else has written, so it must ask.
        behind.direct.append(request("run/c", Expected::Any, 1)).await.expect("appended");
        let (cuts, before) = (behind.proxy.cuts(), behind.store.counters());
        behind.proxy.cut_before_reply(b"COMMIT\0");
        let done = behind.store.append(keyed(round)).await.expect("found");
        assert_eq!((done.last.0 - done.first.0, done.duplicate), (0, false));
        let after = behind.store.counters();
        assert_eq!(behind.proxy.cuts(), cuts + 1);
        assert_eq!(after.slow, before.slow + 1);
    }
    behind.assert_kept(4, keyed(3)).await;
}

/// The server never hears of it: it is known not to stand, and sent again.
#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_never_arrived_is_sent_again() {
    let server = Server::debian();
    let behind = Behind::open(&server, |_| {}).await;
    behind.store.append(keyed(0)).await.expect("appended");
    for round in 1..5u64 {
        let cuts = behind.proxy.cuts();
        behind.proxy.cut_before_request(b"thing.happened");
        let done = behind.store.append(keyed(round)).await;
        assert_eq!(behind.proxy.cuts(), cuts + 1);
        match done {
            Ok(done) => assert_eq!((done.first.0, done.duplicate), (round + 1, false)),
            // In the second half of a batch that had asked.
            Err(AppendError::Unavailable(_)) => {
                behind.store.append(keyed(round)).await.expect("appended");
            }
            Err(other) => panic!("{other}"),
        }
    }
    behind.assert_kept(5, keyed(4)).await;
}

/// While nobody can find out, callers hear that; and afterwards the key tells.
#[tokio::test(flavor = "multi_thread")]
async fn an_outcome_that_nobody_can_find_out_is_unknown() {
    let server = Server::debian();
    let behind = Behind::open(&server, |options| {
        options.answer_timeout = Duration::from_millis(300);
        options.resolve_deadline = Duration::from_millis(500);
    })
    .await;
    behind.store.append(keyed(0)).await.expect("appended");
    behind.proxy.hold_replies();
    let outcome = behind.store.append(keyed(1)).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    let outcome = behind.store.append(keyed(2)).await;
    assert!(matches!(outcome, Err(AppendError::Unavailable(_))), "nothing was sent: {outcome:?}");
    behind.proxy.pass();
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let done = loop {
        match behind.store.append(keyed(1)).await {
            Ok(done) => break done,
            Err(error) => assert!(std::time::Instant::now() < deadline, "{error}"),
        }
    };
    assert_eq!((done.first.0, done.duplicate), (2, true), "it had been committed");
    behind.assert_kept(2, keyed(1)).await;
}

/// A statement waits somewhere on its way while the store finds out about it. However the two
/// race when the way is free again, it is written once.
#[tokio::test(flavor = "multi_thread")]
async fn a_late_statement_is_not_written_after_it_was_given_up() {
    let server = Server::debian();
    let behind = Behind::open(&server, |options| {
        options.answer_timeout = Duration::from_millis(400);
        options.resolve_deadline = Duration::from_secs(60);
    })
    .await;
    behind.store.append(keyed(0)).await.expect("appended");
    for round in 1..6u64 {
        behind.proxy.hold();
        let (store, connections) = (Arc::clone(&behind.store), behind.proxy.connections());
        let caller = tokio::spawn(async move { store.append(keyed(round)).await });
        // It has given the statement up when it connects anew.
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while behind.proxy.connections() == connections {
            assert!(std::time::Instant::now() < deadline, "it connects anew");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        behind.proxy.pass();
        let mut done = caller.await.expect("no panic");
        while let Err(AppendError::Unavailable(_)) = done {
            assert!(std::time::Instant::now() < deadline, "{done:?}");
            done = behind.store.append(keyed(round)).await;
        }
        assert_eq!(done.expect("appended").last.0, round + 1);
    }
    behind.assert_kept(6, keyed(5)).await;
}

/// Its machine stands still, or the network swallows it, in the midst of a large append: the
/// server gives it up by itself, and with it the lock that all others wait for.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_vanishes_within_a_large_append_does_not_keep_others_out() {
    let server = Server::debian();
    let behind =
        Behind::open(&server, |options| options.answer_timeout = Duration::from_secs(4)).await;
    behind.store.append(request("run/b", Expected::New, 1)).await.expect("appended");
    // Slowly enough that it is caught on its way.
    behind.proxy.delay(Duration::from_millis(20));
    let large = tokio::spawn({
        let store = Arc::clone(&behind.store);
        async move { store.append(request("run/large", Expected::New, 30_000)).await }
    });
    let midway = "SELECT pid FROM pg_stat_activity WHERE query ~ '^(COPY|INSERT INTO) event '";
    eventually("a part of it arrives", Duration::from_secs(60), async || {
        (!server.ask("postgres", midway).is_empty()).then_some(())
    })
    .await;
    behind.proxy.hold();
    let began = Instant::now();
    let ask = request("run/a", Expected::New, 1);
    behind.direct.append(ask).await.expect("the lock was given back");
    assert!(began.elapsed() < Duration::from_secs(9), "{:?}", began.elapsed());
    behind.proxy.cut();
    behind.proxy.pass();
    let refused = large.await.expect("no panic");
    assert!(matches!(refused, Err(AppendError::Unavailable(_))), "{refused:?}");
    assert_eq!(behind.direct.head().await.expect("the head").0, 2, "nothing of it stays");
}

/// What waits behind a server that does not answer hears so at once, not each by itself after
/// a wait of its own.
#[tokio::test(flavor = "multi_thread")]
async fn the_whole_queue_hears_of_an_outage() {
    let server = Server::debian();
    let behind = Behind::open(&server, |options| {
        options.answer_timeout = Duration::from_secs(1);
        options.resolve_deadline = Duration::from_secs(1);
    })
    .await;
    behind.store.append(request("run/b", Expected::New, 1)).await.expect("appended");
    behind.proxy.hold();
    behind.proxy.cut();
    let began = Instant::now();
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..20 {
        let store = Arc::clone(&behind.store);
        // Each is a batch by itself.
        let ask = request(&format!("run/{n}"), Expected::New, 1_100);
        callers.spawn(async move { store.append(ask).await });
    }
    let mut unknown = 0;
    while let Some(outcome) = callers.join_next().await {
        match outcome.expect("no panic") {
            Err(AppendError::Unavailable(_)) => {}
            Err(AppendError::Unknown(_)) => unknown += 1,
            other => panic!("{other:?}"),
        }
    }
    assert!(unknown <= 1, "of the others nothing was sent");
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    behind.proxy.pass();
    behind.store.append(request("run/b", Expected::Exact(1), 1)).await.expect("appended");
}
