//! Tokens of a tenant.

use std::collections::BTreeSet;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use dagbook_events::access::{Permission, Role};
use dagbook_events::tenant::Scopes;
use dagbook_events::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Cursor, Json, Once, Page, PageQuery, Path, Problem, Query, Stamped};
use crate::app::reports::{IssuedToken, TokenReport};
use crate::app::tokens::{self, WantedToken};

/// How long the old value of a rotated token works, where the request does not say: a day.
const OVERLAP: Millis = Millis::seconds(24 * 3_600);

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .routes(routes!(list, issue))
        .routes(routes!(show, revoke))
        .routes(routes!(rotate))
}

/// A token to be issued.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What people will call it.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What whoever shows it will be: `admin`, `owner`, `maintainer`, `developer`, `viewer` or
    /// `auditor`.
    pub role: String,
    /// What it is narrowed to; by default all that its role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// The registered pipelines that it is narrowed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_items = 64)]
    pub pipelines: Option<Vec<String>>,
    /// From when on it does not work any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
}

impl NewToken {
    fn wanted(self) -> Result<WantedToken, Problem> {
        let role: Role = self.role.parse().map_err(|e: String| Problem::invalid(short(e)))?;
        let permissions = self.permissions.map(|all| {
            all.iter().map(|text| text.parse::<Permission>()).collect::<Result<BTreeSet<_>, _>>()
        });
        let permissions = permissions.transpose().map_err(|e| Problem::invalid(short(e)))?;
        let pipelines = self.pipelines.map(|all| all.into_iter().collect());
        let scopes = Scopes { permissions, pipelines };
        let expires_at = instant(self.expires_at.as_deref())?;
        Ok(WantedToken { name: self.name, role, scopes, expires_at })
    }
}

fn short(text: String) -> String {
    text.chars().take(300).collect()
}

fn instant(text: Option<&str>) -> Result<Option<Timestamp>, Problem> {
    let Some(text) = text else { return Ok(None) };
    match Timestamp::parse_rfc3339(text) {
        Some(at) => Ok(Some(at)),
        None => Err(Problem::invalid("`expires_at` is a time such as 2027-01-31T12:00:00Z")),
    }
}

/// How a token gets its new value.
#[derive(Debug, Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Rotation {
    /// How long the old value works beside the new one; a day where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 2_592_000_000_u64)]
    pub overlap_ms: Option<u64>,
    /// From when on it does not work any more; as before where it is left out.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "date-time")]
    pub expires_at: Option<String>,
}

/// Why a token is revoked.
#[derive(Debug, Clone, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub struct WhyRevoked {
    /// For whoever asks later.
    #[param(min_length = 1, max_length = 500)]
    pub reason: Option<String>,
}

/// List tokens, without what they are
#[utoipa::path(
    get, path = "/api/v1/tokens", operation_id = "list_tokens", tag = "access",
    params(PageQuery), responses((status = 200, body = Page<TokenReport>)),
    extensions(("x-permission" = json!("read_tokens"))),
)]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<TokenReport>>, Problem> {
    let limit = query.limit()?;
    let of = Cursor { list: "tokens", tenant: caller.tenant() };
    let after = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let mut items = tokens::list(api.admin()?, &caller.0, after.as_deref(), limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| api.cursors.seal(of, &last.token));
    Ok(Json(Page::new(items, next)))
}

/// Issue a token; its value is shown this once
#[utoipa::path(
    post, path = "/api/v1/tokens", operation_id = "issue_token", tag = "access",
    request_body = NewToken, responses((status = 201, body = IssuedToken)),
    extensions(("x-permission" = json!("manage_tokens"))),
)]
async fn issue(
    caller: Caller,
    State(api): State<Api>,
    stamped: Stamped,
    Json(new): Json<NewToken>,
) -> Result<(StatusCode, Extension<Once>, Json<IssuedToken>), Problem> {
    let (admin, id) = (api.admin()?, stamped.id("token"));
    let issued = tokens::issue(admin, &caller.0, id, new.wanted()?).await?;
    Ok((StatusCode::CREATED, Extension(Once), Json(issued)))
}

/// Look at a token, without what it is
#[utoipa::path(
    get, path = "/api/v1/tokens/{token}", operation_id = "show_token", tag = "access",
    params(("token" = String, Path)), responses((status = 200, body = TokenReport)),
    extensions(("x-permission" = json!("read_tokens"))),
)]
async fn show(
    caller: Caller,
    State(api): State<Api>,
    Path(token): Path<String>,
) -> Result<Json<TokenReport>, Problem> {
    Ok(Json(tokens::show(api.admin()?, &caller.0, &token).await?))
}

/// Revoke a token: within a second it works nowhere any more
#[utoipa::path(
    delete, path = "/api/v1/tokens/{token}", operation_id = "revoke_token", tag = "access",
    params(("token" = String, Path), WhyRevoked), responses((status = 200, body = TokenReport)),
    extensions(("x-permission" = json!("manage_tokens"))),
)]
async fn revoke(
    caller: Caller,
    State(api): State<Api>,
    Path(token): Path<String>,
    Query(why): Query<WhyRevoked>,
) -> Result<Json<TokenReport>, Problem> {
    Ok(Json(tokens::revoke(api.admin()?, &caller.0, &token, why.reason).await?))
}

/// Give a token a new value; the old one works beside it for a while
#[utoipa::path(
    post, path = "/api/v1/tokens/{token}/rotate", operation_id = "rotate_token", tag = "access",
    params(("token" = String, Path)), request_body = Rotation,
    responses((status = 200, body = IssuedToken)),
    extensions(("x-permission" = json!("manage_tokens"))),
)]
async fn rotate(
    caller: Caller,
    State(api): State<Api>,
    Path(token): Path<String>,
    Json(how): Json<Rotation>,
) -> Result<(Extension<Once>, Json<IssuedToken>), Problem> {
    let overlap = how.overlap_ms.map_or(OVERLAP, Millis);
    let expires_at = instant(how.expires_at.as_deref())?;
    let issued = tokens::rotate(api.admin()?, &caller.0, &token, overlap, expires_at).await?;
    Ok((Extension(Once), Json(issued)))
}
