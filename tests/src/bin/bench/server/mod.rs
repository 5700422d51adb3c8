//! The suite `server`: the real program behind its HTTP API, on its real stores, asked by a
//! client that keeps its connections.
//!
//! A configuration offers one executor, the local one, so a step with an attempt is a real
//! process here. What the server itself costs is seen by steps that wait for an instant that has
//! passed: they are due, held, awaited and recorded like others, and start nothing.

mod ceilings;
mod client;
mod crowd;
mod flows;
mod history;
mod quiet;
mod served;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Result, ensure};
use clap::{Args, ValueEnum};

use self::served::{Served, Site};
use crate::Options;
use crate::engine;
use crate::report::Report;

const FORTY: &str = "forty real processes in sequence, over HTTP";
const HUNDRED: &str = "100-way fan-out and join, real, over HTTP";

/// Where the server keeps its record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StoreChoice {
    /// Postgres with JetStream beside it, both of the benchmark's own.
    Postgres,
    /// A file.
    Sqlite,
}

/// A part of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Part {
    /// From the start to the first answer and the first step.
    Cold,
    /// Nobody asks anything.
    Idle,
    /// Flows of three steps, one at a time and many at once; steps of long runs.
    Flows,
    /// Many real processes in one run.
    Processes,
    /// A thousand runs at one time.
    Crowd,
    /// The same flows behind millions of finished steps. Takes minutes and gigabytes, and is left
    /// out where it is not named.
    History,
}

/// What the server suite takes besides.
#[derive(Args, Clone)]
pub struct ServerOptions {
    #[command(flatten)]
    pub common: Options,
    /// The program that serves and runs steps [default: `dagbook` beside this one].
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Where the server keeps its record.
    #[arg(long, value_enum, default_value = "postgres")]
    store: StoreChoice,
    /// Measures only these parts, by commas.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<Part>,
    /// Callers at once, where many ask.
    #[arg(long, default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    callers: u16,
    /// Runs that are open at one time in the part `crowd`.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    runs: u32,
    /// How long the server is left alone in the part `idle`, in seconds [default: 30; 10 with
    /// --short].
    #[arg(long, value_name = "S", value_parser = clap::value_parser!(u64).range(1..=3_600))]
    idle_s: Option<u64>,
    /// Finished steps in the part `history` [default: 3000000; 30000 with --short].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1_000..=100_000_000))]
    steps: Option<u32>,
}

impl ServerOptions {
    fn wants(&self, part: Part) -> bool {
        self.only.is_empty() || self.only.contains(&part)
    }

    /// Steps of the history.
    fn steps(&self) -> u32 {
        self.steps.unwrap_or(if self.common.short { 30_000 } else { 3_000_000 })
    }

    fn idle(&self) -> Duration {
        Duration::from_secs(self.idle_s.unwrap_or(if self.common.short { 10 } else { 30 }))
    }
}

/// Runs all rounds, each with servers and a record of its own.
pub async fn run(options: &ServerOptions) -> Result<Report> {
    let program = match &options.program {
        Some(program) => program.clone(),
        None => std::env::current_exe()?.with_file_name("dagbook"),
    };
    ensure!(program.is_file(), "{} is not there; build it first", program.display());
    // The server has a working folder of its own.
    let program = program.canonicalize()?;
    let mut report = Report::default();
    for round in 1..=options.common.rounds {
        eprintln!("round {round} of {}", options.common.rounds);
        one_round(&mut report, options, &program).await?;
        if round == 1 && options.only.contains(&Part::History) {
            history_of(&mut report, options, &program).await?;
        }
    }
    judge(&mut report);
    Ok(report)
}

async fn one_round(report: &mut Report, options: &ServerOptions, program: &Path) -> Result<()> {
    let folder = &options.common.folder;
    let site = tokio::task::block_in_place(|| Site::new(options.store, folder))?;
    let served = Served::start(program, &site).await?;
    if options.wants(Part::Cold) {
        quiet::cold(report, &served).await?;
    }
    if options.wants(Part::Idle) {
        quiet::idle(report, &served, options.idle()).await?;
    }
    if options.wants(Part::Flows) {
        ceilings::commits(report, &site).await?;
        ceilings::requests(report, &served.client).await?;
        ceilings::three_spawns(report)?;
        flows::measure(report, options, &served).await?;
    }
    if options.wants(Part::Processes) {
        engine::spawns(report)?;
        for (name, dag) in [(FORTY, engine::forty()), (HUNDRED, engine::hundred())] {
            let took = flows::flow(&served.client, &dag).await?;
            report.sample(name, "s", took.as_secs_f64());
        }
    }
    if options.wants(Part::Crowd) {
        crowd::measure(report, options, &served).await?;
    }
    served.stop().await
}

/// Behind a record of its own, once.
async fn history_of(report: &mut Report, options: &ServerOptions, program: &Path) -> Result<()> {
    let folder = &options.common.folder;
    let site = tokio::task::block_in_place(|| Site::new(options.store, folder))?;
    let served = Served::start(program, &site).await?;
    history::measure(report, options, &served).await?;
    served.stop().await
}

fn judge(report: &mut Report) {
    history::judge(report);
    flows::judge(report);
    report.compare(FORTY, engine::SPAWNS, None);
    report.compare(HUNDRED, engine::FAN, None);
    report.demand(FORTY, 0.4);
    report.demand(HUNDRED, 0.5);
    quiet::judge(report);
}

/// The value below which so many of a hundred lie.
fn percentile(values: &mut [f64], percent: usize) -> f64 {
    values.sort_by(f64::total_cmp);
    let last = values.len().saturating_sub(1);
    values.get((values.len() * percent / 100).min(last)).copied().unwrap_or(f64::NAN)
}
