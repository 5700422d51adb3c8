//! What the outside sees of a process: metrics, logs, traces. All of it is made from what was
//! recorded or measured at a seam; nothing decides from it, and nothing waits for it.

pub mod logs;
pub mod metrics;
mod observer;
mod otlp;

use std::time::Duration;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

pub use metrics::Metrics;
pub use otlp::{Exporter, OtlpSettings, RequestSpan, Sampler, SpanSink, Target};

use crate::runtime::Watch;
use crate::runtime::record::Recorder;

/// How long a process that ends waits for its collector.
const LAST_EXPORT: Duration = Duration::from_secs(2);

/// Metrics, and the way of spans where traces are exported.
#[derive(Debug, Clone, Default)]
pub struct Telemetry {
    /// The metrics of the process.
    pub metrics: Metrics,
    /// Where spans go.
    pub spans: Option<SpanSink>,
}

/// Telemetry with its exporter, for as long as a process lasts.
#[derive(Default)]
pub struct RunningTelemetry {
    telemetry: Telemetry,
    exporter: Option<Exporter>,
}

impl RunningTelemetry {
    /// Starts what the settings name. `metrics` are those that logs count into already.
    pub fn start(settings: OtlpSettings, metrics: Metrics) -> Self {
        for problem in &settings.problems {
            tracing::warn!("{problem}");
        }
        let exporter = Exporter::start(settings, &metrics);
        let spans = exporter.as_ref().and_then(Exporter::spans).cloned();
        Self { telemetry: Telemetry { metrics, spans }, exporter }
    }

    /// The handles.
    pub fn handles(&self) -> &Telemetry {
        &self.telemetry
    }

    /// Exports what is left, and waits for that a moment at most. Blocks: not for async code.
    pub fn finish(self) {
        if let Some(exporter) = self.exporter {
            exporter.finish(LAST_EXPORT);
        }
    }
}

impl std::fmt::Debug for RunningTelemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RunningTelemetry").field("exports", &self.exporter.is_some()).finish()
    }
}

impl Telemetry {
    /// Counts, logs and traces what becomes durable, until the runtime is gone.
    pub fn observe(
        &self,
        watch: mpsc::UnboundedReceiver<Watch>,
        recorder: Recorder,
    ) -> JoinHandle<()> {
        tokio::spawn(observer::observe(watch, recorder, self.clone()))
    }
}

/// The name of this machine.
pub(crate) fn host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
