//! What use cases ask of the world beside the ports of the record.

use std::collections::BTreeMap;

use async_trait::async_trait;
use dagbook_events::admission::Wait;
use dagbook_events::admission::money::BudgetFigures;
use dagbook_events::billing::BudgetAction;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::run::event::ReusedResult;
use dagbook_events::time::Timestamp;

use crate::engine::Engine;

/// Finds earlier results by key. Disposable: all that it holds can be made again from the
/// record, and an entry that is missing only costs time.
#[async_trait]
pub trait CacheIndex: Send + Sync {
    /// The latest result under the key.
    async fn get(&self, key: &Sha256Digest) -> Option<(Timestamp, ReusedResult)>;
    /// Keeps a result.
    async fn put(&self, key: &Sha256Digest, at: Timestamp, result: &ReusedResult);
}

/// Remembers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCache;

#[async_trait]
impl CacheIndex for NoCache {
    async fn get(&self, _key: &Sha256Digest) -> Option<(Timestamp, ReusedResult)> {
        None
    }

    async fn put(&self, _key: &Sha256Digest, _at: Timestamp, _result: &ReusedResult) {}
}

/// The numbers behind a wait for a place, as admission saw them when it last decided.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WaitFigures {
    /// A word for programs: `pool_full`, `tenant_attempts`, `tenant_runs`, `tenant_cpu`,
    /// `tenant_memory`, `tenant_gpu`, `site_attempts`, `site_runs`, `site_cpu`, `site_memory`,
    /// `site_gpu`, `fair_share`, `priority`, `held_for_larger`, `budget`, `budget_unknown`.
    pub code: String,
    /// A sentence for people, with the numbers in it.
    pub text: String,
    /// The numbers, by name.
    pub figures: BTreeMap<String, u64>,
    /// When it was decided, unix milliseconds.
    pub decided_at: Timestamp,
}

impl WaitFigures {
    /// What admission said at an instant.
    pub fn of(wait: Wait, decided_at: Timestamp) -> Self {
        let figures = wait.figures.into_iter().map(|(name, n)| (name.to_string(), n)).collect();
        Self { code: wait.code.to_string(), text: wait.text, figures, decided_at }
    }
}

/// A demand of a run that waits for a place.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct WaitNote {
    /// Whose run it is.
    pub tenant: TenantId,
    /// The run.
    pub run: RunId,
    /// Which of its demands, as the fold of its plan numbers them.
    pub demand: u16,
    /// Why.
    #[serde(flatten)]
    pub figures: WaitFigures,
}

/// A budget as it stands, in the currency's minor unit.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct BudgetStanding {
    /// What it is called.
    pub name: String,
    /// `warn`, `hold_new` or `stop`.
    pub on_exceed: String,
    /// What may be spent.
    pub budget: String,
    /// What was; left out while the record is being read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spent: Option<String>,
    /// What is held for what runs.
    pub held: String,
    /// The period; empty between periods.
    pub period: String,
    /// When it ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period_end: Option<String>,
    /// Whether more is spent and held than there is.
    pub is_exceeded: bool,
}

impl BudgetStanding {
    /// As the engine has it.
    pub fn of(figures: &BudgetFigures) -> Self {
        Self {
            name: figures.name.clone(),
            on_exceed: match figures.on_exceed {
                BudgetAction::Warn => "warn",
                BudgetAction::HoldNew => "hold_new",
                BudgetAction::Stop => "stop",
            }
            .to_string(),
            budget: figures.words(figures.budget),
            spent: figures.spent.map(|spent| figures.words(spent)),
            held: figures.words(figures.held),
            period: figures.span.name.clone(),
            period_end: figures.span.end.map(dagbook_events::time::Timestamp::to_rfc3339),
            is_exceeded: figures.is_exceeded(),
        }
    }
}

/// What is held and what waits, in numbers, for metrics.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AdmissionFigures {
    /// Each pool.
    pub pools: Vec<PoolNumbers>,
    /// Each tenant.
    pub tenants: Vec<TenantNumbers>,
    /// Decisions since this process leads.
    pub decisions: u64,
}

/// A pool in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolNumbers {
    /// The executor's name.
    pub name: String,
    /// Attempts at one time; none: not bounded.
    pub places: Option<u32>,
    /// Places that are held.
    pub held: u64,
}

/// A tenant in numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TenantNumbers {
    /// Who.
    pub tenant: TenantId,
    /// Attempts that are planned and not at their end.
    pub attempts: u64,
    /// Runs that count as running.
    pub running: u32,
    /// Runs that wait for a place, by pool.
    pub waiting: BTreeMap<String, usize>,
}

impl AdmissionFigures {
    /// Read from the engine.
    pub fn of(engine: &Engine) -> Self {
        let admission = engine.admission();
        let pools = admission.pool_figures().map(|pool| PoolNumbers {
            name: pool.name.to_string(),
            places: pool.capacity.places,
            held: pool.live.attempts,
        });
        let tenants = admission.tenant_figures().map(|tenant| TenantNumbers {
            tenant: tenant.id.clone(),
            attempts: tenant.live.attempts,
            running: tenant.running,
            waiting: tenant.waiting.into_iter().map(|(pool, n)| (pool.to_string(), n)).collect(),
        });
        let (pools, tenants) = (pools.collect(), tenants.collect());
        Self { pools, tenants, decisions: engine.decisions() }
    }
}
