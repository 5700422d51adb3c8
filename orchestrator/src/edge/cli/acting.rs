//! What cancel, pause, resume, approve, reject and signal have in common: the command is
//! recorded; whoever drives the run acts on it; where nobody does and something is left to do,
//! this process takes the run over.

use dagbook_events::ids::RunId;
use dagbook_events::run::{Ask, RunCommand, fold};
use serde_json::Value as Json;

use super::run::{now, open, resume};
use super::{CliError, Context, ExitCode, keeping, select};
use crate::app::act;
use crate::runtime::Ownership;
use crate::runtime::record::Recorder;
use crate::server::is_led;

/// What to do when nobody drives the run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unattended {
    /// Take it over and drive it to its end.
    TakeOver,
    /// Say how that can be done.
    Tell,
}

/// Records the command on the run that `wanted` names; a server is asked for `what` with `body`.
pub(super) async fn act(
    ctx: &Context,
    wanted: &str,
    ask: impl FnOnce(RunId) -> Ask,
    said: &str,
    unattended: Unattended,
    (what, body): (&str, Json),
) -> Result<ExitCode, CliError> {
    if let Some(remote) = ctx.remote()? {
        let run = remote.select(wanted).await?;
        // What a server answers is for programs; what was done is said here.
        let _: Json = remote.ask(run, what, &body, None).await?;
        ctx.tell(&format!("run {run}: {said}"));
        return Ok(ExitCode::Success);
    }
    // An error where nothing was ever run, rather than a data folder that nobody asked for.
    drop(ctx.record().await?);
    let installation = open(ctx, None, None).await?;
    let recorder = Recorder::new(&installation.deps);
    let run = select::run(&recorder, &installation.deps.tenant, wanted).await?;
    let command = RunCommand { at: now(&installation), ask: ask(run) };
    let by = std::sync::Arc::new(installation.deps.person.clone());
    act::record(&recorder, &installation.deps.tenant, run, &command, Some(&by)).await?;
    ctx.tell(&format!("run {run}: {said}"));
    if installation.keeper.is_some() {
        keeping::settle(ctx, &installation).await?;
    }
    if installation.locks.is_taken(run) {
        return Ok(ExitCode::Success);
    }
    let state = fold(&recorder.facts(&installation.deps.tenant, run).await?);
    if state.is_finished() {
        installation.locks.over(run);
        return Ok(ExitCode::Success);
    }
    // A server leads: it hears of the command from the record.
    if state.facts().driven_at.is_none() && is_led(&installation).await {
        return Ok(ExitCode::Success);
    }
    match unattended {
        Unattended::Tell => {
            ctx.tell(&format!("nobody drives it; go on with `dagbook run --resume {run}`"));
            Ok(ExitCode::Success)
        }
        Unattended::TakeOver => match resume(ctx, &installation, &recorder, run).await? {
            // It was asked to end, and it did.
            ExitCode::Canceled | ExitCode::Failed | ExitCode::Success => Ok(ExitCode::Success),
            other => Ok(other),
        },
    }
}
