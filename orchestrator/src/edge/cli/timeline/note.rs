//! What a person did to the record stands in the record.

use std::sync::Arc;

use dagbook_events::ids::StreamName;
use dagbook_events::ports::{AppendRequest, Clock, Expected, NewEvent, StreamAppend};

use crate::app::stamp;
use crate::edge::cli::CliError;
use crate::wiring::Installation;

/// Appends an event to the stream of a timeline, once for each key.
pub(super) async fn down(
    installation: &Installation,
    timeline: u64,
    kind: &str,
    key: &str,
    data: &serde_json::Value,
) -> Result<(), CliError> {
    let deps = &installation.deps;
    let failed = |reason: String| CliError::failed(reason);
    let stream = StreamName::new(&format!("timeline/{timeline}"));
    let stream = stream.map_err(|error| failed(error.to_string()))?;
    let event = NewEvent {
        id: stamp::event_id(deps.clock.as_ref(), deps.rng.as_ref()),
        kind: Arc::from(kind),
        at: Clock::now(deps.clock.as_ref()),
        actor: Arc::new(deps.person.clone()),
        causation: None,
        correlation: None,
        traceparent: None,
        data: dagbook_events::canonical::to_vec(data).map_err(|error| failed(error.to_string()))?,
        blob: None,
    };
    let request = AppendRequest {
        tenant: deps.tenant.clone(),
        key: Some(key.to_string()),
        streams: vec![StreamAppend { stream, expected: Expected::Any, events: vec![event] }],
        fence: None,
    };
    deps.store.append(request).await?;
    Ok(())
}
