//! Runs: submitted, listed, shown, explained; and files that are only looked at.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use dagbook_events::access::Permission;
use dagbook_events::dag::{self, FindingDto, PlanFacts};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{RunId, StepKey};
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::page::page_limit;
use super::{Api, Caller, Cursor, Json, Page, Path, Problem, Query, Stamped};
use crate::app::error::AppError;
use crate::app::reports::{self, PlanReport, RunFilter, RunReport, RunRow, WhyReport};
use crate::app::runs::{self, Wanted};
use crate::app::source::Loaded;
use crate::app::{budgets, pipelines};
use crate::app::{select, sources};

/// The name of a file that came without one.
const ENTRY: &str = "dag.yaml";
/// Longest name of a pipeline that is looked for.
const NAME_MAX: usize = 200;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, submit))
        .routes(routes!(show))
        .routes(routes!(why_run))
        .routes(routes!(why_step))
        .routes(routes!(plan))
        .routes(routes!(lint))
}

/// A run's id in a path. What is none is answered like a run that is not there.
pub(super) fn run_id(text: &str) -> Result<RunId, Problem> {
    text.parse().map_err(|_| {
        let shown: String = text.chars().take(80).collect();
        AppError::not_found("run", shown).into()
    })
}

/// `traceparent` of whoever asks.
pub(super) fn trace(headers: &HeaderMap) -> Option<&str> {
    headers.get("traceparent").and_then(|value| value.to_str().ok()).filter(|t| t.len() <= 512)
}

/// Parameters as they came.
pub(super) fn params(given: &BTreeMap<String, JsonValue>) -> BTreeMap<String, Value> {
    given.iter().map(|(name, value)| (name.clone(), Value::from_json(value))).collect()
}

/// Which runs.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
struct ListQuery {
    /// Only runs of this status.
    #[param(inline)]
    status: Option<RunFilter>,
    /// Only runs of this pipeline.
    #[param(max_length = 200)]
    pipeline: Option<String>,
    /// Only runs submitted at this instant (RFC 3339) or later.
    #[param(format = DateTime)]
    since: Option<String>,
    /// Runs of sub-DAGs, too.
    children: Option<bool>,
    /// The one run that is meant by `latest`, `#12`, `-2` or a part of an id.
    #[param(max_length = 64)]
    select: Option<String>,
    /// `next` of the page before.
    #[param(max_length = 1024)]
    cursor: Option<String>,
    /// At most so many; the default is 50. A page may be short where `next` is given all the same.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<usize>,
}

/// List runs, newest first
#[utoipa::path(
    get, path = "/api/v1/runs", operation_id = "list_runs", tag = "runs", params(ListQuery),
    responses((status = 200, body = Page<RunRow>)),
)]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<ListQuery>,
) -> Result<Json<Page<RunRow>>, Problem> {
    caller.require(Permission::ReadRuns)?;
    let limit = page_limit(query.limit)?;
    let (services, tenant) = (&api.services, caller.tenant());
    if let Some(wanted) = &query.select {
        let run = select::run(services, tenant, wanted).await?;
        return Ok(Json(Page::new(vec![runs::row(services, tenant, run).await?], None)));
    }
    if query.pipeline.as_ref().is_some_and(|name| name.len() > NAME_MAX) {
        return Err(Problem::invalid("`pipeline` is longer than any name"));
    }
    let since = query.since.as_deref().map(|text| {
        let at = Timestamp::parse_rfc3339(text);
        at.ok_or_else(|| Problem::invalid("`since` is no instant such as 2026-01-31T12:00:00Z"))
    });
    let wanted = Wanted {
        status: query.status,
        pipeline: query.pipeline,
        since: since.transpose()?,
        children: query.children.unwrap_or(false),
    };
    let list = format!("runs {wanted:?}");
    let of = Cursor { list: &list, tenant };
    let before = match &query.cursor {
        None => None,
        Some(cursor) => Some(run_id(&api.cursors.open(of, cursor)?)?),
    };
    let (rows, next) = runs::list(services, tenant, &wanted, before, limit).await?;
    let next = next.map(|run| api.cursors.seal(of, &run.to_string()));
    Ok(Json(Page::new(rows, next)))
}

