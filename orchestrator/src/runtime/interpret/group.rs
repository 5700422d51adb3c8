//! Reading a concurrency group.

use std::time::Duration;

use dagbook_events::ids::TenantId;

use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

pub(in crate::runtime) fn load(driver: &Driver, tenant: TenantId, group: String) {
    let (recorder, wakes) = (driver.recorder.clone(), driver.wakes.clone());
    let alarm = driver.life.alarm("a reading of a group");
    tokio::spawn(async move {
        let _alarm = alarm;
        let (holders, version) = loop {
            match recorder.group(&tenant, &group).await {
                Ok(read) => break read,
                // A run that waits for the group waits for the store as well.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
            if wakes.upgrade().is_none() {
                return;
            }
        };
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Group { tenant, group, holders, version });
        }
    });
}
