//! What an attempt wrote: bytes by absolute offset, a part at a time or as they come.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue};
use axum::response::{IntoResponse as _, Response};
use dagbook_events::access::Permission;
use dagbook_events::ids::{AttemptId, RunId, StepKey, TenantId};
use dagbook_events::time::Timestamp;
use dagbook_executors::{LogChunk, LogError};
use serde::Deserialize;
use utoipa::IntoParams;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::pass::{Pass, Watch};
use super::run_events::{enter, streamed};
use super::runs::run_id;
use super::{Api, Caller, Path, Problem, ProblemBody, Query};
use crate::app::error::AppError;
use crate::app::following::Place;
use crate::app::logs::LogPart;
use crate::app::retention::logs_went;
use crate::app::runs;

/// Bytes of a part where the request does not say.
const PART_USUAL: usize = 256 << 10;
/// Most bytes of a part.
const PART_MAX: usize = 4 << 20;
/// How long a follower waits for more before it looks whether the log is still open.
const WAIT: Duration = Duration::from_secs(5);

/// Not at all.
const NOW: Duration = Duration::ZERO;

/// Offset of the first byte of this answer: beyond the one asked for where bytes are missing.
const OFFSET: HeaderName = HeaderName::from_static("dagbook-log-offset");
/// The offset to ask for next.
const NEXT: HeaderName = HeaderName::from_static("dagbook-log-next");
/// Bytes kept so far.
const TOTAL: HeaderName = HeaderName::from_static("dagbook-log-total");
/// `true`: nothing will be added any more.
const CLOSED: HeaderName = HeaderName::from_static("dagbook-log-closed");
/// Bytes that were dropped because of the cap.
const DROPPED: HeaderName = HeaderName::from_static("dagbook-log-dropped");

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(log))
}

/// Which part.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct LogQuery {
    /// First byte wanted, from 0.
    offset: Option<u64>,
    /// At most so many bytes; the default is 262144. Not with `follow`.
    #[param(minimum = 1, maximum = 4194304)]
    limit: Option<usize>,
    /// Go on as the attempt writes, until its log is closed.
    follow: Option<bool>,
}

/// Read what an attempt wrote
///
/// Bytes as they were written, secrets hidden. Headers `Dagbook-Log-…` say where they stand:
/// `Offset`, `Next` (to ask for next), `Total`, `Closed` and `Dropped`. With `follow` only
/// `Offset` is known; the body ends where the log does.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/steps/{step}/attempts/{number}/log", operation_id = "read_log",
    tag = "runs",
    params(
        ("id" = String, Path, format = "uuid", description = "The run"),
        ("step" = String, Path, description = "The step, or a child such as `resize[3]`"),
        ("number" = u32, Path, description = "The attempt, from 1"),
        LogQuery,
    ),
    responses((status = 200, content_type = "application/octet-stream", body = String,
        headers(
            ("dagbook-log-offset" = u64), ("dagbook-log-next" = u64),
            ("dagbook-log-total" = u64), ("dagbook-log-closed" = bool),
            ("dagbook-log-dropped" = u64),
        )),
        (status = 410, body = ProblemBody, content_type = "application/problem+json",
            description = "It was there, and is kept no longer")),
)]
async fn log(
    caller: Caller,
    pass: Pass,
    State(api): State<Api>,
    Path((id, step, number)): Path<(String, String, String)>,
    Query(query): Query<LogQuery>,
) -> Result<Response, Problem> {
    caller.require(Permission::ReadLogs)?;
    let (run, step) = (run_id(&id)?, StepKey::new(&step));
    let shown: String = number.chars().take(20).collect();
    let number = number.parse::<u32>().map_err(|_| AppError::not_found("attempt", shown))?;
    let limit = match (query.limit, query.follow) {
        (None, _) => PART_USUAL,
        (Some(_), Some(true)) => {
            return Err(Problem::invalid("`limit` goes with parts, not with `follow`"));
        }
        (Some(limit @ 1..=PART_MAX), _) => limit,
        (Some(_), _) => {
            return Err(Problem::invalid(format!("`limit` is from 1 to {PART_MAX}")));
        }
    };
    // Whoever finds no place to follow costs nothing more.
    let place = match query.follow {
        Some(true) => Some(enter(&api, &caller)?),
        _ => None,
    };
    let view = runs::view(&api.services, caller.tenant(), run).await?;
    let attempt = runs::attempt(&view, &step, number)?;
    let wanted = Wanted { run, attempt: attempt.attempt, offset: query.offset.unwrap_or(0) };
    let has_ended = attempt.end.is_some();
    let ended_at = view.finished_at;
    if let Some(place) = place {
        if has_ended && let Err(LogError::Missing(_)) = api.logs.read(wanted.part(1, NOW)).await {
            kept(&api, caller.tenant(), ended_at).await?;
        }
        let offset = HeaderValue::from(wanted.offset);
        let tenant = caller.tenant().clone();
        let watch = Watch::begin(&api, pass, &caller, Permission::ReadLogs);
        let growing =
            Growing { api, watch, tenant, step, number, wanted, has_ended, _place: place };
        let body = Body::from_stream(growing.into_stream());
        let mut response = streamed("application/octet-stream", body);
        response.headers_mut().insert(OFFSET, offset);
        return Ok(response);
    }
    let part = wanted.part(limit, NOW);
    let chunk = match api.logs.read(part).await {
        Ok(chunk) => chunk,
        // One that is about to write has written nothing yet; one that ended here left nothing.
        Err(LogError::Missing(_)) => {
            kept(&api, caller.tenant(), ended_at).await?;
            LogChunk { offset: wanted.offset, closed: has_ended, ..LogChunk::default() }
        }
        Err(LogError::Unavailable(reason)) => return Err(AppError::unavailable(reason).into()),
    };
    Ok(part_of(chunk))
}

