//! The stores under the same load as the ceilings.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::ports::{Actor, AppendRequest, EventStore, Expected, NewEvent, StreamAppend};
use dagbook_events::time::Timestamp;
use uuid::Uuid;

use crate::processor::{Begun, Pace};

/// One caller: its stream, its next version and what its events have in common.
struct Caller {
    tenant: TenantId,
    stream: StreamName,
    actor: Arc<Actor>,
    kind: Arc<str>,
    version: u64,
}

impl Caller {
    fn new(number: usize) -> anyhow::Result<Self> {
        let run = Uuid::now_v7();
        Ok(Self {
            tenant: TenantId::new("bench")?,
            stream: StreamName::new(&format!("run/{run}-{number}"))?,
            actor: Arc::new(Actor::new("system", "engine")),
            kind: Arc::from("attempt.exited"),
            version: 0,
        })
    }

    /// An append of so many events with leaves of about 400 bytes.
    fn request(&mut self, events: u64) -> AppendRequest {
        let event = |_| {
            NewEvent {
            id: EventId(Uuid::now_v7()),
            kind: Arc::clone(&self.kind),
            at: Timestamp(1_795_239_121_000),
            actor: Arc::clone(&self.actor),
            causation: None,
            correlation: None,
            traceparent: None,
            data: br#"{"attempt":"0192f0c4-1c5b-7000-8000-000000000001","exit_code":0,"step":"aggregate"}"#
                .to_vec(),
            blob: None,
        }
        };
        let expected = Expected::Exact(self.version);
        let stream = self.stream.clone();
        let events: Vec<_> = (0..events).map(event).collect();
        self.version += events.len() as u64;
        let streams = vec![StreamAppend { stream, expected, events }];
        AppendRequest { tenant: self.tenant.clone(), key: None, streams, fence: None }
    }
}

/// Lets callers append one event after the other, and says how long each append took.
pub async fn append_for(
    store: &Arc<dyn EventStore>,
    callers: usize,
    span: Duration,
) -> anyhow::Result<Vec<Duration>> {
    let end = Instant::now() + span;
    let mut tasks = tokio::task::JoinSet::new();
    for number in 0..callers {
        let store = Arc::clone(store);
        let mut caller = Caller::new(number)?;
        tasks.spawn(async move {
            let mut times = Vec::new();
            while Instant::now() < end {
                let asked = Instant::now();
                store.append(caller.request(1)).await?;
                times.push(asked.elapsed());
            }
            anyhow::Ok(times)
        });
    }
    let mut times = Vec::new();
    while let Some(done) = tasks.join_next().await {
        times.extend(done??);
    }
    Ok(times)
}

/// Appends at a steady rate, `at_once` events every so often, and tells each answer.
pub async fn append_at(
    store: &Arc<dyn EventStore>,
    at_once: u64,
    every: Duration,
    span: Duration,
    tell: impl Fn(Position),
) -> anyhow::Result<()> {
    let mut caller = Caller::new(0)?;
    let end = Instant::now() + span;
    let mut ticks = tokio::time::interval(every);
    while Instant::now() < end {
        ticks.tick().await;
        tell(store.append(caller.request(at_once)).await?.last);
    }
    Ok(())
}

/// The value below which 99 of 100 lie, in milliseconds.
pub fn p99(times: &mut [Duration]) -> f64 {
    times.sort();
    let index = (times.len() * 99 / 100).min(times.len().saturating_sub(1));
    times.get(index).map_or(f64::NAN, |time| time.as_secs_f64() * 1e3)
}

/// Fills the store up to so many events.
pub async fn fill(store: &Arc<dyn EventStore>, events: u64) -> anyhow::Result<()> {
    let mut caller = Caller::new(0)?;
    while store.head().await?.0 < events {
        store.append(caller.request(1_000)).await?;
    }
    Ok(())
}

/// Events read a second in one pass, parsed or not.
pub async fn scan(store: &Arc<dyn EventStore>, parse: bool) -> anyhow::Result<Pace> {
    let begun = Begun::now();
    let (mut cursor, mut count) = (Position(0), 0u64);
    loop {
        let page = store.read_after(cursor, 1_000).await?;
        let Some(last) = page.last() else { break };
        cursor = last.position;
        count += page.len() as u64;
        if parse {
            for event in &page {
                std::hint::black_box(Envelope::parse(&event.leaf)?);
            }
        }
    }
    Ok(begun.pace(count))
}
