//! One term of leading: from the moment at which the lease is held to the moment at which nothing
//! more is asked of the world. Runs are taken over before anything is planned, and executors are
//! asked what they have before anything is started.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ids::{RunId, StreamName, TenantId};
use dagbook_events::ports::{EventStore, Fence, ReadError};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;

use super::orphans;
use crate::runtime::record::Recorder;
use crate::runtime::{AskError, Deps, Leading, Life, LifeEnd, Runtime};
use crate::telemetry::Telemetry;

/// Runs listed at a time.
const PAGE: usize = 200;
/// Runs that are read at one time.
const TOGETHER: usize = 16;
/// How often one run is tried that cannot be read, while the others wait for it.
const TRIES: u32 = 3;
/// How long a store that is away is left alone.
const PAUSE: Duration = Duration::from_millis(500);
/// How long what is on its way to the store may take at a shutdown.
const SETTLING: Duration = Duration::from_secs(10);

/// How a takeover went, for logs and readiness.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Takeover {
    /// Runs that were taken over.
    pub runs: usize,
    /// Runs that could not be read, and stand still.
    pub unreadable: usize,
    /// Whether all were looked at: only then are attempts planned.
    pub done: bool,
}

/// Where a term says how it stands.
pub(super) struct TermBoard {
    pub(super) runtime: watch::Sender<Option<Runtime>>,
    /// Whether this process leads and has taken everything over.
    pub(super) leads: watch::Sender<bool>,
    pub(super) takeover: watch::Sender<Takeover>,
}

/// How a term ended.
pub(super) enum TermEnd {
    /// The lease was lost, or is about to be.
    Lost(LifeEnd),
    /// This process stops.
    Stopped,
    /// The engine is gone though nobody ended it: a fault of this program.
    Died(String),
}

/// Leads until the life is over or the process stops.
pub(super) async fn serve(
    mut deps: Deps,
    fence: Fence,
    life: Life,
    board: &TermBoard,
    mut stopping: watch::Receiver<bool>,
    telemetry: &Telemetry,
    start: impl FnOnce(Deps) -> Runtime,
) -> TermEnd {
    let began = Instant::now();
    board.takeover.send_replace(Takeover::default());
    let Some(from) = while_alive(&life, || deps.store.head()).await else {
        return TermEnd::Lost(life.over().await);
    };
    deps.leading = Some(Leading { fence, life: life.clone(), from });
    let runtime = start(deps.clone());
    let mut watched = runtime.watch();
    // It ends with the engine, and tells what it saw last.
    drop(telemetry.observe(runtime.watch(), Recorder::new(&deps)));
    board.runtime.send_replace(Some(runtime.clone()));
    let taking_over = take_over(&deps, &runtime, &life, board, began);
    tokio::pin!(taking_over);
    let mut is_there = false;
    let mut sweep = JoinSet::new();
    let end = loop {
        tokio::select! {
            biased;
            why = life.over() => break match why {
                LifeEnd::Died(what) => TermEnd::Died(what),
                why => TermEnd::Lost(why),
            },
            () = asked_to_stop(&mut stopping) => break TermEnd::Stopped,
            // Read, so that what nobody looks at does not pile up; its end is the engine's.
            seen = watched.recv() => if seen.is_none() {
                match life.is_over() {
                    true => break TermEnd::Lost(life.over().await),
                    false => break TermEnd::Died("its loop ended".to_string()),
                }
            },
            () = &mut taking_over, if !is_there => {
                is_there = true;
                board.leads.send_replace(!life.is_over());
                let (deps, life) = (deps.clone(), life.clone());
                sweep.spawn(async move { orphans::of_the_leader(&deps, &life).await });
            }
        }
    };
    board.leads.send_replace(false);
    board.runtime.send_replace(None);
    if matches!(end, TermEnd::Stopped)
        && tokio::time::timeout(SETTLING, runtime.shutdown()).await.is_err()
    {
        tracing::warn!("what was on its way to the store did not arrive in time");
    }
    life.end(LifeEnd::Stopped);
    end
}

/// Returns when the process stops, or nobody is left to say so.
pub(super) async fn asked_to_stop(stopping: &mut watch::Receiver<bool>) {
    let _ = stopping.wait_for(|stopping| *stopping).await;
}

