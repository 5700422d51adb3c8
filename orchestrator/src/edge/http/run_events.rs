//! The history of a run: by pages, and as a stream of server-sent events that can be resumed
//! exactly behind any event.

use std::convert::Infallible;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use dagbook_events::access::Permission;
use serde::Deserialize;
use tokio::time::timeout;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::layers::Streamed;
use super::pass::{Pass, Watch};
use super::runs::run_id;
use super::{Api, Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query};
use crate::app::error::AppError;
use crate::app::following::{self, Follower, Place, Told};
use crate::app::reports::EventReport;
use crate::app::runs;

/// The version behind which a stream is resumed.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(events)).routes(routes!(stream))
}

/// Read the events of a run, oldest first
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/events", operation_id = "list_events", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run"), PageQuery),
    responses((status = 200, body = Page<EventReport>)),
)]
async fn events(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<EventReport>>, Problem> {
    caller.require(Permission::ReadRuns)?;
    let (run, limit) = (run_id(&id)?, query.limit()?);
    let (services, tenant) = (&api.services, caller.tenant());
    let list = format!("events {run}");
    let of = Cursor { list: &list, tenant };
    let from = match &query.cursor {
        None => 0,
        Some(cursor) => {
            let place = api.cursors.open(of, cursor)?;
            place.parse::<u64>().map_err(|_| Problem::invalid("`cursor` is none of this list"))?
        }
    };
    runs::exists(services, tenant, run).await?;
    let items = following::events(services, tenant, run, (from, limit)).await?;
    let reached = from + items.len() as u64;
    let next = (items.len() == limit).then(|| api.cursors.seal(of, &reached.to_string()));
    Ok(Json(Page::new(items, next)))
}

/// From where.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct StreamQuery {
    /// Go on behind the event of this version. `Last-Event-ID` wins over it.
    after: Option<u64>,
}

/// One event of the stream, field by field.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it is what the description says; the stream itself is text")]
struct StreamedEvent {
    /// The version, behind which a stream is resumed; left out for `end` and `problem`.
    id: Option<String>,
    /// The type of the event; `end` and `problem` are of the stream itself.
    event: Option<String>,
    /// The event, or the problem, as JSON.
    data: Option<String>,
    /// When to come again, in milliseconds.
    retry: Option<u64>,
}

/// Follow the events of a run
///
/// A stream of server-sent events: `id` is the version, `event` the type, `data` the event as
/// the list has it. It ends behind `run.finished` with an event `end`; resumed there, the answer
/// is 204.
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/events/stream", operation_id = "follow_events", tag = "runs",
    params(
        ("id" = String, Path, format = "uuid", description = "The run"),
        ("Last-Event-ID" = Option<u64>, Header, description = "Go on behind this version"),
        StreamQuery,
    ),
    responses(
        (status = 200, content_type = "text/event-stream", body = StreamedEvent),
        (status = 204, description = "The run is over, and nothing is left to tell"),
    ),
)]
async fn stream(
    caller: Caller,
    pass: Pass,
    State(api): State<Api>,
    Path(id): Path<String>,
    Query(query): Query<StreamQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    caller.require(Permission::ReadRuns)?;
    let run = run_id(&id)?;
    let from = match (headers.get(LAST_EVENT_ID), query.after) {
        (Some(value), _) => {
            let version = value.to_str().ok().and_then(|text| text.parse::<u64>().ok());
            version.and_then(|version| version.checked_add(1)).ok_or_else(|| {
                Problem::invalid("`Last-Event-ID` is no version of an event of this stream")
            })?
        }
        (None, Some(after)) => after.saturating_add(1),
        (None, None) => 0,
    };
    let (services, tenant) = (&api.services, caller.tenant());
    // Whoever finds no place costs nothing more.
    let place = enter(&api, &caller)?;
    let mut follower = api.following.run(tenant, run, from);
    let first = match timeout(api.limits.request, follower.recorded()).await {
        Ok(first) => first?,
        Err(_) => return Err(AppError::unavailable("the record does not answer").into()),
    };
    // Told from its beginning, a run says itself that it is over.
    let is_over = match from {
        0 if first.is_none() => return Err(AppError::not_found("run", run).into()),
        0 => false,
        _ => {
            runs::exists(services, tenant, run).await?;
            crate::app::listing::end(&services.recorder, tenant, run).await?.is_some()
        }
    };
    let first = match first {
        // Recorded between the two questions, it is not lost.
        None if is_over => follower.recorded().await?,
        first => first,
    };
    if first.is_none() && is_over {
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let watch = Watch::begin(&api, pass, &caller, Permission::ReadRuns);
    let telling = Telling { api, watch, follower, first, is_over, ended: false, _place: place };
    Ok(streamed("text/event-stream", Body::from_stream(telling.into_stream())))
}

/// A place for one more follower.
pub(super) fn enter(api: &Api, caller: &Caller) -> Result<Place, Problem> {
    api.following.enter(caller.tenant()).map_err(|error| match error {
        AppError::Exhausted { limit, reason, retry_after } => {
            Problem::new("too-many-followers", reason).limit(limit).retry_after(retry_after)
        }
        error => error.into(),
    })
}

/// An answer that comes bit by bit, and is neither kept nor held back on the way.
pub(super) fn streamed(kind: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store, no-transform"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    response.extensions_mut().insert(Streamed);
    response
}

/// A stream under way.
struct Telling {
    api: Api,
    watch: Watch,
    follower: Follower,
    first: Option<Arc<Told>>,
    is_over: bool,
    ended: bool,
    _place: Place,
}

impl Telling {
    fn into_stream(self) -> impl futures_util::Stream<Item = Result<Bytes, Infallible>> {
        futures_util::stream::unfold(self, |mut telling| async move {
            let text = telling.next().await?;
            Some((Ok(Bytes::from(text)), telling))
        })
    }

    /// What is sent next; none: nothing more.
    async fn next(&mut self) -> Option<String> {
        if self.ended {
            return None;
        }
        if let Err(error) = self.watch.look().await {
            return Some(self.fail(error));
        }
        if let Some(told) = self.first.take() {
            return Some(self.tell(&told));
        }
        if self.is_over {
            // What is recorded behind the end is told, and nothing is waited for.
            return Some(match self.follower.behind_the_end().await {
                Ok(Some(told)) => self.tell(&told),
                Ok(None) => self.end("finished"),
                Err(error) => self.fail(error),
            });
        }
        let stopping = self.api.stopping.clone();
        tokio::select! {
            biased;
            () = stopping.cancelled() => {
                // Whoever follows comes again, to whoever serves then.
                Some(format!("retry: 1000\n{}", self.end("server_stopping")))
            }
            told = timeout(self.watch.every(), self.follower.next()) => match told {
                Err(_) => Some(": still here\n\n".to_string()),
                Ok(Ok(told)) => Some(self.tell(&told)),
                Ok(Err(error)) => Some(self.fail(error)),
            },
        }
    }

    fn tell(&mut self, told: &Told) -> String {
        self.is_over |= told.ends();
        format!("id: {}\nevent: {}\ndata: {}\n\n", told.version, told.kind, told.text)
    }

    fn end(&mut self, reason: &str) -> String {
        self.ended = true;
        format!("event: end\ndata: {{\"reason\":\"{reason}\"}}\n\n")
    }

    fn fail(&mut self, error: AppError) -> String {
        self.ended = true;
        let problem = Problem::from(error);
        let body = serde_json::to_string(&problem.body).unwrap_or_default();
        format!("retry: 2000\nevent: problem\ndata: {body}\n\n")
    }
}
