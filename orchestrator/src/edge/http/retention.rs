//! What is kept for how long, and what is held.

use axum::extract::State;
use axum::http::StatusCode;
use dagbook_events::ids::RunId;
use dagbook_events::retention::{HoldPlaced, Policy, RetentionCommand};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Json, Path, Problem};
use crate::app::reports::RetentionReport;
use crate::app::retention::{change_by, show};

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(read, set))
        .routes(routes!(set_site))
        .routes(routes!(place))
        .routes(routes!(lift))
}

/// Days for which a tenant keeps things. What is left out is as the site says.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TenantPolicy {
    /// Days after the end of a run for which its logs are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub logs_days: Option<u32>,
    /// Days after the end of the last run that names content for which it is kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub blobs_days: Option<u32>,
}

/// Days for which a site keeps things. What is left out is kept for good.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SitePolicy {
    /// Days after the end of a run for which its logs are kept, where its tenant says nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub logs_days: Option<u32>,
    /// The same of content, after the end of the last run that names it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub blobs_days: Option<u32>,
    /// Days for which cached results are kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub cache_days: Option<u32>,
    /// Days after which idempotency keys of appends are forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub keys_days: Option<u32>,
    /// Days after which events leave the store for the published tiles.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub archive_days: Option<u32>,
    /// Days that logs and content are kept at least, whatever tenants say.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 1, maximum = 36_500)]
    pub at_least_days: Option<u32>,
}

/// Something to be held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewHold {
    /// What it is to be called.
    #[schema(min_length = 1, max_length = 64)]
    pub hold: String,
    /// The run; left out: everything of the tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = "uuid")]
    pub run: Option<RunId>,
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

async fn report(api: &Api, caller: &Caller) -> Result<Json<RetentionReport>, Problem> {
    let store = api.services.store.as_ref();
    Ok(Json(show(store, api.archive.as_ref(), &caller.0).await?))
}

async fn change(
    api: &Api,
    caller: &Caller,
    of_site: bool,
    command: &RetentionCommand,
) -> Result<(), Problem> {
    let services = &api.services;
    let ports = (services.store.as_ref(), services.clock.as_ref(), services.rng.as_ref());
    Ok(change_by(ports, &caller.0, of_site, command).await?)
}

/// Say for how long things are kept, what is held, and what went last
#[utoipa::path(
    get, path = "/api/v1/retention", operation_id = "show_retention", tag = "access",
    responses((status = 200, body = RetentionReport)),
    extensions(("x-permission" = json!("read_runs"))),
)]
async fn read(caller: Caller, State(api): State<Api>) -> Result<Json<RetentionReport>, Problem> {
    report(&api, &caller).await
}

/// Say for how long the tenant keeps things: the whole policy
#[utoipa::path(
    put, path = "/api/v1/retention", operation_id = "set_retention", tag = "access",
    request_body = TenantPolicy, responses((status = 200, body = RetentionReport)),
    extensions(("x-permission" = json!("manage_tenant"))),
)]
async fn set(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<TenantPolicy>,
) -> Result<Json<RetentionReport>, Problem> {
    let TenantPolicy { logs_days, blobs_days } = new;
    let policy = Policy { logs_days, blobs_days, ..Policy::default() };
    change(&api, &caller, false, &RetentionCommand::Set(policy)).await?;
    report(&api, &caller).await
}

/// Say for how long the site keeps things: the whole policy
#[utoipa::path(
    put, path = "/api/v1/site/retention", operation_id = "set_site_retention", tag = "access",
    request_body = SitePolicy, responses((status = 200, body = RetentionReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn set_site(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<SitePolicy>,
) -> Result<Json<RetentionReport>, Problem> {
    let SitePolicy { logs_days, blobs_days, cache_days, keys_days, .. } = new;
    let SitePolicy { archive_days, at_least_days, .. } = new;
    let policy =
        Policy { logs_days, blobs_days, cache_days, keys_days, archive_days, at_least_days };
    change(&api, &caller, true, &RetentionCommand::Set(policy)).await?;
    report(&api, &caller).await
}

/// Let nothing of a run, or of the whole tenant, go until it is lifted
#[utoipa::path(
    post, path = "/api/v1/retention/holds", operation_id = "place_hold", tag = "access",
    request_body = NewHold, responses((status = 201, body = RetentionReport)),
    extensions(("x-permission" = json!("manage_tenant"))),
)]
async fn place(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<NewHold>,
) -> Result<(StatusCode, Json<RetentionReport>), Problem> {
    let NewHold { hold, run, reason } = new;
    let placed = HoldPlaced { hold, run, reason };
    change(&api, &caller, false, &RetentionCommand::Place(placed)).await?;
    Ok((StatusCode::CREATED, report(&api, &caller).await?))
}

/// Lift a hold
#[utoipa::path(
    delete, path = "/api/v1/retention/holds/{name}", operation_id = "lift_hold", tag = "access",
    params(("name" = String, Path)), responses((status = 200, body = RetentionReport)),
    extensions(("x-permission" = json!("manage_tenant"))),
)]
async fn lift(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<Json<RetentionReport>, Problem> {
    change(&api, &caller, false, &RetentionCommand::Lift(name)).await?;
    report(&api, &caller).await
}
