//! Watching a run of a server to its end, with the display of `dagbook run`.

use std::io::IsTerminal as _;
use std::time::Duration;

use dagbook_events::ids::RunId;
use dagbook_events::run::RunStatus;
use dagbook_events::time::Timestamp;
use serde_json::json;

use super::{History, Recent, Remote};
use crate::app::reports;
use crate::edge::cli::progress::{Live, Plain, Progress, Quiet, print_summary};
use crate::edge::cli::run::interrupts;
use crate::edge::cli::{CliError, Context, ExitCode, output};

/// How often a display hears that time passed.
const TICK: Duration = Duration::from_millis(100);

/// How much is shown while it goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Follow {
    /// Every step.
    Steps,
    /// Nothing before the end.
    Silently,
}

/// What Ctrl-C does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interrupted {
    /// Leaves; the run goes on.
    Detach,
    /// Cancels the run and waits; once more kills, once more leaves.
    Cancel,
}

/// Watches the run until it is over; the exit code is the run's.
pub async fn follow(
    ctx: &Context,
    remote: &Remote,
    run: RunId,
    how: Follow,
    interrupted: Interrupted,
) -> Result<ExitCode, CliError> {
    let mut display = display(ctx, how);
    let mut history = History::follow(remote, run, false);
    let mut interrupts = interrupts();
    let mut asked = 0;
    let mut tick = tokio::time::interval(TICK);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    while !history.view.state.is_finished() {
        tokio::select! {
            biased;
            Some(()) = interrupts.recv() => {
                asked += 1;
                if interrupted == Interrupted::Detach || asked > 2 {
                    display.close();
                    return Ok(detached(ctx, run));
                }
                let force = asked > 1;
                display.note(if force {
                    "killing; once more leaves at once"
                } else {
                    "cancelling; once more kills"
                });
                let body = json!({ "reason": "interrupted", "force": force });
                // Refused only when the run is over, which its events tell as well.
                if let Err(error) = remote.ask::<serde_json::Value>(run, "cancel", &body, None).await
                {
                    display.note(&format!("it cannot be cancelled: {}", error.message));
                }
            }
            news = history.next() => match news {
                Ok(Recent::Fact(fact)) => {
                    let facts = [*fact];
                    display.facts(&history.view.state, &facts);
                }
                Ok(Recent::Over) => break,
                Err(error) => {
                    display.close();
                    let hint = format!("the run goes on; `dagbook show {run}` tells how far it is");
                    return Err(if error.hint.is_none() { error.hint(hint) } else { error });
                }
            },
            _ = tick.tick() => {
                if history.view.state.version > 0 {
                    display.tick(&history.view.state, now());
                }
            }
        }
    }
    display.close();
    let state = &history.view.state;
    if !state.is_finished() {
        return Err(CliError::unavailable("the server ended the stream before the run ended")
            .hint(format!("`dagbook show {run}` tells how far it is")));
    }
    if ctx.is_json() {
        output::json(&reports::ended::ended(state))?;
    } else if !ctx.is_quiet() {
        print_summary(state);
    }
    Ok(match state.status() {
        Some(RunStatus::Succeeded) => ExitCode::Success,
        Some(RunStatus::Canceled) => ExitCode::Canceled,
        Some(RunStatus::Rejected) => ExitCode::Refused,
        Some(RunStatus::Failed) | None => ExitCode::Failed,
    })
}

/// Nobody waits for the run any longer: neither success nor failure.
fn detached(ctx: &Context, run: RunId) -> ExitCode {
    ctx.tell(&format!(
        "left: run {run} goes on; `dagbook logs {run} --follow` watches it, `dagbook cancel {run}` \
         stops it"
    ));
    ExitCode::Canceled
}

fn display(ctx: &Context, how: Follow) -> Box<dyn Progress> {
    if ctx.is_quiet() || how == Follow::Silently {
        return Box::new(Quiet);
    }
    if std::io::stderr().is_terminal() {
        return Box::new(Live::new(None));
    }
    Box::new(Plain)
}

/// Only for a clock on a display.
fn now() -> Timestamp {
    use dagbook_events::ports::Clock as _;
    dagbook_executors::SystemClock.now()
}
