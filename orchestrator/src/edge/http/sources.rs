//! Source archives: the folders that runs work on, by their hash, for the tenant who sent them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use dagbook_events::access::Permission;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::step::SourceArchive;
use dagbook_executors::archive::ArchiveLimits;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Json, Path, Problem, intake, layers};
use crate::app::error::AppError;
use crate::app::sources;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(look, put))
}

/// A source that is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct SourceReport {
    /// SHA-256 of the tar.
    pub sha256: String,
    /// Bytes of the tar.
    pub bytes: u64,
}

/// A gzipped tar.
#[derive(ToSchema)]
#[schema(value_type = String, format = Binary)]
#[expect(dead_code, reason = "it is what the description says; the body itself is a stream")]
struct SourceBytes(Vec<u8>);

impl From<SourceArchive> for SourceReport {
    fn from(archive: SourceArchive) -> Self {
        Self { sha256: archive.hash.to_hex(), bytes: archive.bytes }
    }
}

/// Whether you sent this source before (also with HEAD)
#[utoipa::path(
    get, path = "/api/v1/sources/{sha256}", operation_id = "get_source", tag = "runs",
    params(("sha256" = String, Path, description = "SHA-256 of the tar, as hex")),
    responses((status = 200, body = SourceReport)),
    extensions(("x-permission" = json!("submit_runs"))),
)]
async fn look(
    caller: Caller,
    State(api): State<Api>,
    Path(sha256): Path<String>,
) -> Result<Json<SourceReport>, Problem> {
    caller.require(Permission::SubmitRuns)?;
    let hash = digest(&sha256)?;
    let known = sources::known(&api.services, caller.tenant(), &hash).await?;
    let known = known.ok_or_else(|| AppError::not_found("source", hash))?;
    Ok(Json(known.into()))
}

/// Send a source: a gzipped tar (GNU format, at most 100 MiB unpacked)
#[utoipa::path(
    put, path = "/api/v1/sources/{sha256}", operation_id = "put_source", tag = "runs",
    params(("sha256" = String, Path, description = "SHA-256 of the tar, as hex")),
    request_body(content = SourceBytes, content_type = "application/gzip"),
    responses((status = 200, body = SourceReport)),
    extensions(("x-permission" = json!("submit_runs"))),
)]
async fn put(
    caller: Caller,
    State(api): State<Api>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
    body: Body,
) -> Result<(StatusCode, Json<SourceReport>), Problem> {
    caller.require(Permission::SubmitRuns)?;
    let hash = digest(&sha256)?;
    let kind = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    if kind != Some("application/gzip") {
        return Err(Problem::new(
            "unsupported-media-type",
            "a source comes as `Content-Type: application/gzip`: a gzipped tar",
        ));
    }
    let limits = ArchiveLimits::default();
    let was_slow = Arc::new(AtomicBool::new(false));
    let body = intake::steady(body, api.limits.request, was_slow.clone());
    match sources::keep(&api.services, caller.tenant(), hash, body, limits).await {
        Ok(kept) => Ok((StatusCode::OK, Json(kept.into()))),
        Err(_) if was_slow.load(Ordering::Acquire) => Err(layers::late()),
        Err(error) => Err(error.into()),
    }
}

fn digest(text: &str) -> Result<Sha256Digest, Problem> {
    text.parse().map_err(|_| Problem::invalid("a source is named by 64 lower-case hex digits"))
}
