//! Mutates DAG files for some seconds and stops at the first crash, hang or excess of memory.
//!
//! `cargo run --release -p dagbook-tests --bin fuzz_dag -- --seconds 60 --seed 1`

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use clap::Parser;
use dagbook_tests::fuzz_dag::{Random, corpus, fuzz_one, mutate};

/// Fuzzing of DAG files.
#[derive(Debug, Parser)]
struct Arguments {
    /// How long to go on.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// The seed; the same seed makes the same inputs.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// More files to start from.
    #[arg(long)]
    corpus: Option<PathBuf>,
    /// Most resident memory, in MB.
    #[arg(long, default_value_t = 200)]
    memory_mb: u64,
    /// Longest time for one input, in milliseconds.
    #[arg(long, default_value_t = 5_000)]
    input_ms: u64,
    /// Runs this one input and nothing else.
    #[arg(long)]
    input: Option<PathBuf>,
    /// Where an input that breaks something is kept.
    #[arg(long, default_value = "fuzz-dag-failure.yaml")]
    keep: PathBuf,
}

/// What runs now, for the watchdog.
type Current = Arc<Mutex<Option<(Instant, Vec<u8>)>>>;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Some(path) = &arguments.input {
        return match std::fs::read(path) {
            Ok(data) => {
                fuzz_one(&data);
                ExitCode::SUCCESS
            }
            Err(error) => {
                eprintln!("error: {}: {error}", path.display());
                ExitCode::from(2)
            }
        };
    }
    let current: Current = Arc::default();
    watch(&arguments, Arc::clone(&current));
    match fuzz(&arguments, &current) {
        Ok((inputs, slowest)) => {
            println!(
                "{inputs} inputs in {} s, seed {}, slowest {slowest:?}, peak memory {} MB",
                arguments.seconds,
                arguments.seed,
                peak_memory_mb()
            );
            ExitCode::SUCCESS
        }
        Err(reason) => {
            eprintln!("error: {reason}");
            eprintln!(
                "hint: the input is in {}; seed {}",
                arguments.keep.display(),
                arguments.seed
            );
            ExitCode::FAILURE
        }
    }
}

fn fuzz(arguments: &Arguments, current: &Current) -> Result<(u64, Duration), String> {
    let mut inputs = corpus(arguments.corpus.as_deref());
    let seeds = inputs.len();
    let mut random = Random::new(arguments.seed);
    let end = Instant::now() + Duration::from_secs(arguments.seconds);
    let (mut count, mut slowest) = (0u64, Duration::ZERO);
    while Instant::now() < end {
        let mut own = Random::new(random.bits());
        let (one, other): (&Vec<u8>, &Vec<u8>) = (random.pick(&inputs), random.pick(&inputs));
        let data = mutate(one, other, &mut own);
        let started = Instant::now();
        set(current, Some((started, data.clone())));
        let outcome = std::panic::catch_unwind(|| fuzz_one(&data));
        set(current, None);
        let took = started.elapsed();
        slowest = slowest.max(took);
        count += 1;
        let memory = peak_memory_mb();
        let broken = match outcome {
            Err(_) => Some(format!("input {count} panicked")),
            Ok(()) if took > Duration::from_millis(arguments.input_ms) => {
                Some(format!("input {count} took {took:?}"))
            }
            Ok(()) if memory > arguments.memory_mb => {
                Some(format!("at input {count} {memory} MB were resident"))
            }
            Ok(()) => None,
        };
        if let Some(reason) = broken {
            keep(arguments, &data);
            return Err(reason);
        }
        // Some results become inputs themselves, so that changes add up.
        if data.len() < 20_000 && random.below(20) == 0 {
            if inputs.len() < seeds + 400 {
                inputs.push(data);
            } else {
                let at = seeds + random.below(400);
                inputs[at] = data;
            }
        }
    }
    Ok((count, slowest))
}

fn set(current: &Current, value: Option<(Instant, Vec<u8>)>) {
    *current.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = value;
}

fn keep(arguments: &Arguments, data: &[u8]) {
    if let Err(error) = std::fs::write(&arguments.keep, data) {
        eprintln!("warning: {}: {error}", arguments.keep.display());
    }
}

/// Ends the process when one input takes ten times its bound: then it hangs.
fn watch(arguments: &Arguments, current: Current) {
    let limit = Duration::from_millis(arguments.input_ms.saturating_mul(10));
    let (keep_at, seed) = (arguments.keep.clone(), arguments.seed);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(Duration::from_millis(200));
            let now = current.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
            if let Some((started, data)) = now
                && started.elapsed() > limit
            {
                let _ = std::fs::write(&keep_at, data);
                eprintln!("error: an input hangs; it is in {}; seed {seed}", keep_at.display());
                std::process::exit(1);
            }
        }
    });
}

/// The most memory that was ever resident; zero where the system does not say.
fn peak_memory_mb() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kilobytes.unwrap_or(0) / 1_024
}
