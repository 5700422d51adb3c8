//! Reconciliation: what is kept twice, or follows from something else, is compared, and what was
//! found is recorded.
//!
//! Reading order: `executors`, attempts with what this machine kept of them; here the store with
//! itself, closed periods with their leaves, and how a report becomes an event.

mod executors;

use std::path::PathBuf;
use std::sync::Arc;

use dagbook_events::aggregate::AggregateEvent as _;
use dagbook_events::canonical;
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::journal::bundle::export::rate_again;
use dagbook_events::journal::verify::{AuditSource, SignedHead, verify};
use dagbook_events::ports::{
    Actor, AppendRequest, Clock, EventStore, Expected, NewEvent, Rng, StreamAppend,
};
use dagbook_events::reconciliation::{
    Comparison, Discrepancy, RECONCILIATION_STREAM, ReconciliationEvent, ReconciliationReported,
};
use uuid::Uuid;

pub use self::executors::{Ended, Kept};
use crate::app::error::AppError;
use crate::app::principal::SITE_TENANT;

/// What reconciliation works with.
pub struct Reconciling {
    /// The record.
    pub store: Arc<dyn EventStore>,
    /// The store as an auditor reads it.
    pub audit: Arc<dyn AuditSource>,
    /// What was signed of it.
    pub signed: Vec<SignedHead>,
    /// The name of the site, with which the names of its logs begin.
    pub site: String,
    /// The place that this data folder is.
    pub place: String,
    /// Where unfinished things may lie.
    pub scratch: PathBuf,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for ids.
    pub rng: Arc<dyn Rng>,
    /// In whose name it is recorded.
    pub actor: Actor,
}

impl Reconciling {
    /// The store with its own hashes, numbers and signed heads.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub async fn store(&self) -> Result<ReconciliationReported, AppError> {
        let head = self.store.head().await?;
        let report = verify(self.audit.as_ref(), &self.signed).await?;
        let findings: Vec<Discrepancy> = report
            .findings
            .iter()
            .map(|finding| {
                let at = match (&finding.tenant, finding.position) {
                    (_, Some(position)) => format!("position {position}"),
                    (Some(tenant), None) => format!("the log of {tenant}"),
                    (None, None) => "the record".to_string(),
                };
                Discrepancy::new("damage", at, &finding.damage)
            })
            .collect();
        let figures = (head.0, report.events);
        Ok(ReconciliationReported::of(Comparison::Store, None, figures, &findings, report.further))
    }

    /// Attempts of the record with what this machine kept of them.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub async fn executors(
        &self,
        kept: impl FnOnce() -> Result<Kept, AppError> + Send,
    ) -> Result<ReconciliationReported, AppError> {
        executors::compare(self.store.as_ref(), &self.place, kept).await
    }

    /// The closed periods of a tenant with what follows from its leaves; none: nothing was closed.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub async fn periods(
        &self,
        tenant: &TenantId,
    ) -> Result<Option<ReconciliationReported>, AppError> {
        let head = self.store.head().await?;
        let origin = |timeline: u64| format!("{}/t/{tenant}/{timeline}", self.site);
        std::fs::create_dir_all(&self.scratch)
            .map_err(|e| AppError::unavailable(format!("{}: {e}", self.scratch.display())))?;
        let name = Uuid::from_bytes(self.rng.bytes()).simple().to_string();
        let scratch = self.scratch.join(format!("rate-{name}"));
        let again = rate_again(self.store.as_ref(), tenant, origin, &scratch).await?;
        let figures = (head.0, again.periods);
        let report =
            || ReconciliationReported::of(Comparison::Periods, None, figures, &again.findings, 0);
        Ok((again.periods > 0).then(report))
    }

    /// All tenants that have a log.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub async fn tenants(&self) -> Result<Vec<TenantId>, AppError> {
        Ok(self.store.log_heads().await?.into_keys().collect())
    }

    /// Records what was found: of a tenant, or of the site.
    ///
    /// # Errors
    /// Where the store does not take it.
    pub async fn report(
        &self,
        tenant: Option<&TenantId>,
        report: &ReconciliationReported,
    ) -> Result<(), AppError> {
        let named = |error: String| AppError::Internal(error);
        let site = TenantId::new(SITE_TENANT).map_err(|e| named(e.to_string()))?;
        let event = ReconciliationEvent::Reported(report.clone());
        let data = canonical::to_vec(&event.to_data()).map_err(|e| named(e.to_string()))?;
        let stream = StreamName::new(RECONCILIATION_STREAM).map_err(|e| named(e.to_string()))?;
        let event = NewEvent {
            id: super::stamp::event_id(self.clock.as_ref(), self.rng.as_ref()),
            kind: Arc::from(event.kind()),
            at: self.clock.now(),
            actor: Arc::new(self.actor.clone()),
            causation: None,
            correlation: None,
            traceparent: None,
            data,
            blob: None,
        };
        let streams = vec![StreamAppend { stream, expected: Expected::Any, events: vec![event] }];
        let tenant = tenant.cloned().unwrap_or(site);
        self.store.append(AppendRequest { tenant, key: None, streams, fence: None }).await?;
        Ok(())
    }
}
