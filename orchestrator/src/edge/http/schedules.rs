//! Schedules.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use dagbook_events::dag::trigger::{CatchUp, Overlap};
use dagbook_events::schedule::{BackfillAsk, Order, ScheduleSpec};
use dagbook_events::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::params;
use super::{Api, Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query};
use crate::app::reports::{BackfillPreview, HistoryRow, ScheduleReport, ScheduleRow};
use crate::app::schedules;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change, delete))
        .routes(routes!(history))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(preview))
        .routes(routes!(backfill))
        .routes(routes!(cancel_backfill))
}

/// What a schedule does.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SpecBody {
    /// The registered pipeline that it runs.
    #[schema(max_length = 63)]
    pipeline: String,
    /// Which version; left out: the newest at the time of each firing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1)]
    version: Option<u32>,
    /// When: five fields as in crontab, or a name such as `@hourly`.
    #[schema(max_length = 200)]
    cron: String,
    /// The IANA zone of those times; by default UTC.
    #[serde(default = "utc")]
    #[schema(max_length = 100)]
    timezone: String,
    /// What happens when the run before is not over: `skip`, `queue`, `allow`, `cancel_running`.
    #[serde(default)]
    #[schema(value_type = String)]
    overlap: Overlap,
    /// What happens to missed times: `none`, `latest`, `all`, or `{"all_within": milliseconds}`.
    #[serde(default)]
    #[schema(value_type = serde_json::Value)]
    catch_up: CatchUp,
    /// Starts are spread over this span.
    #[serde(default)]
    #[schema(maximum = 86_400_000)]
    jitter_ms: u64,
    /// Parameters of its runs.
    #[serde(default)]
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    params: BTreeMap<String, JsonValue>,
}

fn utc() -> String {
    "UTC".to_string()
}

/// A schedule to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewSchedule {
    /// Its name.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    name: String,
    /// What it does.
    spec: SpecBody,
}

/// What to say about it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct SayBody {
    /// For the record.
    #[schema(max_length = 1000)]
    comment: String,
}

/// How many firings.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct ShowQuery {
    /// So many of the next firings are shown; the default is 5.
    #[param(minimum = 0, maximum = 100)]
    next: Option<usize>,
}

/// Which instants of the past are made up for, and how fast.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BackfillBody {
    /// Instants from this one on (RFC 3339)…
    #[schema(format = DateTime)]
    from: String,
    /// …and before this one. What the schedule itself will still fire is left to it.
    #[schema(format = DateTime)]
    to: String,
    /// `oldest` or `newest` first.
    #[serde(default)]
    #[schema(value_type = String)]
    order: Order,
    /// At most so many firings a minute.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 6_000)]
    rate_per_minute: Option<u32>,
    /// At most so many of its runs at one time.
    #[serde(default = "one")]
    #[schema(minimum = 1, maximum = 100)]
    max_parallel: u32,
    /// Fire instants again that were fired before.
    #[serde(default)]
    again: bool,
}

fn one() -> u32 {
    1
}

impl From<SpecBody> for ScheduleSpec {
    fn from(body: SpecBody) -> Self {
        Self {
            pipeline: body.pipeline,
            version: body.version,
            cron: body.cron,
            timezone: body.timezone,
            overlap: body.overlap,
            catch_up: body.catch_up,
            jitter_ms: Millis(body.jitter_ms),
            params: params(&body.params),
        }
    }
}

impl BackfillBody {
    fn ask(self) -> Result<BackfillAsk, Problem> {
        let instant = |name: &str, text: &str| {
            Timestamp::parse_rfc3339(text).ok_or_else(|| {
                Problem::invalid(format!("`{name}` is no instant, such as 2026-03-01T00:00:00Z"))
            })
        };
        Ok(BackfillAsk {
            from: instant("from", &self.from)?,
            to: instant("to", &self.to)?,
            order: self.order,
            rate_per_minute: self.rate_per_minute,
            max_parallel: self.max_parallel,
            again: self.again,
        })
    }
}

/// List schedules, newest first
#[utoipa::path(
    get, path = "/api/v1/schedules", operation_id = "list_schedules", tag = "schedules",
    params(PageQuery), responses((status = 200, body = Page<ScheduleRow>)),
    extensions(("x-permission" = json!("read_schedules"))),
)]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<ScheduleRow>>, Problem> {
    let limit = query.limit()?;
    let of = Cursor { list: "schedules", tenant: caller.tenant() };
    let after = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let mut items = schedules::list(&api.services, &caller.0, after.as_deref(), limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| api.cursors.seal(of, &last.name));
    Ok(Json(Page::new(items, next)))
}

/// Make a schedule
#[utoipa::path(
    post, path = "/api/v1/schedules", operation_id = "create_schedule", tag = "schedules",
    request_body = NewSchedule, responses((status = 201, body = ScheduleReport)),
    extensions(("x-permission" = json!("manage_schedules"))),
)]
async fn create(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<NewSchedule>,
) -> Result<(StatusCode, Json<ScheduleReport>), Problem> {
    let services = &api.services;
    let report = schedules::create(services, &caller.0, &new.name, new.spec.into()).await?;
    Ok((StatusCode::CREATED, Json(report)))
}

