//! The exporter's thread. It may block as long as a collector makes it: nobody waits for it.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::task::{Context, Poll, Wake, Waker};
use std::time::{Duration, Instant, SystemTime};

use opentelemetry::KeyValue;
use opentelemetry_otlp::{RetryPolicy, SpanExporter, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanExporter as _};
use prost::Message as _;

use super::settings::{OtlpSettings, Target};
use crate::telemetry::metrics::{Metrics, OfSignal, parse};

const TRACES: OfSignal = OfSignal { signal: "traces" };
const METRICS: OfSignal = OfSignal { signal: "metrics" };

/// What the thread is given.
#[derive(Debug)]
pub(super) enum Work {
    /// A span that has ended.
    Span(Box<SpanData>),
    /// Send what there is, and end.
    Finish,
}

/// Works until it is told to finish, or nobody is left who could.
pub(super) fn run(settings: &OtlpSettings, metrics: &Metrics, work: &Receiver<Work>) {
    let out = Out::new(settings, metrics);
    let mut batch: Vec<SpanData> = Vec::new();
    let mut send_at: Option<Instant> = None;
    let mut next_metrics = Instant::now() + settings.interval;
    loop {
        let until = send_at.map_or(next_metrics, |at| at.min(next_metrics));
        match work.recv_timeout(until.saturating_duration_since(Instant::now())) {
            Ok(Work::Span(span)) => {
                send_at = send_at.or(Some(Instant::now() + settings.delay));
                batch.push(*span);
            }
            Ok(Work::Finish) => {
                out.spans(std::mem::take(&mut batch));
                out.metrics();
                return;
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        let now = Instant::now();
        if batch.len() >= settings.batch || send_at.is_some_and(|at| at <= now) {
            out.spans(std::mem::take(&mut batch));
            send_at = None;
        }
        if next_metrics <= now {
            out.metrics();
            next_metrics = Instant::now() + settings.interval;
        }
    }
}

/// The ways out of the process.
struct Out<'a> {
    settings: &'a OtlpSettings,
    metrics: &'a Metrics,
    spans: Option<SpanExporter>,
    client: Option<reqwest::blocking::Client>,
    began: SystemTime,
}

impl<'a> Out<'a> {
    fn new(settings: &'a OtlpSettings, metrics: &'a Metrics) -> Self {
        let spans = settings.traces.as_ref().and_then(|target| {
            exporter(target, settings)
                .map_err(|error| tracing::warn!(%error, "traces cannot be exported"))
                .ok()
        });
        let client = settings.metrics.as_ref().and_then(|target| {
            reqwest::blocking::Client::builder()
                .timeout(target.timeout)
                .build()
                .map_err(|error| tracing::warn!(%error, "metrics cannot be exported"))
                .ok()
        });
        Self { settings, metrics, spans, client, began: SystemTime::now() }
    }

    fn spans(&self, batch: Vec<SpanData>) {
        let count = batch.len() as u64;
        if count == 0 {
            return;
        }
        let Some(exporter) = &self.spans else {
            self.metrics.otlp_dropped.get_or_create(&TRACES).inc_by(count);
            return;
        };
        match wait_for(exporter.export(batch)) {
            Ok(()) => {
                self.metrics.otlp_exported.get_or_create(&TRACES).inc_by(count);
            }
            Err(error) => {
                self.metrics.otlp_dropped.get_or_create(&TRACES).inc_by(count);
                self.failed(&TRACES, &error.to_string());
            }
        }
    }

    fn metrics(&self) {
        let (Some(target), Some(client)) = (&self.settings.metrics, &self.client) else { return };
        let exposed = match parse(&self.metrics.render()) {
            Ok(exposed) => exposed,
            Err(error) => return self.failed(&METRICS, &error),
        };
        let resource = &self.settings.resource;
        let (request, count) =
            super::metrics::request(&exposed, resource, self.began, SystemTime::now());
        let mut call = client
            .post(&target.url)
            .header("content-type", "application/x-protobuf")
            .body(request.encode_to_vec());
        for (name, value) in &target.headers {
            call = call.header(name, value);
        }
        match call.send().and_then(reqwest::blocking::Response::error_for_status) {
            Ok(_) => {
                self.metrics.otlp_exported.get_or_create(&METRICS).inc_by(count);
            }
            Err(error) => {
                self.metrics.otlp_dropped.get_or_create(&METRICS).inc_by(count);
                self.failed(&METRICS, &error.without_url().to_string());
            }
        }
    }

    fn failed(&self, labels: &OfSignal, error: &str) {
        self.metrics.otlp_failures.get_or_create(labels).inc();
        tracing::warn!(signal = labels.signal, error, "the collector took nothing");
    }
}

fn exporter(
    target: &Target,
    settings: &OtlpSettings,
) -> Result<SpanExporter, opentelemetry_otlp::ExporterBuildError> {
    let mut exporter = SpanExporter::builder()
        .with_http()
        .with_endpoint(&target.url)
        .with_timeout(target.timeout)
        .with_headers(target.headers.iter().cloned().collect())
        // What does not go through is dropped: the next batch waits behind it.
        .with_retry_policy(RetryPolicy::disabled())
        .build()?;
    let pairs = settings.resource.iter().map(|(k, v)| KeyValue::new(k.clone(), v.clone()));
    exporter.set_resource(&Resource::builder_empty().with_attributes(pairs).build());
    Ok(exporter)
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits for a future on this thread. The exporter's client blocks, and a runtime must not.
fn wait_for<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park_timeout(Duration::from_millis(100)),
        }
    }
}
