//! The engine suite: flows of no-op steps, real processes, scale, and a cold start.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dagbook_events::journal::blobs::MemoryBlobs;
use dagbook_executors::local::{LocalConfig, LocalExecutor, ShimProgram};
use dagbook_executors::{NoSecrets, Script, ScriptedExecutor};
use dagbook_tests::harness::{Rig, StoreKind, store};

use crate::Options;
use crate::report::Report;

/// Three steps in sequence.
pub const THREE: &str = r#"
dagbook: v1
name: three
steps:
  a: { command: ["true"] }
  b: { needs: a, command: ["true"] }
  c: { needs: b, command: ["true"] }
"#;

const COMMITS: &str = "ceiling: four one-row commits";
/// What forty bare processes take, one after the other.
pub const SPAWNS: &str = "ceiling: forty bare spawns";
/// What 101 bare processes take, two at once.
pub const FAN: &str = "ceiling: 101 bare spawns, two at once";
const THREE_P50: &str = "three no-op steps in sequence, p50";
const THREE_P99: &str = "three no-op steps in sequence, p99";
const FLOWS: &str = "three no-op steps, 128 flows at once";
const FORTY: &str = "forty real processes in sequence";
const HUNDRED: &str = "100-way fan-out and join, real processes";
const COLD: &str = "cold start to first step done";

/// A part of the suite.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Flows of no-op steps on SQLite.
    Flows,
    /// Real processes, and a cold start.
    Processes,
    /// One run of ever more steps.
    Scale,
}

/// Runs the suite, or one part of it.
pub async fn run(options: &Options, program: &Path, only: Option<Part>) -> Result<Report> {
    ensure!(program.is_file(), "{} is not there; build it first", program.display());
    let mut report = Report::default();
    for round in 1..=options.rounds {
        eprintln!("round {round} of {}", options.rounds);
        let wanted = |part| only.is_none_or(|only| only == part);
        if wanted(Part::Flows) {
            commits(&mut report, &options.folder)?;
            three_in_sequence(&mut report, options).await?;
            throughput(&mut report, options).await?;
        }
        if wanted(Part::Processes) {
            processes(&mut report, options, program).await?;
        }
        if wanted(Part::Scale) {
            scale(&mut report, options).await?;
        }
    }
    report.compare(THREE_P50, COMMITS, None);
    report.compare(FORTY, SPAWNS, None);
    report.compare(HUNDRED, FAN, None);
    report.compare(&scale_name(10_000), &scale_name(100), Some(-1.2));
    report.compare(&scale_name(100_000), &scale_name(100), Some(-1.2));
    report.demand(THREE_P50, 3.0);
    report.demand(FLOWS, -2_000.0);
    report.demand(FORTY, 0.4);
    report.demand(HUNDRED, 0.5);
    report.demand(COLD, 0.3);
    Ok(report)
}

async fn processes(report: &mut Report, options: &Options, program: &Path) -> Result<()> {
    spawns(report)?;
    let took = real(&forty(), program, options, 8).await?;
    report.sample(FORTY, "s", took);
    let took = real(&hundred(), program, options, 8).await?;
    report.sample(HUNDRED, "s", took);
    cold_start(report, program, options)
}

/// Four durable one-row commits: what the record of such a flow costs at the least.
fn commits(report: &mut Report, folder: &Path) -> Result<()> {
    let folder = tempfile::tempdir_in(folder)?;
    let base = rusqlite::Connection::open(folder.path().join("bare.sqlite"))?;
    base.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; CREATE TABLE t(a INTEGER, b BLOB);",
    )?;
    let mut times = Vec::new();
    for flow in 0..100 {
        let begun = Instant::now();
        for _ in 0..4 {
            base.execute("INSERT INTO t VALUES (?1, zeroblob(700))", [flow])?;
        }
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    report.sample(COMMITS, "ms", times[times.len() / 2]);
    Ok(())
}

