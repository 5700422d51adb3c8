//! Everything that can wake the driver, in one list.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use dagbook_events::admission::Quota;
use dagbook_events::admission::money::{Spent, Terms};
use dagbook_events::ids::{AttemptId, Position, RunId, StepKey, TenantId};
use dagbook_events::ports::{Actor, AppendError};
use dagbook_events::run::event::ReusedResult;
use dagbook_events::run::{Ask, RunFact};
use dagbook_events::step::AttemptReport;
use tokio::sync::{mpsc, oneshot};

use super::driver::Replier;
use super::handle::{AskError, Watch};
use super::interpret::adopt::Standing;
use crate::app::ports::{AdmissionFigures, BudgetStanding, WaitFigures, WaitNote};
use crate::engine::AppendId;

/// What can wake the driver.
pub(super) enum Wake {
    /// Somebody asks something of a run.
    Ask { run: RunId, ask: Ask, by: Option<Arc<Actor>>, reply: Option<Replier> },
    /// Somebody wants to see what becomes durable.
    Watch { sender: mpsc::UnboundedSender<Watch> },
    /// A run is taken over from the record.
    Adopt { tenant: TenantId, run: RunId, reply: oneshot::Sender<Result<(), AskError>> },
    /// Its history was read, and executors were asked what they have of it.
    Adopted {
        run: RunId,
        facts: Result<Vec<RunFact>, String>,
        /// What executors say of its live attempts.
        standing: BTreeMap<AttemptId, Standing>,
        reply: oneshot::Sender<Result<(), AskError>>,
    },
    /// An executor reports.
    Report(AttemptReport),
    /// An append came to its end.
    Appended { append: AppendId, result: Result<(Position, Position), AppendError> },
    /// The wait before an append is repeated is over.
    Retry(AppendId),
    /// A run was read again.
    Loaded { tenant: TenantId, run: RunId, facts: Result<Vec<RunFact>, String> },
    /// A concurrency group was read.
    Group { tenant: TenantId, group: String, holders: Vec<RunId>, version: u64 },
    /// Another process appended to a run.
    Foreign { tenant: TenantId, run: RunId, from: u64, facts: Vec<RunFact> },
    /// Another process appended to a group.
    GroupChanged { tenant: TenantId, group: String },
    /// Every run that may hold places was taken over.
    Recovered,
    /// Prices, periods or budgets of a tenant were set.
    Terms { tenant: TenantId, terms: Arc<Terms> },
    /// The record was read to say what a tenant spent.
    Spent { tenant: TenantId, spent: Spent },
    /// Somebody asks which ends of a tenant's attempts the record was not read to say yet.
    Unseen { tenant: TenantId, reply: oneshot::Sender<BTreeSet<AttemptId>> },
    /// Somebody asks how a tenant's budgets stand.
    Budgets { tenant: TenantId, reply: oneshot::Sender<Vec<BudgetStanding>> },
    /// A tenant's quota was set.
    Quota { tenant: TenantId, quota: Quota },
    /// Somebody asks why a step waits for its place.
    Waits {
        tenant: TenantId,
        run: RunId,
        step: StepKey,
        reply: oneshot::Sender<Option<WaitFigures>>,
    },
    /// Somebody asks what waits for places.
    AllWaits { most: usize, reply: oneshot::Sender<Vec<WaitNote>> },
    /// Somebody asks how many runs are not over.
    OpenRuns { tenant: TenantId, reply: oneshot::Sender<(u64, u64)> },
    /// Somebody asks what is held and what waits, in numbers.
    AdmissionFigures { reply: oneshot::Sender<AdmissionFigures> },
    /// The cache answered.
    Cache { run: RunId, step: StepKey, hit: Option<Box<ReusedResult>> },
    /// Somebody wants the engine's numbers.
    Figures { reply: oneshot::Sender<crate::engine::EngineFigures> },
    /// Stop after what is on its way.
    Shutdown { done: oneshot::Sender<()> },
}
