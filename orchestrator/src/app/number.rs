//! Numbers for people: each of a tenant's runs has one of its own, and newer runs have higher
//! ones. Ids are what identifies a run; a number that was given to a submission which came to
//! nothing is not given again.

use dagbook_events::ids::TenantId;
use dagbook_events::ports::Shelf;
use dagbook_events::run::RunEvent;

use crate::runtime::record::{RecordError, Recorder};

/// The counter on the shelf.
const COUNTER: &str = "run-number";

/// How many of the newest runs are looked at: runs of sub-DAGs have the number of the run above.
const LOOKED_AT: usize = 8;

/// The next run's number, from a counter that all processes share. Where the counter was lost it
/// goes on behind the newest recorded runs.
pub async fn next(
    recorder: &Recorder,
    shelf: &dyn Shelf,
    tenant: &TenantId,
) -> Result<u64, RecordError> {
    let newest = newest(recorder, tenant).await?;
    Ok(shelf.count(tenant, COUNTER, 1, newest).await?)
}

/// The highest number among the newest runs.
async fn newest(recorder: &Recorder, tenant: &TenantId) -> Result<u64, RecordError> {
    let streams = recorder.store().streams(tenant, "run/", None, LOOKED_AT).await?;
    let mut highest = 0;
    for stream in &streams {
        let first = recorder.store().read_stream(tenant, stream, 0, 1).await?;
        let Some(first) = first.first() else { continue };
        // One that cannot be read by this program has a number that it cannot know.
        if let Ok(read) = recorder.read(first).await
            && let RunEvent::Submitted(submitted) = read.fact.event
        {
            highest = highest.max(submitted.number);
            if submitted.parent.is_none() {
                break;
            }
        }
    }
    Ok(highest)
}
