//! The orchestrator comes and goes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::step::Outcome;

use super::ensure;
use crate::conformance::watch::BOUND;
use crate::conformance::{Act, Factory, Setup, Watch, World};
use crate::port::{AttemptState, CancelMode, Recovery};
use crate::request::StopCause;

pub(super) async fn adopted(factory: Arc<dyn Factory>) -> Result<(), String> {
    let mut world = factory.world(Setup::default()).await?;
    let spec = world.spec(Act::Sleep(Duration::from_millis(400))).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let handle = executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    let pid = watch.started(spec.attempt).await?;
    world.crash().await;
    world.boot().await;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let answers = executor.recover(vec![(spec.attempt, Some(handle.clone()))]).await;
    let running = vec![(spec.attempt, Recovery::Found(AttemptState::Running))];
    ensure!(answers == running, "{answers:?}");
    let again = executor.start(spec.clone()).await;
    ensure!(again == Ok(handle), "a start after the adoption answers {again:?}");
    ensure!(watch.started(spec.attempt).await? == pid, "another process runs");
    let exit = watch.exit(spec.attempt).await?;
    ensure!(exit.outcome == Outcome::Succeeded, "{:?}", exit.outcome);
    ensure!(watch.exits(spec.attempt) == 1, "more than one end");
    Ok(())
}

pub(super) async fn ended_meanwhile(factory: Arc<dyn Factory>) -> Result<(), String> {
    let mut world = factory.world(Setup::default()).await?;
    let spec = world.spec(Act::Print(b"once\n".to_vec())).await?;
    world.executor().start(spec.clone()).await.map_err(|e| e.to_string())?;
    world.crash().await;
    ended(world.as_ref(), spec.attempt).await?;
    for round in 0..2 {
        world.boot().await;
        let executor = world.executor();
        let mut watch = Watch::on(executor.as_ref());
        let answers = executor.recover(vec![(spec.attempt, None)]).await;
        let exited = vec![(spec.attempt, Recovery::Found(AttemptState::Exited))];
        ensure!(answers == exited, "round {round}: {answers:?}");
        let exit = watch.exit(spec.attempt).await?;
        ensure!(exit.outcome == Outcome::Succeeded, "round {round}: {:?}", exit.outcome);
        let log = super::logs::read_all(world.as_ref(), spec.attempt).await?;
        ensure!(log == b"once\n", "round {round}: the log is {log:?}");
        ensure!(exit.log.crc32 == crc32fast::hash(&log), "round {round}: another checksum");
        // Not released: it is told again to the next one.
        world.crash().await;
    }
    Ok(())
}

/// Waits until the attempt has ended, with no executor to ask.
pub(super) async fn ended(
    world: &dyn World,
    attempt: dagbook_events::ids::AttemptId,
) -> Result<(), String> {
    let until = Instant::now() + BOUND;
    while !world.has_ended(attempt) {
        ensure!(Instant::now() < until, "it did not end within {BOUND:?}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    Ok(())
}

pub(super) async fn supervisor_killed(factory: Arc<dyn Factory>) -> Result<(), String> {
    for seen in [true, false] {
        let mut world = factory.world(Setup::default()).await?;
        let spec = world.spec(Act::Shell("echo on; sleep 1000 & sleep 1000".to_string())).await?;
        let executor = world.executor();
        let mut watch = Watch::on(executor.as_ref());
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        watch.started(spec.attempt).await?;
        if !seen {
            world.crash().await;
        }
        ensure!(world.kill_supervisor(spec.attempt), "there is no supervisor");
        if !seen {
            world.boot().await;
            watch = Watch::on(world.executor().as_ref());
            world.executor().recover(vec![(spec.attempt, None)]).await;
        }
        let exit = watch.exit(spec.attempt).await?;
        ensure!(matches!(exit.outcome, Outcome::Lost { .. }), "{:?}", exit.outcome);
        let survivors = world.survivors(spec.attempt);
        ensure!(survivors == 0, "{survivors} processes of a lost step go on");
        ensure!(exit.usage.released_ms >= exit.usage.allocated_ms, "time runs backwards");
        world.executor().release(spec.attempt).await;
        let left = world.remains(spec.attempt);
        ensure!(left.is_empty(), "left: {left:?}");
    }
    Ok(())
}

pub(super) async fn orphans(factory: Arc<dyn Factory>) -> Result<(), String> {
    let mut world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Endless).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.started(spec.attempt).await?;
    // Something beside it that is not ours.
    let stranger = world.attempt_dir(spec.attempt).map(|dir| dir.with_file_name("stranger"));
    if let Some(stranger) = &stranger {
        std::fs::create_dir(stranger).map_err(|e| e.to_string())?;
    }
    world.crash().await;
    world.boot().await;
    let executor = world.executor();
    let listed = executor.list().await.map_err(|e| e.to_string())?;
    ensure!(listed == [spec.attempt], "listed are {listed:?}");
    let mut watch = Watch::on(executor.as_ref());
    let cancel = executor.cancel(spec.attempt, spec.epoch, CancelMode::Force, StopCause::Shutdown);
    cancel.await.map_err(|e| e.to_string())?;
    ended(world.as_ref(), spec.attempt).await?;
    executor.recover(vec![(spec.attempt, None)]).await;
    let exit = watch.exit(spec.attempt).await?;
    let canceled = matches!(exit.outcome, Outcome::Canceled { by: StopCause::Shutdown, .. });
    ensure!(canceled, "{:?}", exit.outcome);
    ensure!(stranger.is_none_or(|dir| dir.exists()), "a stranger's folder was removed");
    Ok(())
}
