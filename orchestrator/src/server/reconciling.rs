//! Reconciliation while this process leads: once a day what is kept twice, or follows from
//! something else, is compared, and what was found is recorded, counted and said.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::TenantId;
use dagbook_events::ports::Actor;
use dagbook_events::reconciliation::{Comparison, ReconciliationReported};
use tokio::sync::watch;

use crate::app::error::AppError;
use crate::app::reconcile::Reconciling;
use crate::config::Config;
use crate::telemetry::metrics::{Metrics, OfComparison};
use crate::wiring::{Installation, kept};

/// How long after it began to lead a process compares for the first time.
const FIRST: Duration = Duration::from_secs(15 * 60);
/// How often it compares.
const EVERY: Duration = Duration::from_secs(24 * 3_600);

/// What the daily comparison works with.
pub(super) struct Reconciliation {
    pub(super) installation: Arc<Installation>,
    pub(super) config: Config,
    pub(super) leads: watch::Receiver<bool>,
    pub(super) metrics: Metrics,
}

impl Reconciliation {
    /// Compares once a day while this process leads; never returns.
    pub(super) async fn run(mut self) {
        loop {
            if self.leads.wait_for(|leads| *leads).await.is_err() {
                // No term follows: the process is about to end.
                return std::future::pending().await;
            }
            let mut leads = self.leads.clone();
            tokio::select! {
                _ = leads.wait_for(|leads| !*leads) => {}
                () = self.days() => {}
            }
        }
    }

    async fn days(&self) {
        let mut wait = FIRST;
        loop {
            tokio::time::sleep(wait).await;
            wait = EVERY;
            if let Err(error) = self.compare().await {
                self.failed("all", &error);
            }
        }
    }

    async fn compare(&self) -> Result<(), AppError> {
        let by = Actor::new("system", "reconciliation");
        let reconciling = self.installation.reconciling(&self.config, by).await;
        let reconciling = reconciling.map_err(|error| AppError::Internal(error.to_string()))?;
        let stored = reconciling.store().await;
        self.said(&reconciling, None, Comparison::Store, stored).await;
        let data = self.installation.data.clone();
        let matched = reconciling.executors(move || kept(&data)).await;
        self.said(&reconciling, None, Comparison::Executors, matched).await;
        let mut differing = 0;
        for tenant in reconciling.tenants().await? {
            match reconciling.periods(&tenant).await {
                Ok(None) => {}
                Ok(Some(report)) => {
                    differing += report.found();
                    self.record(&reconciling, Some(&tenant), &report).await;
                }
                Err(error) => self.failed("periods", &error),
            }
        }
        self.count(Comparison::Periods, differing);
        Ok(())
    }

    async fn said(
        &self,
        reconciling: &Reconciling,
        tenant: Option<&TenantId>,
        comparison: Comparison,
        report: Result<ReconciliationReported, AppError>,
    ) {
        match report {
            Ok(report) => {
                self.count(comparison, report.found());
                self.record(reconciling, tenant, &report).await;
            }
            Err(error) => self.failed(comparison.as_str(), &error),
        }
    }

    async fn record(
        &self,
        reconciling: &Reconciling,
        tenant: Option<&TenantId>,
        report: &ReconciliationReported,
    ) {
        let (comparison, compared) = (report.comparison.as_str(), report.compared);
        if report.agrees {
            tracing::info!(comparison, compared, "reconciled");
        } else {
            let first = report.findings.first();
            tracing::error!(
                comparison,
                compared,
                found = report.found(),
                kind = first.map(|it| it.kind.as_str()),
                subject = first.map(|it| it.subject.as_str()),
                "reconciliation failed; see the runbook reconciliation-failed"
            );
        }
        if let Err(error) = reconciling.report(tenant, report).await {
            self.failed(comparison, &error);
        }
    }

    fn count(&self, comparison: Comparison, found: u64) {
        let comparison = comparison.as_str();
        let series =
            self.metrics.reconciliation_findings.get_or_create(&OfComparison { comparison });
        series.set(i64::try_from(found).unwrap_or(i64::MAX));
    }

    fn failed(&self, comparison: &str, error: &AppError) {
        self.metrics.reconciliation_failures.inc();
        tracing::warn!(comparison, %error, "a reconciliation came to nothing; tomorrow's tries again");
    }
}
