//! `Idempotency-Key` on every POST. The request's hash and stamp are put on the shelf first, its
//! answer afterwards. A repetition gets the kept answer; one whose first try was cut off is done
//! again with the same stamp, hence with the same ids, so nothing happens twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{SHELF_VALUE_MAX, ShelfAnswer, ShelfExpected, ShelfItem};
use dagbook_events::time::Millis;
use serde::{Deserialize, Serialize};
use tracing::Instrument as _;

use super::{Api, Caller, Problem, Stamped};
use crate::app::error::AppError;

/// The header.
pub const KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was kept from an earlier request.
pub const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// Longest key.
const KEY_MAX: usize = 255;
/// How long answers are kept.
const KEPT: Millis = Millis(24 * 60 * 60 * 1_000);
/// How long an unanswered request of another process is taken to be at work.
const AT_WORK: Millis = Millis(5_000);
/// Largest answer that is kept: base64 makes four bytes of three.
const BODY_MAX: usize = SHELF_VALUE_MAX / 2;

/// Marks an answer that holds a secret which is shown once: it is not kept.
#[derive(Debug, Clone, Copy)]
pub struct Once;

/// Keys that this process works on.
#[derive(Clone, Default)]
pub struct InFlight(Arc<Mutex<BTreeMap<String, Arc<tokio::sync::Mutex<()>>>>>);

impl InFlight {
    fn of(&self, name: &str) -> Arc<tokio::sync::Mutex<()>> {
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Those whom nobody holds any more are gone.
        if keys.len() >= 1_024 {
            keys.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        keys.entry(name.to_string()).or_default().clone()
    }
}

/// What lies on the shelf.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Entry {
    request: Sha256Digest,
    stamp: Stamped,
    #[serde(skip_serializing_if = "Option::is_none", default)]
    answer: Option<Answer>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    /// Base64; none where the answer was for once.
    body: Option<String>,
}

/// Where the entry of a request is.
struct Place {
    tenant: TenantId,
    name: String,
}

/// Gives a POST with a key its stamp, or the answer that it was given before.
pub(super) async fn keep(State(api): State<Api>, request: Request, next: Next) -> Response {
    let is_post = request.method() == Method::POST;
    let caller = request.extensions().get::<Caller>().cloned();
    let (Some(key), Some(caller), true) = (request.headers().get(KEY), caller, is_post) else {
        return next.run(request).await;
    };
    let key = match key.to_str() {
        Ok(key) if is_key(key) && request.headers().get_all(KEY).iter().count() == 1 => key,
        _ => return invalid_key().into_response(),
    };
    let actor = &caller.0.actor;
    // By its id: tokens of two tenants, or one after another, may have the same name.
    let who = actor.token.as_deref().unwrap_or(&actor.id);
    let whose = format!("{}\n{who}\n{key}", actor.kind);
    let place = Place {
        tenant: caller.0.tenant.clone(),
        name: format!("idempotency/{}", Sha256Digest::of(whose.as_bytes()).to_hex()),
    };
    // It is done to its end even where the client has gone.
    let work = async move { once(&api, &place, request, next).await };
    match tokio::spawn(work.in_current_span()).await {
        Ok(Ok(response)) => response,
        Ok(Err(problem)) => problem.into_response(),
        Err(_) => Problem::new("internal", "").into_response(),
    }
}

fn is_key(key: &str) -> bool {
    (1..=KEY_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic())
}

fn invalid_key() -> Problem {
    Problem::new(
        "invalid-key",
        format!("`Idempotency-Key` must be 1 to {KEY_MAX} printable ASCII characters, once"),
    )
}

async fn once(api: &Api, place: &Place, request: Request, next: Next) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, api.limits.body_bytes).await.map_err(|_| {
        let most = api.limits.body_bytes;
        Problem::new("too-large", format!("a body has at most {most} bytes here"))
    })?;
    let target = parts.uri.path_and_query().map_or("", |target| target.as_str());
    let kind = parts.headers.get(header::CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let digest = Sha256Digest::of_parts(&[target.as_bytes(), b"\n", kind, b"\n", &body]);
    // Duplicates in this process wait for the first of them.
    let lock = api.in_flight.of(&place.name);
    let _turn = lock.lock().await;
    let (stamp, version) = match begin(api, place, digest).await? {
        Begun::Here(stamp, version) => (stamp, version),
        Begun::Answered(answer) => return replay(answer),
    };
    let mut request = Request::from_parts(parts, Body::from(body));
    request.extensions_mut().insert(stamp.clone());
    let response = next.run(request).await;
    finish(api, place, Entry { request: digest, stamp, answer: None }, version, response).await
}

enum Begun {
    /// It is to be done, and stands on the shelf in this version.
    Here(Stamped, u64),
    /// It was done.
    Answered(Answer),
}

