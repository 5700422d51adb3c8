//! Between facts and the store: encoding with ids and actors, decoding with blobs and plans.

use std::sync::Arc;

use dagbook_events::codec::planner::Planner;
use dagbook_events::codec::run::{Encoded, decode_text, encode};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{EventId, Position, RunId, StreamName, TenantId};
use dagbook_events::ports::{
    Actor, Blobs, Clock, EventStore, NewEvent, ReadError, Recorded, Rng, StreamAppend,
};
use dagbook_events::ports::{AppendError, BlobRef};
use dagbook_events::run::{RunEvent, RunFact};
use dagbook_events::time::Timestamp;
use dagbook_events::trace::TraceContext;
use serde_json::json;

use super::Deps;
use crate::engine::{Decided, Outgoing, StreamPart};

/// Events read at one time.
const PAGE: usize = 2_000;

/// Why a run cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The store says so.
    #[error(transparent)]
    Store(#[from] ReadError),
    /// An event cannot be understood.
    #[error("position {position}: {reason}")]
    Event {
        /// Where.
        position: Position,
        /// Why.
        reason: String,
    },
}

/// One event of a run as it is recorded.
#[derive(Debug, Clone)]
pub struct RecordedFact {
    /// The leaf, parsed.
    pub envelope: Envelope,
    /// What it says.
    pub fact: RunFact,
}

/// Reads and writes runs.
#[derive(Clone)]
pub struct Recorder {
    store: Arc<dyn EventStore>,
    blobs: Arc<dyn Blobs>,
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    system: Arc<Actor>,
    executor: Arc<Actor>,
    planner: Planner,
}

impl Recorder {
    /// A recorder over the ports.
    pub fn new(deps: &Deps) -> Self {
        let actor = |kind: &str, id: &str| Arc::new(Actor::new(kind, id));
        Self {
            store: deps.store.clone(),
            blobs: deps.blobs.clone(),
            clock: deps.clock.clone(),
            rng: deps.rng.clone(),
            system: actor("system", "engine"),
            executor: actor("executor", "executor"),
            planner: Planner::default(),
        }
    }

    /// The store behind it.
    pub fn store(&self) -> &Arc<dyn EventStore> {
        &self.store
    }

    /// Encodes an append's parts; blobs are kept before this returns.
    pub async fn prepare(&self, parts: &[StreamPart]) -> Result<Vec<StreamAppend>, AppendError> {
        let mut streams = Vec::with_capacity(parts.len());
        for part in parts {
            let events = match &part.outgoing {
                Outgoing::Run(run, groups) => self.run_events(*run, groups).await?,
                Outgoing::Take { group, run, at } => {
                    vec![self.group_event("slot.taken", group, *run, *at)]
                }
                Outgoing::Give { group, run, at } => {
                    vec![self.group_event("slot.given", group, *run, *at)]
                }
            };
            streams.push(StreamAppend {
                stream: part.stream.clone(),
                expected: part.expected,
                events,
            });
        }
        Ok(streams)
    }

    async fn run_events(
        &self,
        run: RunId,
        groups: &[Decided],
    ) -> Result<Vec<NewEvent>, AppendError> {
        let correlation: Arc<str> = Arc::from(run.to_string());
        let mut events = Vec::with_capacity(groups.iter().map(|group| group.facts.len()).sum());
        for group in groups {
            let trace: Arc<str> = Arc::from(run_trace(run, group.trace.as_deref()).to_string());
            let mut cause = None;
            for fact in &group.facts {
                let encoded =
                    encode(&fact.event).map_err(|e| AppendError::Invalid(e.to_string()))?;
                let id = self.event_id();
                let blob = self.keep(&encoded).await?;
                events.push(NewEvent {
                    id,
                    kind: Arc::from(encoded.kind),
                    at: fact.at,
                    actor: match (&group.by, cause) {
                        (Some(by), None) => by.clone(),
                        (None, None) => self.actor_of(&fact.event),
                        _ => self.system.clone(),
                    },
                    causation: cause,
                    correlation: Some(correlation.clone()),
                    traceparent: Some(trace.clone()),
                    data: encoded.data,
                    blob,
                });
                cause = cause.or(Some(id));
            }
        }
        Ok(events)
    }

    async fn keep(&self, encoded: &Encoded) -> Result<Option<BlobRef>, AppendError> {
        let Some(bytes) = &encoded.blob else { return Ok(None) };
        let h = Sha256Digest::of(bytes);
        let unavailable =
            |e: dagbook_events::ports::BlobError| AppendError::Unavailable(e.to_string());
        if !self.blobs.has(&h).await.map_err(unavailable)? {
            self.blobs.put(bytes).await.map_err(unavailable)?;
        }
        Ok(Some(BlobRef { h, mt: "application/json".to_string(), n: bytes.len() as u64 }))
    }

    fn group_event(&self, kind: &str, group: &str, run: RunId, at: Timestamp) -> NewEvent {
        let data = json!({ "group": group, "run": run.to_string() });
        NewEvent {
            id: self.event_id(),
            kind: Arc::from(kind),
            at,
            actor: self.system.clone(),
            causation: None,
            correlation: Some(Arc::from(run.to_string())),
            traceparent: None,
            data: data.to_string().into_bytes(),
            blob: None,
        }
    }

