//! People who come by an identity provider, and what they are in a tenant.

use axum::extract::State;
use axum::http::StatusCode;
use dagbook_events::access::Role;
use dagbook_events::tenant::{PersonRemoved, PersonSet};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Json, Page, Problem, Query};
use crate::app::reports::PersonReport;
use crate::app::tokens;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(list, set, remove))
}

/// A person's role.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewPerson {
    /// The issuer of the identity provider.
    #[schema(min_length = 1, max_length = 255)]
    pub issuer: String,
    /// What it calls them.
    #[schema(min_length = 1, max_length = 255)]
    pub subject: String,
    /// What people call them.
    #[schema(min_length = 1, max_length = 100)]
    pub name: String,
    /// What they are.
    pub role: String,
}

/// Which person.
#[derive(Debug, Clone, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct WhichPerson {
    /// The issuer of the identity provider.
    #[param(min_length = 1, max_length = 255)]
    pub issuer: String,
    /// What it calls them.
    #[param(min_length = 1, max_length = 255)]
    pub subject: String,
}

/// List people and their roles
#[utoipa::path(
    get, path = "/api/v1/people", operation_id = "list_people", tag = "access",
    responses((status = 200, body = Page<PersonReport>)),
    extensions(("x-permission" = json!("read_tokens"))),
)]
async fn list(caller: Caller, State(api): State<Api>) -> Result<Json<Page<PersonReport>>, Problem> {
    Ok(Json(Page::new(tokens::people(api.admin()?, &caller.0)?, None)))
}

/// Give a person a role
#[utoipa::path(
    put, path = "/api/v1/people", operation_id = "set_person", tag = "access",
    request_body = NewPerson, responses((status = 200, body = PersonReport)),
    extensions(("x-permission" = json!("manage_tokens"))),
)]
async fn set(
    caller: Caller,
    State(api): State<Api>,
    Json(new): Json<NewPerson>,
) -> Result<Json<PersonReport>, Problem> {
    let refuse = |error: String| Problem::invalid(error.chars().take(300).collect::<String>());
    let role: Role = new.role.parse().map_err(refuse)?;
    let NewPerson { issuer, subject, name, .. } = new;
    let person = PersonSet { issuer, subject, name, role };
    Ok(Json(tokens::set_person(api.admin()?, &caller.0, person).await?))
}

/// Take a person's role away
#[utoipa::path(
    delete, path = "/api/v1/people", operation_id = "remove_person", tag = "access",
    params(WhichPerson), responses((status = 204)),
    extensions(("x-permission" = json!("manage_tokens"))),
)]
async fn remove(
    caller: Caller,
    State(api): State<Api>,
    Query(which): Query<WhichPerson>,
) -> Result<StatusCode, Problem> {
    let WhichPerson { issuer, subject } = which;
    tokens::remove_person(api.admin()?, &caller.0, PersonRemoved { issuer, subject }).await?;
    Ok(StatusCode::NO_CONTENT)
}
