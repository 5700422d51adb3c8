//! A receiver of OTLP over HTTP, on a port of its own.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::metrics::v1::Metric;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;

/// What it does with what it gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    Takes,
    Refuses,
    Hangs,
}

/// What it got.
#[derive(Debug, Default)]
pub struct Got {
    pub spans: Vec<Span>,
    pub metrics: Vec<Metric>,
    pub resources: Vec<Vec<KeyValue>>,
    pub headers: Vec<HeaderMap>,
}

/// The receiver. It goes on until this is dropped.
pub struct Collector {
    pub url: String,
    got: Arc<Mutex<Got>>,
    _runtime: tokio::runtime::Runtime,
}

type Shared = (Manner, Arc<Mutex<Got>>);

impl Collector {
    pub fn start(manner: Manner) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let got = Arc::new(Mutex::new(Got::default()));
        let listener =
            runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("its address"));
        let router = Router::new()
            .route("/v1/traces", post(traces))
            .route("/v1/metrics", post(metrics))
            .with_state((manner, got.clone()));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { url, got, _runtime: runtime }
    }

    pub fn got(&self) -> std::sync::MutexGuard<'_, Got> {
        self.got.lock().expect("nobody panicked")
    }
}

async fn answer(manner: Manner) -> StatusCode {
    match manner {
        Manner::Takes => StatusCode::OK,
        Manner::Refuses => StatusCode::SERVICE_UNAVAILABLE,
        Manner::Hangs => std::future::pending().await,
    }
}

async fn traces(
    State((manner, got)): State<Shared>,
    headers: HeaderMap,
    body: Bytes,
) -> StatusCode {
    let request = ExportTraceServiceRequest::decode(body).expect("spans");
    {
        let mut got = got.lock().expect("nobody panicked");
        got.headers.push(headers);
        for part in request.resource_spans {
            got.resources.push(part.resource.map(|it| it.attributes).unwrap_or_default());
            got.spans.extend(part.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    answer(manner).await
}

async fn metrics(State((manner, got)): State<Shared>, body: Bytes) -> StatusCode {
    let request = ExportMetricsServiceRequest::decode(body).expect("metrics");
    {
        let mut got = got.lock().expect("nobody panicked");
        for part in request.resource_metrics {
            got.resources.push(part.resource.map(|it| it.attributes).unwrap_or_default());
            got.metrics.extend(part.scope_metrics.into_iter().flat_map(|scope| scope.metrics));
        }
    }
    answer(manner).await
}

/// The value of an attribute as text.
pub fn attribute(attributes: &[KeyValue], name: &str) -> Option<String> {
    let value = attributes.iter().find(|pair| pair.key == name)?.value.as_ref()?.value.as_ref()?;
    Some(match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(n) => n.to_string(),
        Value::BoolValue(yes) => yes.to_string(),
        other => format!("{other:?}"),
    })
}

/// Hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
