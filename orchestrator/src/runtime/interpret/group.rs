//! Reading a concurrency group.

use std::time::Duration;

use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

pub(in crate::runtime) fn load(driver: &Driver, group: String) {
    let (recorder, wakes) = (driver.recorder.clone(), driver.wakes.clone());
    tokio::spawn(async move {
        let (holders, version) = loop {
            match recorder.group(&group).await {
                Ok(read) => break read,
                // A run that waits for the group waits for the store as well.
                Err(_) => tokio::time::sleep(Duration::from_secs(1)).await,
            }
            if wakes.upgrade().is_none() {
                return;
            }
        };
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Group { group, holders, version });
        }
    });
}
