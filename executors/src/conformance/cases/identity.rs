//! One id, one execution.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::StepKey;
use dagbook_events::step::{EnvVar, Outcome};

use super::ensure;
use crate::conformance::{Act, Factory, Setup, Watch, World};
use crate::port::{LogQuery, Recovery, StartError};

async fn whole_log(
    world: &dyn World,
    spec: &crate::request::AttemptSpec,
) -> Result<Vec<u8>, String> {
    super::logs::read_all(world, spec.attempt).await
}

pub(super) async fn started_twice(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Print(b"once\n".to_vec())).await?;
    let (first, second) = tokio::join!(executor.start(spec.clone()), executor.start(spec.clone()));
    watch.exit(spec.attempt).await?;
    let third = executor.start(spec.clone()).await;
    let same = first.is_ok() && first == second && second == third;
    ensure!(same, "the answers differ: {first:?}, {second:?}, {third:?}");
    let log = whole_log(world.as_ref(), &spec).await?;
    ensure!(log == b"once\n", "it ran more than once: {:?}", String::from_utf8_lossy(&log));
    ensure!(watch.exits(spec.attempt) == 1, "more than one end");
    Ok(())
}

pub(super) async fn conflict(factory: Arc<dyn Factory>) -> Result<(), String> {
    let mut world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Exit(0)).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.exit(spec.attempt).await?;
    let mut other = spec.clone();
    other.env.push(EnvVar { name: "X".to_string(), value: "1".to_string() });
    let conflict = Err(StartError::Conflict { attempt: spec.attempt });
    let answer = executor.start(other.clone()).await;
    ensure!(answer == conflict, "{answer:?}");
    world.crash().await;
    world.boot().await;
    let answer = world.executor().start(other).await;
    ensure!(answer == conflict, "after a restart: {answer:?}");
    Ok(())
}

/// The caller dies at some point of the call; whoever comes next asks before anything else.
pub(super) async fn lost_answer(factory: Arc<dyn Factory>) -> Result<(), String> {
    for round in 0..12u64 {
        let mut world = factory.world(Setup::default()).await?;
        let spec = world.spec(Act::Print(b"once\n".to_vec())).await?;
        let executor = world.executor();
        let call = executor.start(spec.clone());
        let _ = tokio::time::timeout(Duration::from_micros(round * round * 60), call).await;
        world.crash().await;
        world.boot().await;
        let executor = world.executor();
        let mut watch = Watch::on(executor.as_ref());
        let answers = executor.recover(vec![(spec.attempt, None)]).await;
        match &answers[..] {
            [(id, Recovery::Found(_))] if *id == spec.attempt => {}
            [(id, Recovery::Gone)] if *id == spec.attempt => {
                executor.start(spec.clone()).await.map_err(|e| format!("round {round}: {e}"))?;
            }
            other => return Err(format!("round {round}: {other:?}")),
        }
        let exit = watch.exit(spec.attempt).await.map_err(|e| format!("round {round}: {e}"))?;
        let log = whole_log(world.as_ref(), &spec).await?;
        let text = String::from_utf8_lossy(&log).into_owned();
        match exit.outcome {
            Outcome::Succeeded => ensure!(text == "once\n", "round {round}: it printed {text:?}"),
            // Nothing ran: the supervisor found its orchestrator gone and did not begin.
            Outcome::Lost { .. } | Outcome::Infra { .. } => {
                ensure!(text.is_empty(), "round {round}: lost, but it printed {text:?}");
            }
            other => return Err(format!("round {round}: {other:?}")),
        }
    }
    Ok(())
}

pub(super) async fn names(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let long = "x".repeat(20_000);
    for label in ["ünï=🦀,b=\"'\\", "../../etc", "a/b\nc", long.as_str()] {
        let mut spec = world.spec(Act::Exit(0)).await?;
        let (name, _) = spec.step.split();
        spec.step = StepKey::new(&format!("{name}[{label}]"));
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        let exit = watch.exit(spec.attempt).await?;
        ensure!(exit.outcome == Outcome::Succeeded, "{:?}", exit.outcome);
        let query = LogQuery { attempt: spec.attempt, offset: 0, limit: 10, wait: Duration::ZERO };
        executor.logs(query).await.map_err(|e| e.to_string())?;
    }
    Ok(())
}
