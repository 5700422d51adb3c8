//! What tenants with a budget agreed on and spent, told to the engine where it runs.
//!
//! Terms come from the directory. What was spent is read from the record of each such tenant, from
//! where its current period needs it, in small portions and beside the engine's loop; until it is
//! known, budgets that hold back do so. From then on what this engine ended itself is counted by
//! the engine at once, and comes to be counted here when the record is read again.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::admission::money::{Span, Spending, Spent, Terms};
use dagbook_events::envelope::Envelope;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Clock, EventStore, Shelf, ShelfExpected};
use dagbook_events::time::Millis;
use tokio::sync::watch;

use super::directory::Directory;
use super::error::AppError;
use super::ports::BudgetStanding;
use crate::runtime::Runtime;

/// How often it is looked whether something changed.
const LOOK: Duration = Duration::from_millis(500);
/// How often the record of a tenant is read where nothing ended here: others may spend, too.
const AT_LEAST: Duration = Duration::from_secs(5);
/// Events that are read at a time, and how often in one turn.
const PAGE: usize = 500;
const PAGES: usize = 40;

/// What the picture of a tenant's budgets is called on its shelf, how long it is good for, and how
/// often it is left again where nothing changed.
const KEY: &str = "admission/budgets";
const LASTS: Millis = Millis(30_000);
const SHOWN_AGAIN: Duration = Duration::from_secs(10);

/// What an engine was told of a tenant: by which version of the stream `billing`.
type Told = BTreeMap<TenantId, (u64, Arc<Terms>)>;

/// Tells an engine that has just begun which tenants have budgets: before anything is admitted.
pub fn tell_all(directory: &Directory, runtime: &Runtime) {
    tell_new(directory, runtime, &mut Told::new());
}

/// Tells what differs from what was told.
fn tell_new(directory: &Directory, runtime: &Runtime, told: &mut Told) {
    let budgeted = directory.budgeted();
    let gone = told.keys().filter(|tenant| !budgeted.contains_key(*tenant));
    for tenant in gone.cloned().collect::<Vec<_>>() {
        told.remove(&tenant);
        runtime.set_terms(&tenant, Arc::new(Terms::default()));
    }
    for (tenant, version) in budgeted {
        if told.get(&tenant).is_none_or(|(known, _)| *known != version)
            && let Some(terms) = directory.terms(&tenant)
        {
            runtime.set_terms(&tenant, Arc::clone(&terms));
            told.insert(tenant, (version, terms));
        }
    }
}

/// Tells the engine, while it runs here, as long as the process lives.
pub async fn feed(
    directory: Directory,
    store: Arc<dyn EventStore>,
    shelf: Arc<dyn Shelf>,
    clock: Arc<dyn Clock>,
    mut engine: watch::Receiver<Option<Runtime>>,
) {
    loop {
        let runtime = engine.borrow_and_update().clone();
        if let Some(runtime) = runtime {
            let (mut told, mut readers) = (Told::new(), BTreeMap::new());
            let mut pictures = Pictures::new();
            loop {
                tell_new(&directory, &runtime, &mut told);
                look(&told, &mut readers, store.as_ref(), clock.as_ref(), &runtime).await;
                show(&told, &mut pictures, shelf.as_ref(), &runtime).await;
                tokio::select! {
                    changed = engine.changed() => match changed {
                        Ok(()) => break,
                        Err(_) => return,
                    },
                    () = tokio::time::sleep(LOOK) => {}
                }
            }
        } else if engine.changed().await.is_err() {
            return;
        }
    }
}