/// Look at a schedule, with its next firings
#[utoipa::path(
    get, path = "/api/v1/schedules/{name}", operation_id = "show_schedule", tag = "schedules",
    params(("name" = String, Path), ShowQuery), responses((status = 200, body = ScheduleReport)),
    extensions(("x-permission" = json!("read_schedules"))),
)]
async fn show(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<ShowQuery>,
) -> Result<Json<ScheduleReport>, Problem> {
    Ok(Json(schedules::show(&api.services, &caller.0, &name, query.next).await?))
}

/// Change what a schedule does
#[utoipa::path(
    put, path = "/api/v1/schedules/{name}", operation_id = "change_schedule", tag = "schedules",
    params(("name" = String, Path)), request_body = SpecBody,
    responses((status = 200, body = ScheduleReport)),
    extensions(("x-permission" = json!("manage_schedules"))),
)]
async fn change(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(spec): Json<SpecBody>,
) -> Result<Json<ScheduleReport>, Problem> {
    Ok(Json(schedules::change(&api.services, &caller.0, &name, spec.into()).await?))
}

/// Take a schedule away; runs that it fired go on
#[utoipa::path(
    delete, path = "/api/v1/schedules/{name}", operation_id = "delete_schedule",
    tag = "schedules", params(("name" = String, Path)), responses((status = 204)),
    extensions(("x-permission" = json!("manage_schedules"))),
)]
async fn delete(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    schedules::delete(&api.services, &caller.0, &name, "").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What happened to a schedule, newest first
#[utoipa::path(
    get, path = "/api/v1/schedules/{name}/history", operation_id = "schedule_history",
    tag = "schedules", params(("name" = String, Path), PageQuery),
    responses((status = 200, body = Page<HistoryRow>)),
    extensions(("x-permission" = json!("read_schedules"))),
)]
async fn history(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<HistoryRow>>, Problem> {
    let limit = query.limit()?;
    let list = format!("schedules/{name}/history");
    let of = Cursor { list: &list, tenant: caller.tenant() };
    let before = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let before = before.and_then(|version| version.parse().ok());
    let services = &api.services;
    let (rows, next) = schedules::history(services, &caller.0, &name, before, limit).await?;
    let next = next.map(|version| api.cursors.seal(of, &version.to_string()));
    Ok(Json(Page::new(rows, next)))
}

/// Let a schedule fire no more until it is resumed
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/pause", operation_id = "pause_schedule",
    tag = "schedules", params(("name" = String, Path)), request_body = SayBody,
    responses((status = 200, body = ScheduleReport)),
    extensions(("x-permission" = json!("manage_schedules"))),
)]
async fn pause(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<SayBody>,
) -> Result<Json<ScheduleReport>, Problem> {
    Ok(Json(schedules::pause(&api.services, &caller.0, &name, &body.comment).await?))
}

/// Let a schedule fire again; instants of the pause are skipped
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/resume", operation_id = "resume_schedule",
    tag = "schedules", params(("name" = String, Path)), request_body = SayBody,
    responses((status = 200, body = ScheduleReport)),
    extensions(("x-permission" = json!("manage_schedules"))),
)]
async fn resume(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<SayBody>,
) -> Result<Json<ScheduleReport>, Problem> {
    Ok(Json(schedules::resume(&api.services, &caller.0, &name, &body.comment).await?))
}

/// What a backfill would do
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/backfill/preview", operation_id = "preview_backfill",
    tag = "schedules", params(("name" = String, Path)), request_body = BackfillBody,
    responses((status = 200, body = BackfillPreview)),
    extensions(("x-permission" = json!("read_schedules"))),
)]
async fn preview(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<BackfillBody>,
) -> Result<Json<BackfillPreview>, Problem> {
    Ok(Json(schedules::preview(&api.services, &caller.0, &name, &body.ask()?).await?))
}

/// Make up for instants of the past
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/backfill", operation_id = "backfill_schedule",
    tag = "schedules", params(("name" = String, Path)), request_body = BackfillBody,
    responses((status = 201, body = ScheduleReport)),
    extensions(("x-permission" = json!("manage_schedules"))),
)]
async fn backfill(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<BackfillBody>,
) -> Result<(StatusCode, Json<ScheduleReport>), Problem> {
    let report = schedules::backfill(&api.services, &caller.0, &name, &body.ask()?).await?;
    Ok((StatusCode::CREATED, Json(report)))
}

/// Stop the backfill that goes on; runs that it fired go on
#[utoipa::path(
    post, path = "/api/v1/schedules/{name}/backfill/cancel", operation_id = "cancel_backfill",
    tag = "schedules", params(("name" = String, Path)), request_body = SayBody,
    responses((status = 200, body = ScheduleReport)),
    extensions(("x-permission" = json!("manage_schedules"))),
)]
async fn cancel_backfill(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<SayBody>,
) -> Result<Json<ScheduleReport>, Problem> {
    Ok(Json(schedules::cancel_backfill(&api.services, &caller.0, &name, &body.comment).await?))
}
