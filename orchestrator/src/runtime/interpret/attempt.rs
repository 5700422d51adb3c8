//! Starting, stopping and releasing attempts.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::effect::StopAttempt;
use dagbook_events::ids::AttemptId;
use dagbook_events::ports::Clock;
use dagbook_events::step::{AttemptSpec, Outcome, PendingReason, ReportBody};
use dagbook_executors::request::{Place, exit_without_run, report};
use dagbook_executors::{CancelMode, Executor, Recovery, StartError};
use tokio::sync::mpsc;

use super::adopt::{self, Standing};
use crate::runtime::driver::Driver;
use crate::runtime::life::Life;
use crate::runtime::wake::Wake;

/// How long to wait before a busy or silent executor is asked again.
const AGAIN: Duration = Duration::from_millis(200);

/// Who is told, and by whose clock.
#[derive(Clone)]
struct Teller {
    wakes: mpsc::WeakUnboundedSender<Wake>,
    clock: Arc<dyn Clock>,
    life: Life,
}

pub(super) fn start(driver: &mut Driver, spec: AttemptSpec) {
    let standing = driver.standing.remove(&spec.attempt);
    let teller = Teller {
        wakes: driver.wakes.clone(),
        clock: driver.deps.clock.clone(),
        life: driver.life.clone(),
    };
    let bound = driver.state(spec.run).and_then(|run| run.places.get(&spec.attempt)).cloned();
    if let Some(place) = bound
        && driver.deps.places.get(&spec.executor) != Some(&place)
    {
        let detail = format!(
            "it was planned for the place {place}, which does not lead any more; \
             whatever it left there is not known here"
        );
        let patience = driver.deps.patience;
        tokio::spawn(async move { teller.lost(&spec, patience, detail).await });
        return;
    }
    let Some(executor) = driver.deps.executors.get(&spec.executor).cloned() else {
        let names: Vec<&str> = driver.deps.executors.names().collect();
        let reason = format!(
            "no executor is called `{}` here; there is: {}",
            spec.executor,
            names.join(", ")
        );
        return teller.end(&spec, Outcome::Unschedulable { reason });
    };
    let alarm = driver.life.alarm("the start of an attempt");
    tokio::spawn(async move {
        let _alarm = alarm;
        if teller.settled(executor.as_ref(), &spec, standing).await {
            teller.begin(executor, spec).await;
        }
    });
}

impl Teller {
    /// Whether this life of the engine may still ask executors for something.
    fn may_act(&self) -> bool {
        !self.life.is_over() && self.wakes.upgrade().is_some()
    }

    /// Whether the attempt is to be started: its executor neither has it nor had it, and says so.
    async fn settled(
        &self,
        executor: &dyn Executor,
        spec: &AttemptSpec,
        mut standing: Option<Standing>,
    ) -> bool {
        while standing == Some(Standing::Unknown) {
            tokio::time::sleep(AGAIN * 5).await;
            if !self.may_act() {
                return false;
            }
            standing = adopt::again(executor, spec.attempt).await;
        }
        match standing {
            None => true,
            Some(Standing::Vanished) => {
                let detail = "it had begun, and nothing of it is left at its executor".to_string();
                self.end(spec, Outcome::Lost { detail });
                false
            }
            Some(_) => false,
        }
    }

    /// It cannot be asked about from here: after a while it is said to be lost, which it is.
    async fn lost(&self, spec: &AttemptSpec, patience: Duration, detail: String) {
        tokio::time::sleep(patience).await;
        if self.may_act() {
            self.end(spec, Outcome::Lost { detail });
        }
    }

    async fn begin(&self, executor: Arc<dyn Executor>, spec: AttemptSpec) {
        let mut told = false;
        while self.may_act() {
            let error = match executor.start(spec.clone()).await {
                Ok(_) => return,
                Err(error) => error,
            };
            if let Some(outcome) = error.outcome() {
                return self.end(&spec, outcome);
            }
            match error {
                StartError::Conflict { .. } => {
                    let detail = error.to_string();
                    return self.end(&spec, Outcome::Infra { detail });
                }
                // Unknown is not gone: ask, and start again only on positive knowledge. The
                // start is idempotent, so asking again is safe where it is found, too.
                StartError::Ambiguous { .. } => {
                    let found = executor.recover(vec![(spec.attempt, None)]).await;
                    if found.iter().any(|(_, found)| matches!(found, Recovery::Found(_))) {
                        return;
                    }
                }
                _ if !told => {
                    told = true;
                    let (code, message) = ("busy".to_string(), error.to_string());
                    let reason = PendingReason { code, message };
                    self.report(&spec, ReportBody::Pending { reason });
                }
                _ => {}
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn report(&self, spec: &AttemptSpec, body: ReportBody) {
        if let Some(wakes) = self.wakes.upgrade() {
            let _ = wakes.send(Wake::Report(report(spec, self.clock.now(), body)));
        }
    }

    /// Nothing ran here, or nothing is known of it: its end is said here, with nothing used.
    fn end(&self, spec: &AttemptSpec, outcome: Outcome) {
        let (executor, class) = (spec.executor.clone(), "standard".to_string());
        let place = Place { executor, class, node: String::new() };
        let exit = exit_without_run(&place, spec, outcome, self.clock.now());
        self.report(spec, ReportBody::Exited(Box::new(exit)));
    }
}

pub(super) fn stop(driver: &Driver, stop: StopAttempt) {
    let Some(executor) = driver.deps.executors.get(&stop.executor).cloned() else { return };
    let mode = match stop.grace {
        Some(grace) => CancelMode::Graceful { grace: Duration::from_millis(grace.0) },
        None => CancelMode::Force,
    };
    let life = driver.life.clone();
    let alarm = driver.life.alarm("the stop of an attempt");
    tokio::spawn(async move {
        let _alarm = alarm;
        // A cancel that did not get through is repeated: it is data, not a signal.
        while !life.is_over()
            && executor.cancel(stop.attempt, stop.epoch, mode, stop.cause).await.is_err()
        {
            tokio::time::sleep(AGAIN).await;
        }
    });
}

pub(super) fn release(driver: &Driver, executor: &str, attempt: AttemptId) {
    let Some(executor) = driver.deps.executors.get(executor).cloned() else { return };
    tokio::spawn(async move { executor.release(attempt).await });
}
