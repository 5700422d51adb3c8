//! Acting on runs: cancel, pause, resume, retry, signal; approve and reject steps.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use dagbook_events::ids::StepKey;
use dagbook_events::run::Ask;
use dagbook_events::step::StopCause;
use serde::{Deserialize, Serialize};
use serde_json::Value as JsonValue;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::runs::{created, params, run_id, trace};
use super::{Api, Caller, Json, Path, Problem, Stamped};
use crate::app::reports::RunRow;
use crate::app::runs::{self, Edition};
use crate::app::submit::Again;

/// Longest comment or reason.
const TEXT_MAX: usize = 2_000;
/// Longest name of an event.
const NAME_MAX: usize = 200;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(cancel))
        .routes(routes!(pause))
        .routes(routes!(resume))
        .routes(routes!(retry))
        .routes(routes!(signal))
        .routes(routes!(approve))
        .routes(routes!(reject))
}

/// Why, and how.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct CancelBody {
    /// Why, for the record.
    #[schema(max_length = 2000)]
    reason: String,
    /// Kill at once, and skip `finally` steps.
    force: bool,
}

/// What to say about it.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct CommentBody {
    /// For the record.
    #[schema(max_length = 2000)]
    comment: String,
}

/// Which event.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct SignalBody {
    /// Its name, as `wait: { event: NAME }` spells it.
    #[schema(min_length = 1, max_length = 200)]
    name: String,
}

/// What is run again.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
struct RetryBody {
    /// Keep what succeeded; run what did not, and what needs it.
    from_failed: bool,
    /// Keep everything but this step and what needs it.
    from: Option<String>,
    /// Take the newest version of the registered pipeline rather than that of the run.
    latest: bool,
    /// Parameters, on top of those of the run.
    #[schema(value_type = BTreeMap<String, serde_json::Value>)]
    params: BTreeMap<String, JsonValue>,
}

fn bounded(text: String, most: usize) -> Result<String, Problem> {
    if text.len() > most {
        return Err(Problem::invalid(format!("a text here has at most {most} bytes")));
    }
    Ok(text)
}

async fn act(api: &Api, caller: &Caller, id: &str, ask: Ask) -> Result<Json<RunRow>, Problem> {
    Ok(Json(runs::ask(&api.services, &caller.0, run_id(id)?, ask).await?))
}

/// Cancel a run
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/cancel", operation_id = "cancel_run", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    request_body = CancelBody,
    responses((status = 200, description = "It was asked to stop", body = RunRow)),
)]
async fn cancel(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<CancelBody>,
) -> Result<Json<RunRow>, Problem> {
    let given = bounded(body.reason, TEXT_MAX)?;
    let reason = if given.is_empty() { "cancelled by hand".to_string() } else { given };
    let ask = Ask::Cancel { cause: StopCause::User, reason, force: body.force };
    act(&api, &caller, &id, ask).await
}

/// Start no more steps of a run
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/pause", operation_id = "pause_run", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    request_body = CommentBody,
    responses((status = 200, body = RunRow)),
)]
async fn pause(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<CommentBody>,
) -> Result<Json<RunRow>, Problem> {
    let comment = bounded(body.comment, TEXT_MAX)?;
    act(&api, &caller, &id, Ask::Pause { comment }).await
}

/// Let a paused run go on
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/resume", operation_id = "resume_run", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    request_body = CommentBody,
    responses((status = 200, body = RunRow)),
)]
async fn resume(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<CommentBody>,
) -> Result<Json<RunRow>, Problem> {
    let comment = bounded(body.comment, TEXT_MAX)?;
    act(&api, &caller, &id, Ask::Resume { comment }).await
}

/// Run an ended run again, keeping what succeeded if that is asked for
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/retry", operation_id = "retry_run", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    request_body = RetryBody,
    responses((status = 201, description = "The new run", body = RunRow)),
)]
async fn retry(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
    stamped: Stamped,
    headers: HeaderMap,
    Json(body): Json<RetryBody>,
) -> Result<impl IntoResponse, Problem> {
    let again = match (body.from_failed, body.from) {
        (true, Some(_)) => {
            return Err(Problem::invalid("give `from_failed` or `from`, not both"));
        }
        (true, None) => Again::FromFailed,
        (false, Some(step)) => Again::From(bounded(step, NAME_MAX)?),
        (false, None) => Again::All,
    };
    let intake = stamped.intake(trace(&headers));
    let what = (&again, params(&body.params));
    let edition = if body.latest { Edition::Latest } else { Edition::Same };
    let row = runs::retry(&api.services, &caller.0, run_id(&id)?, what, edition, intake).await?;
    Ok(created(row))
}

/// Send a named event to a run whose step waits for it
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/signal", operation_id = "signal_run", tag = "runs",
    params(("id" = String, Path, format = "uuid", description = "The run")),
    request_body = SignalBody,
    responses((status = 200, body = RunRow)),
)]
async fn signal(
    caller: Caller,
    State(api): State<Api>,
    Path(id): Path<String>,
    Json(body): Json<SignalBody>,
) -> Result<Json<RunRow>, Problem> {
    let name = bounded(body.name, NAME_MAX)?;
    if name.is_empty() {
        return Err(Problem::invalid("`name` is empty"));
    }
    act(&api, &caller, &id, Ask::Signal { name }).await
}

/// Answer yes to a step that waits for approval
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/steps/{step}/approve", operation_id = "approve_step",
    tag = "runs",
    params(
        ("id" = String, Path, format = "uuid", description = "The run"),
        ("step" = String, Path, description = "The step"),
    ),
    request_body = CommentBody,
    responses((status = 200, body = RunRow)),
)]
async fn approve(
    caller: Caller,
    State(api): State<Api>,
    Path((id, step)): Path<(String, String)>,
    Json(body): Json<CommentBody>,
) -> Result<Json<RunRow>, Problem> {
    let comment = bounded(body.comment, TEXT_MAX)?;
    let ask = Ask::Approve { step: StepKey::new(&step), approved: true, comment };
    act(&api, &caller, &id, ask).await
}

/// Answer no to a step that waits for approval
#[utoipa::path(
    post, path = "/api/v1/runs/{id}/steps/{step}/reject", operation_id = "reject_step",
    tag = "runs",
    params(
        ("id" = String, Path, format = "uuid", description = "The run"),
        ("step" = String, Path, description = "The step"),
    ),
    request_body = CommentBody,
    responses((status = 200, body = RunRow)),
)]
async fn reject(
    caller: Caller,
    State(api): State<Api>,
    Path((id, step)): Path<(String, String)>,
    Json(body): Json<CommentBody>,
) -> Result<Json<RunRow>, Problem> {
    let comment = bounded(body.comment, TEXT_MAX)?;
    let ask = Ask::Approve { step: StepKey::new(&step), approved: false, comment };
    act(&api, &caller, &id, ask).await
}