async fn begin(api: &Api, place: &Place, digest: Sha256Digest) -> Result<Begun, Problem> {
    let shelf = api.services.shelf.as_ref();
    let entry = Entry { request: digest, stamp: Stamped::fresh(api), answer: None };
    let fresh = bytes(&entry);
    let put = shelf.put(&place.tenant, &place.name, &fresh, ShelfExpected::New, Some(KEPT));
    let item = match put.await? {
        ShelfAnswer::Kept(version) => return Ok(Begun::Here(entry.stamp, version)),
        ShelfAnswer::Differs(Some(item)) => item,
        ShelfAnswer::Differs(None) => return Err(key_in_use()),
    };
    let kept = entry_of(&item)?;
    if kept.request != digest {
        return Err(Problem::new(
            "key-reused",
            "this `Idempotency-Key` was sent before with another request",
        ));
    }
    if let Some(answer) = kept.answer {
        return Ok(Begun::Answered(answer));
    }
    // In this process nobody is at work on it: we have the turn. In another somebody may be.
    if item.version == 1 && api.services.clock.now().since(item.at) < AT_WORK {
        return Err(key_in_use());
    }
    // Cut off: it is done again with the stamp of the first time. The put says who does it.
    let again = Entry { request: digest, stamp: kept.stamp, answer: None };
    let expected = ShelfExpected::Version(item.version);
    match shelf.put(&place.tenant, &place.name, &bytes(&again), expected, Some(KEPT)).await? {
        ShelfAnswer::Kept(version) => {
            Ok(Begun::Here(Stamped { again: true, ..again.stamp }, version))
        }
        ShelfAnswer::Differs(_) => Err(key_in_use()),
    }
}

fn key_in_use() -> Problem {
    Problem::new("key-in-use", "the request with this `Idempotency-Key` is being worked on")
        .retry_after(Millis(1_000))
}

async fn finish(
    api: &Api,
    place: &Place,
    mut entry: Entry,
    version: u64,
    response: Response,
) -> Result<Response, Problem> {
    let status = response.status();
    let shelf = api.services.shelf.as_ref();
    if is_passing(status) {
        // It did not come to an answer that holds. Whoever repeats it does it again, at once,
        // with the same stamp: the entry says that nobody is at work.
        let expected = ShelfExpected::Version(version);
        let value = bytes(&entry);
        let put = shelf.put(&place.tenant, &place.name, &value, expected, Some(KEPT));
        // Should this fail too, the repetition waits a little longer.
        let _ = put.await;
        return Ok(response);
    }
    let once = response.extensions().get::<Once>().is_some();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.map_err(|_| Problem::new("internal", ""))?;
    let kept = (!once && body.len() <= BODY_MAX).then(|| STANDARD.encode(&body));
    entry.answer =
        Some(Answer { status: status.as_u16(), headers: kept_headers(&parts.headers), body: kept });
    let expected = ShelfExpected::Version(version);
    let value = bytes(&entry);
    let put = shelf.put(&place.tenant, &place.name, &value, expected, Some(KEPT));
    if let Err(error) = put.await {
        // It was done all the same; a repetition finds what it made by its ids.
        tracing::warn!(%error, "the answer of a request could not be kept under its key");
    }
    Ok(Response::from_parts(parts, Body::from(body)))
}

/// Whether the same request may be answered otherwise in a moment.
fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || [
            StatusCode::REQUEST_TIMEOUT,
            StatusCode::TOO_MANY_REQUESTS,
            StatusCode::UNAUTHORIZED,
            StatusCode::FORBIDDEN,
        ]
        .contains(&status)
}

fn kept_headers(headers: &HeaderMap) -> Vec<(String, String)> {
    [header::CONTENT_TYPE, header::LOCATION, header::ETAG]
        .into_iter()
        .filter_map(|name| {
            let value = headers.get(&name)?.to_str().ok()?;
            Some((name.to_string(), value.to_string()))
        })
        .collect()
}

fn replay(answer: Answer) -> Result<Response, Problem> {
    let body = answer.body.and_then(|body| STANDARD.decode(body).ok()).ok_or_else(|| {
        Problem::new("answered-once", format!("it was done, with status {}", answer.status))
    })?;
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::OK);
    for (name, value) in answer.headers {
        if let (Ok(name), Ok(value)) = (name.parse::<HeaderName>(), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    Ok(response)
}

fn entry_of(item: &ShelfItem) -> Result<Entry, Problem> {
    serde_json::from_slice(&item.value).map_err(|error| {
        AppError::Internal(format!("`{}` on the shelf is no entry: {error}", item.key)).into()
    })
}

fn bytes(entry: &Entry) -> Vec<u8> {
    serde_json::to_vec(entry).unwrap_or_default()
}
