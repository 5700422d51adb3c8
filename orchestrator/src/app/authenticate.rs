//! Who a bearer token belongs to: what edges ask before anything else.

use async_trait::async_trait;

use super::error::AppError;
use super::principal::Principal;

/// Knows whose token it is.
#[async_trait]
pub trait Authenticate: Send + Sync {
    /// The one whom the token belongs to, acting on `tenant` where they belong to the site and
    /// name one.
    ///
    /// # Errors
    /// [`AppError::Unauthenticated`] for a token that is unknown, expired or revoked, always with
    /// the same words; [`AppError::Forbidden`] for one of a tenant that names another;
    /// [`AppError::Unavailable`] while nobody can tell.
    async fn authenticate(&self, token: &str, tenant: Option<&str>) -> Result<Principal, AppError>;

    /// The one whose session has this cookie.
    ///
    /// # Errors
    /// As above. Nobody has one where no identity provider is configured.
    async fn of_session(&self, cookie: &str, tenant: Option<&str>) -> Result<Principal, AppError> {
        let _ = (cookie, tenant);
        Err(AppError::Unauthenticated { reason: "nobody logs in here".to_string() })
    }
}
