//! `dagbook submit`: send a DAG, with its folder, to a server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dagbook_events::dag::{self, PlanFacts};
use serde_json::{Value as Json, json};

use super::remote::{self, Follow, Interrupted, Remote};
use super::run::parse_params;
use super::{CliError, Context, ExitCode, output};
use crate::app::reports::RunRow;
use crate::app::source;

const EXAMPLES: &str = "\
Examples:
  dagbook submit dag.yaml
  dagbook submit dag.yaml --param epochs=3 --follow
  dagbook submit dag.yaml --wait --output json | jq -r .status

The folder of the DAG file is sent along, without what `.gitignore` and `.dagbookignore` name;
every attempt of a step begins in a fresh copy of it. A folder that the server has is not sent
again.

With --wait and --follow the exit code is that of the run. Ctrl-C then leaves, exit code 3, and
the run goes on; with --cancel-on-interrupt it cancels the run.";

/// What to send.
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
    /// Send the DAG files alone; steps begin in an empty folder
    #[arg(long)]
    no_source: bool,
    /// The most that the folder may be, in MiB [default: 100]
    #[arg(long, value_name = "MIB", conflicts_with = "no_source")]
    source_limit: Option<u64>,
    /// A word of your own: sent again, the same submission is accepted only once
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
    #[command(flatten)]
    watching: Watching,
}

/// Whether to stay until the end.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct Watching {
    /// Stay until the run is over
    #[arg(long)]
    wait: bool,
    /// Stay until the run is over, and show every step
    #[arg(long, conflicts_with = "wait")]
    follow: bool,
    /// While staying, Ctrl-C cancels the run rather than leaving it
    #[arg(long)]
    cancel_on_interrupt: bool,
}

/// Sends it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let remote = ctx.must_have_server("submit")?;
    let loaded = source::load(&args.file).map_err(|e| CliError::usage(e.to_string()))?;
    let params = parse_params(&args.params, &args.files)?;
    let bundle = &loaded.source.bundle;
    // What is wrong with the file is said here, before anything is sent.
    let facts = PlanFacts { git: None, tenant: "local".to_string() };
    dag::plan(bundle, &params, &facts)
        .map_err(|findings| super::lint::refuse(&findings, bundle, &args.file))?;
    let params: BTreeMap<&String, Json> = params.iter().map(|(k, v)| (k, v.to_json())).collect();
    let mut body = json!({ "params": params });
    match &loaded.source.folder {
        Some(folder) if !args.no_source => {
            let most = args.source_limit.map(|mib| mib.saturating_mul(1 << 20));
            let folder = std::path::Path::new(folder);
            let hash = remote::send_source(ctx, &remote, folder, &bundle.entry, most).await?;
            body["source"] = json!({ "sha256": hash, "entry": bundle.entry });
        }
        _ => {
            body["dag"] = json!(bundle.files.get(&bundle.entry));
            let mut others = bundle.files.clone();
            others.remove(&bundle.entry);
            if !others.is_empty() {
                body["files"] = json!(others);
            }
        }
    }
    let accepted: RunRow =
        remote.client.post("runs", &body, args.idempotency_key.as_deref()).await?;
    accepted_by(ctx, &remote, &accepted, &args.watching).await
}

/// Says which run it became, and stays with it if that was asked for.
pub(super) async fn accepted_by(
    ctx: &Context,
    remote: &Remote,
    accepted: &RunRow,
    watching: &Watching,
) -> Result<ExitCode, CliError> {
    let (run, number) = (accepted.run, accepted.number);
    let (pipeline, server) = (output::clean(&accepted.pipeline), remote.client.server());
    let stays = watching.wait || watching.follow;
    ctx.tell(&format!("run {run} (#{number}) of {pipeline} accepted by {server}"));
    if !stays {
        if ctx.is_json() {
            output::json(accepted)?;
        } else {
            output::print(&format!("{run}\n"))?;
            ctx.tell(&format!("watch it with `dagbook logs {run} --follow`"));
        }
        return Ok(ExitCode::Success);
    }
    let how = if watching.follow { Follow::Steps } else { Follow::Silently };
    let interrupted =
        if watching.cancel_on_interrupt { Interrupted::Cancel } else { Interrupted::Detach };
    remote::follow(ctx, remote, run, how, interrupted).await
}