/// Bare processes: what running such steps costs at the least.
pub fn spawns(report: &mut Report) -> Result<()> {
    let begun = Instant::now();
    for _ in 0..40 {
        ensure!(Command::new("true").status()?.success(), "`true` failed");
    }
    report.sample(SPAWNS, "s", begun.elapsed().as_secs_f64());
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let _ = Command::new("true").status();
                }
            });
        }
    });
    Command::new("true").status()?;
    report.sample(FAN, "s", begun.elapsed().as_secs_f64());
    Ok(())
}

fn noop() -> Arc<ScriptedExecutor> {
    Arc::new(ScriptedExecutor::new("local", Script::new()))
}

/// One flow at a time on SQLite; each waits for the end to be durable.
async fn three_in_sequence(report: &mut Report, options: &Options) -> Result<()> {
    let flows = if options.short { 40 } else { 200 };
    let folder = tempfile::tempdir_in(&options.folder)?;
    let rig = Rig::scripted(&StoreKind::Sqlite(folder.path()), noop(), 1_000)?;
    let mut times = Vec::new();
    for _ in 0..flows {
        let submitted = rig.prepare(THREE, BTreeMap::new())?;
        let begun = Instant::now();
        rig.run(submitted).await?;
        times.push(begun.elapsed().as_secs_f64() * 1e3);
    }
    times.sort_by(f64::total_cmp);
    report.sample(THREE_P50, "ms", times[times.len() / 2]);
    report.sample(THREE_P99, "ms", times[times.len() * 99 / 100]);
    rig.runtime.shutdown().await;
    Ok(())
}

/// Many flows at once on SQLite.
async fn throughput(report: &mut Report, options: &Options) -> Result<()> {
    let flows = if options.short { 1_000 } else { 4_000 };
    let folder = tempfile::tempdir_in(&options.folder)?;
    let rig = Arc::new(Rig::scripted(&StoreKind::Sqlite(folder.path()), noop(), 100_000)?);
    let begun = Instant::now();
    flood(&rig, flows, 128).await?;
    report.sample(FLOWS, "flows/s", flows as f64 / begun.elapsed().as_secs_f64());
    rig.runtime.shutdown().await;
    Ok(())
}

/// Submits so many flows of three steps, so many at once, and waits for their ends.
pub async fn flood(rig: &Arc<Rig>, flows: usize, at_once: usize) -> Result<()> {
    let mut watch = rig.runtime.watch();
    let (mut begun, mut ended) = (0, 0);
    while ended < flows {
        while begun < flows && begun - ended < at_once {
            let submitted = rig.prepare(THREE, BTreeMap::new())?;
            let runtime = rig.runtime.clone();
            let person = rig.deps.person.clone();
            tokio::spawn(async move { runtime.submit(submitted, &person).await });
            begun += 1;
        }
        let seen = watch.recv().await.context("the orchestrator stopped")?;
        if let dagbook::runtime::Watch::Recorded { facts, .. } = seen {
            let finished = |f: &&dagbook_events::run::RunFact| {
                matches!(f.event, dagbook_events::run::RunEvent::Finished(_))
            };
            ended += facts.iter().filter(finished).count();
        }
    }
    Ok(())
}

fn local(folder: &Path, program: &Path) -> Result<Arc<LocalExecutor>> {
    let blobs = Arc::new(MemoryBlobs::default());
    let mut config = LocalConfig::new(folder, blobs, Arc::new(NoSecrets))?;
    config.shim = ShimProgram { program: program.to_path_buf(), args: vec!["shim".to_string()] };
    Ok(Arc::new(LocalExecutor::new(config)?))
}

