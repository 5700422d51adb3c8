//! Reading a run again.

use std::time::Duration;

use dagbook_events::ids::{RunId, TenantId};

use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

pub(in crate::runtime) fn perform(driver: &Driver, tenant: TenantId, run: RunId) {
    read(driver, tenant, run, Duration::ZERO);
}

/// After the record could not be read.
pub(in crate::runtime) fn again(driver: &Driver, tenant: TenantId, run: RunId) {
    read(driver, tenant, run, Duration::from_secs(1));
}

fn read(driver: &Driver, tenant: TenantId, run: RunId, wait: Duration) {
    let (recorder, wakes) = (driver.recorder.clone(), driver.wakes.clone());
    let alarm = driver.life.alarm("a reading of a run");
    tokio::spawn(async move {
        let _alarm = alarm;
        tokio::time::sleep(wait).await;
        let facts = recorder.facts(&tenant, run).await.map_err(|e| e.to_string());
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Loaded { tenant, run, facts });
        }
    });
}
