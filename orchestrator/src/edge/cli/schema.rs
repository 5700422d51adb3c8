//! `dagbook schema`.

use super::{CliError, Context, ExitCode, output};

const EXAMPLES: &str = "\
Example:
  dagbook schema > dag.schema.json
and as the first line of a DAG file:
  # yaml-language-server: $schema=dag.schema.json";

/// Print the JSON Schema of the DAG file, for editors and other checkers.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// Prints it. It is JSON in every output format.
pub async fn run(_ctx: &Context, _args: Args) -> Result<ExitCode, CliError> {
    output::json(&dagbook_events::dag::schema::schema())?;
    Ok(ExitCode::Success)
}
