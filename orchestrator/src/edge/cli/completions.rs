//! `dagbook completions`.

use clap::CommandFactory;
use clap_complete::Shell;

use super::args::Cli;
use super::{CliError, Context, ExitCode, output};

/// Print a completion script for a shell.
///
/// For bash: `dagbook completions bash > ~/.local/share/bash-completion/completions/dagbook`
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub async fn run(_ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "dagbook", &mut script);
    output::raw(&script)?;
    Ok(ExitCode::Success)
}
