//! Reading and extending the streams of aggregates (tenants, tokens, pipelines, schedules).

use std::sync::Arc;

use dagbook_events::aggregate::{Aggregate, AggregateEvent};
use dagbook_events::canonical;
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::ports::{
    Actor, AppendRequest, Appended, EventStore, Expected, NewEvent, ReadError, Recorded,
    StreamAppend,
};
use dagbook_events::time::Timestamp;

use super::error::AppError;
use super::services::Services;

/// Events read at a time.
const PAGE: usize = 500;

/// An aggregate as it is recorded, and the version that an append must expect.
#[derive(Debug, Clone, Default)]
pub struct Loaded<A> {
    /// The fold.
    pub state: A,
    /// Events of the stream.
    pub version: u64,
}

impl<A> Loaded<A> {
    /// What an append to it must expect.
    pub fn expected(&self) -> Expected {
        match self.version {
            0 => Expected::New,
            n => Expected::Exact(n),
        }
    }
}

/// Folds a stream. One that has no event gives the empty state.
pub async fn load<A: Aggregate>(
    store: &dyn EventStore,
    tenant: &TenantId,
    stream: &StreamName,
) -> Result<Loaded<A>, AppError> {
    let mut loaded = Loaded { state: A::default(), version: 0 };
    loop {
        let page = store.read_stream(tenant, stream, loaded.version, PAGE).await?;
        for recorded in &page {
            loaded.version = recorded.version + 1;
            if let Some((at, event)) = read::<A::Event>(recorded)? {
                loaded.state.apply(at, &event);
            }
        }
        if page.len() < PAGE {
            return Ok(loaded);
        }
    }
}

/// Reads one recorded event. `None`: of a type that this program does not know yet.
pub fn read<E: AggregateEvent>(recorded: &Recorded) -> Result<Option<(Timestamp, E)>, AppError> {
    let failed = |reason: String| damaged(recorded.position, reason);
    let envelope = Envelope::parse(&recorded.leaf).map_err(|e| failed(e.to_string()))?;
    let data = envelope.data_object().map_err(|e| failed(e.to_string()))?;
    let event = E::read(&envelope.kind, &data).map_err(failed)?;
    Ok(event.map(|event| (envelope.at, event)))
}

fn damaged(position: Position, detail: String) -> AppError {
    ReadError::Corrupt { position, detail }.into()
}

/// Events of an aggregate made ready for an append; the later ones name the first as their cause.
pub fn prepare<E: AggregateEvent>(
    services: &Services,
    stream: &StreamName,
    expected: Expected,
    at: Timestamp,
    by: &Actor,
    events: &[E],
) -> Result<StreamAppend, AppError> {
    let actor = Arc::new(by.clone());
    let mut cause: Option<EventId> = None;
    let mut ready = Vec::with_capacity(events.len());
    for event in events {
        let id = super::stamp::event_id(services.clock.as_ref(), services.rng.as_ref());
        let mut data = Vec::new();
        canonical::write(&mut data, &event.to_data())
            .map_err(|e| AppError::Invalid(format!("{}: {e}", event.kind())))?;
        ready.push(NewEvent {
            id,
            kind: Arc::from(event.kind()),
            at,
            actor: actor.clone(),
            causation: cause,
            correlation: None,
            traceparent: None,
            data,
            blob: None,
        });
        cause = cause.or(Some(id));
    }
    Ok(StreamAppend { stream: stream.clone(), expected, events: ready })
}

/// Appends streams of one tenant atomically.
pub async fn append(
    services: &Services,
    tenant: &TenantId,
    key: Option<String>,
    streams: Vec<StreamAppend>,
) -> Result<Appended, AppError> {
    let request = AppendRequest { tenant: tenant.clone(), key, streams, fence: None };
    Ok(services.store.append(request).await?)
}
