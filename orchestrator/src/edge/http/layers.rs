//! What every request passes, from the outside in: an id and a span, safe headers, a net for
//! panics, a bound on how many are at work, compression, a bound on time, the gate, keys.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use dagbook_events::time::Millis;
use tower::ServiceBuilder;
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::load_shed::LoadShedLayer;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::set_header::SetResponseHeaderLayer;
use tracing::Instrument as _;

use super::measured::Measured;
use super::problem::REQUEST_ID;
use super::{Api, Problem, gate, idempotency, intake};

/// Longest request id that is taken over.
const REQUEST_ID_MAX: usize = 128;
/// Smallest answer that is worth compressing.
const COMPRESSED_FROM: u64 = 1_024;
/// Paths that take long uploads: bound by how fast they come, not by how long they take.
const UPLOADS: &str = "/api/v1/sources/";

/// Routes that rate a tenant's log.
const RATED: [&str; 7] = [
    "/api/v1/usage",
    "/api/v1/periods",
    "/api/v1/periods/{period}/close",
    "/api/v1/invoices/{period}",
    "/api/v1/invoices/{period}/what-if",
    "/api/v1/invoices/{period}/lines/{line}",
    "/api/v1/invoices/{period}/credit-notes",
];

/// Marks an answer that is a stream: it is not held back to be compressed.
#[derive(Debug, Clone, Copy)]
pub struct Streamed;

/// The routes with all layers around them, and a problem for what they do not know.
pub(super) fn around(closed: Router<Api>, open: Router<Api>, api: Api) -> Router {
    let limits = api.limits.clone();
    let fixed = |name: &'static str, value: &'static str| {
        SetResponseHeaderLayer::if_not_present(
            HeaderName::from_static(name),
            HeaderValue::from_static(value),
        )
    };
    let compressed = SizeAbove::new(COMPRESSED_FROM).and(NotForContentType::SSE).and(
        |_: StatusCode, _, _: &_, extensions: &axum::http::Extensions| {
            extensions.get::<Streamed>().is_none()
        },
    );
    // From the inside out.
    let shed = ServiceBuilder::new()
        .layer(HandleErrorLayer::new(overloaded))
        .layer(LoadShedLayer::new())
        .layer(GlobalConcurrencyLimitLayer::new(limits.concurrent));
    let closed = closed
        .method_not_allowed_fallback(wrong_method)
        .fallback(nothing_there)
        .layer(DefaultBodyLimit::max(limits.body_bytes))
        .layer(from_fn_with_state(api.clone(), idempotency::keep))
        .layer(from_fn_with_state(api.clone(), gate::enter))
        .layer(from_fn_with_state(api.clone(), in_time))
        .layer(shed)
        .layer(CompressionLayer::new().compress_when(compressed));
    // How the server is can be asked however much it has to do.
    closed
        .merge(open)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(fixed("x-content-type-options", "nosniff"))
        .layer(fixed("referrer-policy", "no-referrer"))
        .layer(fixed("x-frame-options", "DENY"))
        .layer(fixed("content-security-policy", "default-src 'none'; frame-ancestors 'none'"))
        .layer(fixed("cache-control", "no-store"))
        .layer(from_fn_with_state(api.clone(), observe))
        .layer(SetSensitiveRequestHeadersLayer::new([header::AUTHORIZATION, header::COOKIE]))
        .with_state(api)
}

async fn nothing_there() -> Problem {
    Problem::new("not-found", "there is nothing at this path")
        .hint("/api/v1/openapi.json describes what there is")
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new("method-not-allowed", format!("this path does not take {method}"))
}

async fn overloaded(_error: tower::BoxError) -> Problem {
    Problem::new("overloaded", "the server works on as many requests as it can")
        .retry_after(Millis(1_000))
}

fn panicked(panic: Box<dyn std::any::Any + Send + 'static>) -> Response {
    let said = panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_string())
        .or_else(|| panic.downcast_ref::<String>().cloned());
    tracing::error!(panic = said.unwrap_or_default(), "a handler panicked");
    Problem::new("internal", "").into_response()
}

