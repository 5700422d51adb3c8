//! `dagbook pipeline`: registered pipelines of a server.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Subcommand;
use dagbook_events::dag::{self, PlanDifference};
use serde_json::{Value as Json, json};

use super::remote::{self, Remote};
use super::run::parse_params;
use super::submit::{Watching, accepted_by};
use super::{CliError, Context, ExitCode, output};
use crate::app::reports::{
    LatestDifference, PipelineReport, PipelineVersionReport, Registration, RunRow,
};
use crate::app::source;
use crate::client::{query, segment};

const EXAMPLES: &str = "\
Examples:
  dagbook pipeline register dag.yaml --message 'twice the epochs'
  dagbook pipeline versions nightly
  dagbook pipeline diff nightly 3 4
  dagbook pipeline run nightly --version 3 --param epochs=5 --follow

A pipeline is registered under the `name` of its DAG file. The same content again is no new
version. Entries of `on: schedule` become schedules: `dagbook schedule list` shows them.";

/// What to do.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Register a version: the DAG file, with its folder
    Register {
        /// The DAG file
        file: PathBuf,
        /// What to say about this version
        #[arg(long, short, default_value = "")]
        message: String,
        /// Send the DAG files alone; steps begin in an empty folder
        #[arg(long)]
        no_source: bool,
    },
    /// List pipelines
    List {
        /// At most so many
        #[arg(long, default_value_t = 50)]
        limit: usize,
    },
    /// Show a pipeline and its newest version
    Show {
        /// Its name
        name: String,
    },
    /// List versions, newest first
    Versions {
        /// The pipeline
        name: String,
        /// At most so many
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show what differs between two versions
    Diff {
        /// The pipeline
        name: String,
        /// The older version
        from: u32,
        /// The newer version [default: the newest]
        to: Option<u32>,
    },
    /// Run a version
    Run {
        /// The pipeline
        name: String,
        /// The version [default: the newest]
        #[arg(long)]
        version: Option<u32>,
        /// Set a parameter
        #[arg(long = "param", value_name = "NAME=VALUE")]
        params: Vec<String>,
        /// Set a parameter to the content of a file
        #[arg(long = "set-file", value_name = "NAME=PATH")]
        files: Vec<String>,
        #[command(flatten)]
        watching: Watching,
    },
    /// Take a pipeline out of use, with its schedules
    Archive {
        /// The pipeline
        name: String,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Bring an archived pipeline back
    Restore {
        /// The pipeline
        name: String,
    },
}

/// Does it.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let remote = ctx.must_have_server("pipeline")?;
    match args.action {
        Action::Register { file, message, no_source } => {
            register(ctx, &remote, &file, &message, no_source).await
        }
        Action::List { limit } => {
            let rows = remote.client.pages::<PipelineReport>("pipelines", &[], limit.min(500));
            let rows = rows.take(limit).await?;
            let text = |it: &PipelineReport| {
                let latest = it.latest.as_ref();
                let said = latest.map(|latest| latest.message.as_str()).unwrap_or_default();
                format!("{}@{}  {}  {}\n", it.name, it.versions, it.status, output::cut(said, 60))
            };
            list(ctx, &rows, text)
        }
        Action::Show { name } => {
            let report = remote.client.get(&path(&name, "")).await?;
            show(ctx, &report)
        }
        Action::Versions { name, limit } => {
            let path = path(&name, "/versions");
            let rows = remote.client.pages::<PipelineVersionReport>(&path, &[], limit.min(500));
            list(ctx, &rows.take(limit).await?, version_line)
        }
        Action::Diff { name, from, to } => {
            let pairs = [("from", Some(from.to_string())), ("to", to.map(|to| to.to_string()))];
            let path = format!("{}{}", path(&name, "/difference"), query(&pairs));
            let difference: LatestDifference = remote.client.get(&path).await?;
            if ctx.is_json() {
                output::json(&difference)?;
            } else {
                output::print(&difference_text(&difference.version, &difference.plan))?;
            }
            Ok(ExitCode::Success)
        }
        Action::Run { name, version, params, files, watching } => {
            let params = parse_params(&params, &files)?;
            let params: BTreeMap<&String, Json> =
                params.iter().map(|(k, v)| (k, v.to_json())).collect();
            let mut body = json!({ "params": params });
            if let Some(version) = version {
                body["version"] = json!(version);
            }
            let accepted: RunRow = remote.client.post(&path(&name, "/runs"), &body, None).await?;
            accepted_by(ctx, &remote, &accepted, &watching).await
        }
        Action::Archive { name, reason } => {
            let body = json!({ "reason": reason });
            let report = remote.client.post(&path(&name, "/archive"), &body, None).await?;
            show(ctx, &report)
        }
        Action::Restore { name } => {
            let report = remote.client.post(&path(&name, "/restore"), &json!({}), None).await?;
            show(ctx, &report)
        }
    }
}

