//! `dagbook retry`: run a run's DAG again, as a new run that may keep what succeeded.

use std::collections::BTreeMap;

use dagbook_events::run::fold;
use serde_json::{Value as Json, json};

use super::remote::Remote;
use super::run::{open, parse_params, submit};
use super::submit::{Watching, accepted_by};
use super::{CliError, Context, ExitCode, select};
use crate::app::reports::{LatestDifference, RunRow};
use crate::app::retention::still_there;
use crate::app::submit::{Again, RetryError, Stamp, repetition};
use crate::app::{number, stamp};
use crate::runtime::record::Recorder;

/// What to run again.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The run: an id, a part of one, `#number`, `latest`, `-1`
    #[arg(allow_negative_numbers = true)]
    run: String,
    /// Keep what succeeded; run what did not, and what needs it
    #[arg(long, conflicts_with = "from")]
    from_failed: bool,
    /// Keep everything but this step and what needs it
    #[arg(long, value_name = "STEP")]
    from: Option<String>,
    /// Set a parameter, on top of those of the run
    #[arg(long = "param", value_name = "NAME=VALUE")]
    params: Vec<String>,
    /// Set a parameter to the content of a file
    #[arg(long = "set-file", value_name = "NAME=PATH")]
    files: Vec<String>,
    /// Take the newest version of the registered pipeline, and say what differs; otherwise the
    /// run keeps the version that it had
    #[arg(long)]
    latest: bool,
    #[command(flatten)]
    watching: Watching,
}

/// Runs it again; here to its end, on a server as far as somebody wants to watch.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    if let Some(remote) = ctx.remote()? {
        return there(ctx, &remote, &args).await;
    }
    if args.latest {
        return Err(CliError::usage("`--latest` needs a server").hint(
            "pipelines are registered on a server; run the changed file with `dagbook run`",
        ));
    }
    drop(ctx.record().await?);
    let installation = open(ctx, None, None).await?;
    let recorder = Recorder::new(&installation.deps);
    let run = select::run(&recorder, &installation.deps.tenant, &args.run).await?;
    let earlier = fold(&recorder.facts(&installation.deps.tenant, run).await?);
    let again = match (args.from_failed, args.from) {
        (true, _) => Again::FromFailed,
        (false, Some(step)) => Again::From(step),
        (false, None) => Again::All,
    };
    let changes = parse_params(&args.params, &args.files)?;
    let stamp = Stamp {
        run: stamp::run_id(installation.deps.clock.as_ref(), installation.deps.rng.as_ref()),
        number: number::next(
            &recorder,
            installation.deps.shelf.as_ref(),
            &installation.deps.tenant,
        )
        .await?,
        tenant: installation.deps.tenant.clone(),
    };
    let submitted = repetition(recorder.planner(), &earlier, &again, changes, None, stamp)
        .map_err(|error| match error {
            RetryError::Findings(findings) => {
                let bundle = &earlier.facts().source.bundle;
                super::lint::refuse(&findings, bundle, std::path::Path::new(&bundle.entry))
            }
            RetryError::NotOver => CliError::refused(error.to_string())
                .hint(format!("`dagbook cancel {run}` stops it")),
            RetryError::NoSuchStep(_) => CliError::usage(error.to_string())
                .hint(format!("`dagbook show {run}` lists its steps")),
        })?;
    let blobs = installation.deps.blobs.clone();
    still_there(blobs.as_ref(), &submitted).await?;
    submit(ctx, &installation, &recorder, submitted).await
}

async fn there(ctx: &Context, remote: &Remote, args: &Args) -> Result<ExitCode, CliError> {
    let run = remote.select(&args.run).await?;
    let changes = parse_params(&args.params, &args.files)?;
    let params: BTreeMap<&String, Json> = changes.iter().map(|(k, v)| (k, v.to_json())).collect();
    let mut body = json!({ "from_failed": args.from_failed, "params": params });
    if let Some(step) = &args.from {
        body["from"] = json!(step);
    }
    if args.latest {
        body["latest"] = json!(true);
        let path = format!("runs/{run}/difference-to-latest");
        let difference: LatestDifference = remote.about(run, remote.client.get(&path).await)?;
        let text = super::pipeline::difference_text(&difference.version, &difference.plan);
        ctx.tell(text.trim_end());
    }
    let accepted: RunRow = remote.ask(run, "retry", &body, None).await?;
    accepted_by(ctx, remote, &accepted, &args.watching).await
}
