//! A thousand runs that are open at one time, then all go on at once, and all end.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::ServerOptions;
use super::served::Served;
use crate::report::Report;

/// Held until it is told to go on; then one real process.
const HELD: &str = r#"
dagbook: v1
name: crowd
steps:
  hold: { wait: { event: go } }
  work: { needs: hold, command: ["true"] }
"#;

const SUBMITTED: &str = "crowd: submissions";
const ENDED: &str = "crowd: from the first signal to the last end";
const RATE: &str = "crowd: ends";
const PEAK: &str = "crowd: memory at its most";
const OPEN: &str = "crowd: memory with all open";

/// Measures it.
pub async fn measure(report: &mut Report, options: &ServerOptions, served: &Served) -> Result<()> {
    let (client, callers) = (&served.client, usize::from(options.callers));
    let wanted = options.runs as usize;
    let before = client.finished().await?;
    let begun = Instant::now();
    let runs: Vec<String> = stream::iter(0..wanted)
        .map(|_| client.submit(HELD))
        .buffer_unordered(callers)
        .try_collect()
        .await?;
    report.sample(SUBMITTED, "runs/s", wanted as f64 / begun.elapsed().as_secs_f64());
    let ended = client.finished().await?.all - before.all;
    ensure!(ended == 0, "{ended} runs did not wait for the others");
    report.sample(OPEN, "MiB", served.memory()?.0);
    let begun = Instant::now();
    stream::iter(&runs)
        .map(|run| client.signal(run, "go"))
        .buffer_unordered(callers)
        .try_collect::<()>()
        .await?;
    client.all_finish(before, wanted as u64).await.context("the crowd")?;
    let took = begun.elapsed().as_secs_f64();
    report.sample(ENDED, "s", took);
    report.sample(RATE, "runs/s", wanted as f64 / took);
    report.sample(PEAK, "MiB", served.memory()?.1);
    Ok(())
}
