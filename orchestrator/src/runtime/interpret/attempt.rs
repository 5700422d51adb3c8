//! Starting, stopping and releasing attempts.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::effect::StopAttempt;
use dagbook_events::ids::AttemptId;
use dagbook_events::ports::Clock;
use dagbook_events::step::{AttemptReport, AttemptSpec, Outcome, PendingReason, ReportBody};
use dagbook_executors::request::{Place, exit_without_run};
use dagbook_executors::{CancelMode, Executor, Recovery, StartError};
use tokio::sync::mpsc;

use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

/// How long to wait before a busy or silent executor is asked again.
const AGAIN: Duration = Duration::from_millis(200);

pub(super) fn start(driver: &Driver, spec: AttemptSpec) {
    let (wakes, clock) = (driver.wakes.clone(), driver.deps.clock.clone());
    match driver.deps.executors.get(&spec.executor).cloned() {
        Some(executor) => {
            tokio::spawn(begin(executor, spec, wakes, clock));
        }
        None => {
            let names: Vec<&str> = driver.deps.executors.names().collect();
            let reason = format!(
                "no executor is called `{}` here; there is: {}",
                spec.executor,
                names.join(", ")
            );
            report_end(&wakes, clock.as_ref(), &spec, Outcome::Unschedulable { reason });
        }
    }
}

async fn begin(
    executor: Arc<dyn Executor>,
    spec: AttemptSpec,
    wakes: mpsc::WeakUnboundedSender<Wake>,
    clock: Arc<dyn Clock>,
) {
    let mut told = false;
    loop {
        let error = match executor.start(spec.clone()).await {
            Ok(_) => return,
            Err(error) => error,
        };
        if let Some(outcome) = error.outcome() {
            return report_end(&wakes, clock.as_ref(), &spec, outcome);
        }
        match error {
            StartError::Conflict { .. } => {
                let detail = error.to_string();
                return report_end(&wakes, clock.as_ref(), &spec, Outcome::Infra { detail });
            }
            // Unknown is not gone: ask, and start again only on positive knowledge. The start
            // is idempotent, so asking again is safe where it is found, too.
            StartError::Ambiguous { .. } => {
                let found = executor.recover(vec![(spec.attempt, None)]).await;
                if found.iter().any(|(_, found)| matches!(found, Recovery::Found(_))) {
                    return;
                }
            }
            _ if !told => {
                told = true;
                let reason = PendingReason { code: "busy".to_string(), message: error.to_string() };
                report(&wakes, clock.as_ref(), &spec, ReportBody::Pending { reason });
            }
            _ => {}
        }
        tokio::time::sleep(AGAIN).await;
        if wakes.upgrade().is_none() {
            return;
        }
    }
}

fn report(
    wakes: &mpsc::WeakUnboundedSender<Wake>,
    clock: &dyn Clock,
    spec: &AttemptSpec,
    body: ReportBody,
) {
    if let Some(wakes) = wakes.upgrade() {
        let _ = wakes.send(Wake::Report(AttemptReport {
            run: spec.run,
            step: spec.step.clone(),
            attempt: spec.attempt,
            epoch: spec.epoch,
            at: clock.now(),
            body,
        }));
    }
}

/// The attempt never began: its end is said here, with nothing used.
fn report_end(
    wakes: &mpsc::WeakUnboundedSender<Wake>,
    clock: &dyn Clock,
    spec: &AttemptSpec,
    outcome: Outcome,
) {
    let (executor, class) = (spec.executor.clone(), "standard".to_string());
    let place = Place { executor, class, node: String::new() };
    let exit = exit_without_run(&place, spec, outcome, clock.now());
    report(wakes, clock, spec, ReportBody::Exited(Box::new(exit)));
}

pub(super) fn stop(driver: &Driver, stop: StopAttempt) {
    let Some(executor) = driver.deps.executors.get(&stop.executor).cloned() else { return };
    let mode = match stop.grace {
        Some(grace) => CancelMode::Graceful { grace: Duration::from_millis(grace.0) },
        None => CancelMode::Force,
    };
    let wakes = driver.wakes.clone();
    tokio::spawn(async move {
        // A cancel that did not get through is repeated: it is data, not a signal.
        while executor.cancel(stop.attempt, stop.epoch, mode, stop.cause).await.is_err() {
            tokio::time::sleep(AGAIN).await;
            if wakes.upgrade().is_none() {
                return;
            }
        }
    });
}

pub(super) fn release(driver: &Driver, executor: &str, attempt: AttemptId) {
    let Some(executor) = driver.deps.executors.get(executor).cloned() else { return };
    tokio::spawn(async move { executor.release(attempt).await });
}
