//! Taking over a run: executors are asked what they have before anything is started again.

use std::collections::BTreeMap;

use dagbook_events::ids::{AttemptId, RunId};
use dagbook_events::run::{RunEvent, RunFact, fold};
use dagbook_executors::Handle;
use tokio::sync::oneshot;

use crate::runtime::AskError;
use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

pub(in crate::runtime) fn perform(
    driver: &Driver,
    run: RunId,
    reply: oneshot::Sender<Result<(), AskError>>,
) {
    let (recorder, wakes) = (driver.recorder.clone(), driver.wakes.clone());
    let executors = driver.deps.executors.clone();
    tokio::spawn(async move {
        let facts = recorder.facts(run).await.map_err(|e| e.to_string());
        if let Ok(facts) = &facts {
            for (name, attempts) in live(facts) {
                if let Some(executor) = executors.get(&name) {
                    executor.recover(attempts).await;
                }
            }
        }
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Adopted { run, facts, reply });
        }
    });
}

/// Live attempts by executor, with the handles that were recorded.
fn live(facts: &[RunFact]) -> BTreeMap<String, Vec<(AttemptId, Option<Handle>)>> {
    let state = fold(facts);
    let mut handles = BTreeMap::new();
    for fact in facts {
        if let RunEvent::AttemptStarted(e) = &fact.event {
            handles.insert(e.attempt, e.handle.clone().map(Handle));
        }
    }
    let mut live: BTreeMap<String, Vec<_>> = BTreeMap::new();
    for (attempt, unit) in &state.live {
        let pool = usize::from(state.step(unit.step).pool);
        let handle = handles.remove(attempt).flatten();
        live.entry(state.pools[pool].clone()).or_default().push((*attempt, handle));
    }
    live
}
