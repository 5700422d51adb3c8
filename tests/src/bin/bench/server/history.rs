//! Whether a long history makes a server slower: the same flows on an empty record, and on one in
//! which millions of steps have ended.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use super::ServerOptions;
use super::flows::{LIGHT, at_once, long_steps, one_at_a_time};
use super::percentile;
use super::served::Served;
use crate::report::Report;

const EMPTY: &str = "three steps without a process, p50, empty record";
const FULL: &str = "three steps without a process, p50, behind the history";
const FILLED: &str = "steps of the history, as they were made";
const REST: &str = "from the last step of the history to rest";
const MEMORY: &str = "memory behind the history";

/// Samples on either side: the history is made once, because that takes minutes.
const SAMPLES: usize = 5;
/// Long runs at one time while it is made.
const AT_ONCE: usize = 16;
/// How long the machine is looked at to find out whether it rests.
const LOOK: Duration = Duration::from_secs(3);
/// The most of its processors that is at work then.
const AT_REST: f64 = 0.03;
/// The longest time that copy, tiles and Postgres' own upkeep may take.
const LONGEST: Duration = Duration::from_secs(300);

/// Measures it.
pub async fn measure(report: &mut Report, options: &ServerOptions, served: &Served) -> Result<()> {
    let client = &served.client;
    let flows = if options.common.short { 40 } else { 300 };
    // What is remembered after the first is remembered on both sides.
    one_at_a_time(client, LIGHT, flows).await?;
    for _ in 0..SAMPLES {
        let mut times = one_at_a_time(client, LIGHT, flows).await?;
        report.sample(EMPTY, "ms", percentile(&mut times, 50));
    }
    let (dag, steps) = long_steps();
    let runs = (options.steps() as usize).div_ceil(steps);
    eprintln!("{runs} runs of {steps} steps");
    let begun = Instant::now();
    at_once(client, &dag, runs, AT_ONCE).await?;
    report.sample(FILLED, "steps/s", (runs * steps) as f64 / begun.elapsed().as_secs_f64());
    report.sample(REST, "s", rest().await?.as_secs_f64());
    for _ in 0..SAMPLES {
        let mut times = one_at_a_time(client, LIGHT, flows).await?;
        report.sample(FULL, "ms", percentile(&mut times, 50));
    }
    report.sample(MEMORY, "MiB", served.memory()?.0);
    Ok(())
}

/// Waits until the copy, the tiles and Postgres' own upkeep have come to rest.
async fn rest() -> Result<Duration> {
    let begun = Instant::now();
    while begun.elapsed() < LONGEST {
        let before = processors()?;
        tokio::time::sleep(LOOK).await;
        let after = processors()?;
        let share = (after.0 - before.0) as f64 / (after.1 - before.1).max(1) as f64;
        if share < AT_REST {
            return Ok(begun.elapsed());
        }
    }
    bail!("the machine did not come to rest in {} s", LONGEST.as_secs())
}

/// Ticks of all processors since the machine began: at work, and all.
fn processors() -> Result<(u64, u64)> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().and_then(|line| line.strip_prefix("cpu "));
    let line = line.context("/proc/stat has no line of all processors")?;
    let ticks: Vec<u64> = line.split_whitespace().map(str::parse).collect::<Result<_, _>>()?;
    // Idle, and idle because of a disk, are the fourth and the fifth.
    let all = ticks.iter().take(8).sum::<u64>();
    let idle = ticks.iter().skip(3).take(2).sum::<u64>();
    Ok((all - idle, all))
}

/// What is demanded.
pub fn judge(report: &mut Report) {
    report.compare(FULL, EMPTY, Some(-1.1));
}
