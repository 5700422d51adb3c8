//! Tokens and people.

use dagbook_events::tenant::{PersonRecord, TokenRecord, TokenState};
use dagbook_events::time::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A token, without what it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TokenReport {
    /// Its id.
    pub token: String,
    /// What people call it.
    pub name: String,
    /// What whoever shows it is.
    pub role: String,
    /// What it is narrowed to; left out when it may all that its role may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<String>>,
    /// The pipelines that it is narrowed to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pipelines: Option<Vec<String>>,
    /// `active`, `expired` or `revoked`.
    pub status: String,
    /// When it was issued.
    pub issued_at: String,
    /// When its value was last changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotated_at: Option<String>,
    /// Until when the value before works as well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_value_until: Option<String>,
    /// From when on it does not work any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// When it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// When it was last used, to the minute; left out when it never was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
}

impl TokenReport {
    /// The report of a folded token.
    pub fn of(
        id: &str,
        record: &TokenRecord,
        last_used: Option<Timestamp>,
        now: Timestamp,
    ) -> Self {
        let status = match record.state_at(now) {
            TokenState::Active => "active",
            TokenState::Expired => "expired",
            TokenState::Revoked => "revoked",
        };
        let permissions = record.scopes.permissions.as_ref();
        let old = record.previous.filter(|(_, until)| now < *until);
        Self {
            token: id.to_string(),
            name: record.name.clone(),
            role: record.role.as_str().to_string(),
            permissions: permissions.map(|all| all.iter().map(|p| p.as_str().into()).collect()),
            pipelines: record.scopes.pipelines.as_ref().map(|all| all.iter().cloned().collect()),
            status: status.to_string(),
            issued_at: record.issued_at.to_rfc3339(),
            rotated_at: record.rotated_at.map(Timestamp::to_rfc3339),
            old_value_until: old.map(|(_, until)| until.to_rfc3339()),
            expires_at: record.expires_at.map(Timestamp::to_rfc3339),
            revoked_at: record.revoked_at.map(Timestamp::to_rfc3339),
            last_used_at: last_used.map(Timestamp::to_rfc3339),
        }
    }
}

/// A token with its value, which is shown this once. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct IssuedToken {
    /// What is kept of it.
    #[serde(flatten)]
    pub about: TokenReport,
    /// The token itself. Nobody can show it again.
    pub value: String,
}

impl std::fmt::Debug for IssuedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("IssuedToken").field("about", &self.about).finish_non_exhaustive()
    }
}

/// A person who comes by an identity provider.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PersonReport {
    /// The issuer of the identity provider.
    pub issuer: String,
    /// What it calls them.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// What they are.
    pub role: String,
    /// Since when.
    pub since: String,
}

impl PersonReport {
    /// The report of a folded person.
    pub fn of((issuer, subject): (&str, &str), record: &PersonRecord) -> Self {
        Self {
            issuer: issuer.to_string(),
            subject: subject.to_string(),
            name: record.name.clone(),
            role: record.role.as_str().to_string(),
            since: record.since.to_rfc3339(),
        }
    }
}
