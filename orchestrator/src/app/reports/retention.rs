//! What is kept for how long.

use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::retention::{HoldPlaced, Policy};
use dagbook_events::time::Millis;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::app::principal::SITE_TENANT;
use crate::app::retention::Policies;

/// What is kept for how long in a tenant, what is held, and what went last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RetentionReport {
    /// The tenant.
    #[schema(value_type = String)]
    pub tenant: TenantId,
    /// What the site says, in days.
    #[schema(value_type = Object)]
    pub site_policy: Policy,
    /// What the tenant says, in days; it takes the place of what the site says.
    #[schema(value_type = Object)]
    pub policy: Policy,
    /// What holds.
    pub effective: KeptFor,
    /// What is held, whatever the policy says.
    pub holds: Vec<HoldReport>,
    /// What went last, of each kind.
    pub applied: Vec<AppliedRow>,
    /// Whether events can leave the store.
    pub archives: bool,
    /// The position below which all events have left it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archived_below: Option<u64>,
}

/// Spans in milliseconds; what is left out is kept for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeptFor {
    /// Logs, after the end of their run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub logs_ms: Option<Millis>,
    /// Content, after the end of the last run that names it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub blobs_ms: Option<Millis>,
    /// Events, before they leave the store for the tiles.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<u64>)]
    pub archive_ms: Option<Millis>,
}

/// Something that is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HoldReport {
    /// What people call it.
    pub hold: String,
    /// The run; left out: the whole tenant.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>)]
    pub run: Option<RunId>,
    /// Why.
    pub reason: String,
}

/// What went last of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppliedRow {
    /// `logs`, `blobs`, `cache`, `keys` or `events`.
    pub what: String,
    /// When.
    pub at: String,
    /// How many.
    pub count: u64,
    /// Their bytes, where that is known.
    pub bytes: u64,
}

impl RetentionReport {
    /// The report of a tenant. `archived_below` where the store can let events go.
    pub fn of(tenant: &TenantId, policies: &Policies, archived_below: Option<u64>) -> Self {
        let (effective, own) = policies.of(tenant);
        let of_site = policies.site.applied.iter().filter(|_| tenant.as_str() != SITE_TENANT);
        let applied = own.applied.iter().chain(of_site).map(|(what, (at, applied))| AppliedRow {
            what: what.clone(),
            at: at.to_rfc3339(),
            count: applied.count,
            bytes: applied.bytes,
        });
        let hold = |placed: &HoldPlaced| HoldReport {
            hold: placed.hold.clone(),
            run: placed.run,
            reason: placed.reason.clone(),
        };
        Self {
            tenant: tenant.clone(),
            site_policy: policies.site.policy,
            policy: own.policy,
            effective: KeptFor {
                logs_ms: effective.logs(),
                blobs_ms: effective.blobs(),
                archive_ms: effective.archive(),
            },
            holds: own.holds.values().map(hold).collect(),
            applied: applied.collect(),
            archives: archived_below.is_some(),
            archived_below,
        }
    }
}
