//! A command for a run that another process drives: recorded here, performed there.

use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::run::RunCommand;

use crate::app::act;
use crate::runtime::driver::Driver;

pub(in crate::runtime) fn perform(
    driver: &Driver,
    tenant: TenantId,
    run: RunId,
    command: RunCommand,
) {
    let recorder = driver.recorder.clone();
    tokio::spawn(async move {
        // When it is refused (it ended meanwhile) the group's stream will tell.
        let _ = act::record(&recorder, &tenant, run, &command, None).await;
    });
}
