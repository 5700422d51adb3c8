//! Numbers for people: one more than the newest run's. Two processes that submit in the same
//! instant may give the same number; ids are what identifies a run.

use dagbook_events::ids::TenantId;
use dagbook_events::run::RunEvent;

use crate::runtime::record::{RecordError, Recorder};

/// The next run's number.
pub async fn next(recorder: &Recorder, tenant: &TenantId) -> Result<u64, RecordError> {
    let newest = recorder.store().streams(tenant, "run/", 1).await?;
    let Some(stream) = newest.first() else { return Ok(1) };
    let first = recorder.store().read_stream(tenant, stream, 0, 1).await?;
    let Some(first) = first.first() else { return Ok(1) };
    Ok(match recorder.read(first).await?.fact.event {
        RunEvent::Submitted(submitted) => submitted.number + 1,
        _ => 1,
    })
}
