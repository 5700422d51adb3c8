//! Stopping, by request and by bounds.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ids::Epoch;
use dagbook_events::step::{AttemptExit, AttemptSpec, Outcome, ReportBody, StopCause, TimeoutKind};
use dagbook_events::time::Millis;

use super::ensure;
use crate::conformance::{Act, Factory, Setup, Watch, World, deep};
use crate::port::{CancelAnswer, CancelMode, Executor};

const GENTLY: CancelMode = CancelMode::Graceful { grace: Duration::from_secs(30) };

async fn cancel(
    executor: &dyn Executor,
    spec: &AttemptSpec,
    mode: CancelMode,
) -> Result<CancelAnswer, String> {
    let answer = executor.cancel(spec.attempt, spec.epoch, mode, StopCause::User).await;
    answer.map_err(|error| error.to_string())
}

/// Starts it, waits for its first line where it prints one, cancels it, and gives its end.
async fn start_and_cancel(
    world: &dyn World,
    watch: &mut Watch,
    act: Act,
    mode: CancelMode,
) -> Result<(AttemptSpec, AttemptExit), String> {
    let executor = world.executor();
    let prints = matches!(act, Act::CleanUp | Act::IgnoreTerm);
    let spec = world.spec(act).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.started(spec.attempt).await?;
    if prints {
        super::logs::first_bytes(world, spec.attempt).await?;
    }
    let answer = cancel(executor.as_ref(), &spec, mode).await?;
    ensure!(answer == CancelAnswer::Accepted, "{answer:?}");
    let exit = watch.exit(spec.attempt).await?;
    let survivors = world.survivors(spec.attempt);
    ensure!(survivors == 0, "{survivors} processes survive");
    let stopping = watch.all(spec.attempt).iter().any(|r| r.body == ReportBody::Stopping);
    ensure!(stopping, "it was never said to be stopping");
    Ok((spec, exit))
}

pub(super) async fn run_timeout(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    for (act, grace) in [(Act::CleanUp, 30_000), (Act::IgnoreTerm, 150)] {
        let mut spec = world.spec(act.clone()).await?;
        spec.limits.run = Millis(400);
        spec.limits.grace = Millis(grace);
        let began = Instant::now();
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        let exit = watch.exit(spec.attempt).await?;
        let expected = Outcome::TimedOut { kind: TimeoutKind::Run };
        ensure!(exit.outcome == expected, "{act:?}: {:?}", exit.outcome);
        ensure!(began.elapsed() >= Duration::from_millis(400), "{act:?}: too early");
        ensure!(began.elapsed() < Duration::from_secs(20), "{act:?}: too late");
        let log = super::logs::read_all(world.as_ref(), spec.attempt).await?;
        let cleaned = log.ends_with(b"cleanup\n");
        ensure!(cleaned == (act == Act::CleanUp), "{act:?} printed {log:?}");
        ensure!(world.survivors(spec.attempt) == 0, "{act:?} survives");
    }
    Ok(())
}

pub(super) async fn cancel_first(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Print(b"once\n".to_vec())).await?;
    let answer = cancel(executor.as_ref(), &spec, GENTLY).await?;
    ensure!(answer == CancelAnswer::NotStarted, "{answer:?}");
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    let expected = Outcome::Canceled { by: StopCause::User, forced: false };
    ensure!(exit.outcome == expected, "{:?}", exit.outcome);
    ensure!(exit.log.bytes == 0, "it printed");
    let started =
        |r: &&dagbook_events::step::AttemptReport| matches!(r.body, ReportBody::Started { .. });
    ensure!(!watch.all(spec.attempt).iter().any(started), "it started");
    Ok(())
}

pub(super) async fn cancel_race(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let seeds: u64 = if deep() { 1_000 } else { 200 };
    let mut specs = Vec::new();
    for seed in 0..seeds {
        let spec = world.spec(Act::Endless).await?;
        let delay = Duration::from_micros(seed * 7_919 % 12_000);
        let later = async {
            tokio::time::sleep(delay).await;
            cancel(executor.as_ref(), &spec, CancelMode::Force).await
        };
        let (started, canceled) = tokio::join!(executor.start(spec.clone()), later);
        started.map_err(|e| format!("seed {seed}: {e}"))?;
        canceled.map_err(|e| format!("seed {seed}: {e}"))?;
        let exit = watch.exit(spec.attempt).await.map_err(|e| format!("seed {seed}: {e}"))?;
        let canceled = matches!(exit.outcome, Outcome::Canceled { .. });
        ensure!(canceled, "seed {seed}: {:?}", exit.outcome);
        specs.push(spec);
        if specs.len() % 50 == 0 || seed + 1 == seeds {
            for spec in specs.drain(..) {
                let survivors = world.survivors(spec.attempt);
                ensure!(survivors == 0, "seed {seed}: {survivors} processes survive");
                ensure!(watch.exits(spec.attempt) == 1, "seed {seed}: more than one end");
            }
        }
    }
    Ok(())
}

