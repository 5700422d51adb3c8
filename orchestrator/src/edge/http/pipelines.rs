//! Registered pipelines.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::{SourceBody, SubmitBody, created, params, run_id, trace};
use super::{
    Api, Caller, Cursor, Json, Page, PageQuery, Path, Problem, ProblemBody, Query, Stamped,
};
use crate::app::pipelines;
use crate::app::reports::{
    LatestDifference, PipelineReport, PipelineVersionReport, Registration, RunRow,
};
use crate::app::runs;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(show, register))
        .routes(routes!(versions))
        .routes(routes!(difference))
        .routes(routes!(run))
        .routes(routes!(archive))
        .routes(routes!(restore))
        .routes(routes!(difference_to_latest))
}

/// What is registered: a DAG, as text or as an object, or the DAG file of a source that was sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct RegisterBody {
    /// The DAG file, as its text or as the object that it is.
    #[schema(value_type = Option<serde_json::Value>)]
    dag: Option<JsonValue>,
    /// Files of sub-DAGs beside it, by their path from it.
    files: BTreeMap<String, String>,
    /// A source that was sent to `/api/v1/sources`.
    source: Option<SourceBody>,
    /// What to say about this version.
    #[schema(max_length = 1000)]
    message: String,
}

/// Which version, and with what.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct RunBody {
    /// The version; left out: the newest.
    #[schema(minimum = 1)]
    version: Option<u32>,
    /// Parameters.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    params: BTreeMap<String, JsonValue>,
}

/// Why.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct ArchiveBody {
    /// For the record.
    #[schema(max_length = 1000)]
    reason: String,
}

/// Nothing to say.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct RestoreBody {}

/// Which two versions.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
struct DifferenceQuery {
    /// The older version.
    #[param(minimum = 1)]
    from: u32,
    /// The newer version; left out: the newest.
    #[serde(default)]
    #[param(minimum = 1)]
    to: Option<u32>,
}

/// List registered pipelines, newest first
#[utoipa::path(
    get, path = "/api/v1/pipelines", operation_id = "list_pipelines", tag = "pipelines",
    params(PageQuery), responses((status = 200, body = Page<PipelineReport>)),
    extensions(("x-permission" = json!("read_pipelines"))),
)]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<PipelineReport>>, Problem> {
    let limit = query.limit()?;
    let of = Cursor { list: "pipelines", tenant: caller.tenant() };
    let after = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let mut items = pipelines::list(&api.services, &caller.0, after.as_deref(), limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| api.cursors.seal(of, &last.name));
    Ok(Json(Page::new(items, next)))
}

/// Register a version of a pipeline; the same content again is no new version
#[utoipa::path(
    put, path = "/api/v1/pipelines/{name}", operation_id = "register_pipeline",
    tag = "pipelines", params(("name" = String, Path)), request_body = RegisterBody,
    responses(
        (status = 200, description = "The newest version has this content", body = Registration),
        (status = 201, description = "It is a new version", body = Registration),
    ),
    extensions(("x-permission" = json!("manage_pipelines"))),
)]
async fn register(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<RegisterBody>,
) -> Result<(StatusCode, Json<Registration>), Problem> {
    let RegisterBody { dag, files, source, message } = body;
    caller
        .0
        .require_of(dagbook_events::access::Permission::ManagePipelines, Some(&name))
        .map_err(Problem::from)?;
    let sent = SubmitBody { dag, files, source, ..SubmitBody::default() };
    let loaded = sent.loaded(&api, &caller).await?;
    let services = &api.services;
    let done = pipelines::register(services, &caller.0, &name, loaded.source, &message).await?;
    let status = if done.created { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(done)))
}

