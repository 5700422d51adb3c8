//! What can be typed. The help of a subcommand lives on its own `Args`.

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

use super::billing::{budget, contract, invoice, period, rate_card, usage};
use super::{
    approve, audit, cancel, completions, doctor, events, graph, lint, logs, migrate, pause,
    pipeline, plan, relay, replay, retention, retry, run, runs, schedule, schema, secret, serve,
    show, signal, submit, tenant, timeline, token, version, why, witness,
};

const EXAMPLES: &str = "\
Examples:
  dagbook run dag.yaml --param epochs=3     run a DAG here, to its end
  dagbook submit dag.yaml --follow          run it on a server (DAGBOOK_SERVER), and watch
  dagbook lint dag.yaml                     say everything that is wrong with a file
  dagbook show latest                       how the latest run went
  dagbook logs latest train --follow        what a step prints
  dagbook why latest train                  why a step is where it is
  dagbook replay latest --verify            check the record behind a run

RUN is a run id, a unique part of one, `#12` (its number), `latest`, or `-1`, `-2`, … from the end.

Exit codes:
  0 done and succeeded   1 the run or check failed      2 the call or the file is wrong
  3 cancelled            4 store or service unavailable 5 refused
  6 evidence is damaged or does not agree";

/// An event-sourced workflow orchestrator whose history is its books
#[derive(Debug, Parser)]
#[command(
    name = "dagbook",
    version,
    after_help = EXAMPLES,
    max_term_width = 100,
    disable_help_subcommand = true,
    arg_required_else_help = true
)]
pub struct Cli {
    /// Options that every subcommand takes.
    #[command(flatten)]
    pub global: GlobalArgs,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// Options that every subcommand takes.
#[derive(Clone, clap::Args)]
#[command(next_help_heading = "Options everywhere")]
pub struct GlobalArgs {
    /// How results are printed: for people, or as JSON whose shape is documented
    #[arg(long, global = true, value_enum, value_name = "FORMAT", default_value = "text")]
    pub output: OutputFormat,
    /// The data folder [default: .dagbook/ at the repository's root, else the user data folder]
    #[arg(long, global = true, value_name = "DIR", env = "DAGBOOK_DATA", hide_env_values = true)]
    pub data: Option<PathBuf>,
    /// The configuration [default: dagbook.toml at the repository's root]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DAGBOOK_CONFIG",
        hide_env_values = true
    )]
    pub config: Option<PathBuf>,
    /// The server to act on [default: the record here]
    #[arg(long, global = true, value_name = "URL", env = "DAGBOOK_SERVER", hide_env_values = true)]
    pub server: Option<String>,
    /// The token for it; better in `DAGBOOK_TOKEN` or a file, where no other process sees it
    #[arg(long, global = true, value_name = "TOKEN")]
    pub token: Option<String>,
    /// A file with the token (also `DAGBOOK_TOKEN_FILE`)
    #[arg(long, global = true, value_name = "FILE", conflicts_with = "token")]
    pub token_file: Option<PathBuf>,
    /// The tenant to act on, for people of the site (also `DAGBOOK_TENANT`)
    #[arg(long, global = true, value_name = "TENANT")]
    pub tenant: Option<String>,
    /// Certificates (PEM) to trust the server by, beside those of this machine
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "DAGBOOK_CA_FILE",
        hide_env_values = true
    )]
    pub ca_file: Option<PathBuf>,
    /// When to use colours
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: ColorWhen,
    /// Say only what was asked for, and errors
    #[arg(short, long, global = true)]
    pub quiet: bool,
}

impl std::fmt::Debug for GlobalArgs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Without the token.
        f.debug_struct("GlobalArgs")
            .field("output", &self.output)
            .field("data", &self.data)
            .field("config", &self.config)
            .field("server", &self.server)
            .finish_non_exhaustive()
    }
}

/// How results are printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum OutputFormat {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorWhen {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a DAG file here, to its end
    Run(run::Args),
    /// Send a DAG file, with its folder, to a server
    Submit(submit::Args),
    /// Say everything that is wrong with DAG files
    Lint(lint::Args),
    /// Show what a DAG file will do, without doing it
    Plan(plan::Args),
    /// Draw a DAG file
    Graph(graph::Args),
    /// Print the JSON Schema of the DAG file
    Schema(schema::Args),
    /// List runs, newest first
    Runs(runs::Args),
    /// Show a run: summary, steps, outputs, artifacts
    Show(show::Args),
    /// Print what steps wrote
    Logs(logs::Args),
    /// Print the events of a run
    Events(events::Args),
    /// Explain why a run or a step is where it is
    Why(why::Args),
    /// Cancel a run
    Cancel(cancel::Args),
    /// Start no more steps of a run
    Pause(pause::Args),
    /// Let a paused run go on
    Resume(pause::Args),
    /// Run a run's DAG again, keeping what succeeded
    Retry(retry::Args),
    /// Answer yes to a step that waits for approval
    Approve(approve::Args),
    /// Answer no to a step that waits for approval
    Reject(approve::Args),
    /// Send a named event to a run whose step waits for it
    Signal(signal::Args),
    /// Fold a run's events and print the state at that point; or check them all
    Replay(replay::Args),
    /// Show and change what is kept for how long, and let go of the rest
    Retention(retention::Args),
    /// Compare the keepings of the record
    Audit(audit::Args),
    /// Publish what usage costs, and give it to tenants
    RateCard(rate_card::Args),
    /// Publish what was agreed with a tenant: prices, discounts, credits
    Contract(contract::Args),
    /// Open and close periods of account
    Period(period::Args),
    /// Set what a tenant may spend in each period
    Budget(budget::Args),
    /// Say what a tenant used, and what that costs
    Usage(usage::Args),
    /// Show what a tenant is to pay, and what that follows from
    Invoice(invoice::Args),
    /// Serve runs to many people: HTTP API, engine, schedules
    Serve(serve::Args),
    /// Register pipelines on a server, and run them
    Pipeline(pipeline::Args),
    /// Run registered pipelines by the clock
    Schedule(schedule::Args),
    /// Keep secrets for steps
    Secret(secret::Args),
    /// Make and change tenants
    Tenant(tenant::Args),
    /// Let people and programs in
    Token(token::Args),
    /// Bring the store's schema up to date; give rights to its roles
    Migrate(migrate::Args),
    /// Keep the second copy, the signed heads and the tiles up to date
    Relay(relay::Args),
    /// Rebuild the logs from the second copy alone, and co-sign what agrees
    Witness(witness::Args),
    /// Show the record's timeline, or begin a new one after a restore
    Timeline(timeline::Args),
    /// Check this installation
    Doctor(doctor::Args),
    /// Print a completion script for a shell
    Completions(completions::Args),
    /// Print the version
    Version(version::Args),
}
