//! Who asks, once it is known who it is.

use dagbook_events::access::{Permission, Role};
use dagbook_events::ids::TenantId;
use dagbook_events::ports::Actor;

use super::error::AppError;

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
}

impl Principal {
    /// Refuses what their role does not allow.
    pub fn require(&self, permission: Permission) -> Result<(), AppError> {
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
}
