//! Asking something of a run that no engine of this process has: decided on the run as it is
//! recorded and appended under its version. Whoever drives the run sees it within a moment.

use std::sync::Arc;

use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::{Actor, AppendError, AppendRequest, Expected};
use dagbook_events::run::{Phase, Rejection, RunCommand, fold, handle};

use crate::engine::{Decided, Outgoing, StreamPart};
use crate::runtime::record::{RecordError, Recorder};

/// How many times somebody else may come first.
const TRIES: u32 = 20;

/// Why it did not happen.
#[derive(Debug, thiserror::Error)]
pub enum ActError {
    /// The rules refuse it.
    #[error(transparent)]
    Rejected(#[from] Rejection),
    /// The run cannot be read.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The store cannot take it.
    #[error(transparent)]
    Append(#[from] AppendError),
}

/// Records the command on the run, in the name of whoever asked.
pub async fn record(
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
    command: &RunCommand,
    by: Option<&Arc<Actor>>,
) -> Result<(), ActError> {
    let stream = StreamName::run(run);
    let mut tries = 0;
    loop {
        tries += 1;
        let facts = recorder.facts(tenant, run).await?;
        let mut state = fold(&facts);
        let held_place = state.phase != Phase::Queued;
        let facts_now = handle(&mut state, command)?;
        let trace = state.facts().traceparent.as_deref().map(Arc::from);
        let command_facts = Decided { facts: facts_now, by: by.cloned(), trace };
        let mut parts = vec![StreamPart {
            stream: stream.clone(),
            expected: Expected::Exact(facts.len() as u64),
            outgoing: Outgoing::Run(run, vec![command_facts]),
        }];
        if let Some(concurrency) = &state.plan.concurrency
            && held_place
            && state.is_finished()
        {
            let group = concurrency.group.clone();
            parts.push(StreamPart {
                stream: StreamName::concurrency(&group),
                expected: Expected::Any,
                outgoing: Outgoing::Give { group, run, at: command.at },
            });
        }
        let streams = recorder.prepare(&parts).await?;
        let request = AppendRequest { tenant: tenant.clone(), key: None, streams, fence: None };
        match recorder.store().append(request).await {
            Ok(_) => return Ok(()),
            Err(AppendError::Conflict { .. }) if tries < TRIES => {}
            Err(error) => return Err(error.into()),
        }
    }
}
