//! Prices, periods, budgets and invoices: what people of the site and of its tenants ask for, and
//! what whoever leads does by itself.
//!
//! Reading order: `cards` and `tenant`, what is recorded for people; `fold` and `rate`, from the log
//! to a statement; `close`, which records one; `usage`, `invoice` and `drill`, which show one; `turn`,
//! what the leader does.

mod cards;
mod close;
mod credit;
mod drill;
mod fold;
mod invoice;
mod rate;
mod tenant;
mod turn;
mod usage;

use std::sync::Arc;

use dagbook_events::aggregate::{Aggregate, AggregateEvent};
use dagbook_events::billing::{BILLING_STREAM, Billing};
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::ports::{Actor, AppendError, AppendRequest, Fence};
use dagbook_events::tenant::Refusal;
use dagbook_events::time::Timestamp;

pub use self::cards::{Published, assign, list, publish, show, versions};
pub use self::close::close;
pub use self::credit::{CreditRequest, issue};
pub use self::drill::line;
pub use self::invoice::{InvoiceAsk, invoice, invoices};
pub use self::rate::{Rated, What};
pub use self::tenant::{
    OpenAsk, budgets, contracts, open, periods, publish_contract, remove_budget, set_budget,
};
pub use self::turn::{Turn, Turned};
pub use self::usage::{By, usage};

use super::administration::Administration;
use super::error::AppError;
use super::principal::SITE_TENANT;
use super::services::Services;
use super::streams::{self, Loaded};

/// How often a decision is made anew because somebody else was faster.
const ROUNDS: usize = 8;

/// What billing works with.
#[derive(Clone)]
pub struct Accounts {
    /// The usual.
    pub services: Services,
    /// The site's name: whoever issues the invoices.
    pub site: Arc<str>,
    /// Told how far a log was read, where somebody waits for it.
    pub progress: Option<Progress>,
}

/// Is told how many leaves were read, and of how many.
pub type Progress = Arc<dyn Fn(u64, u64) + Send + Sync>;

impl Accounts {
    /// Over these, for the site of that name.
    pub fn new(services: Services, site: Arc<str>) -> Self {
        Self { services, site, progress: None }
    }
}

impl Administration {
    /// What billing works with.
    pub fn accounts(&self) -> Accounts {
        Accounts::new(self.services.clone(), Arc::clone(&self.site))
    }
}

/// The tenant of the site.
fn site() -> Result<TenantId, AppError> {
    TenantId::new(SITE_TENANT).map_err(|error| AppError::Internal(error.to_string()))
}

fn billing_stream() -> Result<StreamName, AppError> {
    StreamName::new(BILLING_STREAM).map_err(|error| AppError::Internal(error.to_string()))
}

impl Accounts {
    /// A tenant's billing as it is recorded.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub async fn billing(&self, tenant: &TenantId) -> Result<Loaded<Billing>, AppError> {
        streams::load(self.services.store.as_ref(), tenant, &billing_stream()?).await
    }

    /// Decides over the fold of a stream and records what was decided; again where somebody else
    /// was faster.
    async fn decide<A: Aggregate>(
        &self,
        (tenant, stream): (&TenantId, &StreamName),
        by: &Actor,
        decide: impl Fn(&A, Timestamp) -> Result<Vec<A::Event>, Refusal>,
    ) -> Result<(A, Vec<A::Event>), AppError>
    where
        A::Event: AggregateEvent,
    {
        for _ in 0..ROUNDS {
            let loaded: Loaded<A> =
                streams::load(self.services.store.as_ref(), tenant, stream).await?;
            let now = self.services.clock.now();
            let events = decide(&loaded.state, now)?;
            if events.is_empty() {
                return Ok((loaded.state, events));
            }
            if let Some(state) =
                self.record((tenant, stream), by, loaded, &events, now, None).await?
            {
                return Ok((state, events));
            }
        }
        Err(AppError::Conflict("others change it all the time; try again".to_string()))
    }

    /// Records events under the exact version. None: somebody else was faster.
    async fn record<A: Aggregate>(
        &self,
        (tenant, stream): (&TenantId, &StreamName),
        by: &Actor,
        mut loaded: Loaded<A>,
        events: &[A::Event],
        now: Timestamp,
        fence: Option<&Fence>,
    ) -> Result<Option<A>, AppError>
    where
        A::Event: AggregateEvent,
    {
        let expected = loaded.expected();
        let append = streams::prepare(&self.services, stream, expected, now, by, events)?;
        let request = AppendRequest {
            tenant: tenant.clone(),
            key: None,
            streams: vec![append],
            fence: fence.cloned(),
        };
        match self.services.store.append(request).await {
            Ok(_) => {
                events.iter().for_each(|event| loaded.state.apply(now, event));
                Ok(Some(loaded.state))
            }
            Err(AppendError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}
