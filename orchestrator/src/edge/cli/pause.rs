//! `dagbook pause` and `dagbook resume`: no more steps start, or they do again.

use dagbook_events::run::Ask;
use serde_json::json;

use super::acting::{Unattended, act};
use super::{CliError, Context, ExitCode};

/// Which run.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true)]
    run: String,
    /// Why, for the record
    #[arg(long, default_value = "")]
    comment: String,
}

/// Pauses it: what runs goes on, nothing new starts.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let comment = args.comment;
    let body = json!({ "comment": comment });
    act(ctx, &args.run, |_| Ask::Pause { comment }, "paused", Unattended::Tell, ("pause", body))
        .await
}

/// Lets it go on.
pub async fn resume(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let comment = args.comment;
    let body = json!({ "comment": comment });
    act(ctx, &args.run, |_| Ask::Resume { comment }, "resumed", Unattended::Tell, ("resume", body))
        .await
}