fn path(name: &str, rest: &str) -> String {
    format!("pipelines/{}{rest}", segment(name))
}

async fn register(
    ctx: &Context,
    remote: &Remote,
    file: &std::path::Path,
    message: &str,
    no_source: bool,
) -> Result<ExitCode, CliError> {
    let loaded = source::load(file).map_err(|e| CliError::usage(e.to_string()))?;
    let bundle = &loaded.source.bundle;
    // What is wrong with the file is said here, before anything is sent.
    let checked = dag::check(bundle);
    let Some(spec) = checked.spec else {
        return Err(super::lint::refuse(&checked.findings, bundle, file));
    };
    let mut body = json!({ "message": message });
    match &loaded.source.folder {
        Some(folder) if !no_source => {
            let folder = std::path::Path::new(folder);
            let hash = remote::send_source(ctx, remote, folder, &bundle.entry, None).await?;
            body["source"] = json!({ "sha256": hash, "entry": bundle.entry });
        }
        _ => {
            body["dag"] = json!(bundle.files.get(&bundle.entry));
            let mut others = bundle.files.clone();
            others.remove(&bundle.entry);
            body["files"] = json!(others);
        }
    }
    let done: Registration = remote.client.put(&path(&spec.name, ""), &body).await?;
    if ctx.is_json() {
        output::json(&done)?;
        return Ok(ExitCode::Success);
    }
    let name = format!("{}@{}", done.pipeline.name, done.pipeline.versions);
    match done.created {
        true => ctx.tell("registered"),
        false => ctx.tell("nothing has changed"),
    }
    output::print(&format!("{name}\n"))?;
    Ok(ExitCode::Success)
}

fn list<T: serde::Serialize>(
    ctx: &Context,
    rows: &[T],
    text: impl Fn(&T) -> String,
) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        output::json(&rows)?;
    } else {
        output::print(&rows.iter().map(text).collect::<String>())?;
    }
    Ok(ExitCode::Success)
}

fn show(ctx: &Context, report: &PipelineReport) -> Result<ExitCode, CliError> {
    if ctx.is_json() {
        output::json(report)?;
        return Ok(ExitCode::Success);
    }
    let mut text = format!("{}  {}  {} versions\n", report.name, report.status, report.versions);
    if !report.reason.is_empty() {
        text.push_str(&format!("  {}\n", output::clean(&report.reason)));
    }
    text.extend(report.latest.iter().map(version_line));
    output::print(&text)?;
    Ok(ExitCode::Success)
}

fn version_line(it: &PipelineVersionReport) -> String {
    let hash = it.hash.to_hex();
    format!(
        "@{}  {}  {}  {}  {} steps  {}\n",
        it.version,
        it.registered_at,
        &hash[..12],
        output::cut(&it.by, 30),
        it.steps,
        output::cut(&it.message, 60)
    )
}

/// What differs, for people.
pub(super) fn difference_text(version: &str, plan: &PlanDifference) -> String {
    if plan.is_empty() {
        return format!("{version}: the same plan\n");
    }
    let mut text = format!("{version}:\n");
    for step in &plan.added {
        text.push_str(&format!("  + {step}\n"));
    }
    for step in &plan.removed {
        text.push_str(&format!("  - {step}\n"));
    }
    for it in &plan.changed {
        text.push_str(&format!("  ~ {}: {}\n", it.step, it.what.join(", ")));
        for step in &it.needs_added {
            text.push_str(&format!("      needs + {step}\n"));
        }
        for step in &it.needs_removed {
            text.push_str(&format!("      needs - {step}\n"));
        }
    }
    if !plan.pipeline.is_empty() {
        text.push_str(&format!("  ~ pipeline: {}\n", plan.pipeline.join(", ")));
    }
    text
}