/// Look at a pipeline and its newest version
#[utoipa::path(
    get, path = "/api/v1/pipelines/{name}", operation_id = "show_pipeline", tag = "pipelines",
    params(("name" = String, Path)), responses((status = 200, body = PipelineReport)),
    extensions(("x-permission" = json!("read_pipelines"))),
)]
async fn show(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<PipelineReport>, Problem> {
    Ok(Json(pipelines::show(&api.services, &caller.0, &name).await?))
}

/// List versions of a pipeline, newest first
#[utoipa::path(
    get, path = "/api/v1/pipelines/{name}/versions", operation_id = "list_pipeline_versions",
    tag = "pipelines", params(("name" = String, Path), PageQuery),
    responses((status = 200, body = Page<PipelineVersionReport>)),
    extensions(("x-permission" = json!("read_pipelines"))),
)]
async fn versions(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<PipelineVersionReport>>, Problem> {
    let limit = query.limit()?;
    let list = format!("pipelines/{name}/versions");
    let of = Cursor { list: &list, tenant: caller.tenant() };
    let before = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let before = before.and_then(|number| number.parse().ok());
    let services = &api.services;
    let mut items = pipelines::versions(services, &caller.0, &name, before, limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|last| api.cursors.seal(of, &last.version.to_string()));
    Ok(Json(Page::new(items, next)))
}

/// What differs between two versions, planned with the defaults of their parameters
#[utoipa::path(
    get, path = "/api/v1/pipelines/{name}/difference", operation_id = "diff_pipeline",
    tag = "pipelines", params(("name" = String, Path), DifferenceQuery),
    responses(
        (status = 200, body = LatestDifference),
        (status = 422, description = "A version cannot be planned without parameters",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("read_pipelines"))),
)]
async fn difference(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Query(query): Query<DifferenceQuery>,
) -> Result<Json<LatestDifference>, Problem> {
    let (services, which) = (&api.services, (query.from, query.to));
    let none = BTreeMap::new();
    let (version, plan) = pipelines::difference(services, &caller.0, &name, which, &none).await?;
    Ok(Json(LatestDifference { version: version.to_string(), plan }))
}

/// Run a version of a pipeline
#[utoipa::path(
    post, path = "/api/v1/pipelines/{name}/runs", operation_id = "run_pipeline",
    tag = "pipelines", params(("name" = String, Path)), request_body = RunBody,
    responses((status = 201, description = "It is durable", body = RunRow,
        headers(("location" = String, description = "Where the run is")))),
    extensions(("x-permission" = json!("submit_runs"))),
)]
async fn run(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    stamped: Stamped,
    headers: HeaderMap,
    Json(body): Json<RunBody>,
) -> Result<impl IntoResponse, Problem> {
    let intake = stamped.intake(trace(&headers));
    let (services, params) = (&api.services, params(&body.params));
    let row = pipelines::run(services, &caller.0, &name, body.version, params, intake).await?;
    Ok(created(row))
}

/// Take a pipeline out of use, with its schedules
#[utoipa::path(
    post, path = "/api/v1/pipelines/{name}/archive", operation_id = "archive_pipeline",
    tag = "pipelines", params(("name" = String, Path)), request_body = ArchiveBody,
    responses((status = 200, body = PipelineReport)),
    extensions(("x-permission" = json!("manage_pipelines"))),
)]
async fn archive(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(body): Json<ArchiveBody>,
) -> Result<Json<PipelineReport>, Problem> {
    Ok(Json(pipelines::archive(&api.services, &caller.0, &name, &body.reason).await?))
}

/// Bring a pipeline back into use, with the schedules of its newest version
#[utoipa::path(
    post, path = "/api/v1/pipelines/{name}/restore", operation_id = "restore_pipeline",
    tag = "pipelines", params(("name" = String, Path)), request_body = RestoreBody,
    responses((status = 200, body = PipelineReport)),
    extensions(("x-permission" = json!("manage_pipelines"))),
)]
async fn restore(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(RestoreBody {}): Json<RestoreBody>,
) -> Result<Json<PipelineReport>, Problem> {
    Ok(Json(pipelines::restore(&api.services, &caller.0, &name).await?))
}

/// What would differ if a run were retried with the newest version of its pipeline
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/difference-to-latest",
    operation_id = "diff_run_to_latest", tag = "pipelines",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    responses(
        (status = 200, body = LatestDifference),
        (status = 409, description = "The run is of no registered pipeline",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The newest version cannot be planned with its parameters",
            body = ProblemBody, content_type = "application/problem+json"),
    ),
    extensions(("x-permission" = json!("read_runs"))),
)]
async fn difference_to_latest(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<LatestDifference>, Problem> {
    let run = run_id(&id)?;
    let (version, plan) = runs::difference_to_latest(&api.services, &caller.0, run).await?;
    Ok(Json(LatestDifference { version: version.to_string(), plan }))
}
