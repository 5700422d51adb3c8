//! Why steps wait for their places, on every replica: where the engine runs it is asked; from
//! there a picture of all that waits is left on the shelf, once a second and only while something
//! waits, so that the others can answer too.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::{RunId, StepKey, TenantId};
use dagbook_events::ports::{Clock, SHELF_VALUE_MAX, Shelf, ShelfExpected};
use dagbook_events::project::{PlaceWait, RunView, Surroundings};
use dagbook_events::run::{Phase, RunState, UnitStatus};
use dagbook_events::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::error::AppError;
use super::ports::{WaitFigures, WaitNote};
use super::principal::SITE_TENANT;
use super::services::Services;
use crate::runtime::Runtime;

/// What the picture is called on the shelf of the site.
const KEY: &str = "admission/waits";
/// How often it is made.
const EVERY: Duration = Duration::from_secs(1);
/// How long it is good for.
const LASTS: Millis = Millis(10_000);
/// What is on it, at most: the oldest runs first.
const NOTES_MAX: usize = 400;

/// What waits, at an instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Picture {
    at: Timestamp,
    waits: Vec<WaitNote>,
}

fn site() -> TenantId {
    TenantId::new(SITE_TENANT).expect("the site's name is a slug")
}

/// Leaves the picture on the shelf while the engine runs here, as long as the process lives.
pub async fn publish(
    mut engine: watch::Receiver<Option<Runtime>>,
    shelf: Arc<dyn Shelf>,
    clock: Arc<dyn Clock>,
) {
    let (mut is_there, site) = (false, site());
    loop {
        let runtime = engine.borrow_and_update().clone();
        let Some(runtime) = runtime else {
            is_there = false;
            if engine.changed().await.is_err() {
                return;
            }
            continue;
        };
        tokio::time::sleep(EVERY).await;
        let Ok(waits) = runtime.all_waits(NOTES_MAX).await else { continue };
        let waits_now = !waits.is_empty();
        let left = match waits_now {
            true => {
                let value = bytes(Picture { at: clock.now(), waits });
                let put = shelf.put(&site, KEY, &value, ShelfExpected::Any, Some(LASTS));
                put.await.map(drop)
            }
            false if is_there => shelf.remove(&site, KEY).await.map(drop),
            false => continue,
        };
        match left {
            Ok(()) => is_there = waits_now,
            // A picture is for people: the next one comes in a second.
            Err(error) => tracing::debug!(%error, "what waits could not be left on the shelf"),
        }
    }
}

/// The picture as it is kept: as much of it as has room.
fn bytes(mut picture: Picture) -> Vec<u8> {
    loop {
        let value = serde_json::to_vec(&picture).unwrap_or_default();
        if value.len() <= SHELF_VALUE_MAX {
            return value;
        }
        picture.waits.truncate(picture.waits.len() / 2);
    }
}

/// What the leader last said of a demand of a run.
///
/// # Errors
/// The shelf's.
pub async fn look(
    shelf: &dyn Shelf,
    tenant: &TenantId,
    run: RunId,
    demand: u16,
) -> Result<Option<WaitFigures>, AppError> {
    let Some(item) = shelf.get(&site(), KEY).await? else { return Ok(None) };
    // One that a newer program left says nothing to this one.
    let Ok(picture) = serde_json::from_slice::<Picture>(&item.value) else { return Ok(None) };
    let is_it =
        |note: &WaitNote| note.run == run && note.demand == demand && note.tenant == *tenant;
    Ok(picture.waits.into_iter().find(is_it).map(|note| note.figures))
}

/// Which demand of a run a step waits with; a run that waits to begin waits with its first.
pub fn demand_of(state: &RunState, step: &StepKey) -> Option<u16> {
    if state.phase == Phase::Queued {
        return Some(0);
    }
    let unit = state.find(step)?;
    let is_due = state.unit(unit).status == UnitStatus::Due;
    is_due.then(|| state.step(unit.step).pool)
}

/// What an explanation of a run or of one of its steps may rest on beside the run itself.
///
/// # Errors
/// Where the record, the engine or the shelf do not answer.
pub async fn surroundings(
    services: &Services,
    tenant: &TenantId,
    view: &RunView,
) -> Result<Surroundings, AppError> {
    let state = &view.state;
    let holders = match (&state.plan.concurrency, state.phase) {
        (Some(group), Phase::Queued) => services.recorder.group(tenant, &group.group).await?.0,
        _ => Vec::new(),
    };
    // One step speaks for all that wait with the same demand.
    let mut speakers: BTreeMap<u16, StepKey> = BTreeMap::new();
    if state.phase == Phase::Queued {
        let first = state.plan.steps.first().map(|step| StepKey::step(&step.name));
        speakers.extend(first.map(|step| (0, step)));
    }
    for (at, _) in state.units().filter(|(_, unit)| unit.status == UnitStatus::Due) {
        let demand = state.step(at.step).pool;
        speakers.entry(demand).or_insert_with(|| state.key(at));
    }
    let mut waits = BTreeMap::new();
    if !state.is_finished() {
        for (demand, step) in speakers {
            let figures = services.engine.waits(tenant, state.id(), &step).await?;
            waits.extend(figures.map(|figures| (demand, place_wait(figures))));
        }
    }
    Ok(Surroundings { now: services.clock.now(), holders, waits, ..Surroundings::default() })
}

/// As an explanation takes it.
pub fn place_wait(figures: WaitFigures) -> PlaceWait {
    let WaitFigures { code, text, figures, .. } = figures;
    PlaceWait { code, text, figures }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(n: u128, text: &str) -> WaitNote {
        WaitNote {
            tenant: TenantId::new("acme").expect("a slug"),
            run: RunId(uuid::Uuid::from_u128(n)),
            demand: 0,
            figures: WaitFigures {
                code: "pool_full".to_string(),
                text: text.to_string(),
                figures: BTreeMap::from([("taken".to_string(), 4)]),
                decided_at: Timestamp(7),
            },
        }
    }

    #[test]
    fn a_picture_that_is_too_large_keeps_its_oldest_runs() {
        let long = "x".repeat(2_000);
        let waits = (0..400).map(|n| note(n, &long)).collect();
        let value = bytes(Picture { at: Timestamp(1), waits });
        assert!(value.len() <= SHELF_VALUE_MAX);
        let kept: Picture = serde_json::from_slice(&value).expect("a picture");
        assert_eq!(kept.waits.len(), 100);
        assert_eq!(kept.waits[0], note(0, &long));
    }
}
