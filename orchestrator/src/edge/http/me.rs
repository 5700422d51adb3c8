//! Who asks.

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Api, Caller, Json};
use crate::app::reports::MeReport;

/// The routes.
pub fn routes() -> OpenApiRouter<Api> {
    OpenApiRouter::new().routes(routes!(me))
}

/// Who you are, and what you may do
#[utoipa::path(
    get, path = "/api/v1/me", operation_id = "me", tag = "access",
    responses((status = 200, body = MeReport)),
    extensions(("x-permission" = json!("none"))),
)]
async fn me(caller: Caller) -> Json<MeReport> {
    Json(caller.0.report())
}
