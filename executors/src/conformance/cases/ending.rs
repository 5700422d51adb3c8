//! How attempts end by themselves.

use std::sync::Arc;

use dagbook_events::step::{Outcome, StartErrorKind};

use super::ensure;
use crate::conformance::{Act, Factory, Setup, Watch, deep};

pub(super) async fn exit_zero(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Exit(0)).await?;
    let handle = executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    ensure!(handle.0.len() <= 4_096, "the handle has {} bytes", handle.0.len());
    let exit = watch.exit(spec.attempt).await?;
    ensure!(exit.outcome == Outcome::Succeeded, "{:?}", exit.outcome);
    ensure!(exit.usage.outcome == "succeeded", "usage says {}", exit.usage.outcome);
    let all = watch.all(spec.attempt);
    ensure!(all.len() == 2, "Started and Exited were expected, not {all:?}");
    ensure!(all.iter().all(|r| r.run == spec.run && r.epoch == spec.epoch), "{all:?}");
    Ok(())
}

pub(super) async fn exit_codes(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let few = [1, 2, 3, 42, 75, 125, 126, 127, 128, 129, 137, 143, 254, 255];
    let codes = if deep() { (1..=255).collect() } else { few.to_vec() };
    for exit_code in codes {
        let spec = world.spec(Act::Exit(exit_code)).await?;
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        let outcome = watch.exit(spec.attempt).await?.outcome;
        ensure!(outcome == Outcome::Failed { exit_code }, "{exit_code} became {outcome:?}");
    }
    Ok(())
}

pub(super) async fn signals(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    for signal in [1, 2, 6, 9, 11, 15] {
        let spec = world.spec(Act::Signal(signal)).await?;
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        let outcome = watch.exit(spec.attempt).await?.outcome;
        ensure!(outcome == Outcome::Signaled { signal }, "{signal} became {outcome:?}");
    }
    Ok(())
}

pub(super) async fn killed_outside(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Endless).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let pid = watch.started(spec.attempt).await?;
    world.kill_step(spec.attempt, pid);
    let outcome = watch.exit(spec.attempt).await?.outcome;
    ensure!(outcome == Outcome::Signaled { signal: 9 }, "{outcome:?}");
    Ok(())
}

pub(super) async fn missing_program(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::MissingProgram).await?;
    // An executor may know at once or find out later.
    let outcome = match executor.start(spec.clone()).await {
        Ok(_) => watch.exit(spec.attempt).await?.outcome,
        Err(refusal) => refusal.outcome().ok_or_else(|| refusal.to_string())?,
    };
    let expected = matches!(outcome, Outcome::StartError { kind: StartErrorKind::Image, .. });
    ensure!(expected, "{outcome:?}");
    ensure!(world.survivors(spec.attempt) == 0, "something runs");
    Ok(())
}
