//! JetStream: bare publishing, and the relay that carries the record there.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use async_nats::HeaderMap;
use async_nats::jetstream::{self, stream};
use dagbook_events::ids::Position;
use dagbook_events::journal::Guard;
use dagbook_events::journal::bus::jetstream::{JetStreamCopy, Nats as Connection, NatsOptions};
use dagbook_events::journal::relay::{Relay, RelayLimits, Turn};
use dagbook_events::ports::{EventStore, RecordCopy};
use dagbook_tests::servers::{Nats, NatsVersion};
use tokio::sync::watch;

use super::{LEAF_BYTES, PER_SECOND, stores};
use crate::report::Report;

/// Publishes under way at once.
const WINDOW: usize = 256;
/// Messages in an atomic batch.
const BATCH: usize = 1_000;
/// Events that the relay carries over in one sample.
const RELAYED: u64 = 30_000;
/// Appends of so many events every so often: 10,000 events a second.
const STEADY: (u64, Duration) = (100, Duration::from_millis(10));
const WAIT: Duration = Duration::from_secs(30);

/// The stream of bare messages, and the one that the relay makes.
const BENCH: &str = "DAGBOOK_BENCH";
const COPY: &str = "DAGBOOK_EVENTS_t1";

const BARE: &str = "bare JetStream publish, window 256";
const BARE_BATCH: &str = "bare JetStream, atomic batches of 1,000";
const RELAY: &str = "relay, events a second";
const LAG: &str = "relay, lag at 10,000 events a second, p99";

/// A server of the benchmark's own or somebody's.
pub struct Bus {
    url: String,
    _server: Option<Nats>,
}

impl Bus {
    /// `nats:` for one of its own with its data in this folder, else an address.
    pub fn open(text: &str, folder: &Path) -> Self {
        if text != "nats:" {
            return Self { url: text.to_string(), _server: None };
        }
        let version = match NatsVersion::Current.available() {
            true => NatsVersion::Current,
            false => NatsVersion::Debian,
        };
        let server = Nats::start_in(Some(folder), version, "");
        Self { url: server.url(), _server: Some(server) }
    }

    async fn context(&self) -> anyhow::Result<jetstream::Context> {
        Ok(jetstream::new(async_nats::connect(&self.url).await?))
    }

    /// One round: what the server allows, and what the relay makes of it. `empty` is a store
    /// under the guard, without events.
    pub async fn round(
        &self,
        report: &mut Report,
        empty: &Arc<dyn EventStore>,
        span: Duration,
    ) -> anyhow::Result<()> {
        let context = self.context().await?;
        // The benchmark removes what it made; what was there before is somebody's record.
        for name in [COPY, BENCH] {
            let free = context.get_stream(name).await.is_err();
            ensure!(free, "there is a stream {name} already; use a server without a record");
        }
        report.sample(BARE, PER_SECOND, windowed(&context, span).await?);
        if let Some(rate) = batched(&context, span).await? {
            report.sample(BARE_BATCH, PER_SECOND, rate);
        }
        context.delete_stream(BENCH).await?;
        stores::fill(empty, RELAYED).await?;
        let connection = Connection::start(NatsOptions::parse(&self.url)?);
        connection.ready(WAIT).await?;
        let copy: Arc<dyn RecordCopy> = Arc::new(JetStreamCopy::new(connection));
        let guard = Arc::new(Guard::open());
        let mut relay = Relay::new(Arc::clone(empty), copy, guard, RelayLimits::default());
        let started = Instant::now();
        while relay.turn().await? != Turn::UpToDate {}
        report.sample(RELAY, PER_SECOND, RELAYED as f64 / started.elapsed().as_secs_f64());
        report.sample(LAG, "ms", lag(relay, empty, span).await?);
        context.delete_stream(COPY).await?;
        Ok(())
    }
}

/// What is demanded of the rounds' figures.
pub fn judge(report: &mut Report) {
    report.compare(RELAY, BARE, None);
    report.compare(RELAY, BARE_BATCH, None);
    report.demand(RELAY, -30_000.0);
    report.demand(LAG, 250.0);
}

