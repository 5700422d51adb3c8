//! The benchmark program: every figure beside a ceiling that was measured in the same run.
//!
//! `target/release/bench record|engine|server|admission|rating|verify [--short] [--json FILE]` (see
//! `ops/bench/README.md`),
//! and for the production stores `bench record --store postgres: --bus nats:`.

mod admission;
mod engine;
mod processor;
mod rating;
mod record;
mod report;
mod server;
mod verify;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};

/// Many small facts live long beside many that do not: an allocator for that keeps the cost of
/// a step flat in the size of the run.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures dagbook against the ceilings of this machine.
#[derive(Parser)]
struct Bench {
    #[command(subcommand)]
    suite: Suite,
}

#[derive(Subcommand)]
enum Suite {
    /// Appends, scans and trees on SQLite and in memory, or on Postgres and JetStream.
    Record(record::RecordOptions),
    /// Flows of steps, real processes, scale, and a cold start.
    Engine(EngineOptions),
    /// `dagbook serve` over HTTP: flows, processes, a thousand runs, and nothing to do.
    Server(server::ServerOptions),
    /// Admission alone, with 1,000 tenants.
    Admission(Options),
    /// Rating alone: leaves through the ledger, slices, lines.
    Rating(Options),
    /// A bundle checked from its files to the last cent.
    Verify(verify::VerifyOptions),
}

/// What the engine suite takes besides.
#[derive(Args, Clone)]
struct EngineOptions {
    #[command(flatten)]
    common: Options,
    /// The program that runs steps [default: `dagbook` beside this one].
    #[arg(long, value_name = "PATH")]
    program: Option<PathBuf>,
    /// Measures only this part.
    #[arg(long, value_enum)]
    only: Option<engine::Part>,
}

/// What all suites take.
#[derive(Args, Clone)]
struct Options {
    /// A fifth of the time, for a first impression.
    #[arg(long)]
    short: bool,
    /// Rounds; each figure is the median over them.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(5..))]
    rounds: u16,
    /// Writes all samples to this file, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Folder for the files that are measured; its disk is what counts.
    #[arg(long, value_name = "DIR", default_value_os_t = std::env::temp_dir())]
    folder: PathBuf,
}

impl Options {
    /// How long each sample lasts.
    fn span(&self) -> Duration {
        Duration::from_millis(if self.short { 200 } else { 1_000 })
    }
}

fn main() -> anyhow::Result<()> {
    let suite = Bench::parse().suite;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (report, options) = match suite {
        Suite::Record(options) => (runtime.block_on(record::run(&options))?, options.common),
        Suite::Server(options) => (runtime.block_on(server::run(&options))?, options.common),
        Suite::Admission(options) => (admission::run(&options)?, options),
        Suite::Rating(options) => (rating::run(&options)?, options),
        Suite::Verify(options) => (verify::run(&options)?, options.common),
        Suite::Engine(options) => {
            let program = match options.program {
                Some(program) => program,
                None => std::env::current_exe()?.with_file_name("dagbook"),
            };
            (
                runtime.block_on(engine::run(&options.common, &program, options.only))?,
                options.common,
            )
        }
    };
    print!("{}", report.table());
    if let Some(path) = &options.json {
        std::fs::write(path, report.json_lines()?)?;
        eprintln!("samples are in {}", path.display());
    }
    Ok(())
}
