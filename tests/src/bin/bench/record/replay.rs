//! Reading the record back: decoding it, and folding whole runs.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, ensure};
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::{Position, RunId};
use dagbook_events::journal::blobs::MemoryBlobs;
use dagbook_events::ports::{EventStore, Recorded};
use dagbook_events::run::{RunState, evolve};
use dagbook_executors::{Script, ScriptedExecutor};
use dagbook_tests::harness::Rig;

use crate::engine::flood;
use crate::processor::{Begun, Pace};

const PAGE: usize = 4_000;

/// Records so many runs of three steps, and says how many events a second a full replay of all
/// of them takes in: read, checked, decoded and folded.
pub async fn fold(store: &Arc<dyn EventStore>, runs: usize) -> anyhow::Result<Pace> {
    let executor = Arc::new(ScriptedExecutor::new("local", Script::new()));
    let rig =
        Arc::new(Rig::new(Arc::clone(store), Arc::new(MemoryBlobs::default()), executor, 100_000));
    let before = store.head().await?;
    flood(&rig, runs, 64).await?;
    let begun = Begun::now();
    let mut states: BTreeMap<RunId, RunState> = BTreeMap::new();
    let (mut cursor, mut events) = (before, 0_u64);
    loop {
        let page = store.read_after(cursor, PAGE).await?;
        let Some(last) = page.last() else { break };
        cursor = last.position;
        events += page.len() as u64;
        for event in &page {
            let Some(run) = event.stream.as_run() else { continue };
            let fact = rig.recorder.read(event).await?.fact;
            let state = states.remove(&run).unwrap_or_else(RunState::unborn);
            states.insert(run, evolve(state, &fact));
        }
    }
    let pace = begun.pace(events);
    ensure!(states.len() == runs, "{} runs of {runs} were found", states.len());
    rig.runtime.shutdown().await;
    Ok(pace)
}

/// Leaves parsed a second, from memory: what the processor allows.
pub async fn decode(store: &Arc<dyn EventStore>) -> anyhow::Result<f64> {
    let page: Vec<Recorded> = store.read_after(Position(0), 20_000).await?;
    page.first().context("an empty store")?;
    let started = Instant::now();
    for event in &page {
        std::hint::black_box(Envelope::parse(&event.leaf)?);
    }
    Ok(page.len() as f64 / started.elapsed().as_secs_f64())
}
