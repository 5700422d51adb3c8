//! Which runs there are, and how they ended, from their first and last events alone: a listing
//! must not cost a fold of every history.

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::Recorded;
use dagbook_events::project::run_status;
use dagbook_events::run::event::Submitted;
use dagbook_events::run::{Ask, RunCommand, RunFact, RunState, fold, handle};
use dagbook_events::time::Timestamp;
use serde_json::{Map, Value as Json};

use super::reports::RunRow;
use crate::runtime::record::{RecordError, Recorder};

/// Events that are read at first: most runs have no more, and then nothing else is asked.
const YOUNG: usize = 128;
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
    events.first().map(|first| head_in(run, first)).transpose()
}

fn head_in(run: RunId, first: &Recorded) -> Result<RunHead, RecordError> {
    let (envelope, data) = parse(first)?;
    let text = |name: &str| data.get(name).and_then(Json::as_str).unwrap_or_default().to_string();
    Ok(RunHead {
        run,
        number: data.get("number").and_then(Json::as_u64).unwrap_or(0),
        pipeline: text("pipeline"),
        trigger: text("trigger"),
        parent: data.get("parent").and_then(|p| p.get("run")?.as_str()?.parse().ok()),
        submitted_at: envelope.at,
    })
}

/// How the run ended; none while it goes on.
pub async fn end(
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
) -> Result<Option<RunEnd>, RecordError> {
    let begins = recorder.store().read_stream(tenant, &StreamName::run(run), 0, YOUNG).await?;
    end_behind(recorder, tenant, run, &begins).await
}

/// How the run ended, whose first events are these.
async fn end_behind(
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
    begins: &[Recorded],
) -> Result<Option<RunEnd>, RecordError> {
    if begins.len() < YOUNG {
        return end_in(begins);
    }
    let stream = StreamName::run(run);
    let length = length(recorder, tenant, &stream).await?;
    let from = length.saturating_sub(BEHIND_THE_END);
    end_in(&recorder.store().read_stream(tenant, &stream, from, 2 * 64).await?)
}

fn end_in(last: &[Recorded]) -> Result<Option<RunEnd>, RecordError> {
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

/// A run that was accepted at this instant, as it stands by that alone: nothing is read. None:
/// it was over at once.
pub fn row_as_accepted(submitted: Submitted, at: Timestamp) -> Option<RunRow> {
    let (run, number, pipeline) = (submitted.run, submitted.number, submitted.pipeline.clone());
    let (trigger, parent) = (submitted.trigger.clone(), submitted.parent.as_ref().map(|it| it.run));
    let mut state = RunState::unborn();
    let command = RunCommand { at, ask: Ask::Submit(Box::new(submitted)) };
    handle(&mut state, &command).ok().filter(|_| !state.is_finished())?;
    Some(RunRow {
        run,
        number,
        pipeline,
        status: run_status(&state).to_string(),
        reason: String::new(),
        trigger,
        parent,
        submitted_at: at.to_rfc3339(),
        finished_at: None,
        duration_ms: 0,
    })
}

/// The run in the shape that lists print; none when nothing is recorded of it. A young run is
/// read once.
pub async fn row_of(
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
    is_driven: impl Fn(RunId) -> bool,
    now: Timestamp,
) -> Result<Option<RunRow>, RecordError> {
    let begins = recorder.store().read_stream(tenant, &StreamName::run(run), 0, YOUNG).await?;
    let Some(first) = begins.first() else { return Ok(None) };
    let head = head_in(run, first)?;
    Ok(Some(row_behind(recorder, tenant, head, &begins, is_driven, now).await?))
}

/// The same of a run whose beginning was read.
pub async fn row(
    recorder: &Recorder,
    tenant: &TenantId,
    head: RunHead,
    is_driven: impl Fn(RunId) -> bool,
    now: Timestamp,
) -> Result<RunRow, RecordError> {
    let stream = StreamName::run(head.run);
    let begins = recorder.store().read_stream(tenant, &stream, 0, YOUNG).await?;
    row_behind(recorder, tenant, head, &begins, is_driven, now).await
}

async fn row_behind(
    recorder: &Recorder,
    tenant: &TenantId,
    head: RunHead,
    begins: &[Recorded],
    is_driven: impl Fn(RunId) -> bool,
    now: Timestamp,
) -> Result<RunRow, RecordError> {
    let end = end_behind(recorder, tenant, head.run, begins).await?;
    let (status, reason, until) = match &end {
        Some(end) => (end.status.clone(), end.reason.clone(), end.at),
        None if !is_driven(head.run) => ("interrupted".to_string(), String::new(), now),
        None => {
            let facts = facts_behind(recorder, tenant, head.run, begins).await?;
            (run_status(&fold(&facts)).to_string(), String::new(), now)
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

/// All facts of the run whose first events are these.
async fn facts_behind(
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
    begins: &[Recorded],
) -> Result<Vec<RunFact>, RecordError> {
    if begins.len() >= YOUNG {
        return recorder.facts(tenant, run).await;
    }
    let mut facts = Vec::with_capacity(begins.len());
    for recorded in begins {
        facts.push(recorder.read(recorded).await?.fact);
    }
    Ok(facts)
}

/// Events of a stream that is not young: versions are dense, so the end is found by doubling and
/// halving.
async fn length(
    recorder: &Recorder,
    tenant: &TenantId,
    stream: &StreamName,
) -> Result<u64, RecordError> {
    let has = async |version: u64| -> Result<bool, RecordError> {
        Ok(!recorder.store().read_stream(tenant, stream, version, 1).await?.is_empty())
    };
    let mut beyond = 2 * YOUNG as u64;
    while has(beyond).await? {
        beyond *= 2;
    }
    let (mut low, mut high) = (YOUNG as u64, beyond);
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
