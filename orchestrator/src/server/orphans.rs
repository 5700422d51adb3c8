//! Attempts of this place that nobody waits for any more. The leader of the place ends those
//! that the record has as done. Where another place leads, all of the site's attempts here are
//! ended: the record says that they are lost, and from there nobody can speak to them.

use std::time::Duration;

use dagbook_events::ids::AttemptId;
use dagbook_events::run::{RunEvent, RunFact, fold};
use dagbook_events::step::{AttemptSpec, StopCause};
use dagbook_executors::{AttemptState, CancelMode, Executor, Recovery};

use crate::runtime::record::Recorder;
use crate::runtime::{Deps, Life};

/// How often one that was killed is looked at, and how many times.
const LOOK: Duration = Duration::from_millis(100);
const LOOKS: u32 = 300;

/// Ends what the record has as done. Runs once, when every run was taken over.
pub(super) async fn of_the_leader(deps: &Deps, life: &Life) {
    let recorder = Recorder::new(deps);
    for (name, executor) in deps.executors.iter() {
        for attempt in list(executor.as_ref(), name).await {
            if life.is_over() {
                return;
            }
            let Some(spec) = executor.asked(attempt).await else { continue };
            let Ok(facts) = recorder.facts(&spec.tenant, spec.run).await else { continue };
            if is_done(&facts, attempt) {
                end(executor.as_ref(), &spec, name).await;
            }
        }
    }
}

/// Ends every attempt of the site here; says how many there were. Those of `dagbook run` belong
/// to the process that drives them.
pub(super) async fn of_a_place_that_does_not_lead(deps: &Deps) -> usize {
    let recorder = Recorder::new(deps);
    let mut ended = 0;
    for (name, executor) in deps.executors.iter() {
        for attempt in list(executor.as_ref(), name).await {
            let Some(spec) = executor.asked(attempt).await else { continue };
            let Ok(facts) = recorder.facts(&spec.tenant, spec.run).await else { continue };
            if is_of_the_site(&facts) {
                end(executor.as_ref(), &spec, name).await;
                ended += 1;
            }
        }
    }
    ended
}

async fn list(executor: &dyn Executor, name: &str) -> Vec<AttemptId> {
    executor.list().await.unwrap_or_else(|error| {
        tracing::warn!(executor = name, %error, "attempts cannot be listed");
        Vec::new()
    })
}

/// Whether the attempt was planned, and is over on the record.
fn is_done(facts: &[RunFact], attempt: AttemptId) -> bool {
    let was_planned = facts
        .iter()
        .any(|fact| matches!(&fact.event, RunEvent::AttemptPlanned(e) if e.attempt == attempt));
    was_planned && !fold(facts).live.contains_key(&attempt)
}

fn is_of_the_site(facts: &[RunFact]) -> bool {
    matches!(
        facts.first().map(|fact| &fact.event),
        Some(RunEvent::Submitted(submitted)) if submitted.driven_at.is_none()
    )
}

/// Kills it, waits until it has ended, and forgets it.
async fn end(executor: &dyn Executor, spec: &AttemptSpec, name: &str) {
    let (attempt, run) = (spec.attempt, spec.run);
    for look in 0..LOOKS {
        let found = executor.recover(vec![(attempt, None)]).await;
        match found.into_iter().find(|(of, _)| *of == attempt) {
            None | Some((_, Recovery::Gone | Recovery::Found(AttemptState::Exited))) => {
                executor.release(attempt).await;
                return tracing::warn!(executor = name, %run, %attempt, "an orphan was ended");
            }
            Some((_, Recovery::Found(_))) if look == 0 => {
                let by = StopCause::Shutdown;
                let asked = executor.cancel(attempt, spec.epoch, CancelMode::Force, by).await;
                if let Err(error) = asked {
                    tracing::warn!(%attempt, %error, "an orphan cannot be stopped");
                }
            }
            Some(_) => {}
        }
        tokio::time::sleep(LOOK).await;
    }
    tracing::error!(executor = name, %run, %attempt, "an orphan does not end");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_attempt_of_an_unknown_run_is_left_alone() {
        let attempt = AttemptId(uuid::Uuid::nil());
        assert!(!is_done(&[], attempt));
        assert!(!is_of_the_site(&[]));
    }
}
