//! Export by OTLP, from a thread of its own: nothing that a collector does or does not do is
//! waited for by anyone else. What finds no place in the bounded queue is dropped and counted.

mod metrics;
mod settings;
mod spans;
mod worker;

use std::sync::Arc;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::time::Duration;

use dagbook_events::project::Span;
use dagbook_events::trace::TraceId;
use opentelemetry::InstrumentationScope;
use opentelemetry_sdk::trace::SpanData;

pub use settings::{OtlpSettings, Sampler, Target};
pub use spans::RequestSpan;

use super::metrics::{Metrics, OfSignal};

/// The way of spans to the exporter. Cheap to copy; never waits.
#[derive(Debug, Clone)]
pub struct SpanSink {
    sender: SyncSender<worker::Work>,
    scope: Arc<InstrumentationScope>,
    sampler: Sampler,
    metrics: Metrics,
}

impl SpanSink {
    /// Whether spans of the trace are wanted. `asked` is the wish of whoever the trace came from.
    pub fn keeps(&self, trace: TraceId, asked: Option<bool>) -> bool {
        self.sampler.keeps(trace, asked)
    }

    /// Sends a span of a run on its way.
    pub fn run_span(&self, span: Span) {
        self.send(spans::of_run(span, &self.scope));
    }

    /// Sends a span of a request on its way, if its trace is wanted.
    pub fn request_span(&self, span: RequestSpan, asked: Option<bool>) {
        if self.keeps(span.context.trace, asked) {
            self.send(spans::of_request(span, &self.scope));
        }
    }

    fn send(&self, span: SpanData) {
        match self.sender.try_send(worker::Work::Span(Box::new(span))) {
            Ok(()) => {}
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                let labels = OfSignal { signal: "traces" };
                self.metrics.otlp_dropped.get_or_create(&labels).inc();
            }
        }
    }
}

/// The running exporter. Dropped, it stops without a last export.
pub struct Exporter {
    sender: SyncSender<worker::Work>,
    done: mpsc::Receiver<()>,
    sink: Option<SpanSink>,
}

impl Exporter {
    /// Starts the thread, where the settings name a collector.
    pub fn start(settings: OtlpSettings, metrics: &Metrics) -> Option<Self> {
        if settings.is_off() {
            return None;
        }
        let (sender, work) = mpsc::sync_channel(settings.queue);
        let (over, done) = mpsc::channel();
        let sink = settings.traces.is_some().then(|| SpanSink {
            sender: sender.clone(),
            scope: Arc::new(
                InstrumentationScope::builder("dagbook")
                    .with_version(env!("CARGO_PKG_VERSION"))
                    .build(),
            ),
            sampler: settings.sampler,
            metrics: metrics.clone(),
        });
        let metrics = metrics.clone();
        let started = std::thread::Builder::new().name("otlp".to_string()).spawn(move || {
            worker::run(&settings, &metrics, &work);
            drop(over);
        });
        match started {
            Ok(_) => Some(Self { sender, done, sink }),
            Err(error) => {
                tracing::warn!(%error, "no thread for the export of telemetry; it is off");
                None
            }
        }
    }

    /// Where spans go, if traces are exported.
    pub fn spans(&self) -> Option<&SpanSink> {
        self.sink.as_ref()
    }

    /// Sends what is left, and waits for that no longer than `within`: a collector that hangs
    /// holds nobody up. Blocks: not for async code.
    pub fn finish(self, within: Duration) {
        // A full queue means that the collector does not keep up: then nobody waits for it.
        if self.sender.try_send(worker::Work::Finish).is_ok() {
            let _ = self.done.recv_timeout(within);
        }
    }
}
