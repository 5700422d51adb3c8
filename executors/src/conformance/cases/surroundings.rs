//! What a step sees of the machine, and what it leaves there.

use std::collections::BTreeSet;
use std::sync::Arc;

use dagbook_events::step::{EnvVar, Outcome};

use super::ensure;
use crate::conformance::{Act, Factory, Setup, Watch};

const ALLOWED: [&str; 16] = [
    "PATH",
    "LANG",
    "HOME",
    "TMPDIR",
    "PWD",
    "DAGBOOK_RUN",
    "DAGBOOK_STEP",
    "DAGBOOK_ATTEMPT",
    "DAGBOOK_ATTEMPT_ID",
    "DAGBOOK_TENANT",
    "DAGBOOK_PIPELINE",
    "DAGBOOK_OUTPUT",
    "DAGBOOK_ARTIFACTS",
    "DAGBOOK_SCRATCH",
    "DAGBOOK_INPUTS",
    "TRACEPARENT",
];

pub(super) async fn environment(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let mut spec = world.spec(Act::Tool(vec!["surroundings".to_string()])).await?;
    spec.env.push(EnvVar { name: "MINE".to_string(), value: "a b".to_string() });
    spec.env.push(EnvVar { name: "DAGBOOK_RUN".to_string(), value: "forged".to_string() });
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.exit(spec.attempt).await?;
    let log = super::logs::read_all(world.as_ref(), spec.attempt).await?;
    let text = String::from_utf8_lossy(&log).into_owned();
    let line = |key: &str| -> Result<BTreeSet<&str>, String> {
        let found = text.lines().find_map(|line| line.strip_prefix(key));
        Ok(found.ok_or_else(|| format!("no {key} in {text}"))?.split_whitespace().collect())
    };
    let mut allowed: BTreeSet<&str> = ALLOWED.into_iter().collect();
    allowed.insert("MINE");
    let names = line("env:")?;
    let strange: Vec<_> = names.difference(&allowed).collect();
    ensure!(strange.is_empty(), "these reached it: {strange:?}");
    ensure!(names.contains("MINE") && names.contains("TRACEPARENT"), "missing: {names:?}");
    ensure!(line("run:")?.contains(spec.run.to_string().as_str()), "forged: {text}");
    ensure!(line("fds:")? == BTreeSet::from(["0", "1", "2"]), "descriptors: {text}");
    ensure!(line("stdin:")?.contains("/dev/null"), "standard input: {text}");
    ensure!(line("signals:")? == BTreeSet::from(["blocked=0", "ignored=0"]), "{text}");
    ensure!(line("session:")?.contains("leader"), "not its own session: {text}");
    ensure!(line("umask:")?.contains("0077"), "umask: {text}");
    ensure!(line("no_new_privs:")?.contains("1"), "new privileges: {text}");
    Ok(())
}

pub(super) async fn folder(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let mut seen = BTreeSet::new();
    for _ in 0..2 {
        let script = "ls -A | wc -l; pwd; touch file; mkdir -p d/e; chmod 500 d; \
            [ -d \"$DAGBOOK_SCRATCH\" ] && [ -d \"$DAGBOOK_ARTIFACTS\" ]";
        let spec = world.spec(Act::Shell(script.to_string())).await?;
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        let exit = watch.exit(spec.attempt).await?;
        ensure!(exit.outcome == Outcome::Succeeded, "{:?}", exit.outcome);
        let log = super::logs::read_all(world.as_ref(), spec.attempt).await?;
        let text = String::from_utf8_lossy(&log).into_owned();
        let mut lines = text.lines();
        ensure!(lines.next().map(str::trim) == Some("0"), "the folder was not empty: {text}");
        let folder = lines.next().unwrap_or_default().to_string();
        executor.release(spec.attempt).await;
        ensure!(!std::path::Path::new(&folder).exists(), "{folder} is still there");
        ensure!(seen.insert(folder), "two attempts shared a folder");
    }
    Ok(())
}

pub(super) async fn release(factory: Arc<dyn Factory>) -> Result<(), String> {
    let mut world = factory.world(Setup::default()).await?;
    for act in [Act::Exit(3), Act::Print(b"once\n".to_vec()), Act::Signal(9)] {
        let executor = world.executor();
        let mut watch = Watch::on(executor.as_ref());
        let spec = world.spec(act).await?;
        executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
        watch.exit(spec.attempt).await?;
        executor.release(spec.attempt).await;
        executor.release(spec.attempt).await;
        let left = world.remains(spec.attempt);
        ensure!(left.is_empty(), "left: {left:?}");
        ensure!(executor.list().await.is_ok_and(|l| l.is_empty()), "it is still listed");
        world.crash().await;
        world.boot().await;
        let executor = world.executor();
        let answers = executor.recover(vec![(spec.attempt, None)]).await;
        ensure!(answers[0].1 == crate::port::Recovery::Gone, "{answers:?}");
        executor.release(spec.attempt).await;
    }
    Ok(())
}
