//! The beginning, and what a server costs that nobody asks anything.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::served::Served;
use crate::report::Report;

const READY: &str = "cold start to the first yes of readyz";
const FIRST: &str = "cold start to first step done, over HTTP";
const RESIDENT: &str = "idle: resident memory";
const CPU: &str = "idle: processor";

/// How long a server that has just begun is left to come to rest.
const SETTLE: Duration = Duration::from_secs(3);

const ONE: &str = "dagbook: v1\nname: one\nsteps:\n  a: { command: [\"true\"] }\n";

/// The first answer, and the first step. `served` must have just been started.
pub async fn cold(report: &mut Report, served: &Served) -> Result<()> {
    report.sample(READY, "s", served.ready_after.as_secs_f64());
    // A client that knows its token needs no more than this from the start on; what reading the
    // announcement took lies between and is not much.
    let begun = Instant::now();
    let run = served.client.submit(ONE).await?;
    let done = served.client.follow(&run, "attempt.exited").await?.duration_since(begun);
    report.sample(FIRST, "s", (served.ready_after + done).as_secs_f64());
    Ok(())
}

/// Leaves it alone.
pub async fn idle(report: &mut Report, served: &Served, span: Duration) -> Result<()> {
    tokio::time::sleep(SETTLE).await;
    let (before, begun) = (served.cpu()?, Instant::now());
    tokio::time::sleep(span).await;
    let used = served.cpu()?.saturating_sub(before);
    ensure!(served.client.is_ready().await, "the server is not ready any more");
    report.sample(CPU, "% of a core", used.as_secs_f64() * 100.0 / begun.elapsed().as_secs_f64());
    report.sample(RESIDENT, "MiB", served.memory()?.0);
    Ok(())
}

/// What is demanded.
pub fn judge(report: &mut Report) {
    report.demand(FIRST, 0.3);
    report.demand(RESIDENT, 60.0);
    report.demand(CPU, 0.5);
}
