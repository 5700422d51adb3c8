//! How places were shared between tenants, counted from the record alone: the attempts that were
//! planned while every tenant had a step that waited for a place.

use std::collections::BTreeMap;

use dagbook::runtime::record::Recorder;
use dagbook_events::ids::{Position, RunId, TenantId};
use dagbook_events::run::{RunEvent, RunState, apply};
use dagbook_events::time::Timestamp;

/// What each tenant got.
#[derive(Debug, Default)]
pub struct Shares {
    /// Attempts that were planned while all of them waited.
    pub starts: BTreeMap<TenantId, u64>,
    /// Places that were held while all of them waited, times milliseconds.
    pub held: BTreeMap<TenantId, u64>,
}

#[derive(Default)]
struct Of {
    waiting: u64,
    held: u64,
}

impl Shares {
    /// How far the tenant that is farthest from its equal part is from it, in starts.
    pub fn farthest(&self) -> f64 {
        farthest(&self.starts)
    }

    /// The same, in places held over time.
    pub fn farthest_held(&self) -> f64 {
        farthest(&self.held)
    }

    /// All starts that were counted.
    pub fn counted(&self) -> u64 {
        self.starts.values().sum()
    }
}

fn farthest(of: &BTreeMap<TenantId, u64>) -> f64 {
    let equal = of.values().sum::<u64>() as f64 / of.len().max(1) as f64;
    let off = of.values().map(|got| (*got as f64 / equal - 1.0).abs());
    off.fold(0.0, f64::max)
}

/// Reads the whole record in its order.
///
/// # Panics
/// Where it cannot be read.
pub async fn shares(recorder: &Recorder, tenants: &[&str]) -> Shares {
    let names = tenants.iter().map(|name| TenantId::new(name).expect("a slug"));
    let mut of: BTreeMap<TenantId, Of> = names.map(|name| (name, Of::default())).collect();
    let nothing: BTreeMap<TenantId, u64> = of.keys().map(|name| (name.clone(), 0)).collect();
    let mut shares = Shares { starts: nothing.clone(), held: nothing };
    let mut runs: BTreeMap<RunId, RunState> = BTreeMap::new();
    let (mut cursor, mut before) = (Position(0), None::<Timestamp>);
    loop {
        let page = recorder.store().read_after(cursor, 500).await.expect("the record is read");
        let Some(last) = page.last() else { return shares };
        cursor = last.position;
        for recorded in &page {
            let Some(run) = recorded.stream.as_run() else { continue };
            if !of.contains_key(&recorded.tenant) {
                continue;
            }
            let fact = recorder.read(recorded).await.expect("it is readable").fact;
            let all_wait = of.values().all(|of| of.waiting > 0);
            let passed = before.map_or(0, |before| fact.at.since(before).0);
            before = Some(before.map_or(fact.at, |before| before.max(fact.at)));
            if all_wait {
                for (tenant, of) in &of {
                    *shares.held.entry(tenant.clone()).or_default() += of.held * passed;
                }
            }
            let mine = of.get_mut(&recorded.tenant).expect("one of them");
            match &fact.event {
                RunEvent::AttemptPlanned(_) => {
                    mine.held += 1;
                    if all_wait {
                        *shares.starts.entry(recorded.tenant.clone()).or_default() += 1;
                    }
                }
                RunEvent::AttemptExited(_) => mine.held = mine.held.saturating_sub(1),
                _ => {}
            }
            let state = runs.entry(run).or_insert_with(RunState::unborn);
            let waited = state.has_due();
            apply(state, &fact);
            match (waited, state.has_due()) {
                (false, true) => mine.waiting += 1,
                (true, false) => mine.waiting -= 1,
                _ => {}
            }
        }
    }
}
