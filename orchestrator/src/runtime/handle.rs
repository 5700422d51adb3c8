//! The way in for everyone outside the driver.

use std::collections::BTreeSet;
use std::sync::Arc;

use dagbook_events::admission::Quota;
use dagbook_events::admission::money::{Spent, Terms};
use dagbook_events::ids::{AttemptId, RunId, StepKey, TenantId};
use dagbook_events::ports::Actor;
use dagbook_events::run::event::Submitted;
use dagbook_events::run::{Ask, RunEvent, RunFact};
use dagbook_events::time::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::wake::Wake;
use crate::app::ports::{AdmissionFigures, BudgetStanding, WaitFigures, WaitNote};
use crate::engine::{EngineFigures, Refusal};

/// What became durable, or what stands in the way of it.
#[derive(Debug, Clone)]
pub enum Watch {
    /// Facts of a run.
    Recorded {
        /// Whose.
        tenant: TenantId,
        /// The run.
        run: RunId,
        /// Version of the first of the facts.
        from: u64,
        /// The facts.
        facts: Vec<RunFact>,
    },
    /// The store does not answer; it is asked again.
    StoreTrouble {
        /// What it said.
        reason: String,
        /// How many times it was asked.
        tries: u32,
    },
}

/// Why something that was asked did not happen.
#[derive(Debug, Clone, thiserror::Error)]
pub enum AskError {
    /// The rules, or the record, refuse it.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The record cannot be read.
    #[error("the record cannot be read: {0}")]
    Unreadable(String),
    /// Another process has the run.
    #[error("run {0} is being driven by another process")]
    Elsewhere(RunId),
    /// The runtime has stopped.
    #[error("the orchestrator has stopped")]
    Stopped,
}

/// A running orchestrator. Everyone who asks says who they are; the record names them.
#[derive(Clone)]
pub struct Runtime {
    pub(super) wakes: mpsc::UnboundedSender<Wake>,
}

impl Runtime {
    /// Accepts a run; returns when it is durable, with the instant of its submission.
    pub async fn submit(&self, submitted: Submitted, by: &Actor) -> Result<Timestamp, AskError> {
        let run = submitted.run;
        self.request(run, Ask::Submit(Box::new(submitted)), by).await
    }

    /// Asks something of a run that this process owns; returns when it is durable.
    pub async fn ask(&self, run: RunId, ask: Ask, by: &Actor) -> Result<(), AskError> {
        self.request(run, ask, by).await.map(drop)
    }

    async fn request(&self, run: RunId, ask: Ask, by: &Actor) -> Result<Timestamp, AskError> {
        let (reply, answer) = oneshot::channel();
        let by = Some(Arc::new(by.clone()));
        self.send(Wake::Ask { run, ask, by, reply: Some(reply) })?;
        answer.await.map_err(|_| AskError::Stopped)?
    }

    /// Takes over an unfinished run from the record.
    pub async fn adopt(&self, tenant: &TenantId, run: RunId) -> Result<(), AskError> {
        let (reply, answer) = oneshot::channel();
        let tenant = tenant.clone();
        self.send(Wake::Adopt { tenant, run, reply })?;
        answer.await.map_err(|_| AskError::Stopped)?
    }

    /// Every run that may hold places is here: from now on attempts are planned.
    pub fn recovered(&self) {
        // A driver that is gone plans nothing.
        let _ = self.wakes.send(Wake::Recovered);
    }

    /// Sets what a tenant may use, and its weight. Told again, it changes nothing.
    pub fn set_quota(&self, tenant: &TenantId, quota: Quota) {
        let _ = self.wakes.send(Wake::Quota { tenant: tenant.clone(), quota });
    }

    /// Sets prices, periods and budgets of a tenant. Without a budget nothing is kept of them.
    pub fn set_terms(&self, tenant: &TenantId, terms: Arc<Terms>) {
        let _ = self.wakes.send(Wake::Terms { tenant: tenant.clone(), terms });
    }

    /// Sets what the record was read to say of a tenant with a budget.
    pub fn set_spent(&self, tenant: &TenantId, spent: Spent) {
        let _ = self.wakes.send(Wake::Spent { tenant: tenant.clone(), spent });
    }

    /// Ends of a tenant's attempts that the record was not read to say yet.
    pub async fn unseen_ends(&self, tenant: &TenantId) -> Result<BTreeSet<AttemptId>, AskError> {
        let tenant = tenant.clone();
        self.look(|reply| Wake::Unseen { tenant, reply }).await
    }

    /// How a tenant's budgets stand.
    pub async fn budgets(&self, tenant: &TenantId) -> Result<Vec<BudgetStanding>, AskError> {
        let tenant = tenant.clone();
        self.look(|reply| Wake::Budgets { tenant, reply }).await
    }

    /// Why a step waits for its place, with the numbers; none: it waits for none here.
    pub async fn waits(
        &self,
        tenant: &TenantId,
        run: RunId,
        step: &StepKey,
    ) -> Result<Option<WaitFigures>, AskError> {
        let (tenant, step) = (tenant.clone(), step.clone());
        self.look(|reply| Wake::Waits { tenant, run, step, reply }).await
    }

    /// What waits for places, at most so much of it.
    pub async fn all_waits(&self, most: usize) -> Result<Vec<WaitNote>, AskError> {
        self.look(|reply| Wake::AllWaits { most, reply }).await
    }

    /// Runs of the tenant that are here and not over, and those of all tenants.
    pub async fn open_runs(&self, tenant: &TenantId) -> Result<(u64, u64), AskError> {
        let tenant = tenant.clone();
        self.look(|reply| Wake::OpenRuns { tenant, reply }).await
    }

    /// What is held and what waits, in numbers.
    pub async fn admission_figures(&self) -> Result<AdmissionFigures, AskError> {
        self.look(|reply| Wake::AdmissionFigures { reply }).await
    }

    async fn look<T>(&self, wake: impl FnOnce(oneshot::Sender<T>) -> Wake) -> Result<T, AskError> {
        let (reply, answer) = oneshot::channel();
        self.send(wake(reply))?;
        answer.await.map_err(|_| AskError::Stopped)
    }

    /// What becomes durable from now on.
    pub fn watch(&self) -> mpsc::UnboundedReceiver<Watch> {
        let (sender, receiver) = mpsc::unbounded_channel();
        // When the driver is gone the receiver ends at once, which says it.
        let _ = self.wakes.send(Wake::Watch { sender });
        receiver
    }

    /// What the engine holds, in numbers; none: the loop has stopped.
    pub async fn figures(&self) -> Option<EngineFigures> {
        let (reply, answer) = oneshot::channel();
        self.wakes.send(Wake::Figures { reply }).ok()?;
        answer.await.ok()
    }

    /// Stops the loop once nothing is on its way to the store. Attempts go on.
    pub async fn shutdown(&self) {
        let (done, stopped) = oneshot::channel();
        if self.wakes.send(Wake::Shutdown { done }).is_ok() {
            let _ = stopped.await;
        }
    }

    fn send(&self, wake: Wake) -> Result<(), AskError> {
        self.wakes.send(wake).map_err(|_| AskError::Stopped)
    }
}

impl Watch {
    /// Whether it says that the run ended.
    pub fn ends(&self, wanted: RunId) -> bool {
        match self {
            Self::Recorded { run, facts, .. } => {
                *run == wanted && facts.iter().any(|f| matches!(f.event, RunEvent::Finished(_)))
            }
            Self::StoreTrouble { .. } => false,
        }
    }
}
