//! Who asks, as the server sees it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Who asks, and what they may do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MeReport {
    /// `token`, `user` or another kind of principal.
    pub kind: String,
    /// What they are called.
    pub id: String,
    /// The id of the token that was shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// The tenant on whom they act.
    pub tenant: String,
    /// What they are there.
    pub role: String,
    /// Whether they belong to the site and may act on any tenant.
    pub of_site: bool,
    /// What they may do there.
    pub permissions: Vec<String>,
    /// The pipelines that their token is narrowed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<Vec<String>>,
}
