//! Which runs there are, and how they ended, from their first and last events alone: a listing
//! must not cost a fold of every history.

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::Recorded;
use dagbook_events::project::run_status;
use dagbook_events::run::fold;
use dagbook_events::time::Timestamp;
use serde_json::{Map, Value as Json};

use super::reports::RunRow;
use crate::runtime::record::{RecordError, Recorder};

/// Stale reports and releases may follow the end of a run; more than so many are not looked at.
const BEHIND_THE_END: u64 = 64;

/// The beginning of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunHead {
    /// The run.
    pub run: RunId,
    /// Its number for people.
    pub number: u64,
    /// The pipeline's name.
    pub pipeline: String,
    /// What asked for it.
    pub trigger: String,
    /// The run that asked for it, for a sub-DAG.
    pub parent: Option<RunId>,
    /// When it was accepted.
    pub submitted_at: Timestamp,
}

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunEnd {
    /// When.
    pub at: Timestamp,
    /// How.
    pub status: String,
    /// Why, unless it succeeded.
    pub reason: String,
}

/// The newest runs, newest first, at most `limit`.
pub async fn newest(
    recorder: &Recorder,
    tenant: &TenantId,
    limit: usize,
) -> Result<Vec<RunId>, RecordError> {
    let streams = recorder.store().streams(tenant, "run/", None, limit).await?;
    Ok(streams.iter().filter_map(StreamName::as_run).collect())
}

/// The beginning of a run; none when nothing is recorded of it.
pub async fn head(
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
) -> Result<Option<RunHead>, RecordError> {
    let stream = StreamName::run(run);
    let events = recorder.store().read_stream(tenant, &stream, 0, 1).await?;
    let Some(first) = events.first() else { return Ok(None) };
    let (envelope, data) = parse(first)?;
    let text = |name: &str| data.get(name).and_then(Json::as_str).unwrap_or_default().to_string();
    Ok(Some(RunHead {
        run,
        number: data.get("number").and_then(Json::as_u64).unwrap_or(0),
        pipeline: text("pipeline"),
        trigger: text("trigger"),
        parent: data.get("parent").and_then(|p| p.get("run")?.as_str()?.parse().ok()),
        submitted_at: envelope.at,
    }))
}

/// How the run ended; none while it goes on.
pub async fn end(
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
) -> Result<Option<RunEnd>, RecordError> {
    let stream = StreamName::run(run);
    let length = length(recorder, tenant, &stream).await?;
    let from = length.saturating_sub(BEHIND_THE_END);
    let last = recorder.store().read_stream(tenant, &stream, from, 2 * 64).await?;
    for recorded in last.iter().rev() {
        let (envelope, data) = parse(recorded)?;
        if envelope.kind == "run.finished" {
            let text = |name: &str| data.get(name).and_then(Json::as_str).unwrap_or_default();
            return Ok(Some(RunEnd {
                at: envelope.at,
                status: text("status").to_string(),
                reason: text("reason").to_string(),
            }));
        }
    }
    Ok(None)
}

/// The run in the shape that lists print.
pub async fn row(
    recorder: &Recorder,
    tenant: &TenantId,
    head: RunHead,
    is_driven: impl Fn(RunId) -> bool,
    now: Timestamp,
) -> Result<RunRow, RecordError> {
    let end = end(recorder, tenant, head.run).await?;
    let (status, reason, until) = match &end {
        Some(end) => (end.status.clone(), end.reason.clone(), end.at),
        None if !is_driven(head.run) => ("interrupted".to_string(), String::new(), now),
        None => {
            let state = fold(&recorder.facts(tenant, head.run).await?);
            (run_status(&state).to_string(), String::new(), now)
        }
    };
    Ok(RunRow {
        run: head.run,
        number: head.number,
        pipeline: head.pipeline,
        status,
        reason,
        trigger: head.trigger,
        parent: head.parent,
        submitted_at: head.submitted_at.to_rfc3339(),
        finished_at: end.map(|end| end.at.to_rfc3339()),
        duration_ms: until.since(head.submitted_at).0,
    })
}

/// Events of a stream: versions are dense, so the end is found by doubling and halving.
async fn length(
    recorder: &Recorder,
    tenant: &TenantId,
    stream: &StreamName,
) -> Result<u64, RecordError> {
    let has = async |version: u64| -> Result<bool, RecordError> {
        Ok(!recorder.store().read_stream(tenant, stream, version, 1).await?.is_empty())
    };
    let mut beyond = 16;
    while has(beyond).await? {
        beyond *= 2;
    }
    let (mut low, mut high) = (0, beyond);
    while low < high {
        let middle = low + (high - low) / 2;
        if has(middle).await? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

fn parse(recorded: &Recorded) -> Result<(Envelope, Map<String, Json>), RecordError> {
    let position = recorded.position;
    let failed = |e: dagbook_events::envelope::EnvelopeError| RecordError::Event {
        position,
        reason: e.to_string(),
    };
    let envelope = Envelope::parse(&recorded.leaf).map_err(failed)?;
    let data = envelope.data_object().map_err(failed)?;
    Ok((envelope, data))
}
