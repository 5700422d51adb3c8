//! Who asks, once it is known who it is.

use dagbook_events::access::{Permission, Role};
use dagbook_events::ids::TenantId;
use dagbook_events::ports::Actor;
use dagbook_events::tenant::Scopes;

use super::error::AppError;
use super::reports::MeReport;

/// The tenant of the site itself: it holds the events of administration, and the tokens that
/// belong to no other tenant.
pub const SITE_TENANT: &str = "site";

/// Someone who has shown who they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// As the record names them.
    pub actor: Actor,
    /// The tenant on whom they act. For someone of the site: the one that the request names, or
    /// the server's own.
    pub tenant: TenantId,
    /// What they are there.
    pub role: Role,
    /// Whether they belong to the site rather than to the tenant.
    pub of_site: bool,
    /// What their token is narrowed to.
    pub scopes: Scopes,
}

impl Principal {
    /// Someone whose token is not narrowed.
    pub fn whole(actor: Actor, tenant: TenantId, role: Role, of_site: bool) -> Self {
        Self { actor, tenant, role, of_site, scopes: Scopes::default() }
    }

    /// Refuses what their role or the scopes of their token do not allow. A token that is
    /// narrowed to pipelines needs [`Principal::require_of`].
    pub fn require(&self, permission: Permission) -> Result<(), AppError> {
        self.require_of(permission, None)
    }

    /// Refuses what they may not do with a registered pipeline or with one of its runs.
    pub fn require_of(
        &self,
        permission: Permission,
        pipeline: Option<&str>,
    ) -> Result<(), AppError> {
        if !self.scopes.leave(permission) {
            let word = permission.as_str();
            let reason = format!("this token is narrowed by its scopes, without `{word}`");
            return Err(AppError::Forbidden { reason });
        }
        if !self.scopes.leave_pipeline(pipeline) {
            let reason = "this token is narrowed to other pipelines than this".to_string();
            return Err(AppError::Forbidden { reason });
        }
        if self.role.may(permission) {
            return Ok(());
        }
        let wanted = Role::ALL.into_iter().rev().find(|role| role.may(permission));
        Err(AppError::Forbidden {
            reason: format!(
                "this needs the role `{}`; yours is `{}`",
                wanted.map_or("admin", Role::as_str),
                self.role.as_str()
            ),
        })
    }

    /// Who they are, and what they may do.
    pub fn report(&self) -> MeReport {
        let all = Permission::ALL.into_iter();
        let may =
            all.filter(|permission| self.role.may(*permission) && self.scopes.leave(*permission));
        let pipelines = self.scopes.pipelines.as_ref();
        MeReport {
            kind: self.actor.kind.clone(),
            id: self.actor.id.clone(),
            token: self.actor.token.clone(),
            tenant: self.tenant.to_string(),
            role: self.role.as_str().to_string(),
            of_site: self.of_site,
            permissions: may.map(|permission| permission.as_str().to_string()).collect(),
            pipelines: pipelines.map(|only| only.iter().cloned().collect()),
        }
    }
}
