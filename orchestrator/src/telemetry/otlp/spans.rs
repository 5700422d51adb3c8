//! Spans of the projection as OpenTelemetry has them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use dagbook_events::project::{Attribute, Span, SpanStatus};
use dagbook_events::time::Timestamp;
use dagbook_events::trace::{SpanId, TraceContext};
use opentelemetry::trace::{
    Event, Link, SpanContext, SpanId as OtelSpanId, SpanKind, Status, TraceFlags, TraceId,
    TraceState,
};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanLinks};

/// A request that was answered over HTTP.
#[derive(Debug, Clone)]
pub struct RequestSpan {
    /// Itself.
    pub context: TraceContext,
    /// The caller's span, where they gave one.
    pub parent: Option<SpanId>,
    /// Such as `POST /api/v1/runs`.
    pub name: String,
    /// When it came.
    pub start: SystemTime,
    /// When its answer began.
    pub end: SystemTime,
    /// The answer's status.
    pub status: u16,
    /// Facts about it.
    pub attributes: Vec<(&'static str, String)>,
    /// Runs that it is about.
    pub links: Vec<TraceContext>,
}

/// A span of a run.
pub fn of_run(span: Span, scope: &InstrumentationScope) -> SpanData {
    SpanData {
        span_context: context(span.context),
        parent_span_id: span.parent.map_or(OtelSpanId::INVALID, span_id),
        parent_span_is_remote: span.parent_is_remote,
        span_kind: SpanKind::Internal,
        name: span.name.into(),
        start_time: instant(span.start),
        end_time: instant(span.end),
        attributes: attributes(span.attributes),
        dropped_attributes_count: 0,
        events: events(
            span.events
                .into_iter()
                .map(|event| {
                    Event::new(event.name, instant(event.at), attributes(event.attributes), 0)
                })
                .collect(),
            span.dropped_events,
        ),
        links: SpanLinks::default(),
        status: match span.status {
            SpanStatus::Unset => Status::Unset,
            SpanStatus::Ok => Status::Ok,
            SpanStatus::Error(why) => Status::error(why),
        },
        instrumentation_scope: scope.clone(),
    }
}

/// A span of a request.
pub fn of_request(span: RequestSpan, scope: &InstrumentationScope) -> SpanData {
    let mut links = SpanLinks::default();
    links.links =
        span.links.into_iter().map(|run| Link::new(context(run), Vec::new(), 0)).collect();
    let mut attributes: Vec<KeyValue> =
        span.attributes.into_iter().map(|(key, value)| KeyValue::new(key, value)).collect();
    attributes.push(KeyValue::new("http.response.status_code", i64::from(span.status)));
    SpanData {
        span_context: context(span.context),
        parent_span_id: span.parent.map_or(OtelSpanId::INVALID, span_id),
        parent_span_is_remote: span.parent.is_some(),
        span_kind: SpanKind::Server,
        name: span.name.into(),
        start_time: span.start,
        end_time: span.end,
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links,
        status: match span.status {
            500.. => Status::error(format!("answered with {}", span.status)),
            _ => Status::Unset,
        },
        instrumentation_scope: scope.clone(),
    }
}

fn events(list: Vec<Event>, dropped: u32) -> SpanEvents {
    let mut events = SpanEvents::default();
    events.events = list;
    events.dropped_count = dropped;
    events
}

fn context(context: TraceContext) -> SpanContext {
    let flags = if context.sampled { TraceFlags::SAMPLED } else { TraceFlags::default() };
    SpanContext::new(
        TraceId::from_bytes(context.trace.0),
        span_id(context.span),
        flags,
        false,
        TraceState::default(),
    )
}

fn span_id(id: SpanId) -> OtelSpanId {
    OtelSpanId::from_bytes(id.0)
}

fn instant(at: Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(u64::try_from(at.0).unwrap_or(0))
}

fn attributes(given: Vec<(&'static str, Attribute)>) -> Vec<KeyValue> {
    given
        .into_iter()
        .map(|(key, value)| {
            let value: Value = match value {
                Attribute::Text(text) => text.into(),
                Attribute::Int(n) => n.into(),
                Attribute::Bool(yes) => yes.into(),
            };
            KeyValue::new(key, value)
        })
        .collect()
}
