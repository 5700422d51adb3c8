//! Many attempts at one time, and one after another.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::step::{Outcome, ReportBody};

use super::ensure;
use crate::conformance::{Act, Factory, Setup, Watch, deep};
use crate::port::StartError;

pub(super) async fn slots(factory: Arc<dyn Factory>) -> Result<(), String> {
    const SLOTS: usize = 6;
    let setup = Setup { slots: Some(SLOTS as u32), ..Setup::default() };
    let world = factory.world(setup).await?;
    let executor = world.executor();
    let mut reports = executor.watch();
    let mut waiting = Vec::new();
    for _ in 0..if deep() { 200 } else { 60 } {
        waiting.push(world.spec(Act::Sleep(Duration::from_millis(20))).await?);
    }
    let (mut running, mut most, mut refused) = (BTreeSet::new(), 0, 0);
    while !waiting.is_empty() || !running.is_empty() {
        let calls = waiting.iter().cloned().map(|spec| {
            let executor = Arc::clone(&executor);
            tokio::spawn(async move { (executor.start(spec.clone()).await, spec) })
        });
        let calls: Vec<_> = calls.collect();
        waiting.clear();
        let mut ended = BTreeSet::new();
        for call in calls {
            match call.await.map_err(|e| e.to_string())? {
                (Ok(_), spec) => {
                    running.insert(spec.attempt);
                    // On a slow machine attempts end, and others take their places, while the
                    // answers of one round are still coming.
                    while let Some(report) = reports.try_recv() {
                        if let ReportBody::Exited(_) = report.body {
                            ended.insert(report.attempt);
                        }
                    }
                    running.retain(|attempt| !ended.contains(attempt));
                    most = most.max(running.len());
                }
                (Err(StartError::Busy { .. }), spec) => {
                    refused += 1;
                    waiting.push(spec);
                }
                (Err(error), _) => return Err(error.to_string()),
            }
        }
        // An end frees a place, and nothing else does.
        while ended.is_empty() && !running.is_empty() {
            let Some(report) = reports.recv().await else { break };
            if let ReportBody::Exited(_) = report.body {
                ended.insert(report.attempt);
                running.remove(&report.attempt);
            }
        }
        while let Some(report) = reports.try_recv() {
            if let ReportBody::Exited(_) = report.body {
                running.remove(&report.attempt);
            }
        }
    }
    ensure!(refused > 0, "nothing was refused, so nothing is shown");
    // An end may free its place a moment before it is reported.
    ensure!(most <= 2 * SLOTS, "{most} attempts were accepted in a round of {SLOTS} places");
    Ok(())
}

pub(super) async fn drain(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let spec = world.spec(Act::Sleep(Duration::from_millis(400))).await?;
    executor.start(spec.clone()).await.map_err(|e| e.to_string())?;
    watch.started(spec.attempt).await?;
    executor.drain().await;
    let late = world.spec(Act::Exit(0)).await?;
    let answer = executor.start(late).await;
    ensure!(matches!(answer, Err(StartError::Busy { .. })), "{answer:?}");
    let outcome = watch.exit(spec.attempt).await?.outcome;
    ensure!(outcome == Outcome::Succeeded, "{outcome:?}");
    Ok(())
}

pub(super) async fn thousands(factory: Arc<dyn Factory>) -> Result<(), String> {
    let world = factory.world(Setup::default()).await?;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    let rounds = if deep() { 100 } else { 10 };
    let mut before = None;
    for round in 0..rounds {
        let mut specs = Vec::new();
        for _ in 0..100 {
            specs.push(world.spec(Act::Exit(0)).await?);
        }
        for four in specs.chunks(4) {
            let starts = four.iter().map(|spec| {
                let (executor, spec) = (Arc::clone(&executor), spec.clone());
                tokio::spawn(async move { executor.start(spec).await })
            });
            for start in starts.collect::<Vec<_>>() {
                start.await.map_err(|e| e.to_string())?.map_err(|e| e.to_string())?;
            }
            for spec in four {
                let outcome = watch.exit(spec.attempt).await?.outcome;
                ensure!(outcome == Outcome::Succeeded, "round {round}: {outcome:?}");
                executor.release(spec.attempt).await;
            }
        }
        // A fresh watch: the old one remembers all it heard, which is not the executor's fault.
        watch = Watch::on(executor.as_ref());
        if round == 0 {
            before = Some((descriptors(), resident_kib()));
        }
    }
    let listed = executor.list().await.map_err(|e| e.to_string())?;
    ensure!(listed.is_empty(), "{} attempts are left", listed.len());
    let (fds, kib) = before.unwrap_or_default();
    let (fds_now, kib_now) = (descriptors(), resident_kib());
    ensure!(fds_now <= fds + 8, "{fds} descriptors became {fds_now}");
    ensure!(kib_now <= kib + 16 * 1_024, "{kib} KiB of memory became {kib_now}");
    Ok(())
}

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count)
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}
