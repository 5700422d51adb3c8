//! Flows of three steps: one at a time, and many at once; and steps of long runs.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use dagbook_events::time::Timestamp;
use tokio::task::JoinSet;

use super::client::{Client, Told};
use super::served::Served;
use super::{ServerOptions, ceilings, percentile};
use crate::engine::THREE;
use crate::report::Report;

/// Three steps in sequence that start nothing: each waits for an instant that has passed.
pub const LIGHT: &str = r#"
dagbook: v1
name: light
steps:
  a: { wait: { until: "2000-01-01T00:00:00Z" } }
  b: { needs: a, wait: { until: "2000-01-01T00:00:00Z" } }
  c: { needs: b, wait: { until: "2000-01-01T00:00:00Z" } }
"#;

const LIGHT_P50: &str = "three steps without a process, p50";
const LIGHT_P99: &str = "three steps without a process, p99";
const LIGHT_MANY: &str = "three steps without a process, many callers";
const LIGHT_STEPS: &str = "steps without a process, runs of 100";
const REAL_P50: &str = "three real processes, p50";
const REAL_P99: &str = "three real processes, p99";
const REAL_MANY: &str = "three real processes, many callers";
const REAL_STEPS: &str = "steps of real processes, many callers";
const DISPATCH_P99: &str = "from due to started, real, 8 callers, p99";

/// Callers that do not fill the places of a small machine more than once.
const FEW: usize = 8;
/// Chains side by side in a long run, and steps in each.
const CHAINS: usize = 10;
/// Long runs at one time.
const LONG_AT_ONCE: usize = 16;

/// Measures all of it.
pub async fn measure(report: &mut Report, options: &ServerOptions, served: &Served) -> Result<()> {
    let (client, short) = (&served.client, options.common.short);
    let callers = usize::from(options.callers);
    let size = |short_size: usize, size: usize| if short { short_size } else { size };

    let mut times = one_at_a_time(client, LIGHT, size(40, 200)).await?;
    report.sample(LIGHT_P50, "ms", percentile(&mut times, 50));
    report.sample(LIGHT_P99, "ms", percentile(&mut times, 99));
    let (rate, _) = at_once(client, LIGHT, size(500, 4_000), callers).await?;
    report.sample(LIGHT_MANY, "flows/s", rate);
    let (long, steps) = long_steps();
    let (rate, _) = at_once(client, &long, size(32, 160), LONG_AT_ONCE).await?;
    report.sample(LIGHT_STEPS, "steps/s", rate * steps as f64);

    let mut times = one_at_a_time(client, THREE, size(20, 100)).await?;
    report.sample(REAL_P50, "ms", percentile(&mut times, 50));
    report.sample(REAL_P99, "ms", percentile(&mut times, 99));
    let (rate, _) = at_once(client, THREE, size(100, 400), callers).await?;
    report.sample(REAL_MANY, "flows/s", rate);
    report.sample(REAL_STEPS, "steps/s", rate * 3.0);
    let (_, runs) = at_once(client, THREE, size(40, 200), FEW).await?;
    let mut waits = Vec::new();
    for run in &runs {
        waits.extend(dispatches(&client.events(run).await?)?);
    }
    report.sample(DISPATCH_P99, "ms", percentile(&mut waits, 99));
    Ok(())
}

/// What is demanded, and what stands beside what.
pub fn judge(report: &mut Report) {
    report.compare(LIGHT_P50, ceilings::COMMITS, None);
    report.compare(LIGHT_P50, ceilings::REQUESTS, None);
    report.compare(REAL_P50, ceilings::SPAWNS, None);
    report.demand(LIGHT_P50, 4.0);
    report.demand(LIGHT_MANY, -2_000.0);
    report.demand(LIGHT_STEPS, -5_000.0);
    report.demand(DISPATCH_P99, 50.0);
}

/// From the request to the moment at which its caller hears that the run has ended.
pub async fn flow(client: &Client, dag: &str) -> Result<Duration> {
    let begun = Instant::now();
    let run = client.submit(dag).await?;
    Ok(client.follow(&run, "run.finished").await?.duration_since(begun))
}

pub async fn one_at_a_time(client: &Client, dag: &str, flows: usize) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    for _ in 0..flows {
        times.push(flow(client, dag).await?.as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Flows a second with so many callers, each of which waits for the end of its flow; and the
/// runs.
pub async fn at_once(
    client: &Client,
    dag: &str,
    flows: usize,
    callers: usize,
) -> Result<(f64, Vec<String>)> {
    let left = Arc::new(AtomicUsize::new(flows));
    let begun = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers.min(flows) {
        let (client, dag, left) = (client.clone(), dag.to_string(), left.clone());
        tasks.spawn(async move {
            let mut runs = Vec::new();
            let less = |left: usize| left.checked_sub(1);
            while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok() {
                let run = client.submit(&dag).await?;
                client.follow(&run, "run.finished").await?;
                runs.push(run);
            }
            anyhow::Ok(runs)
        });
    }
    let mut runs = Vec::with_capacity(flows);
    while let Some(done) = tasks.join_next().await {
        runs.extend(done??);
    }
    let rate = flows as f64 / begun.elapsed().as_secs_f64();
    ensure!(runs.len() == flows, "{} of {flows} flows were run", runs.len());
    Ok((rate, runs))
}

/// A run of a hundred steps in ten chains, and how many those are.
pub fn long_steps() -> (String, usize) {
    let mut dag = "dagbook: v1\nname: long\nsteps:\n".to_string();
    for chain in 0..CHAINS {
        for step in 0..CHAINS {
            let needs = match step {
                0 => String::new(),
                _ => format!("needs: c{chain}s{}, ", step - 1),
            };
            dag.push_str(&format!(
                "  c{chain}s{step}: {{ {needs}wait: {{ until: \"2000-01-01T00:00:00Z\" }} }}\n"
            ));
        }
    }
    (dag, CHAINS * CHAINS)
}

/// Of each step of a chain, how long after it was due its process ran, in milliseconds.
fn dispatches(events: &[Told]) -> Result<Vec<f64>> {
    let mut due = None;
    let mut waits = Vec::new();
    for told in events {
        let at = || Timestamp::parse_rfc3339(&told.at).context("an instant");
        match told.event.as_str() {
            "run.submitted" | "attempt.exited" => due = Some(at()?),
            "attempt.started" => {
                let due = due.take().with_context(|| format!("{:?} was never due", told.step))?;
                waits.push(at()?.since(due).0 as f64);
            }
            _ => {}
        }
    }
    ensure!(!waits.is_empty(), "no attempt was started");
    Ok(waits)
}
