//! `dagbook audit`: what an auditor asks of the record.

mod export;
mod reconcile;
mod verify;

use clap::Subcommand;

use super::{CliError, Context, ExitCode};

const EXAMPLES: &str = "\
Examples:
  dagbook audit export --period 2026-11 -o november    what a stranger can check
  dagbook audit reconcile                          the store with its second copy
  dagbook audit reconcile --from store --with tiles
  dagbook audit verify november                    a bundle, as a stranger would";

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Export a part of the history, or a closed period with its invoice, for a stranger to check
    Export(Box<export::Args>),
    /// Compare two keepings of the record, leaf by leaf, and name the first difference
    Reconcile(reconcile::Args),
    /// Check a bundle: its files, signatures, log and bill
    Verify(verify::Args),
}

/// Checks it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    match args.action {
        Action::Export(args) => export::run(ctx, *args).await,
        Action::Reconcile(args) => reconcile::run(ctx, args).await,
        Action::Verify(args) => verify::run(ctx, args).await,
    }
}
