//! Whoever watches what becomes durable: it counts, writes the log of runs, and folds each run
//! into its trace. It runs beside the engine and holds nobody up.

use std::collections::BTreeMap;

use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::project::Spans;
use dagbook_events::run::event::{AttemptExited, Submitted, Verdict};
use dagbook_events::run::{RunEvent, RunFact};
use dagbook_events::step::Fault;
use dagbook_events::time::Timestamp;
use tokio::sync::mpsc;

use super::metrics::{Name, OfExecutor, OfFault, OfOutcome, OfStatus, OfTenant, OfTenantStatus};
use super::{SpanSink, Telemetry};
use crate::runtime::Watch;
use crate::runtime::record::Recorder;

/// Observes until the runtime is gone.
pub(super) async fn observe(
    mut watch: mpsc::UnboundedReceiver<Watch>,
    recorder: Recorder,
    telemetry: Telemetry,
) {
    let mut observer = Observer { telemetry, runs: BTreeMap::new() };
    while let Some(seen) = watch.recv().await {
        match seen {
            Watch::Recorded { tenant, run, from, facts } => {
                if !observer.runs.contains_key(&run) {
                    observer.meet(&recorder, &tenant, run, from, &facts).await;
                }
                observer.facts(&tenant, run, from, &facts);
            }
            Watch::StoreTrouble { reason, tries } => {
                tracing::warn!(reason, tries, "the store does not answer");
            }
        }
    }
}

struct Observer {
    telemetry: Telemetry,
    runs: BTreeMap<RunId, Watched>,
}

/// What is known of a run that goes on.
struct Watched {
    submitted_at: Timestamp,
    /// Facts that were seen.
    version: u64,
    /// Its trace, if that is kept.
    spans: Option<Spans>,
}

impl Observer {
    /// A run that was not met before: if it has a past, that was told by somebody else.
    async fn meet(
        &mut self,
        recorder: &Recorder,
        tenant: &TenantId,
        run: RunId,
        from: u64,
        facts: &[RunFact],
    ) {
        let mut past = Vec::new();
        if from > 0 {
            match recorder.facts(tenant, run).await {
                Ok(all) => {
                    past = all;
                    past.truncate(usize::try_from(from).unwrap_or(usize::MAX));
                }
                Err(error) => {
                    tracing::warn!(%run, %tenant, %error, "the trace of a run is lost");
                }
            }
        }
        let Some(first) = past.first().or(facts.first().filter(|_| from == 0)) else { return };
        let spans = match (&self.telemetry.spans, &first.event) {
            (Some(sink), RunEvent::Submitted(submitted)) if keeps(sink, submitted) => {
                Some(Spans::behind(&past))
            }
            _ => None,
        };
        let watched = Watched { submitted_at: first.at, version: from, spans };
        self.runs.insert(run, watched);
    }

    fn facts(&mut self, tenant: &TenantId, run: RunId, from: u64, facts: &[RunFact]) {
        let known = self.runs.get(&run).map_or(from, |watched| watched.version);
        // The engine may tell a fact again that it had told before it read the run anew.
        let told = usize::try_from(known.saturating_sub(from)).unwrap_or(usize::MAX);
        for fact in facts.iter().skip(told) {
            self.count(tenant, run, fact);
            say(tenant, run, fact);
            let Some(watched) = self.runs.get_mut(&run) else { continue };
            watched.version += 1;
            if let (Some(spans), Some(sink)) = (&mut watched.spans, &self.telemetry.spans) {
                spans.apply(fact).into_iter().for_each(|span| sink.run_span(span));
            }
            if matches!(fact.event, RunEvent::Finished(_)) {
                self.runs.remove(&run);
            }
        }
    }

