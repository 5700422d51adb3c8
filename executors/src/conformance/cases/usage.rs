//! What attempts use.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ids::AttemptId;
use dagbook_events::step::{Fault, ReportBody, Usage, UsageQuality};
use dagbook_events::time::{Millis, Timestamp};

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

pub(super) async fn checkpoints(factory: Arc<dyn Factory>) -> Result<(), String> {
    let measure_every = Duration::from_millis(60);
    let mut world = factory.world(Setup { measure_every, ..Setup::default() }).await?;
    let spec = world.spec(Act::Endless).await?;
    let mut watch = Watch::on(world.executor().as_ref());
    world.executor().start(spec.clone()).await.map_err(|e| e.to_string())?;
    let mut told = Vec::new();
    for round in 0..2 {
        if round == 1 {
            world.crash().await;
            world.boot().await;
            watch = Watch::on(world.executor().as_ref());
            world.executor().recover(vec![(spec.attempt, None)]).await;
        }
        for _ in 0..2 {
            let after = told.last().map_or(Timestamp(0), |usage: &Usage| usage.released_ms);
            told.push(next(&mut watch, spec.attempt, after).await?);
        }
    }
    let executor = world.executor();
    let cancel = executor.cancel(spec.attempt, spec.epoch, CancelMode::Force, StopCause::User);
    cancel.await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    for usage in &told {
        consistent(usage, "running")?;
        ensure!(usage.fault == Fault::None, "{usage:?}");
        ensure!(usage.allocated_ms == exit.usage.allocated_ms, "another beginning: {usage:?}");
        ensure!(usage.requested == exit.usage.requested, "another request: {usage:?}");
    }
    for pair in told.windows(2) {
        let (before, now) = (&pair[0].used, &pair[1].used);
        let fell = now.cpu_ms < before.cpu_ms || now.mem_mib_ms < before.mem_mib_ms;
        ensure!(!fell && now.mem_peak_mib >= before.mem_peak_mib, "{before:?}, then {now:?}");
    }
    let (last, end) = (told.last().map(|usage| usage.released_ms), exit.usage.released_ms);
    ensure!(last.is_some_and(|last| last <= end), "measured at {last:?}, ended at {end:?}");
    let started = exit.usage.started_ms;
    let in_order = |at| exit.usage.allocated_ms <= at && at <= end;
    ensure!(started.is_some_and(in_order), "started at {started:?}: {:?}", exit.usage);
    let heard = watch.all(spec.attempt);
    let is = |end: bool| heard.iter().rposition(|r| end == matches!(r.body, ReportBody::Exited(_)));
    ensure!(is(true) > is(false), "something is told after the end");
    // What is over at once is not measured on its way.
    let brief = world.spec(Act::Exit(0)).await?;
    executor.start(brief.clone()).await.map_err(|e| e.to_string())?;
    watch.exit(brief.attempt).await?;
    let heard = watch.all(brief.attempt).len();
    ensure!(heard <= 3, "{heard} reports of an attempt that did nothing");
    Ok(())
}

/// The next measurement behind an instant.
async fn next(watch: &mut Watch, attempt: AttemptId, after: Timestamp) -> Result<Usage, String> {
    watch
        .until("what was used so far", |report| match &report.body {
            ReportBody::Usage(usage) if report.attempt == attempt && usage.released_ms > after => {
                Some((**usage).clone())
            }
            _ => None,
        })
        .await
}
