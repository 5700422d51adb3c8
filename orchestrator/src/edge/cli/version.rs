//! `dagbook version`.

use serde::Serialize;

use super::{CliError, Context, ExitCode, output};

/// Print the version of the program and of the formats that it writes.
#[derive(Debug, clap::Args)]
pub struct Args {}

#[derive(Serialize)]
struct Version {
    version: &'static str,
    dag_format: &'static str,
    leaf_format: u64,
    planner: u32,
}

pub async fn run(ctx: &Context, _args: Args) -> Result<ExitCode, CliError> {
    let version = Version {
        version: env!("CARGO_PKG_VERSION"),
        dag_format: "v1",
        leaf_format: dagbook_events::envelope::LEAF_FORMAT,
        planner: dagbook_events::codec::planner::PLANNER,
    };
    if ctx.is_json() {
        output::json(&version)?;
    } else {
        output::print(&format!("dagbook {}\n", version.version))?;
    }
    Ok(ExitCode::Success)
}
