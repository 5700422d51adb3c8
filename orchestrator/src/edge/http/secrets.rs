//! Secrets of a tenant. Values come in and never go out.

use axum::extract::State;
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Cursor, Json, Page, PageQuery, Path, Problem, Query};
use crate::app::reports::SecretReport;
use crate::app::secrets::{self, RekeyReport};

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(set, remove)).routes(routes!(rekey))
}

/// A value to be kept: one of the two. `Debug` does not show it.
#[derive(Clone, Default, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct NewSecret {
    /// The value, as text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 65_536)]
    pub value: Option<String>,
    /// The value, base64 of any bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 87_384)]
    pub value_base64: Option<String>,
}

impl std::fmt::Debug for NewSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("NewSecret(…)")
    }
}

impl NewSecret {
    fn bytes(self) -> Result<Vec<u8>, Problem> {
        match (self.value, self.value_base64) {
            (Some(text), None) => Ok(text.into_bytes()),
            (None, Some(text)) => {
                STANDARD.decode(text).map_err(|_| Problem::invalid("`value_base64` is no base64"))
            }
            _ => Err(Problem::invalid("give `value` or `value_base64`, one of the two")),
        }
    }
}

/// List names of secrets; values are shown to nobody
#[utoipa::path(
    get, path = "/api/v1/secrets", operation_id = "list_secrets", tag = "access",
    params(PageQuery), responses((status = 200, body = Page<SecretReport>)),
    extensions(("x-permission" = json!("manage_secrets"))),
)]
async fn list(
    caller: Caller,
    State(api): State<Api>,
    Query(query): Query<PageQuery>,
) -> Result<Json<Page<SecretReport>>, Problem> {
    let limit = query.limit()?;
    let of = Cursor { list: "secrets", tenant: caller.tenant() };
    let after = query.cursor.as_deref().map(|cursor| api.cursors.open(of, cursor)).transpose()?;
    let mut items = secrets::list(api.admin()?, &caller.0, after.as_deref(), limit + 1).await?;
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(|last| api.cursors.seal(of, &last.name));
    Ok(Json(Page::new(items, next)))
}

/// Keep a value, replacing an earlier one
#[utoipa::path(
    put, path = "/api/v1/secrets/{name}", operation_id = "set_secret", tag = "access",
    params(("name" = String, Path)), request_body = NewSecret,
    responses((status = 200, body = SecretReport)),
    extensions(("x-permission" = json!("manage_secrets"))),
)]
async fn set(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
    Json(new): Json<NewSecret>,
) -> Result<Json<SecretReport>, Problem> {
    Ok(Json(secrets::set(api.admin()?, &caller.0, &name, &new.bytes()?).await?))
}

/// Forget a secret
#[utoipa::path(
    delete, path = "/api/v1/secrets/{name}", operation_id = "remove_secret", tag = "access",
    params(("name" = String, Path)), responses((status = 204)),
    extensions(("x-permission" = json!("manage_secrets"))),
)]
async fn remove(
    caller: Caller,
    State(api): State<Api>,
    Path(name): Path<String>,
) -> Result<StatusCode, Problem> {
    secrets::remove(api.admin()?, &caller.0, &name).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Seal all secrets of the site with the current key
#[utoipa::path(
    post, path = "/api/v1/site/rekey", operation_id = "rekey", tag = "access",
    responses((status = 200, body = RekeyReport)),
    extensions(("x-permission" = json!("manage_site"))),
)]
async fn rekey(caller: Caller, State(api): State<Api>) -> Result<Json<RekeyReport>, Problem> {
    Ok(Json(secrets::rekey(api.admin()?, &caller.0).await?))
}
