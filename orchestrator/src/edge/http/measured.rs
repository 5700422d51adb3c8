//! Each request in numbers, and as a span that runs which it asks for go on from.

use std::time::{Instant, SystemTime};

use axum::extract::{MatchedPath, Request};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::Response;
use dagbook_events::ids::RunId;
use dagbook_events::trace::TraceContext;

use super::{Api, Problem};
use crate::telemetry::metrics::{Metrics, Name, OfRequest, OfRoute};
use crate::telemetry::{RequestSpan, SpanSink};

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
/// Where runs are.
const RUNS: &str = "/api/v1/runs/";

/// A request that is being answered. Also counts it out where its client goes away.
pub(super) struct Measured {
    metrics: Metrics,
    spans: Option<SpanSink>,
    method: &'static str,
    route: Name,
    shown: String,
    run: Option<RunId>,
    began: (Instant, SystemTime),
    above: Option<TraceContext>,
    context: TraceContext,
}

impl Measured {
    /// Takes note of a request. Where traces are exported, what the request asks for goes on
    /// from the request's own span rather than from its client's.
    pub(super) fn begin(api: &Api, request: &mut Request) -> Self {
        let telemetry = &api.telemetry;
        telemetry.metrics.http_in_flight.inc();
        let followers = i64::try_from(api.following.followers()).unwrap_or(i64::MAX);
        telemetry.metrics.http_followers.set(followers);
        let route = request.extensions().get::<MatchedPath>().map_or("-", |path| path.as_str());
        let (name, shown) = (telemetry.metrics.routes.label(route), route.to_string());
        let above = above(request.headers());
        let mut chance = [0; 24];
        // Without chance the ids are the same each time: better a muddled trace than no answer.
        let _ = getrandom::fill(&mut chance);
        let context = TraceContext::begin(above, chance);
        if above.is_some() && telemetry.spans.is_some() {
            let value = HeaderValue::try_from(context.to_string()).expect("it is plain ASCII");
            request.headers_mut().insert(TRACEPARENT, value);
        }
        Self {
            metrics: telemetry.metrics.clone(),
            spans: telemetry.spans.clone(),
            method: method(request.method()),
            route: name,
            shown,
            run: request.uri().path().strip_prefix(RUNS).and_then(run),
            began: (Instant::now(), SystemTime::now()),
            above,
            context,
        }
    }

    /// Takes note of the answer.
    pub(super) fn end(self, id: &str, response: &Response) {
        let (metrics, status) = (&self.metrics, response.status());
        let labels =
            OfRequest { method: self.method, route: self.route.clone(), status: status.as_u16() };
        metrics.http_requests.get_or_create(&labels).inc();
        let route = OfRoute { route: self.route.clone() };
        let took = self.began.0.elapsed().as_secs_f64();
        metrics.http_seconds.get_or_create(&route).observe(took);
        match response.extensions().get::<Problem>().map(|problem| problem.body.code.as_str()) {
            Some("rate-limited") => drop(metrics.http_rate_limited.inc()),
            Some("overloaded") => drop(metrics.http_shed.inc()),
            _ => {}
        }
        if let Some(sink) = &self.spans {
            let asked = self.above.map(|above| above.sampled);
            sink.request_span(self.span(id, status, response.headers()), asked);
        }
    }

    fn span(&self, id: &str, status: StatusCode, headers: &HeaderMap) -> RequestSpan {
        let location = headers.get(header::LOCATION).and_then(|value| value.to_str().ok());
        let made = location.and_then(|path| path.split_once(RUNS)).and_then(|(_, id)| run(id));
        let mut attributes = vec![
            ("http.request.method", self.method.to_string()),
            ("http.route", self.shown.clone()),
            ("dagbook.request_id", id.to_string()),
        ];
        attributes.extend(made.or(self.run).map(|run| ("dagbook.run", run.to_string())));
        RequestSpan {
            context: self.context,
            parent: self.above.map(|above| above.span),
            name: format!("{} {}", self.method, self.shown),
            start: self.began.1,
            end: SystemTime::now(),
            status: status.as_u16(),
            attributes,
            // A run that was asked for outside any trace has one of its own.
            links: match self.above {
                None => made.map(TraceContext::of_run).into_iter().collect(),
                Some(_) => Vec::new(),
            },
        }
    }
}

impl Drop for Measured {
    fn drop(&mut self) {
        self.metrics.http_in_flight.dec();
    }
}

fn above(headers: &HeaderMap) -> Option<TraceContext> {
    headers.get(TRACEPARENT)?.to_str().ok()?.parse().ok()
}

/// The run whose id a path begins with.
fn run(path: &str) -> Option<RunId> {
    path.split(['/', '?']).next()?.parse().ok()
}

/// Methods are bounded, whatever clients invent.
fn method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "other",
    }
}