pub(super) async fn graceful(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let mut watch = Watch::on(world.executor().as_ref());
    let (spec, exit) = start_and_cancel(world.as_ref(), &mut watch, Act::CleanUp, GENTLY).await?;
    let expected = Outcome::Canceled { by: StopCause::User, forced: false };
    ensure!(exit.outcome == expected, "{:?}", exit.outcome);
    let log = super::logs::read_all(world.as_ref(), spec.attempt).await?;
    ensure!(log.ends_with(b"cleanup\n"), "its handler did not run: {log:?}");
    Ok(())
}

pub(super) async fn forced(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let mut watch = Watch::on(world.executor().as_ref());
    let mode = CancelMode::Graceful { grace: Duration::from_millis(200) };
    let (_, exit) = start_and_cancel(world.as_ref(), &mut watch, Act::IgnoreTerm, mode).await?;
    let expected = Outcome::Canceled { by: StopCause::User, forced: true };
    ensure!(exit.outcome == expected, "{:?}", exit.outcome);
    // Force after a gentle request makes haste.
    let executor = world.executor();
    let spec = world.spec(Act::IgnoreTerm).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.started(spec.attempt).await?;
    super::logs::first_bytes(world.as_ref(), spec.attempt).await?;
    cancel(executor.as_ref(), &spec, GENTLY).await?;
    cancel(executor.as_ref(), &spec, CancelMode::Force).await?;
    let began = Instant::now();
    let exit = watch.exit(spec.attempt).await?;
    ensure!(exit.outcome == expected, "after force: {:?}", exit.outcome);
    ensure!(began.elapsed() < Duration::from_secs(20), "force waited for the grace");
    Ok(())
}

pub(super) async fn cancel_again(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Endless).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.started(spec.attempt).await?;
    let stale = executor.cancel(spec.attempt, Epoch(7), CancelMode::Force, StopCause::User).await;
    ensure!(stale == Ok(CancelAnswer::Stale { current: spec.epoch }), "{stale:?}");
    for _ in 0..3 {
        cancel(executor.as_ref(), &spec, GENTLY).await?;
    }
    let first = watch.exit(spec.attempt).await?;
    let answer = cancel(executor.as_ref(), &spec, CancelMode::Force).await?;
    ensure!(answer == CancelAnswer::AlreadyExited, "{answer:?}");
    executor.recover(vec![(spec.attempt, None)]).await;
    let again = Watch::on(executor.as_ref()).exit(spec.attempt).await?;
    ensure!(first == again, "the end changed: {first:?}, then {again:?}");
    Ok(())
}

pub(super) async fn one_end(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    for seed in 0..40u64 {
        let spec = world.spec(Act::Sleep(Duration::from_millis(5))).await?;
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        tokio::time::sleep(Duration::from_micros(seed * 400)).await;
        cancel(executor.as_ref(), &spec, GENTLY).await?;
        let outcome = watch.exit(spec.attempt).await?.outcome;
        let one = matches!(outcome, Outcome::Succeeded | Outcome::Canceled { .. });
        ensure!(one, "seed {seed}: {outcome:?}");
        executor.recover(vec![(spec.attempt, None)]).await;
        let ends: std::collections::BTreeSet<String> = watch
            .all(spec.attempt)
            .iter()
            .filter(|r| matches!(r.body, ReportBody::Exited(_)))
            .map(|r| format!("{r:?}"))
            .collect();
        ensure!(ends.len() == 1, "seed {seed}: different ends: {ends:?}");
    }
    Ok(())
}

pub(super) async fn daemon(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let daemon = "(setsid sh -c 'trap \"\" TERM HUP; : > up; while :; do sleep 1000; done' &)\n\
        while [ ! -e up ]; do sleep 0.01; done; echo up";
    let spec = world.spec(Act::Shell(daemon.to_string())).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let exit = watch.exit(spec.attempt).await?;
    ensure!(exit.outcome == Outcome::Succeeded, "{:?}", exit.outcome);
    ensure!(exit.leftover_processes >= 1, "the daemon was not counted");
    ensure!(world.survivors(spec.attempt) == 0, "the daemon survives");
    // And the same, cancelled while its maker still runs.
    let spec = world.spec(Act::Shell(format!("{daemon}; sleep 1000"))).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    super::logs::first_bytes(world.as_ref(), spec.attempt).await?;
    let mode = CancelMode::Graceful { grace: Duration::from_millis(200) };
    cancel(executor.as_ref(), &spec, mode).await?;
    let exit = watch.exit(spec.attempt).await?;
    let expected = Outcome::Canceled { by: StopCause::User, forced: true };
    ensure!(exit.outcome == expected, "{:?}", exit.outcome);
    ensure!(world.survivors(spec.attempt) == 0, "the daemon survives a cancel");
    Ok(())
}