async fn real(dag: &str, program: &Path, options: &Options, slots: u32) -> Result<f64> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let executor = local(folder.path(), program)?;
    let store = store(&StoreKind::Sqlite(folder.path()))?;
    let rig = Rig::new(store, Arc::new(MemoryBlobs::default()), executor, slots);
    let submitted = rig.prepare_in(dag, BTreeMap::new(), Some(folder.path()))?;
    let begun = Instant::now();
    let run = rig.run(submitted).await?;
    let took = begun.elapsed().as_secs_f64();
    let state = dagbook_events::run::fold(&rig.recorder.facts(&rig.deps.tenant, run).await?);
    ensure!(
        state.status() == Some(dagbook_events::run::RunStatus::Succeeded),
        "the run did not succeed"
    );
    rig.runtime.shutdown().await;
    Ok(took)
}

/// Forty steps in sequence.
pub fn forty() -> String {
    let mut dag = "dagbook: v1\nname: forty\nsteps:\n".to_string();
    for step in 0..40 {
        let needs = if step > 0 { format!("needs: s{}, ", step - 1) } else { String::new() };
        dag.push_str(&format!("  s{step}: {{ {needs}command: [\"true\"] }}\n"));
    }
    dag
}

/// A fan-out of a hundred, and a step behind it.
pub fn hundred() -> String {
    let numbers: Vec<String> = (0..100).map(|n| n.to_string()).collect();
    format!(
        "dagbook: v1\nname: fan\nsteps:\n  each: {{ matrix: {{ n: [{}] }}, \
         command: [\"true\"] }}\n  join: {{ needs: each, command: [\"true\"] }}\n",
        numbers.join(", ")
    )
}

fn scale_name(size: usize) -> String {
    format!("one run of {size} no-op steps, in memory")
}

/// One run of so many steps, in memory: cost per step.
async fn scale(report: &mut Report, options: &Options) -> Result<()> {
    let sizes: &[usize] = if options.short { &[100, 10_000] } else { &[100, 10_000, 100_000] };
    for size in sizes {
        report.sample(&scale_name(*size), "µs/step", per_step(*size).await?);
    }
    Ok(())
}

async fn per_step(size: usize) -> Result<f64> {
    // Small runs are repeated, so that what is measured is more than one start-up.
    let repeats = (5_000 / size).max(1);
    let rig = Rig::scripted(&StoreKind::Memory, noop(), 64)?;
    let halves = if size > 50_000 { 2 } else { 1 };
    let mut dag = "dagbook: v1\nname: scale\nsteps:\n".to_string();
    let cells: Vec<String> = (0..size / halves).map(|n| n.to_string()).collect();
    for half in 0..halves {
        let cells = cells.join(", ");
        dag.push_str(&format!(
            "  s{half}: {{ matrix: {{ n: [{cells}] }}, command: [\"true\"] }}\n"
        ));
    }
    let mut total = Duration::ZERO;
    for _ in 0..repeats {
        let submitted = rig.prepare(&dag, BTreeMap::new())?;
        let begun = Instant::now();
        rig.run(submitted).await?;
        total += begun.elapsed();
    }
    rig.runtime.shutdown().await;
    Ok(total.as_secs_f64() * 1e6 / (size * repeats) as f64)
}

/// From the start of the program to the end of its first step, on an empty folder.
fn cold_start(report: &mut Report, program: &Path, options: &Options) -> Result<()> {
    let folder = tempfile::tempdir_in(&options.folder)?;
    let dag: PathBuf = folder.path().join("dag.yaml");
    let text = "dagbook: v1\nname: cold\nsteps:\n  a: { run: \"date +%s%N > done\" }\n";
    std::fs::write(&dag, text)?;
    let begun = std::time::SystemTime::now();
    let status = Command::new(program)
        .arg("run")
        .arg(&dag)
        .env("DAGBOOK_DATA", folder.path().join("data"))
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()?;
    ensure!(status.success(), "the run failed");
    let done: u128 = std::fs::read_to_string(folder.path().join("done"))?.trim().parse()?;
    let begun = begun.duration_since(std::time::UNIX_EPOCH)?.as_nanos();
    report.sample(COLD, "s", done.saturating_sub(begun) as f64 / 1e9);
    Ok(())
}
