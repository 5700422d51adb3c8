//! What attempts use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::step::{Usage, UsageQuality};
use dagbook_events::time::Millis;

use super::ensure;
use crate::conformance::{Act, Factory, Setup, Watch, World, deep};
use crate::port::{CancelMode, Executor};
use crate::request::StopCause;

fn consistent(usage: &Usage, outcome: &str) -> Result<(), String> {
    ensure!(usage.outcome == outcome, "{} instead of {outcome}", usage.outcome);
    ensure!(usage.released_ms >= usage.allocated_ms, "time runs backwards: {usage:?}");
    ensure!(!usage.node.is_empty() && !usage.class.is_empty(), "{usage:?}");
    Ok(())
}

pub(super) async fn measured(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let ms = if deep() { 2_000 } else { 700 };
    // Half of it in a daemon's grandchild that nobody waits for.
    let mut spec = world.spec(Act::Tool(vec!["burn-apart".to_string(), ms.to_string()])).await?;
    spec.resources.cpu_milli = 1_500;
    spec.resources.memory_bytes = (100 << 20) + 1;
    let began = Instant::now();
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let ended = async { (watch.exit(spec.attempt).await, began.elapsed()) };
    let (live, (exit, wall)) = tokio::join!(live_figures(executor.as_ref(), &spec), ended);
    let (exit, wall) = (exit?, u64::try_from(wall.as_millis()).unwrap_or(u64::MAX));
    consistent(&exit.usage, "succeeded")?;
    let (usage, used) = (&exit.usage, &exit.usage.used);
    let span = usage.released_ms.since(usage.allocated_ms).0;
    let off = wall.abs_diff(span);
    ensure!(off <= wall / 20 + 30, "{span} ms are charged, {wall} ms passed");
    if usage.quality == UsageQuality::Exact {
        let off = used.cpu_ms.abs_diff(ms);
        ensure!(off <= ms / 10 + 20, "{} ms of CPU are told, {ms} were burnt", used.cpu_ms);
        ensure!(live.is_some(), "no live figures");
    }
    ensure!(live.is_none_or(|live| live <= used.cpu_ms), "the final figure fell");
    ensure!(usage.requested.cpu_milli == 1_500, "{:?}", usage.requested);
    ensure!(usage.requested.mem_mib == 101, "not rounded up: {:?}", usage.requested);
    ensure!(used.mem_peak_mib >= 1, "no memory: {used:?}");
    Ok(())
}

async fn live_figures(executor: &dyn Executor, spec: &crate::request::AttemptSpec) -> Option<u64> {
    let until = Instant::now() + Duration::from_millis(500);
    while Instant::now() < until {
        match executor.stats(spec.attempt).await {
            Some(used) if used.cpu_ms > 0 => return Some(used.cpu_ms),
            _ => tokio::time::sleep(Duration::from_millis(10)).await,
        }
    }
    None
}

pub(super) async fn every_end(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let endless = Act::Shell("echo ready; while :; do :; done".to_string());
    for (end, word) in [("cancel", "canceled"), ("timeout", "timed_out"), ("loss", "lost")] {
        let mut spec = world.spec(endless.clone()).await?;
        if end == "timeout" {
            spec.limits.run = Millis(300);
        }
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        super::logs::first_bytes(world.as_ref(), spec.attempt).await?;
        let live = live_figures(executor.as_ref(), &spec).await;
        match end {
            "cancel" => {
                let (mode, by) = (CancelMode::Force, StopCause::User);
                let call = executor.cancel(spec.attempt, spec.epoch, mode, by);
                call.await.map_err(|e| e.to_string())?;
            }
            "loss" => ensure!(kill(world.as_ref(), &spec), "there is no supervisor"),
            _ => {}
        }
        let exit = watch.exit(spec.attempt).await?;
        consistent(&exit.usage, word)?;
        let used = exit.usage.used.cpu_ms;
        ensure!(live.is_none_or(|live| live <= used), "{end}: {live:?}, then {used} ms");
        let measured = used > 0 || live.is_none() && end == "loss";
        ensure!(measured, "{end}: no CPU time is told");
    }
    Ok(())
}

fn kill(world: &dyn World, spec: &crate::request::AttemptSpec) -> bool {
    world.kill_supervisor(spec.attempt)
}
