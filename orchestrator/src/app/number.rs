//! Numbers for people: each of a tenant's runs has one of its own, and newer runs have higher
//! ones. Ids are what identifies a run; a number that was given to a submission which came to
//! nothing is not given again, unless the machine of the store fails in that moment.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use dagbook_events::ids::TenantId;
use dagbook_events::ports::Shelf;
use dagbook_events::run::RunEvent;

use crate::runtime::record::{RecordError, Recorder};

/// The counter on the shelf.
const COUNTER: &str = "run-number";

/// How many of the newest runs are looked at: runs of sub-DAGs have the number of the run above.
const LOOKED_AT: usize = 8;

/// Tenants whose last number is remembered; beyond it all are looked at again.
const REMEMBERED: usize = 10_000;

/// Gives numbers, from a counter that all processes share. Where the counter was lost it goes on
/// behind the newest recorded runs: those are looked at once for each tenant and process, and
/// behind that the last number that was given here is known to have been reached. Clones share
/// what they remember.
#[derive(Debug, Clone, Default)]
pub struct Numbers(Arc<Mutex<BTreeMap<TenantId, u64>>>);

impl Numbers {
    /// The next run's number.
    pub async fn next(
        &self,
        recorder: &Recorder,
        shelf: &dyn Shelf,
        tenant: &TenantId,
    ) -> Result<u64, RecordError> {
        let reached = match self.last(tenant) {
            Some(last) => last,
            None => newest(recorder, tenant).await?,
        };
        let number = shelf.count(tenant, COUNTER, 1, reached).await?;
        self.keep(tenant, number);
        Ok(number)
    }

    fn last(&self, tenant: &TenantId) -> Option<u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(tenant).copied()
    }

    fn keep(&self, tenant: &TenantId, number: u64) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match last.get_mut(tenant) {
            Some(known) => *known = number.max(*known),
            None => {
                if last.len() >= REMEMBERED {
                    last.clear();
                }
                last.insert(tenant.clone(), number);
            }
        }
    }
}

/// The next run's number, for a process that takes in one run.
pub async fn next(
    recorder: &Recorder,
    shelf: &dyn Shelf,
    tenant: &TenantId,
) -> Result<u64, RecordError> {
    Numbers::default().next(recorder, shelf, tenant).await
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
