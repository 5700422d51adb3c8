//! What someone showed to come in. Streams keep it, and look now and then whether it still lets
//! its owner in: a token that is revoked, expires or loses its role ends what it follows.

use std::time::Duration;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use dagbook_events::access::Permission;
use dagbook_events::ids::TenantId;
use tokio::time::Instant;

use super::{Api, Caller, Problem};
use crate::app::error::AppError;
use crate::app::principal::Principal;

/// What a request shows. It has no `Debug`: it is a secret.
#[derive(Clone)]
pub(super) enum Shown {
    /// A bearer token.
    Token(String),
    /// The cookie of a person's session.
    Session(String),
}

/// What a request shows, and the tenant that it names.
#[derive(Clone)]
pub(super) struct Pass {
    pub(super) shown: Shown,
    pub(super) tenant: Option<String>,
}

impl Pass {
    /// Whom it lets in now.
    pub(super) async fn principal(&self, api: &Api) -> Result<Principal, AppError> {
        let tenant = self.tenant.as_deref();
        match &self.shown {
            Shown::Token(token) => api.authenticate.authenticate(token, tenant).await,
            Shown::Session(cookie) => api.authenticate.of_session(cookie, tenant).await,
        }
    }
}

impl FromRequestParts<Api> for Pass {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _api: &Api) -> Result<Self, Problem> {
        let pass = parts.extensions.get::<Self>().cloned();
        pass.ok_or_else(|| Problem::new("unauthenticated", "this needs a token"))
    }
}

/// Looks, as often as a silent stream says that it is there, whether someone may still follow.
pub(super) struct Watch {
    api: Api,
    pass: Pass,
    tenant: TenantId,
    permission: Permission,
    looked: Instant,
}

impl Watch {
    /// Over someone who was let in just now.
    pub(super) fn begin(api: &Api, pass: Pass, caller: &Caller, permission: Permission) -> Self {
        let (api, tenant) = (api.clone(), caller.tenant().clone());
        Self { api, pass, tenant, permission, looked: Instant::now() }
    }

    /// How long a stream may go on without asking here.
    pub(super) fn every(&self) -> Duration {
        self.api.limits.heartbeat
    }

    /// Refuses whoever would not be let in any more.
    pub(super) async fn look(&mut self) -> Result<(), AppError> {
        if self.looked.elapsed() < self.every() {
            return Ok(());
        }
        let now = self.pass.principal(&self.api).await?;
        // A person who lost their role in one tenant may have come to another.
        if now.tenant != self.tenant {
            let reason = "you have no role here any more".to_string();
            return Err(AppError::Forbidden { reason });
        }
        now.require(self.permission)?;
        self.looked = Instant::now();
        Ok(())
    }
}
