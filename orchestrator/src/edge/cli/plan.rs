//! `dagbook plan`: what a DAG file will do, without doing it.

mod cost;
mod text;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dagbook_events::dag::{self, Plan, PlanFacts};
use dagbook_events::digest::Sha256Digest;
use serde::Serialize;

use super::run::parse_params;
use super::{CliError, Context, ExitCode, output};
use crate::app::{reports, source};

const EXAMPLES: &str = "\
Examples:
  dagbook plan dag.yaml
  dagbook plan dag.yaml --param epochs=3 --output json
  dagbook plan dag.yaml --cost --rate-card standard.yaml";

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
    /// Say what a run may cost: from recorded times of the same steps, or what they ask for until
    /// their timeouts
    #[arg(long)]
    cost: bool,
    /// At the prices of this rate card, rather than those that the tenant has
    #[arg(long, value_name = "FILE", requires = "cost")]
    rate_card: Option<PathBuf>,
}

/// A plan with what it may cost.
#[derive(Serialize)]
struct WithCost<'a> {
    #[serde(flatten)]
    plan: &'a reports::plan::PlanReport,
    cost: &'a cost::CostReport,
}

/// Plans it and prints the plan.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let (plan, hash) = planned(&args.file, &args.params, &args.files)?;
    let report = reports::plan::plan(&plan, hash);
    if args.cost {
        let cost = cost::of(ctx, &plan, args.rate_card.as_deref()).await?;
        match ctx.is_json() {
            true => output::json(&WithCost { plan: &report, cost: &cost })?,
            false => {
                output::print(&format!("{}{}", text::to_text(&report), cost::to_text(&cost)))?;
            }
        }
    } else if ctx.is_json() {
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
