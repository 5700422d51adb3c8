//! Taking over a run: executors are asked what they have before anything is started again.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::ids::{AttemptId, RunId, TenantId};
use dagbook_events::run::{RunEvent, RunFact, fold};
use dagbook_executors::{Executor, Handle, Recovery, Registry};
use tokio::sync::oneshot;

use crate::runtime::AskError;
use crate::runtime::driver::Driver;
use crate::runtime::wake::Wake;

/// How a live attempt stands, as its executor says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::runtime) enum Standing {
    /// The executor has it and will report: it is not started again.
    Here,
    /// It was started, and nothing of it is left.
    Vanished,
    /// Nothing can be said now: the executor is asked again before it is started.
    Unknown,
}

pub(in crate::runtime) fn perform(
    driver: &Driver,
    tenant: TenantId,
    run: RunId,
    reply: oneshot::Sender<Result<(), AskError>>,
) {
    let (recorder, wakes) = (driver.recorder.clone(), driver.wakes.clone());
    let (executors, places) = (driver.deps.executors.clone(), driver.deps.places.clone());
    let alarm = driver.life.alarm("a takeover of a run");
    tokio::spawn(async move {
        let _alarm = alarm;
        let facts = recorder.facts(&tenant, run).await.map_err(|e| e.to_string());
        let standing = match &facts {
            Ok(facts) if !facts.is_empty() => ask(facts, &executors, &places).await,
            _ => BTreeMap::new(),
        };
        if let Some(wakes) = wakes.upgrade() {
            let _ = wakes.send(Wake::Adopted { run, facts, standing, reply });
        }
    });
}

/// Asks each executor for the attempts that may be with it. Those of another place are not its.
async fn ask(
    facts: &[RunFact],
    executors: &Registry,
    places: &BTreeMap<String, Arc<str>>,
) -> BTreeMap<AttemptId, Standing> {
    let mut standing = BTreeMap::new();
    let live = live(facts, places);
    for (name, attempts) in live.by_executor {
        let Some(executor) = executors.get(&name) else { continue };
        for (attempt, recovery) in executor.recover(attempts).await {
            let began = live.began.contains(&attempt);
            standing.extend(understood(recovery, began).map(|standing| (attempt, standing)));
        }
    }
    standing
}

/// None: nothing ran under this id, and it may be started as if for the first time.
fn understood(recovery: Recovery, began: bool) -> Option<Standing> {
    match recovery {
        Recovery::Found(_) => Some(Standing::Here),
        Recovery::Gone if began => Some(Standing::Vanished),
        Recovery::Gone => None,
        Recovery::Unknown { .. } => Some(Standing::Unknown),
    }
}

/// Asks again for one attempt of which nothing could be said.
pub(super) async fn again(executor: &dyn Executor, attempt: AttemptId) -> Option<Standing> {
    let answers = executor.recover(vec![(attempt, None)]).await;
    let answer = answers.into_iter().find(|(of, _)| *of == attempt);
    match answer {
        Some((_, recovery)) => understood(recovery, false),
        None => Some(Standing::Unknown),
    }
}

#[derive(Default)]
struct Live {
    by_executor: BTreeMap<String, Vec<(AttemptId, Option<Handle>)>>,
    /// Attempts whose start is recorded.
    began: std::collections::BTreeSet<AttemptId>,
}

/// Live attempts that may be here by executor, with the handles that were recorded.
fn live(facts: &[RunFact], places: &BTreeMap<String, Arc<str>>) -> Live {
    let state = fold(facts);
    let mut live = Live::default();
    let mut handles = BTreeMap::new();
    for fact in facts {
        if let RunEvent::AttemptStarted(e) = &fact.event {
            live.began.insert(e.attempt);
            handles.insert(e.attempt, e.handle.clone().map(Handle));
        }
    }
    for (attempt, unit) in &state.live {
        let executor = &*state.pools[usize::from(state.step(unit.step).pool)].executor;
        let bound = state.places.get(attempt);
        if bound.is_some() && bound != places.get(executor) {
            continue;
        }
        let handle = handles.remove(attempt).flatten();
        live.by_executor.entry(executor.to_string()).or_default().push((*attempt, handle));
    }
    live
}
