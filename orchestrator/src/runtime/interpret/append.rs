//! Appending.

use std::time::Duration;

use dagbook_events::ids::TenantId;
use dagbook_events::ports::AppendRequest;

use crate::engine::{AppendId, StreamPart};
use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

/// The first wait before an append is repeated, and the longest.
const WAIT_FIRST: Duration = Duration::from_millis(50);
const WAIT_LONGEST: Duration = Duration::from_secs(5);

pub(in crate::runtime) fn perform(
    driver: &Driver,
    append: AppendId,
    tenant: TenantId,
    key: String,
    parts: Vec<StreamPart>,
) {
    let (recorder, wakes) = (driver.recorder.clone(), driver.wakes.clone());
    let fence = driver.deps.leading.as_ref().map(|leading| leading.fence.clone());
    let alarm = driver.life.alarm("an append");
    tokio::spawn(async move {
        let _alarm = alarm;
        let result = match recorder.prepare(&parts).await {
            Err(error) => Err(error),
            Ok(streams) => {
                let request = AppendRequest { tenant, key: Some(key), streams, fence };
                let appended = recorder.store().append(request).await;
                appended.map(|appended| (appended.first, appended.last))
            }
        };
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Appended { append, result });
        }
    });
}

/// Repeats it after a wait that doubles each time.
pub(in crate::runtime) fn later(driver: &Driver, append: AppendId, tries: u32) {
    let wakes = driver.wakes.clone();
    let wait = (WAIT_FIRST * 2u32.saturating_pow(tries.min(10))).min(WAIT_LONGEST);
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Retry(append));
        }
    });
}
