//! Plays seeds of the simulation for as long as one likes.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clap::Parser;
use dagbook_tests::sim;

/// Plays seeds of the simulation.
#[derive(Parser)]
struct Args {
    /// One seed.
    #[arg(long)]
    seed: Option<u64>,
    /// With one seed: print everything that happens.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// Seeds from A up to, without, B.
    #[arg(long, value_name = "A..B", value_parser = range)]
    seeds: Option<std::ops::Range<u64>>,
    /// Play seeds for so many minutes, from the first that was asked for.
    #[arg(long)]
    minutes: Option<u64>,
    /// Instead of seeds: one run of each size, with its cost and its time.
    #[arg(
        long, value_name = "STEPS", value_delimiter = ',', num_args = 0..,
        default_missing_values = ["100", "10000", "100000"]
    )]
    scale: Option<Vec<u64>>,
    /// Go on after a seed that breaks something.
    #[arg(long)]
    keep_going: bool,
}

fn range(text: &str) -> Result<std::ops::Range<u64>, String> {
    let wrong = || format!("`{text}` is not a range such as 0..2000");
    let (from, to) = text.split_once("..").ok_or_else(wrong)?;
    Ok(from.parse().map_err(|_| wrong())?..to.parse().map_err(|_| wrong())?)
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let (Some(seed), true) = (args.seed, args.trace) {
        let (lines, broken) = sim::tell(seed);
        for line in lines {
            println!("{line}");
        }
        return verdict(broken);
    }
    if let Some(sizes) = &args.scale {
        return scale(sizes);
    }
    let first = args.seeds.as_ref().map_or(0, |seeds| seeds.start);
    let seeds = match (args.seed, args.minutes) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => first..u64::MAX,
        (None, None) => args.seeds.clone().unwrap_or(0..2_000),
    };
    let limit = args.minutes.map(|minutes| Duration::from_secs(minutes * 60));
    play(seeds, limit, args.keep_going)
}

fn play(seeds: std::ops::Range<u64>, limit: Option<Duration>, keep_going: bool) -> ExitCode {
    let began = Instant::now();
    let (mut played, mut steps, mut broken) = (0u64, 0u64, 0u64);
    let mut coverage = sim::Coverage::default();
    for seed in seeds {
        if limit.is_some_and(|limit| began.elapsed() > limit) {
            break;
        }
        played += 1;
        match sim::play(seed, None) {
            Ok(outcome) => {
                steps += outcome.steps;
                coverage.add(&outcome.coverage);
            }
            Err(failure) => {
                broken += 1;
                println!("{failure}\n");
                if !keep_going {
                    return ExitCode::FAILURE;
                }
            }
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    eprintln!("{played} seeds, {steps} steps, {broken} broken, {seconds:.1} s");
    eprintln!("events {:?}", coverage.events);
    eprintln!("commands {:?}", coverage.asks);
    eprintln!("happened {:?}", coverage.marks);
    if broken == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn scale(sizes: &[u64]) -> ExitCode {
    for units in sizes.iter().copied() {
        let began = Instant::now();
        let cost = sim::scale::run(units);
        let spent = began.elapsed();
        let each = spent.as_secs_f64() * 1e6 / units as f64;
        println!("{units} steps: {:.2} s, {each:.1} µs a step; {cost:?}", spent.as_secs_f64());
    }
    ExitCode::SUCCESS
}

fn verdict(broken: Option<String>) -> ExitCode {
    match broken {
        None => ExitCode::SUCCESS,
        Some(broken) => {
            println!("BROKEN: {broken}");
            ExitCode::FAILURE
        }
    }
}
