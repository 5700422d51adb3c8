//! The end of a command that appended: what it recorded is also in the copy, and signed.

use std::time::Duration;

use super::{CliError, Context};
use crate::wiring::{Installation, KeeperError};

/// How long it may take before a person is told what is waited for.
const SILENCE: Duration = Duration::from_secs(1);

/// How long the copy may take to catch up.
const PATIENCE: Duration = Duration::from_secs(30);

/// Waits until the copy has everything and a head over it is signed. Where there is no copy, a
/// checkpoint is signed here. A copy that is merely slow is no reason to fail: somebody else
/// will bring it up to date.
pub(super) async fn settle(ctx: &Context, installation: &Installation) -> Result<(), CliError> {
    let Some(keeper) = &installation.keeper else {
        // A checkpoint at the end of each command makes its history provable from then on.
        if let Err(reason) = installation.checkpoint().await {
            ctx.tell(&format!("warning: no checkpoint was signed: {reason}"));
        }
        return Ok(());
    };
    let head = installation.deps.store.head().await?;
    if keeper.caught_up(head, SILENCE).await.is_ok() {
        return Ok(());
    }
    ctx.tell("waiting for the second copy and the signed head to catch up …");
    match keeper.caught_up(head, PATIENCE).await {
        Ok(()) => Ok(()),
        Err(KeeperError::Halted(reason)) => Err(KeeperError::Halted(reason).into()),
        Err(error) => {
            ctx.tell(&format!(
                "warning: {error}; `dagbook relay` goes on with it, and so does the next command"
            ));
            Ok(())
        }
    }
}
