//! `dagbook graph`.

use std::path::PathBuf;

use clap::ValueEnum;
use dagbook_events::dag::graph::{GraphFormat, render};

use super::plan::planned;
use super::{CliError, Context, ExitCode, output};

const EXAMPLES: &str = "\
Examples:
  dagbook graph dag.yaml                            as text, on the terminal
  dagbook graph dag.yaml --format svg -o dag.svg
  dagbook graph dag.yaml --format mermaid";

/// What to draw, and how.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The DAG file
    file: PathBuf,
    /// What the picture is made of
    #[arg(long, value_enum, default_value = "text")]
    format: Format,
    /// Write it to this file
    #[arg(short = 'o', long = "out", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Set a parameter that the shape depends on
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
}

/// What the picture is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// A drawing for browsers and documents
    Svg,
    /// Graphviz
    Dot,
    /// Mermaid, as wikis and forges show it
    Mermaid,
    /// Lines for a terminal
    Text,
}

impl From<Format> for GraphFormat {
    fn from(format: Format) -> Self {
        match format {
            Format::Svg => Self::Svg,
            Format::Dot => Self::Dot,
            Format::Mermaid => Self::Mermaid,
            Format::Text => Self::Text,
        }
    }
}

/// Draws it. The picture is the same in every output format.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let (plan, _) = planned(&args.file, &args.params, &[])?;
    let picture = render(&plan, args.format.into());
    match args.out {
        None => output::print(&picture)?,
        Some(path) => {
            std::fs::write(&path, picture).map_err(|e| {
                CliError::unavailable(format!("cannot write {}: {e}", path.display()))
            })?;
            ctx.tell(&format!("wrote {}", path.display()));
        }
    }
    Ok(ExitCode::Success)
}
