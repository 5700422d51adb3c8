//! `dagbook doctor`: is this installation well, and what is weaker than it could be?

mod copy;
mod folders;
mod machine;
mod postgres;
mod runs;
mod store;
mod tiles;

use serde::Serialize;

use super::output::{self, FAINT, RESET};
use super::{CliError, Context, ExitCode};

const EXAMPLES: &str = "\
Examples:
  dagbook doctor
  dagbook doctor --output json | jq '.checks[] | select(.status != \"ok\")'

The exit code is 1 where something is broken; warnings leave it at 0.";

/// Check this installation: data folder, record, copy, keys, this machine, interrupted runs.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {}

/// What one check found.
#[derive(Debug, Clone, Serialize)]
struct Check {
    check: &'static str,
    status: &'static str,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

#[derive(Serialize)]
struct Report {
    is_well: bool,
    checks: Vec<Check>,
}

impl Check {
    fn ok(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, status: "ok", detail: detail.into(), hint: None }
    }

    fn warning(check: &'static str, detail: impl Into<String>) -> Self {
        Self { status: "warning", ..Self::ok(check, detail) }
    }

    fn broken(check: &'static str, detail: impl Into<String>) -> Self {
        Self { status: "broken", ..Self::ok(check, detail) }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

/// Where the record stands, for what is compared with it.
#[derive(Debug, Clone, Copy)]
struct Standing {
    timeline: u64,
    position: u64,
    /// Leaves of the tenant's log.
    leaves: u64,
}

/// Checks it.
pub async fn run(ctx: &Context, _args: Args) -> Result<ExitCode, CliError> {
    let data = ctx.data(None)?;
    let mut checks = vec![configuration(ctx)];
    checks.extend(folders::checks(&data));
    let (of_store, standing) = store::checks(ctx, &data).await;
    checks.extend(of_store);
    checks.extend(copy::checks(ctx, standing).await);
    checks.extend(tiles::checks(ctx, &data, standing).await);
    checks.extend(machine::checks(&data));
    checks.extend(runs::checks(ctx, &data).await);
    let is_well = checks.iter().all(|check| check.status != "broken");
    if ctx.is_json() {
        output::json(&Report { is_well, checks })?;
    } else {
        output::print(&text(&checks))?;
    }
    Ok(if is_well { ExitCode::Success } else { ExitCode::Failed })
}

fn configuration(ctx: &Context) -> Check {
    match &ctx.config().file {
        Some(path) => Check::ok("configuration", path.display().to_string()),
        None => Check::ok("configuration", "defaults (there is no dagbook.toml)"),
    }
}

fn text(checks: &[Check]) -> String {
    let mut text = String::new();
    for check in checks {
        let style = output::status_style(check.status);
        let sign = output::status_sign(check.status);
        let (name, detail) = (check.check, output::clean(&check.detail));
        text.push_str(&format!("{style}{sign}{RESET} {name:<15} {detail}\n"));
        if let Some(hint) = &check.hint {
            text.push_str(&format!("                  {FAINT}{}{RESET}\n", output::clean(hint)));
        }
    }
    text
}
