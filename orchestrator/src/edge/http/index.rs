//! What there is: the index, the description, the pages of problems, and how the server is.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::problem::kinds;
use super::{Api, Caller, Json, Path, Problem};
use crate::app::operations::Readiness;
use crate::telemetry::metrics::CONTENT_TYPE;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(index))
        .routes(routes!(openapi))
        .routes(routes!(problem_page))
        .routes(routes!(metrics))
}

/// The routes that need no token.
pub fn open_routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(health)).routes(routes!(ready))
}

/// What the server is, and who asks it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Index {
    /// `dagbook`.
    pub server: String,
    /// Its version.
    pub version: String,
    /// Where the description of the API is.
    pub openapi: String,
    /// The tenant on whom the caller acts.
    pub tenant: String,
    /// The caller's role there.
    pub role: String,
}

/// What the server is, and who you are to it
#[utoipa::path(
    get, path = "/api/v1", operation_id = "index", tag = "server",
    responses((status = 200, body = Index)),
)]
async fn index(caller: Caller) -> Json<Index> {
    Json(Index {
        server: "dagbook".to_string(),
        version: env!("CARGO_PKG_VERSION").to_string(),
        openapi: "/api/v1/openapi.json".to_string(),
        tenant: caller.tenant().to_string(),
        role: caller.0.role.as_str().to_string(),
    })
}

/// The description of this API
#[utoipa::path(
    get, path = "/api/v1/openapi.json", operation_id = "openapi", tag = "server",
    responses((status = 200, content_type = "application/json", body = Object)),
)]
async fn openapi(_caller: Caller, State(api): State<Api>) -> Response {
    let kind = HeaderValue::from_static("application/json");
    ([(header::CONTENT_TYPE, kind)], api.description.to_string()).into_response()
}

/// A page that says what a problem means.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ProblemPage {
    /// The last part of its `type`.
    pub code: String,
    /// Its HTTP status.
    pub status: u16,
    /// What it means, in a few words.
    pub title: String,
    /// What it means and what to do.
    pub text: String,
}

/// What a problem means and what to do
#[utoipa::path(
    get, path = "/api/v1/problems/{code}", operation_id = "problem", tag = "server",
    params(("code" = String, Path, description = "The last part of the problem's `type`")),
    responses((status = 200, body = ProblemPage)),
)]
async fn problem_page(
    _caller: Caller,
    Path(code): Path<String>,
) -> Result<Json<ProblemPage>, Problem> {
    let kind = kinds::ALL
        .iter()
        .find(|kind| kind.code == code)
        .ok_or_else(|| Problem::new("not-found", "there is no problem of that code"))?;
    Ok(Json(ProblemPage {
        code: kind.code.to_string(),
        status: kind.status,
        title: kind.title.to_string(),
        text: kind.page.to_string(),
    }))
}

/// Whether the process answers at all
#[utoipa::path(
    get, path = "/healthz", operation_id = "healthz", tag = "operations",
    security(()),
    responses((status = 200, content_type = "text/plain", body = String)),
)]
async fn health() -> &'static str {
    "ok\n"
}

/// Whether requests should come here, part by part
#[utoipa::path(
    get, path = "/readyz", operation_id = "readyz", tag = "operations",
    security(()),
    responses(
        (status = 200, description = "It is ready", body = Readiness),
        (status = 503, description = "It is not, and says which part", body = Readiness),
    ),
)]
async fn ready(State(api): State<Api>) -> Response {
    let mut readiness = api.operations.readiness().await;
    if api.stopping.is_cancelled() {
        readiness.ready = false;
    }
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, Json(readiness)).into_response()
}

/// Figures of the process, in the text form that Prometheus reads. Needs a token of the site.
#[utoipa::path(
    get, path = "/metrics", operation_id = "metrics", tag = "operations",
    responses((status = 200, content_type = "application/openmetrics-text", body = String)),
)]
async fn metrics(caller: Caller, State(api): State<Api>) -> Result<Response, Problem> {
    if !caller.0.of_site {
        return Err(Problem::new("forbidden", "this needs a token of the site"));
    }
    let kind = HeaderValue::from_static(CONTENT_TYPE);
    Ok(([(header::CONTENT_TYPE, kind)], api.operations.metrics()).into_response())
}
