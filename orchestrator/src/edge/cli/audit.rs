//! `dagbook audit`: what an auditor asks of the record.

mod reconcile;

use clap::Subcommand;

use super::{CliError, Context, ExitCode};

const EXAMPLES: &str = "\
Examples:
  dagbook audit reconcile                          the store with its second copy
  dagbook audit reconcile --from store --with tiles";

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Compare two keepings of the record, leaf by leaf, and name the first difference
    Reconcile(reconcile::Args),
}

/// Checks it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    match args.action {
        Action::Reconcile(args) => reconcile::run(ctx, args).await,
    }
}
