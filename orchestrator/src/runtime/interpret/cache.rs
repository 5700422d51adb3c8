//! Earlier results.

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, StepKey};
use dagbook_events::run::event::ReusedResult;
use dagbook_events::time::Timestamp;

use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

/// An index that cannot be read is a miss: the step runs, which is never wrong.
pub(super) fn look_up(
    driver: &Driver,
    run: RunId,
    step: StepKey,
    key: Sha256Digest,
    not_before: Option<Timestamp>,
) {
    let (cache, blobs) = (driver.deps.cache.clone(), driver.deps.blobs.clone());
    let wakes = driver.wakes.clone();
    tokio::spawn(async move {
        let fresh = cache
            .get(&key)
            .await
            .filter(|(at, _)| not_before.is_none_or(|limit| *at >= limit))
            .map(|(_, result)| result);
        let hit = match fresh {
            Some(result) => complete(&result, blobs.as_ref()).await.then(|| Box::new(result)),
            None => None,
        };
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Cache { run, step, hit });
        }
    });
}

/// Whether every artifact of the result is still kept.
async fn complete(result: &ReusedResult, blobs: &dyn dagbook_events::ports::Blobs) -> bool {
    for artifact in result.artifacts.values() {
        if !blobs.has(&artifact.sha256).await.unwrap_or(false) {
            return false;
        }
    }
    true
}

pub(super) fn store(driver: &Driver, key: Sha256Digest, at: Timestamp, result: ReusedResult) {
    let cache = driver.deps.cache.clone();
    tokio::spawn(async move { cache.put(&key, at, &result).await });
}