/// What to run: a DAG, as text or as an object, or the DAG file of a source that was sent.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub(super) struct SubmitBody {
    /// The DAG file, as its text or as the object that it is.
    #[schema(value_type = Option<serde_json::Value>)]
    pub(super) dag: Option<JsonValue>,
    /// Files of sub-DAGs beside it, by their path from it.
    pub(super) files: BTreeMap<String, String>,
    /// A source that was sent to `/api/v1/sources`.
    pub(super) source: Option<SourceBody>,
    /// A registered pipeline, rather than a DAG of one's own.
    #[schema(max_length = 63)]
    pub(super) pipeline: Option<String>,
    /// Which version of it; left out: the newest.
    #[schema(minimum = 1)]
    pub(super) version: Option<u32>,
    /// Parameters.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    pub(super) params: BTreeMap<String, JsonValue>,
}

/// A DAG file in a source that was sent.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct SourceBody {
    /// SHA-256 of the source's tar, as hex.
    #[schema(pattern = "^[0-9a-f]{64}$")]
    sha256: String,
    /// Path of the DAG file in it.
    #[schema(min_length = 1, max_length = 1024)]
    entry: String,
}

impl SubmitBody {
    /// The files that it names.
    pub(super) async fn loaded(&self, api: &Api, caller: &Caller) -> Result<Loaded, Problem> {
        match (&self.dag, &self.source) {
            (Some(dag), None) => {
                let text = match dag {
                    JsonValue::String(text) => text.clone(),
                    // JSON is YAML.
                    JsonValue::Object(_) => serde_json::to_string_pretty(dag)
                        .map_err(|error| Problem::invalid(format!("`dag`: {error}")))?,
                    _ => return Err(Problem::invalid("`dag` must be text or an object")),
                };
                let mut files = self.files.clone();
                if files.insert(ENTRY.to_string(), text).is_some() {
                    return Err(Problem::invalid(format!("`files` has a `{ENTRY}` of its own")));
                }
                Ok(sources::without_archive(ENTRY, files)?)
            }
            (None, Some(source)) if self.files.is_empty() => {
                let hash: Sha256Digest = source.sha256.parse().map_err(|_| {
                    Problem::invalid("`source.sha256` is not 64 hexadecimal digits")
                })?;
                Ok(sources::load(&api.services, caller.tenant(), &hash, &source.entry).await?)
            }
            _ => Err(Problem::invalid("give either `dag` (with `files`, if any) or `source`")),
        }
    }
}

/// Submit a run
#[utoipa::path(
    post, path = "/api/v1/runs", operation_id = "submit_run", tag = "runs",
    request_body = SubmitBody,
    responses((status = 201, description = "It is durable", body = RunRow,
        headers(("location" = String, description = "Where the run is")))),
)]
async fn submit(
    caller: Caller,
    State(api): State<Api>,
    stamped: Stamped,
    headers: HeaderMap,
    Json(body): Json<SubmitBody>,
) -> Result<impl IntoResponse, Problem> {
    let intake = stamped.intake(trace(&headers));
    let (services, params) = (&api.services, params(&body.params));
    if let Some(name) = &body.pipeline {
        if body.dag.is_some() || body.source.is_some() || !body.files.is_empty() {
            return Err(Problem::invalid("give `pipeline`, or a DAG, not both"));
        }
        let row = pipelines::run(services, &caller.0, name, body.version, params, intake).await?;
        return Ok(created(row));
    }
    if body.version.is_some() {
        return Err(Problem::invalid("`version` is one of a `pipeline`"));
    }
    caller.require(Permission::SubmitRuns)?;
    let loaded = body.loaded(&api, &caller).await?;
    let row = runs::submit(services, &caller.0, &loaded, params, intake).await?;
    Ok(created(row))
}