/// Bounds the time until the answer begins.
async fn in_time(State(api): State<Api>, request: Request, next: Next) -> Response {
    if request.method() == Method::PUT && request.uri().path().starts_with(UPLOADS) {
        return next.run(request).await;
    }
    let long = Long::of(&request);
    let (request, body) = intake::bounded(request);
    let work = async {
        // Whoever rates waits for a place within their time.
        let place = match long {
            Some(Long::Rates) => api.ratings.acquire().await.ok(),
            Some(Long::Exports) | None => None,
        };
        let response = next.run(request).await;
        drop(place);
        response
    };
    let mut work = std::pin::pin!(work);
    let usual = api.limits.request;
    match tokio::time::timeout(usual, &mut work).await {
        Ok(response) => return response,
        Err(_) if body.cut() => return late().into_response(),
        Err(_) if long.is_none() => return too_long(""),
        Err(_) => {}
    }
    let more = api.limits.rating.saturating_sub(usual);
    match tokio::time::timeout(more, work).await {
        Ok(response) => response,
        Err(_) => too_long("; `dagbook` on the server's data folder has no such bound"),
    }
}

fn too_long(more: &str) -> Response {
    Problem::new("unavailable", format!("it took longer than a request may take{more}"))
        .retry_after(Millis(1_000))
        .into_response()
}

/// What may take longer than other requests, because a tenant's log is gone through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Long {
    Rates,
    Exports,
}

impl Long {
    fn of(request: &Request) -> Option<Self> {
        let route = request.extensions().get::<MatchedPath>()?;
        let is_post = request.method() == Method::POST;
        match route.as_str() {
            "/api/v1/audit/bundle" => Some(Self::Exports),
            "/api/v1/periods" if !is_post => None,
            path if RATED.contains(&path) => Some(Self::Rates),
            _ => None,
        }
    }
}

/// What is said to a body that did not come.
pub(super) fn late() -> Problem {
    Problem::new("request-timeout", "the body did not arrive in the time that it has")
}

/// Gives the request its id and span, and says afterwards what became of it.
async fn observe(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let measured = Measured::begin(&api, &mut request);
    let id = request_id(&request);
    let value = HeaderValue::try_from(id.as_str()).expect("an id is visible ASCII");
    request.headers_mut().insert(REQUEST_ID, value.clone());
    let route = request.extensions().get::<MatchedPath>().map(|path| path.as_str().to_string());
    let method = request.method().clone();
    let span = tracing::info_span!(
        "request",
        request_id = %id,
        method = %method,
        route = route.as_deref().unwrap_or("-"),
        tenant = tracing::field::Empty,
        by = tracing::field::Empty,
    );
    let began = Instant::now();
    let response = next.run(request).instrument(span.clone()).await;
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let status = response.status().as_u16();
    measured.end(&id, &response);
    span.in_scope(|| tracing::info!(status, took_ms, "answered"));
    let mut response = with_id(response, &id);
    response.headers_mut().insert(REQUEST_ID, value);
    response
}

/// The id that the client gave, where it can be one, or a new one.
fn request_id(request: &Request) -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let given = request.headers().get(REQUEST_ID).and_then(|id| id.to_str().ok());
    let is_id = |id: &&str| {
        (1..=REQUEST_ID_MAX).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_graphic())
    };
    match given.filter(is_id) {
        Some(id) => id.to_string(),
        None => {
            let mut bytes = [0; 8];
            // Without chance the count alone tells requests of a process apart.
            let _ = getrandom::fill(&mut bytes);
            let random = u64::from_be_bytes(bytes);
            format!("{random:016x}{:08x}", COUNT.fetch_add(1, Ordering::Relaxed))
        }
    }
}

/// Writes the request's id into a problem, so that a person who shows it is understood.
fn with_id(mut response: Response, id: &str) -> Response {
    let Some(mut problem) = response.extensions_mut().remove::<Problem>() else {
        return response;
    };
    problem.body.request_id = Some(id.to_string());
    if response.headers().contains_key(header::CONTENT_ENCODING) {
        return response;
    }
    let (mut parts, _) = response.into_parts();
    parts.headers.remove(header::CONTENT_LENGTH);
    let body = serde_json::to_vec(&problem.body).unwrap_or_default();
    Response::from_parts(parts, Body::from(body))
}
