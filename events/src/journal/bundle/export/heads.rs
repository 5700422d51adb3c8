//! Which signed checkpoints a bundle stands on.

use std::time::Duration;

use tokio::time::{Instant, sleep};

use super::{ExportError, Exporter};
use crate::ids::TenantId;
use crate::journal::checkpoints::SignedCheckpoint;
use crate::journal::keys::verify_policy;
use crate::tlog::Policy;

/// How often it is looked whether a cosignature has come.
const LOOK: Duration = Duration::from_millis(200);

/// The two checkpoints of a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Heads {
    /// None was signed before what the bundle is about.
    pub(super) start: Option<SignedCheckpoint>,
    pub(super) end: SignedCheckpoint,
}

/// The newest checkpoint with more than `beyond` leaves that the policy accepts, and the newest
/// one with at most `before`. Where the newest lacks a leaf, one is signed; where it lacks
/// cosignatures, they are waited for.
pub(super) async fn heads(
    exporter: &Exporter<'_>,
    tenant: &TenantId,
    policy: &Policy,
    (before, beyond): (u64, u64),
) -> Result<Heads, ExportError> {
    let timeline = exporter.store.timeline().await?;
    let history = exporter.checkpoints.history().on(timeline);
    let until = Instant::now() + exporter.patience;
    let mut may_sign = true;
    loop {
        let all = history.all(tenant)?;
        let origin = exporter.checkpoints.origin(tenant, timeline);
        let ours = |signed: &&SignedCheckpoint| signed.checkpoint.origin == origin;
        let accepted = |signed: &&SignedCheckpoint| {
            signed.checkpoint.size > beyond && verify_policy(&signed.note, policy).is_ok()
        };
        if let Some(end) = all.iter().rev().filter(ours).find(accepted) {
            let start = all.iter().rev().filter(ours).find(|it| it.checkpoint.size <= before);
            let start = start.filter(|it| it.checkpoint.size > 0);
            return Ok(Heads { start: start.cloned(), end: end.clone() });
        }
        let newest = all.iter().rev().find(ours);
        if may_sign && newest.is_none_or(|newest| newest.checkpoint.size <= beyond) {
            exporter.checkpoints.write(exporter.store, tenant, timeline).await?;
            may_sign = false;
            continue;
        }
        let Some(newest) = newest.filter(|newest| newest.checkpoint.size > beyond) else {
            let what = format!("leaf {beyond} of {tenant} is not in the log any more");
            return Err(ExportError::Damaged(what));
        };
        if Instant::now() >= until {
            let reason = match verify_policy(&newest.note, policy) {
                Ok(()) => "it came at the last moment; try again".to_string(),
                Err(error) => error.to_string(),
            };
            return Err(ExportError::Unwitnessed { size: newest.checkpoint.size, reason });
        }
        sleep(LOOK).await;
    }
}
