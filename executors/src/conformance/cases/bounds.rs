//! Bounds of memory, processes, disk; and the clock.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::step::Outcome;
use dagbook_events::time::Millis;

use super::ensure;
use crate::conformance::{Act, Factory, Setup, TestClock, Watch};
use crate::port::CancelMode;
use crate::request::StopCause;

pub(super) async fn out_of_memory(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let hog = Act::Tool(vec!["hog".to_string(), "200".to_string()]);
    let mut spec = world.spec(hog.clone()).await?;
    spec.resources.memory_bytes = 40 << 20;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    ensure!(exit.outcome == Outcome::OomKilled, "{:?}", exit.outcome);
    ensure!(exit.usage.requested.mem_mib == 40, "{:?}", exit.usage.requested);
    // The same with enough.
    let mut spec = world.spec(hog).await?;
    spec.resources.memory_bytes = 400 << 20;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    ensure!(exit.outcome == Outcome::Succeeded, "{:?}", exit.outcome);
    let peak = exit.usage.used.mem_peak_mib;
    ensure!((200..400).contains(&peak), "a peak of {peak} MiB for 200");
    Ok(())
}

pub(super) async fn fork_bomb(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let bomb = "echo ready; f() { f | f & }; f; while :; do sleep 1000; done";
    let mut spec = world.spec(Act::Shell(bomb.to_string())).await?;
    spec.limits.pids = 40;
    spec.limits.log_bytes = 1 << 20;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    super::logs::first_bytes(world.as_ref(), spec.attempt).await?;
    let many = world.survivors(spec.attempt);
    ensure!(many <= 40, "{many} processes where 40 are allowed");
    let cancel = executor.cancel(spec.attempt, spec.epoch, CancelMode::Force, StopCause::User);
    cancel.await.map_err(|e| e.to_string())?;
    watch.exit(spec.attempt).await?;
    ensure!(world.survivors(spec.attempt) == 0, "some of it survives");
    Ok(())
}

pub(super) async fn disk_full(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Shell("head -c 300000 /dev/zero; exit 7".to_string())).await?;
    world.fill_log_disk(spec.run, spec.attempt)?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    ensure!(exit.outcome == Outcome::Failed { exit_code: 7 }, "{:?}", exit.outcome);
    ensure!(exit.log.dropped_bytes == 300_000, "{:?}", exit.log);
    Ok(())
}

pub(super) async fn clock_jump(factory: Arc<dyn Factory>) -> Result<(), String> {
    for jump in [3_600_000, -3_600_000] {
        let clock = Arc::new(TestClock::default());
        let setup = Setup { clock: Arc::clone(&clock) as _, ..Setup::default() };
        let world = factory.world(setup).await?;
        let executor = world.executor();
        let mut watch = Watch::on(executor.as_ref());
        let mut spec = world.spec(Act::Sleep(Duration::from_millis(400))).await?;
        spec.limits.run = Millis(30_000);
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        watch.started(spec.attempt).await?;
        clock.jump(jump);
        let exit = watch.exit(spec.attempt).await?;
        ensure!(exit.outcome == Outcome::Succeeded, "{:?}", exit.outcome);
        let span = exit.usage.released_ms.0 - exit.usage.allocated_ms.0;
        ensure!((400..20_000).contains(&span), "a jump of {jump} ms made a span of {span} ms");
    }
    Ok(())
}
