//! `dagbook cancel`: stop a run, whoever drives it.

use dagbook_events::run::Ask;
use dagbook_events::step::StopCause;
use serde_json::json;

use super::acting::{Unattended, act};
use super::{CliError, Context, ExitCode};

/// What to cancel.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true)]
    run: String,
    /// Why, for the record
    #[arg(long, default_value = "cancelled by hand")]
    reason: String,
    /// Kill at once, and skip `finally` steps
    #[arg(long)]
    force: bool,
}

/// Cancels it. A run that nobody drives is taken over until it has stopped.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let (reason, force) = (args.reason, args.force);
    let body = json!({ "reason": reason, "force": force });
    let ask = |_| Ask::Cancel { cause: StopCause::User, reason, force };
    act(ctx, &args.run, ask, "cancel requested", Unattended::TakeOver, ("cancel", body)).await
}
