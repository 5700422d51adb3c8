//! Who asks: put there by the gate, which every request but the open ones passes.

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use dagbook_events::access::Permission;
use dagbook_events::ids::TenantId;

use super::{Api, Problem};
use crate::app::principal::Principal;

/// Who asks.
#[derive(Debug, Clone)]
pub struct Caller(pub Principal);

impl Caller {
    /// Refuses what their role does not allow.
    pub fn require(&self, permission: Permission) -> Result<(), Problem> {
        self.0.require(permission).map_err(Problem::from)
    }

    /// The tenant on whom they act.
    pub fn tenant(&self) -> &TenantId {
        &self.0.tenant
    }
}

impl FromRequestParts<Api> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, Problem> {
        // Missing only where a path is open that must not be: then nobody is let in.
        let caller = parts.extensions.get::<Self>().cloned();
        caller.ok_or_else(|| Problem::new("unauthenticated", "this needs a token"))
    }
}