async fn bare_stream(context: &jetstream::Context, atomic: bool) -> anyhow::Result<stream::Config> {
    let _ = context.delete_stream(BENCH).await;
    let config = stream::Config {
        name: BENCH.to_string(),
        subjects: vec!["bench.>".to_string()],
        storage: stream::StorageType::File,
        allow_atomic_publish: atomic,
        ..stream::Config::default()
    };
    Ok(context.create_stream(config).await?.cached_info().config.clone())
}

/// Single messages, so many under way at once.
async fn windowed(context: &jetstream::Context, span: Duration) -> anyhow::Result<f64> {
    bare_stream(context, false).await?;
    let body = vec![b'x'; LEAF_BYTES];
    let started = Instant::now();
    let mut under_way = VecDeque::new();
    let mut count = 0_u64;
    while started.elapsed() < span {
        if under_way.len() == WINDOW {
            let oldest: jetstream::context::PublishAckFuture =
                under_way.pop_front().context("a full window")?;
            oldest.await?;
        }
        under_way.push_back(context.publish("bench.one", body.clone().into()).await?);
        count += 1;
    }
    for ack in under_way {
        ack.await?;
    }
    Ok(count as f64 / started.elapsed().as_secs_f64())
}

/// Atomic batches, one under way at a time; `None` where the server has none.
async fn batched(context: &jetstream::Context, span: Duration) -> anyhow::Result<Option<f64>> {
    if !bare_stream(context, true).await?.allow_atomic_publish {
        return Ok(None);
    }
    let client = context.client();
    let body = vec![b'x'; LEAF_BYTES];
    let started = Instant::now();
    let mut count = 0_u64;
    while started.elapsed() < span {
        let batch = format!("bench-{count}");
        for number in 1..=BATCH {
            let mut headers = HeaderMap::new();
            headers.insert("Nats-Batch-Id", batch.as_str());
            headers.insert("Nats-Batch-Sequence", number.to_string());
            let body = body.clone().into();
            if number == BATCH {
                headers.insert("Nats-Batch-Commit", "1");
                let reply = client.request_with_headers("bench.batch", headers, body).await?;
                let text = String::from_utf8_lossy(&reply.payload).into_owned();
                ensure!(text.contains("\"count\":"), "the batch was not committed: {text}");
            } else if number == 1 {
                client.request_with_headers("bench.batch", headers, body).await?;
            } else {
                client.publish_with_headers("bench.batch", headers, body).await?;
            }
        }
        count += BATCH as u64;
    }
    Ok(Some(count as f64 / started.elapsed().as_secs_f64()))
}

/// Milliseconds from an append's answer to the event's place in the copy, in 99 of 100.
async fn lag(relay: Relay, store: &Arc<dyn EventStore>, span: Duration) -> anyhow::Result<f64> {
    let mut status = relay.status();
    let (stop, stopped) = watch::channel(false);
    let relay = tokio::spawn(relay.run(stopped));
    let waiting: Arc<Mutex<VecDeque<(Position, Instant)>>> = Arc::default();
    let lags: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let watcher = {
        let (waiting, lags) = (Arc::clone(&waiting), Arc::clone(&lags));
        tokio::spawn(async move {
            while status.changed().await.is_ok() {
                let (copied, now) = (status.borrow_and_update().copied, Instant::now());
                let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
                let mut lags = lags.lock().unwrap_or_else(PoisonError::into_inner);
                while let Some((_, at)) = waiting.pop_front_if(|(last, _)| *last <= copied) {
                    lags.push(now.saturating_duration_since(at));
                }
            }
        })
    };
    let tell = |last| {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.push_back((last, Instant::now()));
    };
    stores::append_at(store, STEADY.0, STEADY.1, span * 2, tell).await?;
    let started = Instant::now();
    while !waiting.lock().unwrap_or_else(PoisonError::into_inner).is_empty() {
        ensure!(started.elapsed() < WAIT, "the relay does not catch up");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let _ = stop.send(true);
    relay.await?;
    watcher.abort();
    let mut lags = lags.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(stores::p99(&mut lags))
}
