//! What others do to our streams, what servers can, and what happens when they are gone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use async_nats::jetstream::stream::{Config, DiscardPolicy, RetentionPolicy};
use dagbook_events::ids::{Position, TenantId};
use dagbook_events::journal::Guard;
use dagbook_events::journal::bus::jetstream::{
    JetStreamBus, JetStreamCopy, Nats as Connection, NatsOptions, SyncInterval,
};
use dagbook_events::journal::relay::{Relay, RelayError, RelayLimits, Turn};
use dagbook_events::ports::{CopyError, EventBus, EventStore, RecordCopy};
use dagbook_tests::servers::{Nats, NatsVersion, Proxy, free_port};
use tokio::sync::watch;

use super::server::{LONG, append, connect, events, store_with, stranger};

const VERSIONS: [NatsVersion; 2] = [NatsVersion::Debian, NatsVersion::Current];

#[tokio::test(flavor = "multi_thread")]
async fn batches_are_used_where_the_server_has_them_and_only_there() {
    for (version, has) in [(NatsVersion::Debian, false), (NatsVersion::Current, true)] {
        let server = Nats::start(version);
        let copy = JetStreamCopy::new(connect(&server.url()).await);
        let before = copy.facts(1).await.expect("facts");
        assert_eq!(before.copy, None);
        assert_eq!(before.atomic_batches, has, "{before:?}");
        let end = copy.add(1, Position(0), &events(2_345).await).await;
        assert_eq!(end, Ok(Position(2_345)));
        let after = copy.facts(1).await.expect("facts");
        assert_eq!(after.atomic_batches, has, "{after:?}");
        let stream = after.copy.expect("there is one now");
        assert_eq!((stream.first, stream.last, stream.messages), (1, 2_345, 2_345));
        assert_eq!((stream.replicas, stream.differences), (1, Vec::new()));
        let context = stranger(&server.url()).await;
        let raw = context.get_stream("DAGBOOK_EVENTS_t1").await.expect("the stream");
        for at in [1, 1_000, 1_001, 2_345] {
            let message = raw.get_raw_message(at).await.expect("a message");
            let batch = message.headers.get("Nats-Batch-Id");
            assert_eq!(batch.is_some(), has, "position {at}: {:?}", message.headers);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_that_an_older_server_made_gets_batches_from_a_newer_one() {
    let server = Nats::start(NatsVersion::Current);
    let context = stranger(&server.url()).await;
    let older = Config {
        name: "DAGBOOK_EVENTS_t1".to_string(),
        subjects: vec!["dagbook.ev.1.>".to_string()],
        discard: DiscardPolicy::New,
        deny_delete: true,
        deny_purge: true,
        ..Config::default()
    };
    context.create_stream(older).await.expect("made");
    let copy = JetStreamCopy::new(connect(&server.url()).await);
    assert!(!copy.facts(1).await.expect("facts").atomic_batches);
    copy.add(1, Position(0), &events(20).await).await.expect("added");
    assert!(copy.facts(1).await.expect("facts").atomic_batches);
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_are_found_by_timeline_tenant_and_kind_and_name_run_and_step() {
    for version in VERSIONS {
        let server = Nats::start(version);
        let copy = JetStreamCopy::new(connect(&server.url()).await);
        let all = events(3).await;
        copy.add(1, Position(0), &all).await.expect("added");
        let context = stranger(&server.url()).await;
        let raw = context.get_stream("DAGBOOK_EVENTS_t1").await.expect("the stream");
        let message = raw.get_raw_message(3).await.expect("a message");
        assert_eq!(message.subject.as_str(), "dagbook.ev.1.beta.run");
        let header = |name: &str| message.headers.get(name).map(|value| value.as_str().to_string());
        assert_eq!(header("Dagbook-Run").as_deref(), Some("r-0"));
        assert_eq!(header("Dagbook-Step").as_deref(), Some("train"));
        let hash = dagbook_events::tlog::leaf_hash(&all[2].leaf).to_hex();
        assert_eq!(header("Dagbook-Leaf"), Some(hash));
        assert_eq!(&message.payload[..], &all[2].leaf[..]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_of_somebody_else_is_not_used_and_what_differs_is_said() {
    for version in VERSIONS {
        let server = Nats::start(version);
        let context = stranger(&server.url()).await;
        let theirs = Config {
            name: "DAGBOOK_EVENTS_t1".to_string(),
            subjects: vec!["dagbook.ev.1.>".to_string()],
            retention: RetentionPolicy::Limits,
            max_messages: 100,
            max_age: Duration::from_secs(3_600),
            ..Config::default()
        };
        context.create_stream(theirs).await.expect("made");
        let overlapping = Config {
            name: "ALL".to_string(),
            subjects: vec!["dagbook.ev.2.>".to_string()],
            ..Config::default()
        };
        context.create_stream(overlapping).await.expect("made");
        let copy = JetStreamCopy::new(connect(&server.url()).await);
        let all = events(2).await;
        for refused in [copy.last(1).await, copy.add(1, Position(0), &all).await] {
            let Err(CopyError::Unusable(text)) = refused else { panic!("{refused:?}") };
            for part in
                ["DAGBOOK_EVENTS_t1", "max_msgs is 100", "max_age", "deny_delete", "discard"]
            {
                assert!(text.contains(part), "{part}: {text}");
            }
        }
        let facts = copy.facts(1).await.expect("facts").copy.expect("a stream");
        assert!(facts.differences.len() >= 4, "{facts:?}");
        let refused = copy.add(2, Position(0), &all).await;
        let Err(CopyError::Unusable(text)) = refused else { panic!("{refused:?}") };
        assert!(text.contains("another stream takes dagbook.ev.2.>"), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_publishes_between_our_messages_is_found_out() {
    for version in VERSIONS {
        let server = Nats::start(version);
        let store = store_with(30).await;
        let copy = Arc::new(JetStreamCopy::new(connect(&server.url()).await));
        let guard = Arc::new(Guard::waiting("not compared"));
        let limits = RelayLimits::default();
        let mut relay = Relay::new(store.clone(), copy.clone(), guard.clone(), limits);
        let done = Turn::Published { first: Position(1), last: Position(30) };
        assert_eq!(relay.turn().await, Ok(done));
        let context = stranger(&server.url()).await;
        let sent = context.publish("dagbook.ev.1.acme.run", "{}".into()).await.expect("sent");
        assert_eq!(sent.await.expect("stored").sequence, 31);
        append(&*store, 500).await;
        let mut outcome = relay.turn().await;
        if matches!(outcome, Err(RelayError::Again(_))) {
            outcome = relay.turn().await;
        }
        let Err(RelayError::Halted(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("differ at position 31"), "{reason}");
        assert_eq!(copy.last(1).await, Ok(Position(31)), "nothing was published behind it");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_server_everything_ends_soon_and_begins_by_itself_when_there_is_one() {
    let port = free_port();
    let url = format!("nats://127.0.0.1:{port}?timeout_ms=1000");
    let connection = Connection::start(NatsOptions::parse(&url).expect("an address"));
    let begun = Instant::now();
    let copy = JetStreamCopy::new(connection.clone());
    let refused = copy.last(1).await.expect_err("nobody is there").to_string();
    assert!(refused.contains(&format!("nats://127.0.0.1:{port}")), "{refused}");
    connection.ready(Duration::from_millis(200)).await.expect_err("nobody is there");
    copy.add(1, Position(0), &events(1).await).await.expect_err("nobody is there");
    copy.scan(1, Position(0), None).await.expect("a scan").next(1, LONG).await.expect_err("silent");
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let config = format!("http: \"127.0.0.1:{}\"", free_port());
    let server = Nats::start_with(NatsVersion::Current, &config);
    let proxy = Proxy::to(server.port());
    let url = format!("nats://127.0.0.1:{}?timeout_ms=1000", proxy.port());
    let copy = JetStreamCopy::new(connect(&url).await);
    copy.add(1, Position(0), &events(1).await).await.expect("added");
    proxy.hold();
    let begun = Instant::now();
    copy.last(1).await.expect_err("nobody answers");
    copy.add(1, Position(1), &events(700).await[1..]).await.expect_err("nobody answers");
    assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    proxy.pass();
    let begun = Instant::now();
    while let Err(error) = copy.last(1).await {
        assert!(begun.elapsed() < LONG, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_was_refused_once_is_made_anew() {
    let users = |password: &str| {
        format!("authorization {{ users = [ {{ user: site, password: \"{password}\" }} ] }}")
    };
    let mut server = Nats::start_with(NatsVersion::Current, &users("right"));
    let url = server.url().replace("://", "://site:right@") + "?timeout_ms=1000";
    let copy = JetStreamCopy::new(connect(&url).await);
    let bus = JetStreamBus::new(connect(&url).await);
    copy.add(1, Position(0), &events(1).await).await.expect("added");
    // The same address, but a server that does not know us; later it does again.
    server.set_config(&users("other"));
    server.restart();
    let begun = Instant::now();
    loop {
        let refused = copy.last(1).await.expect_err("refused").to_string();
        if refused.to_lowercase().contains("authorization") {
            break;
        }
        assert!(begun.elapsed() < LONG, "{refused}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    server.set_config(&users("right"));
    server.restart();
    let begun = Instant::now();
    while let Err(error) = copy.last(1).await {
        assert!(begun.elapsed() < LONG, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let other = JetStreamBus::new(connect(&url).await);
    dagbook_events::conformance::bus::handles_wake_each_other(&bus, &other).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_known_of_syncing_is_told() {
    for (version, config, always) in [
        (NatsVersion::Current, "jetstream { sync_interval: always }", true),
        (NatsVersion::Current, "", false),
        (NatsVersion::Debian, "", false),
    ] {
        let port = free_port();
        let config = format!("http: \"127.0.0.1:{port}\"\n{config}");
        let server = Nats::start_with(version, &config);
        let monitored = format!("{}?monitor=http://127.0.0.1:{port}", server.url());
        let copy = JetStreamCopy::new(connect(&monitored).await);
        let facts = copy.facts(1).await.expect("facts");
        assert_eq!(facts.sync == SyncInterval::Always, always, "{facts:?}");
        if version == NatsVersion::Current && !always {
            assert_eq!(facts.sync, SyncInterval::Every(Duration::from_secs(120)));
        }
        assert!(facts.version.starts_with("2."), "{facts:?}");
        let copy = JetStreamCopy::new(connect(&server.url()).await);
        let sync = copy.facts(1).await.expect("facts").sync;
        assert!(matches!(sync, SyncInterval::Unknown(_)), "{sync:?}");
    }
}

/// Appends while the server is killed, again and again: the copy becomes the record.
#[tokio::test(flavor = "multi_thread")]
async fn a_relay_comes_through_kills_of_the_server() {
    for version in VERSIONS {
        let mut server = Nats::start(version);
        let url = format!("{}?timeout_ms=1000", server.url());
        let store = store_with(100).await;
        let copy = Arc::new(JetStreamCopy::new(connect(&url).await));
        let bus: Arc<dyn EventBus> = Arc::new(JetStreamBus::new(connect(&url).await));
        let guard = Arc::new(Guard::waiting("not compared"));
        let limits = RelayLimits {
            look_again: Duration::from_millis(200),
            longest_pause: Duration::from_millis(200),
            ..RelayLimits::default()
        };
        let relay = Relay::new(store.clone(), copy.clone(), guard.clone(), limits).waking(bus);
        let mut status = relay.status();
        let (stop, stopped) = watch::channel(false);
        let running = tokio::spawn(relay.run(stopped));
        for _ in 0..4 {
            append(&*store, 3_000).await;
            tokio::task::yield_now().await;
            server.kill();
            append(&*store, 500).await;
            server.restart();
        }
        let head = store.head().await.expect("a head");
        let all = status.wait_for(|status| status.copied == head);
        tokio::time::timeout(LONG * 2, all).await.expect("in time").expect("it lives");
        stop.send_replace(true);
        running.await.expect("no panic");
        let record = store.read_after(Position(0), usize::MAX).await.expect("read");
        let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
        let mut seen = 0;
        while seen < record.len() {
            for event in scan.next(1_000, LONG).await.expect("read") {
                assert_eq!(event.position, record[seen].position);
                assert_eq!(event.leaf, record[seen].leaf);
                seen += 1;
            }
        }
        let beta = TenantId::new("beta").expect("a tenant");
        let ours = record.iter().filter(|event| event.tenant == beta).count();
        let mut scan = copy.scan(1, Position(0), Some(&beta)).await.expect("a scan");
        let mut seen = 0;
        while seen < ours {
            seen += scan.next(1_000, LONG).await.expect("read").len();
        }
        assert_eq!(seen, ours);
    }
}
