//! Reading a run again.

use std::time::Duration;

use dagbook_events::ids::RunId;

use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

pub(in crate::runtime) fn perform(driver: &Driver, run: RunId) {
    read(driver, run, Duration::ZERO);
}

/// After the record could not be read.
pub(in crate::runtime) fn again(driver: &Driver, run: RunId) {
    read(driver, run, Duration::from_secs(1));
}

fn read(driver: &Driver, run: RunId, wait: Duration) {
    let (recorder, wakes) = (driver.recorder.clone(), driver.wakes.clone());
    tokio::spawn(async move {
        tokio::time::sleep(wait).await;
        let facts = recorder.facts(run).await.map_err(|e| e.to_string());
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Loaded { run, facts });
        }
    });
}
