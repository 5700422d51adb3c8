//! Numbers for people: each of a tenant's runs has one of its own, and newer runs have higher
//! ones. Ids are what identifies a run; a number that was given to a submission which came to
//! nothing is not given again, unless the machine of the store fails in that moment.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
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
/// behind that the last number that was given here is known to have been reached. Those who come
/// while the counter is asked are asked for together, next. Clones share what they remember.
#[derive(Debug, Clone, Default)]
pub struct Numbers(Arc<Mutex<BTreeMap<TenantId, Arc<OfTenant>>>>);

/// Numbers of one tenant.
#[derive(Debug, Default)]
struct OfTenant {
    /// How many want one, whoever asks for them included.
    wanted: AtomicU64,
    given: tokio::sync::Mutex<Given>,
}

#[derive(Debug, Default)]
struct Given {
    /// The highest that is known to have been reached.
    last: Option<u64>,
    /// Asked for, for those who wait.
    left: Range<u64>,
}

/// Wants a number, until it is dropped.
struct Wanting<'a>(&'a AtomicU64);

impl<'a> Wanting<'a> {
    fn begin(wanted: &'a AtomicU64) -> Self {
        wanted.fetch_add(1, Ordering::SeqCst);
        Self(wanted)
    }
}

impl Drop for Wanting<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Numbers {
    /// The next run's number.
    pub async fn next(
        &self,
        recorder: &Recorder,
        shelf: &dyn Shelf,
        tenant: &TenantId,
    ) -> Result<u64, RecordError> {
        let numbers = self.of(tenant);
        let wanting = Wanting::begin(&numbers.wanted);
        let mut given = numbers.given.lock().await;
        let number = match given.left.next() {
            Some(number) => number,
            None => {
                let reached = match given.last {
                    Some(last) => last,
                    None => newest(recorder, tenant).await?,
                };
                let wanted = numbers.wanted.load(Ordering::SeqCst).max(1);
                let last = shelf.count(tenant, COUNTER, wanted, reached).await?;
                given.last = Some(last);
                // Behind the one that is given now; nobody else has those between.
                given.left = last - wanted + 2..last + 1;
                last - wanted + 1
            }
        };
        drop(wanting);
        if numbers.wanted.load(Ordering::SeqCst) == 0 {
            // Who waited for them went away; who comes later has a higher one.
            given.left = Range::default();
        }
        Ok(number)
    }

    fn of(&self, tenant: &TenantId) -> Arc<OfTenant> {
        let mut tenants = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = tenants.get(tenant) {
            return Arc::clone(known);
        }
        if tenants.len() >= REMEMBERED {
            tenants.clear();
        }
        Arc::clone(tenants.entry(tenant.clone()).or_default())
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
