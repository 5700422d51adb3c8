//! Tenants.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use dagbook_events::admission::Quota;
use dagbook_events::tenant::TenantCreated;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query};
use crate::app::reports::TenantReport;
use crate::app::tenants::{self, TenantChange};

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(show, change))
        .routes(routes!(suspend))
        .routes(routes!(resume))
}

/// What a tenant may use at one time. What is left out is not bounded; 0 is nothing at all.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct QuotaBody {
    /// Its part of what is short, against other tenants' weights.
    #[schema(minimum = 1, maximum = 10_000)]
    pub weight: Option<u32>,
    /// Runs that are accepted and not over.
    #[schema(maximum = 1_000_000)]
    pub open_runs: Option<u32>,
    /// Runs that have begun and are not over.
    #[schema(maximum = 1_000_000)]
    pub running_runs: Option<u32>,
    /// Attempts at one time.
    #[schema(maximum = 1_000_000)]
    pub attempts: Option<u32>,
    /// Thousandths of a core that attempts ask for together.
    #[schema(maximum = 1_000_000_000)]
    pub cpu_milli: Option<u64>,
    /// Bytes of memory that attempts ask for together.
    #[schema(maximum = 1_152_921_504_606_846_976_u64)]
    pub memory_bytes: Option<u64>,
    /// GPUs that attempts ask for together.
    #[schema(maximum = 1_000_000)]
    pub gpus: Option<u32>,
}

impl From<QuotaBody> for Quota {
    fn from(body: QuotaBody) -> Self {
        Self {
            weight: body.weight,
            open_runs: body.open_runs,
            running_runs: body.running_runs,
            attempts: body.attempts,
            cpu_milli: body.cpu_milli,
            memory_bytes: body.memory_bytes,
            gpus: body.gpus,
        }
    }
}

/// A tenant to be made.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewTenant {
    /// Its name, by which everything calls it.
    #[schema(pattern = "^[a-z0-9][a-z0-9-]{0,62}$")]
    pub tenant: String,
    /// Its name for people; by default the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100)]
    pub display_name: Option<String>,
    /// The zone in which its days begin; by default UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it may use at one time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaBody>,
}

/// What is to be changed of a tenant. What is left out stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ChangedTenant {
    /// Its name for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 100)]
    pub display_name: Option<String>,
    /// The zone in which its days begin.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// All its labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The whole of what it may use at one time; for people of the site.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quota: Option<QuotaBody>,
}

/// Why something is done.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Reason {
    /// For whoever asks later.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

/// List tenants that you may know of, by name
#[utoipa::path(
    get, path = "/api/v1/tenants", operation_id = "list_tenants", tag = "access",
    params(PageQuery), responses((status = 200, body = Page<TenantReport>)),
    extensions(("x-permission" = json!("read_runs"))),
)]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<TenantReport>>, Problem> {
    let limit = query.limit()?;
    let of = Cursor { list: "tenants", tenant: caller.tenant() };
    let after = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let mut items = tenants::list(api.admin()?, &caller.0, after.as_deref(), limit + 1)?;
    let more = items.len() > limit;
    items.truncate(limit);
    let last = items.last().filter(|_| more);
    let next = last.map(|last| api.cursors.seal(of, last.tenant.as_str()));
    Ok(Json(Page::new(items, next)))
}

/// Make a tenant
#[utoipa::path(
    post, path = "/api/v1/tenants", operation_id = "create_tenant", tag = "access",
    request_body = NewTenant, responses((status = 201, body = TenantReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn create(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<NewTenant>,
) -> Result<(StatusCode, Json<TenantReport>), Problem> {
    let admin = api.admin()?;
    let created = TenantCreated {
        display_name: new.display_name.unwrap_or_else(|| new.tenant.clone()),
        timezone: new.timezone.unwrap_or_else(|| "UTC".to_string()),
        labels: new.labels,
    };
    let mut report = tenants::create(admin, &caller.0, &new.tenant, created).await?;
    if let Some(quota) = new.quota {
        let change = TenantChange { quota: Some(quota.into()), ..TenantChange::default() };
        report = tenants::change(admin, &caller.0, &new.tenant, change).await?;
    }
    Ok((StatusCode::CREATED, Json(report)))
}

/// Look at a tenant
#[utoipa::path(
    get, path = "/api/v1/tenants/{tenant}", operation_id = "show_tenant", tag = "access",
    params(("tenant" = String, Path)), responses((status = 200, body = TenantReport)),
    extensions(("x-permission" = json!("read_runs"))),
)]
async fn show(
    caller: Caller,
    State(api): State<Api>,
    Path(tenant): Path<String>,
) -> Result<Json<TenantReport>, Problem> {
    Ok(Json(tenants::show(api.admin()?, &caller.0, &tenant)?))
}

/// Change a tenant
#[utoipa::path(
    patch, path = "/api/v1/tenants/{tenant}", operation_id = "change_tenant", tag = "access",
    params(("tenant" = String, Path)), request_body = ChangedTenant,
    responses((status = 200, body = TenantReport)),
    extensions(("x-permission" = json!("manage_tenant"))),
)]
async fn change(
    caller: Caller,
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Json(changed): Json<ChangedTenant>,
) -> Result<Json<TenantReport>, Problem> {
    let ChangedTenant { display_name, timezone, labels, quota } = changed;
    let change = TenantChange { display_name, timezone, labels, quota: quota.map(Quota::from) };
    Ok(Json(tenants::change(api.admin()?, &caller.0, &tenant, change).await?))
}

/// Let nobody of a tenant do anything
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/suspend", operation_id = "suspend_tenant",
    tag = "access", params(("tenant" = String, Path)), request_body = Reason,
    responses((status = 200, body = TenantReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn suspend(
    caller: Caller,
    State(api): State<Api>,
    Path(tenant): Path<String>,
    Json(why): Json<Reason>,
) -> Result<Json<TenantReport>, Problem> {
    Ok(Json(tenants::suspend(api.admin()?, &caller.0, &tenant, why.reason).await?))
}

/// Let a tenant go on
#[utoipa::path(
    post, path = "/api/v1/tenants/{tenant}/resume", operation_id = "resume_tenant",
    tag = "access", params(("tenant" = String, Path)),
    responses((status = 200, body = TenantReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn resume(
    caller: Caller,
    State(api): State<Api>,
    Path(tenant): Path<String>,
) -> Result<Json<TenantReport>, Problem> {
    Ok(Json(tenants::resume(api.admin()?, &caller.0, &tenant).await?))
}
