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

/// When it compares.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    first: Duration,
    every: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self { first: FIRST, every: EVERY }
    }
}

/// What the daily comparison works with.
pub(super) struct Reconciliation {
    pub(super) installation: Arc<Installation>,
    pub(super) config: Config,
    pub(super) leads: watch::Receiver<bool>,
    pub(super) metrics: Metrics,
    pub(super) pace: Pace,
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
        let mut wait = self.pace.first;
        loop {
            tokio::time::sleep(wait).await;
            wait = self.pace.every;
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

#[cfg(test)]
mod tests {
    use dagbook_events::envelope::Envelope;
    use dagbook_events::ids::StreamName;
    use dagbook_events::journal::clock::IdMint;
    use dagbook_events::ports::{AppendRequest, Expected, NewEvent, StreamAppend};
    use dagbook_events::reconciliation::RECONCILIATION_STREAM;
    use dagbook_events::time::Timestamp;
    use tempfile::TempDir;
    use tokio::time::Instant;

    use super::*;
    use crate::app::principal::SITE_TENANT;
    use crate::config::{DataDir, Overrides};
    use crate::wiring::Purpose;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn name(text: &str) -> TenantId {
        TenantId::new(text).expect("a slug")
    }

    async fn reports(installation: &Installation) -> Vec<ReconciliationReported> {
        let stream = StreamName::new(RECONCILIATION_STREAM).expect("a name");
        let store = &installation.deps.store;
        let read = store.read_stream(&name(SITE_TENANT), &stream, 0, 1_000).await;
        let report = |leaf: &[u8]| {
            let leaf = Envelope::parse(leaf).expect("an event");
            assert_eq!(&*leaf.actor.id, "reconciliation");
            serde_json::from_str(&leaf.data).expect("a report")
        };
        read.expect("readable").iter().map(|it| report(&it.leaf)).collect()
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn whoever_leads_compares_again_and_again_and_records_what_it_found() {
        let folder = TempDir::new().expect("a folder");
        let overrides = Overrides { file: None, data: Some(folder.path().to_path_buf()) };
        let config = Config::load(&overrides, |_| None, None).expect("a configuration");
        let data = DataDir::find(&config, None, |_| None).expect("a data folder");
        let opened = Installation::open(&config, &data, Purpose::Append).await;
        let installation = Arc::new(opened.expect("opened"));
        let deps = &installation.deps;
        let mint = IdMint::new(deps.clock.clone(), deps.rng.clone());
        let event = NewEvent {
            id: mint.event_id(),
            kind: Arc::from("thing.happened"),
            at: Timestamp(0),
            actor: Arc::new(Actor::new("user", "ada")),
            causation: None,
            correlation: None,
            traceparent: None,
            data: b"{}".to_vec(),
            blob: None,
        };
        let stream = StreamName::new("thing").expect("a name");
        let streams = vec![StreamAppend { stream, expected: Expected::Any, events: vec![event] }];
        let request = AppendRequest { tenant: name("acme"), key: None, streams, fence: None };
        deps.store.append(request).await.expect("appended");

        let (tell, leads) = watch::channel(false);
        let metrics = Metrics::new();
        let moment = Duration::from_millis(5);
        let reconciliation = Reconciliation {
            installation: installation.clone(),
            config,
            leads,
            metrics: metrics.clone(),
            pace: Pace { first: moment, every: moment },
        };
        let work = tokio::spawn(reconciliation.run());
        assert!(reports(&installation).await.is_empty(), "nobody leads yet");
        tell.send(true).expect("it listens");
        let deadline = Instant::now() + PATIENCE;
        let found = loop {
            let found = reports(&installation).await;
            // Three rounds, each with the store and the executors.
            if found.len() >= 6 {
                break found;
            }
            assert!(Instant::now() < deadline && !work.is_finished(), "only {found:?}");
            tokio::time::sleep(moment).await;
        };
        for comparison in [Comparison::Store, Comparison::Executors] {
            let of_it = found.iter().filter(|report| report.comparison == comparison);
            assert!(of_it.clone().count() >= 2, "{comparison:?}: {found:?}");
            assert!(of_it.clone().all(|report| report.agrees), "{found:?}");
            let series = OfComparison { comparison: comparison.as_str() };
            assert_eq!(metrics.reconciliation_findings.get_or_create(&series).get(), 0);
        }
        assert_eq!(metrics.reconciliation_failures.get(), 0);
        // It ends with the term, and begins again with the next one.
        tell.send(false).expect("it listens");
        tell.send(true).expect("it listens");
        let before = reports(&installation).await.len();
        let deadline = Instant::now() + PATIENCE;
        while reports(&installation).await.len() <= before + 1 {
            assert!(Instant::now() < deadline && !work.is_finished(), "it came to rest");
            tokio::time::sleep(moment).await;
        }
        work.abort();
    }
}