    fn count(&self, tenant: &TenantId, run: RunId, fact: &RunFact) {
        let metrics = &self.telemetry.metrics;
        let tenant = || metrics.tenants.label(tenant.as_str());
        match &fact.event {
            RunEvent::Submitted(submitted) => {
                metrics.runs_submitted.get_or_create(&OfTenant { tenant: tenant() }).inc();
                if let (Some(instant), "schedule") =
                    (submitted.scheduled_at, submitted.trigger.as_str())
                {
                    metrics.schedule_fired.get_or_create(&OfTenant { tenant: tenant() }).inc();
                    metrics.schedule_lateness.observe(seconds(fact.at, instant));
                }
            }
            RunEvent::Finished(finished) => {
                let status = finished.status.as_str();
                let labels = OfTenantStatus { tenant: tenant(), status };
                metrics.runs_finished.get_or_create(&labels).inc();
                if let Some(watched) = self.runs.get(&run) {
                    let took = seconds(fact.at, watched.submitted_at);
                    metrics.run_seconds.get_or_create(&OfStatus { status }).observe(took);
                }
            }
            RunEvent::AttemptPlanned(planned) => {
                let executor = metrics.names.label(&planned.executor);
                metrics.attempts_planned.get_or_create(&OfExecutor { executor }).inc();
            }
            RunEvent::AttemptExited(exited) => self.count_end(exited),
            _ => {}
        }
    }

    fn count_end(&self, exited: &AttemptExited) {
        let metrics = &self.telemetry.metrics;
        let usage = &exited.exit.usage;
        let executor: Name = metrics.names.label(&usage.executor);
        let outcome = exited.exit.outcome.name();
        let labels = OfOutcome { executor: executor.clone(), outcome };
        metrics.attempts_ended.get_or_create(&labels).inc();
        let held = seconds(usage.released_ms, usage.allocated_ms);
        metrics.attempt_seconds.get_or_create(&OfExecutor { executor }).observe(held);
        if let Verdict::Retry { infra, .. } = exited.verdict {
            let fault = if infra { "infra" } else { "user" };
            metrics.attempts_retried.get_or_create(&OfFault { fault }).inc();
        }
    }
}

fn keeps(sink: &SpanSink, submitted: &Submitted) -> bool {
    let span = submitted.span();
    let asked = submitted.asked_within().map(|above| above.sampled);
    sink.keeps(span.trace, asked)
}

#[allow(clippy::cast_precision_loss, reason = "a span of time is far below what is exact")]
fn seconds(end: Timestamp, start: Timestamp) -> f64 {
    end.since(start).0 as f64 / 1e3
}

/// The log of runs: what an operator looks for by run, step, attempt and tenant.
fn say(tenant: &TenantId, run: RunId, fact: &RunFact) {
    match &fact.event {
        RunEvent::Submitted(e) => tracing::info!(
            %tenant, %run, pipeline = e.pipeline, number = e.number, trigger = e.trigger,
            "run submitted"
        ),
        RunEvent::Finished(e) => tracing::info!(
            %tenant, %run, status = e.status.as_str(), reason = e.reason, "run finished"
        ),
        RunEvent::CancelRequested(e) => tracing::info!(
            %tenant, %run, reason = e.reason, force = e.force, "run is asked to stop"
        ),
        RunEvent::Paused(_) => tracing::info!(%tenant, %run, "run paused"),
        RunEvent::Resumed(_) => tracing::info!(%tenant, %run, "run resumed"),
        RunEvent::StepFailed(e) => tracing::info!(
            %tenant, %run, step = e.step.as_str(), reason = e.reason, "step failed"
        ),
        RunEvent::AttemptPlanned(e) => tracing::debug!(
            %tenant, %run, step = e.step.as_str(), attempt = %e.attempt, number = e.epoch.0,
            executor = e.executor, "attempt planned"
        ),
        RunEvent::AttemptStarted(e) => tracing::info!(
            %tenant, %run, step = e.step.as_str(), attempt = %e.attempt, node = e.node,
            "attempt started"
        ),
        RunEvent::AttemptSuspected(e) => tracing::warn!(
            %tenant, %run, step = e.step.as_str(), attempt = %e.attempt,
            "contact with an attempt is lost"
        ),
        RunEvent::AttemptExited(e) => said_of_end(tenant, run, e),
        _ => {}
    }
}

fn said_of_end(tenant: &TenantId, run: RunId, e: &AttemptExited) {
    let outcome = e.exit.outcome.name();
    let step = e.step.as_str();
    if e.exit.outcome.fault() == Fault::Infra {
        let detail = e.exit.outcome.describe();
        tracing::warn!(
            %tenant, %run, step, attempt = %e.attempt, number = e.epoch.0, outcome, detail,
            "attempt ended by no fault of its author"
        );
    } else {
        tracing::info!(
            %tenant, %run, step, attempt = %e.attempt, number = e.epoch.0, outcome, "attempt ended"
        );
    }
}
