//! The law book of the port: the cases of `executors.md`, 9.9, for any executor.
//!
//! ```ignore
//! let verdict = run_all(&factory, &[Declared { case: 11, reason: "no memory limit here" }]).await;
//! assert!(verdict.failed().is_empty(), "{verdict}");
//! ```
//!
//! A case that an executor cannot pass is *declared*, with its reason. A declaration for a case
//! that does not exist is a failure, and so is one that gives no reason.

mod blobs;
mod cases;
mod clock;
mod local;
mod scripted;
mod spec;
mod watch;
mod world;

use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use blobs::MemoryBlobs;
pub use clock::TestClock;
pub use local::{LocalFactory, LocalWorld};
pub use scripted::ScriptedFactory;
pub use spec::{command, shell};
pub use watch::Watch;
pub use world::{Act, Factory, Setup, World};

use cases::{CASES, Kind};

/// A case that an executor does not have to pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Declared {
    /// Its number.
    pub case: u8,
    /// Why.
    pub reason: &'static str,
}

/// What became of a case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// It holds.
    Passed,
    /// It does not apply to this executor.
    Declared(String),
    /// It is no matter of a pushed executor on one machine: shown where it says.
    Elsewhere(&'static str),
    /// It does not hold.
    Failed(String),
}

/// One case's result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Number in `executors.md`, 9.9.
    pub case: u8,
    /// Its name.
    pub name: &'static str,
    /// What became of it.
    pub finding: Finding,
    /// How long it took.
    pub took: Duration,
}

/// What became of all cases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// The executor.
    pub executor: String,
    /// Every case, by number.
    pub entries: Vec<Entry>,
}

impl Verdict {
    /// The cases that do not hold.
    pub fn failed(&self) -> Vec<&Entry> {
        self.entries.iter().filter(|e| matches!(e.finding, Finding::Failed(_))).collect()
    }

    /// How many hold.
    pub fn passed(&self) -> usize {
        self.entries.iter().filter(|e| e.finding == Finding::Passed).count()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "executor {}: {} passed", self.executor, self.passed())?;
        for entry in &self.entries {
            let (word, detail) = match &entry.finding {
                Finding::Passed => ("passed", ""),
                Finding::Declared(reason) => ("declared", reason.as_str()),
                Finding::Elsewhere(place) => ("elsewhere", *place),
                Finding::Failed(error) => ("FAILED", error.as_str()),
            };
            let (case, name, ms) = (entry.case, entry.name, entry.took.as_millis());
            writeln!(f, "{case:>3} {word:<9} {ms:>6} ms  {name}  {detail}")?;
        }
        Ok(())
    }
}

/// Longest time for one case.
fn case_bound() -> Duration {
    Duration::from_secs(if deep() { 1_200 } else { 120 })
}

/// Runs every case; those that measure time or this process run alone, at the end.
pub async fn run_all(factory: &Arc<dyn Factory>, declared: &[Declared]) -> Verdict {
    let permits = Arc::new(tokio::sync::Semaphore::new(3));
    let mut running = Vec::new();
    let mut entries = Vec::new();
    for case in CASES {
        let entry =
            |finding| Entry { case: case.number, name: case.name, finding, took: Duration::ZERO };
        let excuse = declared.iter().find(|d| d.case == case.number);
        match (case.kind, excuse) {
            (Kind::Elsewhere(place), _) => entries.push(entry(Finding::Elsewhere(place))),
            (_, Some(d)) if d.reason.is_empty() => {
                entries.push(entry(Finding::Failed("declared without a reason".to_string())));
            }
            (_, Some(d)) => entries.push(entry(Finding::Declared(d.reason.to_string()))),
            (Kind::Alone(_), None) => {}
            (Kind::Together(run), None) => {
                let (factory, permits) = (Arc::clone(factory), Arc::clone(&permits));
                running.push(tokio::spawn(async move {
                    let _permit = permits.acquire_owned().await;
                    let (finding, took) = timed(run(factory)).await;
                    Entry { case: case.number, name: case.name, finding, took }
                }));
            }
        }
    }
    for task in running {
        match task.await {
            Ok(entry) => entries.push(entry),
            Err(error) => entries.push(panicked(&error.to_string())),
        }
    }
    for case in CASES.iter().filter(|c| declared.iter().all(|d| d.case != c.number)) {
        if let Kind::Alone(run) = case.kind {
            let (finding, took) = timed(run(Arc::clone(factory))).await;
            entries.push(Entry { case: case.number, name: case.name, finding, took });
        }
    }
    for d in declared.iter().filter(|d| CASES.iter().all(|c| c.number != d.case)) {
        entries.push(panicked(&format!("declared case {} does not exist", d.case)));
    }
    entries.sort_by_key(|entry| entry.case);
    Verdict { executor: factory.name().to_string(), entries }
}

async fn timed(run: cases::Running) -> (Finding, Duration) {
    let began = Instant::now();
    let finding = match tokio::time::timeout(case_bound(), run).await {
        Ok(Ok(())) => Finding::Passed,
        Ok(Err(error)) => Finding::Failed(error),
        Err(_) => Finding::Failed(format!("no result within {:?}", case_bound())),
    };
    (finding, began.elapsed())
}

fn panicked(error: &str) -> Entry {
    let finding = Finding::Failed(error.to_string());
    Entry { case: 0, name: "a case that did not return", finding, took: Duration::ZERO }
}

/// Whether the long form was asked for (`DAGBOOK_DEEP=1`).
pub fn deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}
