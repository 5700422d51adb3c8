//! The HTTP API: one file for each resource, in front of them the layers that every request
//! passes. Handlers own words, not rules: what they do is in `app`.
//!
//! A resource is a file with `pub fn routes() -> OpenApiRouter<Api>`, merged in [`resources`].
//! Its handlers take [`Caller`] (who asks), [`Json`], [`Query`] and [`Path`] of this module
//! (whose refusals are problems), [`Stamped`] where they mint ids, and return
//! `Result<_, Problem>`. Beyond that they get for nothing: authentication (no path is open that
//! is not listed in [`gate`]), rate limits, idempotency keys on every POST, and documented
//! problems in the OpenAPI description.

mod api;
mod audit;
mod billing;
mod caller;
mod extract;
mod gate;
mod idempotency;
mod index;
mod intake;
mod invoices;
mod layers;
mod login;
mod me;
mod measured;
mod openapi;
mod page;
mod pass;
mod people;
mod pipelines;
mod problem;
mod retention;
mod run_acts;
mod run_events;
mod run_log;
mod runs;
mod schedules;
mod secrets;
mod sources;
mod stamped;
mod tenants;
mod tokens;

pub mod listen;

pub use api::{Api, ApiParts, Limits};
pub use billing::{NewBudget, OnExceed};
pub use caller::Caller;
pub use extract::{Json, Path, Query};
pub use idempotency::Once;
pub use page::{Cursor, CursorKey, Page, PageQuery};
pub use problem::{Problem, ProblemBody};
pub use stamped::Stamped;

use utoipa_axum::router::OpenApiRouter;

/// What needs a token: each resource in its own file.
fn resources() -> OpenApiRouter<Api> {
    OpenApiRouter::new()
        .merge(index::routes())
        .merge(audit::routes())
        .merge(runs::routes())
        .merge(run_acts::routes())
        .merge(run_events::routes())
        .merge(run_log::routes())
        .merge(login::open_routes())
        .merge(me::routes())
        .merge(people::routes())
        .merge(pipelines::routes())
        .merge(billing::routes())
        .merge(invoices::routes())
        .merge(retention::routes())
        .merge(schedules::routes())
        .merge(secrets::routes())
        .merge(sources::routes())
        .merge(tenants::routes())
        .merge(tokens::routes())
}

/// What is open to everyone.
fn open() -> OpenApiRouter<Api> {
    index::open_routes()
}

/// The whole API, with its layers.
pub fn router(api: Api) -> axum::Router {
    let closed = axum::Router::from(resources());
    layers::around(closed, axum::Router::from(open()), api.described(description()))
}

/// The description of the API, as `/api/v1/openapi.json` gives it.
pub fn description() -> utoipa::openapi::OpenApi {
    openapi::complete(resources().merge(open()).into_openapi())
}