/// Takes over every run that is not over.
async fn take_over(deps: &Deps, runtime: &Runtime, life: &Life, board: &TermBoard, began: Instant) {
    let recorder = Recorder::new(deps);
    let at_once = Arc::new(Semaphore::new(TOGETHER));
    let mut adopting: JoinSet<bool> = JoinSet::new();
    let mut after: Option<(TenantId, StreamName)> = None;
    let mut takeover = Takeover::default();
    let mut said = Instant::now();
    while !life.is_over() {
        let cursor = after.clone();
        let page = while_alive(life, || page(deps.store.as_ref(), cursor.as_ref())).await;
        let Some(page) = page else { return };
        for (tenant, stream) in &page {
            let Some(run) = stream.as_run() else { continue };
            let Ok(permit) = at_once.clone().acquire_owned().await else { return };
            let (runtime, recorder) = (runtime.clone(), recorder.clone());
            let (tenant, life) = (tenant.clone(), life.clone());
            adopting.spawn(async move {
                let _permit = permit;
                adopt(&runtime, &recorder, &tenant, run, &life).await
            });
        }
        while let Some(adopted) = adopting.try_join_next() {
            count(&mut takeover, adopted.unwrap_or(false));
        }
        if said.elapsed() > Duration::from_secs(1) {
            said = Instant::now();
            tracing::info!(runs = takeover.runs, "taking over runs");
            board.takeover.send_replace(takeover);
        }
        let is_last = page.len() < PAGE;
        after = page.into_iter().last().or(after);
        if is_last {
            break;
        }
    }
    while let Some(adopted) = adopting.join_next().await {
        count(&mut takeover, adopted.unwrap_or(false));
    }
    if life.is_over() {
        return;
    }
    runtime.recovered();
    takeover.done = true;
    board.takeover.send_replace(takeover);
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Takeover { runs, unreadable, .. } = takeover;
    tracing::info!(runs, unreadable, took_ms, "every run was taken over");
}

fn count(takeover: &mut Takeover, adopted: bool) {
    match adopted {
        true => takeover.runs += 1,
        false => takeover.unreadable += 1,
    }
}

async fn page(
    store: &dyn EventStore,
    after: Option<&(TenantId, StreamName)>,
) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
    let after = after.map(|(tenant, stream)| (tenant, stream));
    store.open_streams("run/", after, PAGE).await
}

/// Takes one run over. One that cannot be read stands still, and the others go on: an older
/// program may meet a run that a newer one has recorded.
async fn adopt(
    runtime: &Runtime,
    recorder: &Recorder,
    tenant: &TenantId,
    run: RunId,
    life: &Life,
) -> bool {
    let mut tries = 0;
    while !life.is_over() {
        match runtime.adopt(tenant, run).await {
            // Some process drives it by itself: nothing to do here.
            Ok(()) | Err(AskError::Elsewhere(_) | AskError::Stopped) => return true,
            Err(error) => {
                tries += 1;
                // A store that is away is waited for; a run that makes no sense is not.
                let is_store = recorder.store().head().await.is_err();
                if tries >= TRIES && !is_store {
                    tracing::error!(%tenant, %run, %error, "a run cannot be taken over");
                    return false;
                }
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    true
}

/// Asks the store until it answers or the life is over: one that is silent is waited for no longer,
/// for whoever stays here cannot ask for the lease again.
async fn while_alive<T, F>(life: &Life, ask: impl Fn() -> F) -> Option<T>
where
    F: Future<Output = Result<T, ReadError>>,
{
    let mut told = false;
    while !life.is_over() {
        let answer = tokio::select! {
            answer = ask() => answer,
            _ = life.over() => return None,
        };
        match answer {
            Ok(answer) => return Some(answer),
            Err(error) if !told => {
                told = true;
                tracing::warn!(%error, "the record cannot be read for the takeover; trying again");
            }
            Err(_) => {}
        }
        tokio::time::sleep(PAUSE).await;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::Moment;

    #[tokio::test]
    async fn a_store_that_never_answers_is_waited_for_no_longer_than_the_life() {
        let life = Life::until(Moment::now() + Duration::from_millis(30));
        let silent = || std::future::pending::<Result<(), ReadError>>();
        let waited = tokio::time::timeout(Duration::from_secs(20), while_alive(&life, silent));
        assert_eq!(waited.await.expect("it ends with the life"), None);
    }
}