/// Reads on for every tenant with a budget.
async fn look(
    told: &Told,
    readers: &mut BTreeMap<TenantId, Reader>,
    store: &dyn EventStore,
    clock: &dyn Clock,
    runtime: &Runtime,
) {
    readers.retain(|tenant, _| told.contains_key(tenant));
    for (tenant, (version, terms)) in told {
        let span = terms.span_at(clock.now());
        let is_current = |reader: &Reader| {
            reader.version == *version && reader.spending.span().start == span.start
        };
        if !readers.get(tenant).is_some_and(is_current) {
            readers.insert(tenant.clone(), Reader::new(*version, terms, span));
        }
        let Some(reader) = readers.get_mut(tenant) else { continue };
        if let Err(error) = reader.turn(tenant, store, runtime).await {
            tracing::warn!(%tenant, %error, "what was spent cannot be read; trying again");
        }
    }
}

/// What is on the shelves, and since when.
type Pictures = BTreeMap<TenantId, (Vec<BudgetStanding>, Instant)>;

/// Leaves how budgets stand on the shelf of each tenant, so that every replica can say it.
async fn show(told: &Told, pictures: &mut Pictures, shelf: &dyn Shelf, runtime: &Runtime) {
    pictures.retain(|tenant, _| told.contains_key(tenant));
    for tenant in told.keys() {
        let Ok(standing) = runtime.budgets(tenant).await else { return };
        let is_there = |(known, since): &(Vec<BudgetStanding>, Instant)| {
            *known == standing && since.elapsed() < SHOWN_AGAIN
        };
        if pictures.get(tenant).is_some_and(is_there) {
            continue;
        }
        let value = serde_json::to_vec(&standing).unwrap_or_default();
        match shelf.put(tenant, KEY, &value, ShelfExpected::Any, Some(LASTS)).await {
            Ok(_) => drop(pictures.insert(tenant.clone(), (standing, Instant::now()))),
            // A picture is for people: the next one comes at once.
            Err(error) => tracing::debug!(%error, "budgets could not be left on the shelf"),
        }
    }
}

/// How the budgets of a tenant stand, as the leader last said; none where it has none.
///
/// # Errors
/// The shelf's.
pub async fn standing(
    shelf: &dyn Shelf,
    tenant: &TenantId,
) -> Result<Vec<BudgetStanding>, AppError> {
    let Some(item) = shelf.get(tenant, KEY).await? else { return Ok(Vec::new()) };
    // One that a newer program left says nothing to this one.
    Ok(serde_json::from_slice(&item.value).unwrap_or_default())
}

/// How far the record of a tenant was read.
struct Reader {
    version: u64,
    spending: Spending,
    /// Index in the tenant's log of the next leaf.
    next: u64,
    told: Option<Instant>,
}

impl Reader {
    fn new(version: u64, terms: &Arc<Terms>, span: Span) -> Self {
        let next = terms.needs_from(&span);
        Self { version, spending: Spending::new(Arc::clone(terms), span), next, told: None }
    }

    /// Reads to the end of the log where there may be something new, and says what was spent.
    async fn turn(
        &mut self,
        tenant: &TenantId,
        store: &dyn EventStore,
        runtime: &Runtime,
    ) -> Result<(), AppError> {
        // Asked before the log is read: all of these are in it then.
        let Ok(seen) = runtime.unseen_ends(tenant).await else { return Ok(()) };
        if seen.is_empty() && self.told.is_some_and(|told| told.elapsed() < AT_LEAST) {
            return Ok(());
        }
        for _ in 0..PAGES {
            let page = store.read_log(tenant, self.next, PAGE).await?;
            let is_last = page.len() < PAGE;
            for recorded in page {
                self.next = recorded.tenant_sequence + 1;
                let Some(run) = recorded.stream.as_run() else { continue };
                let envelope = Envelope::parse(&recorded.leaf)
                    .map_err(|error| AppError::Internal(error.to_string()))?;
                self.spending.take(run, &envelope.kind, &envelope.data);
            }
            if is_last {
                self.told = Some(Instant::now());
                let spent = Spent {
                    since: self.spending.span().start,
                    nanos: self.spending.nanos(),
                    seen,
                    typical: self.spending.take_typical(),
                };
                runtime.set_spent(tenant, spent);
                return Ok(());
            }
        }
        Ok(())
    }
}