/// 201, and where it is.
pub(super) fn created(row: RunRow) -> impl IntoResponse {
    let place = format!("/api/v1/runs/{}", row.run);
    (StatusCode::CREATED, [(header::LOCATION, place)], Json(row))
}

/// Show a run: steps, attempts, outputs, artifacts
#[utoipa::path(
    get, path = "/api/v1/runs/{id}", operation_id = "show_run", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    responses((status = 200, body = RunReport)),
)]
async fn show(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<RunReport>, Problem> {
    caller.require(Permission::ReadRuns)?;
    let (view, mut report) = runs::report(&api.services, caller.tenant(), run_id(&id)?).await?;
    if !view.state.is_finished() {
        let standing = budgets::standing(api.services.shelf.as_ref(), caller.tenant()).await?;
        report.budgets_exceeded = standing.into_iter().filter(|it| it.is_exceeded).collect();
    }
    Ok(Json(report))
}

/// Why a run is where it is
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/why", operation_id = "why_run", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    responses((status = 200, body = WhyReport)),
)]
async fn why_run(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
) -> Result<Json<WhyReport>, Problem> {
    caller.require(Permission::ReadRuns)?;
    Ok(Json(runs::why(&api.services, caller.tenant(), run_id(&id)?, None).await?))
}

/// Why a step is where it is
#[utoipa::path(
    get, path = "/api/v1/runs/{id}/steps/{step}/why", operation_id = "why_step", tag = "runs",
    params(
        ("id" = String, Path, format = "uuid", description = "The run"),
        ("step" = String, Path, description = "The step, or a child such as `resize[3]`"),
    ),
    responses((status = 200, body = WhyReport)),
)]
async fn why_step(
    caller: Caller,
    State(api): State<Api>,
    Path((id, step)): Path<(String, String)>,
) -> Result<Json<WhyReport>, Problem> {
    caller.require(Permission::ReadRuns)?;
    let key = StepKey::new(&step);
    Ok(Json(runs::why(&api.services, caller.tenant(), run_id(&id)?, Some(&key)).await?))
}

/// Show what a DAG will do, without doing it
#[utoipa::path(
    post, path = "/api/v1/plan", operation_id = "plan", tag = "files",
    request_body = SubmitBody,
    responses((status = 200, body = PlanReport)),
)]
async fn plan(
    caller: Caller,
    State(api): State<Api>,
    Json(body): Json<SubmitBody>,
) -> Result<Json<PlanReport>, Problem> {
    caller.require(Permission::ReadPipelines)?;
    let loaded = body.loaded(&api, &caller).await?;
    let facts = PlanFacts { git: None, tenant: caller.tenant().to_string() };
    let planned = dag::plan(&loaded.source.bundle, &params(&body.params), &facts);
    let planned = planned.map_err(AppError::Findings)?;
    Ok(Json(reports::plan::plan(&planned, loaded.hash)))
}

/// Everything that is wrong with a DAG file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
struct LintReport {
    /// What is wrong, by place.
    #[schema(value_type = Vec<Object>)]
    findings: Vec<FindingDto>,
    /// How many keep it from being used.
    errors: usize,
    /// How many do not.
    warnings: usize,
}

/// Say everything that is wrong with a DAG
#[utoipa::path(
    post, path = "/api/v1/lint", operation_id = "lint", tag = "files",
    request_body = SubmitBody,
    responses((status = 200, body = LintReport)),
)]
async fn lint(
    caller: Caller,
    State(api): State<Api>,
    Json(body): Json<SubmitBody>,
) -> Result<Json<LintReport>, Problem> {
    caller.require(Permission::ReadPipelines)?;
    let loaded = body.loaded(&api, &caller).await?;
    let findings = dag::check(&loaded.source.bundle).findings;
    let errors = findings.iter().filter(|finding| finding.is_error()).count();
    Ok(Json(LintReport {
        errors,
        warnings: findings.len() - errors,
        findings: findings.iter().map(FindingDto::from).collect(),
    }))
}
