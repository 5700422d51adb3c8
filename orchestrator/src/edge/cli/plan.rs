//! `dagbook plan`: what a DAG file will do, without doing it.

mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dagbook_events::dag::{self, Plan, PlanFacts};
use dagbook_events::digest::Sha256Digest;

use super::run::parse_params;
use super::{CliError, Context, ExitCode, output};
use crate::app::{reports, source};

const EXAMPLES: &str = "\
Examples:
  dagbook plan dag.yaml
  dagbook plan dag.yaml --param epochs=3 --output json";

/// What to plan.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The DAG file
    file: PathBuf,
    /// Set a parameter
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Set a parameter to the content of a file
    #[arg(long = "set-file", value_name = "NAME=PATH")]
    files: Vec<String>,
}

/// Plans it and prints the plan.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let (plan, hash) = planned(&args.file, &args.params, &args.files)?;
    let report = reports::plan::plan(&plan, hash);
    if ctx.is_json() {
        output::json(&report)?;
    } else {
        output::print(&text::to_text(&report))?;
    }
    Ok(ExitCode::Success)
}

/// The plan of a file, and the hash of its text.
pub(super) fn planned(
    file: &Path,
    params: &[String],
    files: &[String],
) -> Result<(Plan, Sha256Digest), CliError> {
    let loaded = source::load(file).map_err(|e| CliError::usage(e.to_string()))?;
    let params: BTreeMap<_, _> = parse_params(params, files)?;
    let facts = PlanFacts { git: None, tenant: "local".to_string() };
    let plan = dag::plan(&loaded.source.bundle, &params, &facts)
        .map_err(|findings| super::lint::refuse(&findings, &loaded.source.bundle, file))?;
    Ok((plan, loaded.hash))
}