    /// Who is behind a cause that no principal asked for.
    fn actor_of(&self, event: &RunEvent) -> Arc<Actor> {
        match event {
            RunEvent::AttemptPending(_)
            | RunEvent::AttemptStarted(_)
            | RunEvent::AttemptStopping(_)
            | RunEvent::UsageCheckpoint(_)
            | RunEvent::AttemptExited(_)
            | RunEvent::ReportStale(_) => self.executor.clone(),
            _ => self.system.clone(),
        }
    }

    fn event_id(&self) -> EventId {
        crate::app::stamp::event_id(self.clock.as_ref(), self.rng.as_ref())
    }

    /// The whole history of a run, with envelopes.
    pub async fn history(
        &self,
        tenant: &TenantId,
        run: RunId,
    ) -> Result<Vec<RecordedFact>, RecordError> {
        self.stream(tenant, &StreamName::run(run), 0).await
    }

    /// The whole history of a run.
    pub async fn facts(&self, tenant: &TenantId, run: RunId) -> Result<Vec<RunFact>, RecordError> {
        Ok(self.history(tenant, run).await?.into_iter().map(|r| r.fact).collect())
    }

    /// Events of a run's stream from a version on.
    pub async fn stream(
        &self,
        tenant: &TenantId,
        stream: &StreamName,
        from: u64,
    ) -> Result<Vec<RecordedFact>, RecordError> {
        let mut facts = Vec::new();
        loop {
            let next = from + facts.len() as u64;
            let page = self.store.read_stream(tenant, stream, next, PAGE).await?;
            let full = page.len() == PAGE;
            for recorded in page {
                facts.push(self.read(&recorded).await?);
            }
            if !full {
                return Ok(facts);
            }
        }
    }

    /// Understands one recorded event of a run.
    pub async fn read(&self, recorded: &Recorded) -> Result<RecordedFact, RecordError> {
        self.read_whole(recorded).await.map(|(fact, _)| fact)
    }

    /// The same, with the blob that is kept beside the leaf, if there is one.
    pub async fn read_whole(
        &self,
        recorded: &Recorded,
    ) -> Result<(RecordedFact, Option<Vec<u8>>), RecordError> {
        let position = recorded.position;
        let failed = |reason: String| RecordError::Event { position, reason };
        let envelope = Envelope::parse(&recorded.leaf).map_err(|e| failed(e.to_string()))?;
        let blob = match &envelope.blob {
            None => None,
            Some(blob) => Some(self.blobs.get(&blob.h).await.map_err(|e| failed(e.to_string()))?),
        };
        let event = decode_text(&envelope.kind, &envelope.data, blob.as_deref(), &self.planner);
        let event = event.map_err(|e| failed(e.to_string()))?;
        let fact = RunFact { at: envelope.at, event };
        Ok((RecordedFact { envelope, fact }, blob))
    }

    /// Makes the plans of runs that are read, and of those that are about to be submitted.
    pub fn planner(&self) -> &Planner {
        &self.planner
    }

    /// Who holds a place in a concurrency group, oldest first, and the stream's version.
    pub async fn group(
        &self,
        tenant: &TenantId,
        group: &str,
    ) -> Result<(Vec<RunId>, u64), RecordError> {
        let stream = StreamName::concurrency(group);
        let mut holders: Vec<RunId> = Vec::new();
        let mut version = 0;
        loop {
            let page = self.store.read_stream(tenant, &stream, version, PAGE).await?;
            if page.is_empty() {
                return Ok((holders, version));
            }
            for recorded in page {
                version += 1;
                let failed =
                    |reason: String| RecordError::Event { position: recorded.position, reason };
                let envelope =
                    Envelope::parse(&recorded.leaf).map_err(|e| failed(e.to_string()))?;
                let Some(run) = envelope.correlation.as_deref().and_then(|r| r.parse().ok()) else {
                    return Err(failed("it names no run".to_string()));
                };
                match envelope.kind.as_str() {
                    "slot.taken" if !holders.contains(&run) => holders.push(run),
                    "slot.given" => holders.retain(|holder| *holder != run),
                    _ => {}
                }
            }
        }
    }
}

/// The span of a run as a whole, in the trace of whoever submitted it (`asked` is their W3C
/// `traceparent`) or in one of its own.
fn run_trace(run: RunId, asked: Option<&str>) -> TraceContext {
    TraceContext::of_run_within(run, asked.and_then(|text| text.parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_goes_on_in_its_submitters_trace_with_a_span_of_its_own() {
        let run = RunId(uuid::Uuid::from_u128(7));
        let own = run_trace(run, None);
        let asked = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00";
        let continued = run_trace(run, Some(asked));
        let (own, continued) = (own.to_string(), continued.to_string());
        assert!(continued.starts_with("00-0af7651916cd43dd8448eb211c80319c-"), "{continued}");
        assert!(continued.ends_with("-00"), "whether it is sampled is theirs: {continued}");
        assert_eq!(own[36..52], continued[36..52], "the run's own span");
        for nonsense in [
            "",
            "00",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
        ] {
            assert_eq!(run_trace(run, Some(nonsense)).to_string(), own, "{nonsense}");
        }
    }
}