/// Refuses where logs of runs that ended then went by policy.
async fn kept(api: &Api, tenant: &TenantId, ended_at: Option<Timestamp>) -> Result<(), Problem> {
    let Some(ended_at) = ended_at else { return Ok(()) };
    match logs_went(api.services.store.as_ref(), tenant, ended_at).await? {
        None => Ok(()),
        Some(at) => {
            let when = at.to_rfc3339();
            Err(Problem::new(
                "gone",
                format!("the logs of this run went at {when}, as the retention policy says"),
            ))
        }
    }
}

fn part_of(chunk: LogChunk) -> Response {
    let next = chunk.next_offset();
    let closed = if chunk.closed { "true" } else { "false" };
    let headers = [
        (OFFSET, HeaderValue::from(chunk.offset)),
        (NEXT, HeaderValue::from(next)),
        (TOTAL, HeaderValue::from(chunk.total)),
        (CLOSED, HeaderValue::from_static(closed)),
        (DROPPED, HeaderValue::from(chunk.dropped_bytes)),
    ];
    (headers, Bytes::from(chunk.bytes)).into_response()
}

/// A place in a log.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    run: RunId,
    attempt: AttemptId,
    offset: u64,
}

impl Wanted {
    fn part(self, limit: usize, wait: Duration) -> LogPart {
        let Self { run, attempt, offset } = self;
        LogPart { run, attempt, offset, limit, wait }
    }
}

/// A log that is followed.
struct Growing {
    api: Api,
    watch: Watch,
    tenant: dagbook_events::ids::TenantId,
    step: StepKey,
    number: u32,
    wanted: Wanted,
    has_ended: bool,
    _place: Place,
}

impl Growing {
    fn into_stream(self) -> impl futures_util::Stream<Item = Result<Bytes, std::io::Error>> {
        futures_util::stream::unfold(Some(self), |growing| async move {
            let mut growing = growing?;
            match growing.next().await {
                Ok(Some(bytes)) => Some((Ok(bytes), Some(growing))),
                Ok(None) => None,
                // Cut off, so that nobody takes this for the end.
                Err(error) => Some((Err(std::io::Error::other(error.to_string())), None)),
            }
        })
    }

    /// The next bytes; none at the end.
    async fn next(&mut self) -> Result<Option<Bytes>, AppError> {
        let stopping = self.api.stopping.clone();
        loop {
            self.watch.look().await?;
            let part = self.wanted.part(PART_USUAL, WAIT.min(self.watch.every()));
            let read = tokio::select! {
                biased;
                () = stopping.cancelled() => {
                    return Err(AppError::unavailable("the server stops"));
                }
                read = self.api.logs.read(part) => read,
            };
            match read {
                Ok(chunk) if !chunk.bytes.is_empty() => {
                    self.wanted.offset = chunk.next_offset();
                    return Ok(Some(Bytes::from(chunk.bytes)));
                }
                Ok(chunk) if chunk.is_end() || chunk.closed => return Ok(None),
                // What was there a moment ago went: nobody is to take this for the end.
                Err(LogError::Missing(_)) if self.has_ended && self.wanted.offset > 0 => {
                    return Err(AppError::unavailable("the log went while it was read"));
                }
                Err(LogError::Missing(_)) if self.has_ended => return Ok(None),
                Ok(_) | Err(LogError::Missing(_)) => self.look().await?,
                Err(LogError::Unavailable(reason)) => return Err(AppError::unavailable(reason)),
            }
        }
    }

    /// Whether the attempt has ended meanwhile: then a log that is not there will not come.
    async fn look(&mut self) -> Result<(), AppError> {
        let view = runs::view(&self.api.services, &self.tenant, self.wanted.run).await?;
        let attempt = runs::attempt(&view, &self.step, self.number)?;
        self.has_ended = attempt.end.is_some();
        Ok(())
    }
}
