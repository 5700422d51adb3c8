//! `dagbook approve` and `dagbook reject`: answer a step that waits for a person.

use dagbook_events::ids::StepKey;
use dagbook_events::run::Ask;
use serde_json::json;

use super::acting::{Unattended, act};
use super::{CliError, Context, ExitCode};
use crate::client::segment;

/// Which step.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true)]
    run: String,
    /// The step
    step: String,
    /// What to say, for the record
    #[arg(long, default_value = "")]
    comment: String,
}

/// Yes.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    answer(ctx, args, true).await
}

/// No.
pub async fn reject(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    answer(ctx, args, false).await
}

async fn answer(ctx: &Context, args: Args, approved: bool) -> Result<ExitCode, CliError> {
    let (step, comment) = (StepKey::new(&args.step), args.comment);
    let said = format!("{step} {}", if approved { "approved" } else { "rejected" });
    let verb = if approved { "approve" } else { "reject" };
    let what = format!("steps/{}/{verb}", segment(step.as_str()));
    let body = json!({ "comment": comment });
    let ask = |_| Ask::Approve { step, approved, comment };
    act(ctx, &args.run, ask, &said, Unattended::Tell, (&what, body)).await
}
