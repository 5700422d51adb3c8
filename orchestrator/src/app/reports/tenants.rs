//! Tenants.

use std::collections::BTreeMap;

use dagbook_events::admission::Quota;
use dagbook_events::ids::TenantId;
use dagbook_events::tenant::Tenant;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// A tenant and what it may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct TenantReport {
    /// Its name, by which everything calls it.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// Its name for people.
    pub display_name: String,
    /// The zone in which its days begin.
    pub timezone: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// `active` or `suspended`.
    pub status: String,
    /// Why it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when it is suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspended_at: Option<String>,
    /// When it was created; left out for one that is there by itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_at: Option<String>,
    /// What it may use at one time; what is left out is not bounded.
    #[schema(value_type = Object)]
    pub quota: Quota,
}

impl TenantReport {
    /// The report of a folded tenant.
    pub fn of(tenant: &TenantId, folded: &Tenant) -> Self {
        let name = &folded.display_name;
        let zone = &folded.timezone;
        let (suspended_at, reason) = match &folded.suspended {
            Some((at, reason)) => (Some(at.to_rfc3339()), reason.clone()),
            None => (None, None),
        };
        Self {
            tenant: tenant.clone(),
            display_name: if name.is_empty() { tenant.to_string() } else { name.clone() },
            timezone: if zone.is_empty() { "UTC".to_string() } else { zone.clone() },
            labels: folded.labels.clone(),
            status: if suspended_at.is_some() { "suspended" } else { "active" }.to_string(),
            reason,
            suspended_at,
            created_at: folded.created_at.map(|at| at.to_rfc3339()),
            quota: folded.quota,
        }
    }
}
