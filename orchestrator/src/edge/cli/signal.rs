//! `dagbook signal`: send a named event to a run whose step waits for it.

use dagbook_events::run::Ask;
use serde_json::json;

use super::acting::{Unattended, act};
use super::{CliError, Context, ExitCode};

/// Which event.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true)]
    run: String,
    /// The event's name, as `wait: { event: NAME }` spells it
    name: String,
}

/// Sends it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let said = format!("event `{}` sent", args.name);
    let name = args.name;
    let body = json!({ "name": name });
    act(ctx, &args.run, |_| Ask::Signal { name }, &said, Unattended::Tell, ("signal", body)).await
}
