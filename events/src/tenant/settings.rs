//! A tenant itself: what it is called, what it may use, whether it may do anything.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Refusal;
use super::words::{check_labels, check_name, check_reason, check_zone};
use crate::admission::Quota;
use crate::aggregate::Aggregate;
use crate::recorded::recorded_events;
use crate::time::Timestamp;

/// The stream of a tenant's settings.
pub const TENANT_STREAM: &str = "tenant";
/// The tenant of the site itself, which nobody creates or suspends.
pub const SITE: &str = "site";
/// The most labels of a tenant.
pub const LABELS_MAX: usize = 32;

/// A tenant as its events left it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tenant {
    /// When it was created; none: it never was.
    pub created_at: Option<Timestamp>,
    /// Its name for people.
    pub display_name: String,
    /// The zone in which its days begin, by its IANA name.
    pub timezone: String,
    /// For whoever sorts tenants.
    pub labels: BTreeMap<String, String>,
    /// Since when it may not do anything, and why.
    pub suspended: Option<(Timestamp, Option<String>)>,
    /// What it may use at one time.
    pub quota: Quota,
}

/// It was created.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantCreated {
    /// Its name for people.
    pub display_name: String,
    /// IANA name of its zone.
    pub timezone: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

/// Something of it was changed; what is not there stayed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantChanged {
    /// Its name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub display_name: Option<String>,
    /// IANA name of its zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// All its labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
}

/// It may do nothing until it is resumed.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantSuspended {
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// It may go on.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct TenantResumed {}

/// What it may use at one time, from now on: the whole of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct QuotaSet(pub Quota);

recorded_events!(
    /// What can happen to a tenant.
    TenantEvent {
        /// It was created.
        Created(TenantCreated) = "tenant.created",
        /// It was changed.
        Changed(TenantChanged) = "tenant.changed",
        /// It was suspended.
        Suspended(TenantSuspended) = "tenant.suspended",
        /// It was resumed.
        Resumed(TenantResumed) = "tenant.resumed",
        /// Its quota was set.
        Quota(QuotaSet) = "quota.set",
    }
);

impl Aggregate for Tenant {
    type Event = TenantEvent;

    fn apply(&mut self, at: Timestamp, event: &TenantEvent) {
        match event {
            TenantEvent::Created(created) => {
                self.created_at = Some(at);
                self.display_name.clone_from(&created.display_name);
                self.timezone.clone_from(&created.timezone);
                self.labels.clone_from(&created.labels);
            }
            TenantEvent::Changed(changed) => {
                if let Some(name) = &changed.display_name {
                    self.display_name.clone_from(name);
                }
                if let Some(zone) = &changed.timezone {
                    self.timezone.clone_from(zone);
                }
                if let Some(labels) = &changed.labels {
                    self.labels.clone_from(labels);
                }
            }
            TenantEvent::Suspended(suspended) => {
                self.suspended = Some((at, suspended.reason.clone()));
            }
            TenantEvent::Resumed(_) => self.suspended = None,
            TenantEvent::Quota(QuotaSet(quota)) => self.quota = *quota,
        }
    }
}

/// What is asked of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TenantCommand {
    /// Be there.
    Create(TenantCreated),
    /// Be called otherwise.
    Change(TenantChanged),
    /// Do nothing until further notice.
    Suspend(Option<String>),
    /// Go on.
    Resume,
    /// Use so much at one time.
    SetQuota(Quota),
}

/// Decides. `name` is the tenant's id; `is_implied` says that it is there without having been
/// created: the site's own, or the one that the server is configured for.
///
/// # Errors
/// Where it is refused, with the reason.
pub fn decide_tenant(
    state: &Tenant,
    name: &str,
    is_implied: bool,
    command: &TenantCommand,
) -> Result<Vec<TenantEvent>, Refusal> {
    let missing = || Refusal::Missing { what: "tenant", name: name.to_string() };
    let exists = is_implied || state.created_at.is_some();
    match command {
        TenantCommand::Create(created) => {
            if name == SITE || state.created_at.is_some() {
                return Err(Refusal::Conflict(format!("there is a tenant `{name}` already")));
            }
            check_name("the name for people", &created.display_name)?;
            check_zone(&created.timezone)?;
            check_labels(&created.labels)?;
            Ok(vec![TenantEvent::Created(created.clone())])
        }
        _ if !exists => Err(missing()),
        TenantCommand::Change(changed) => change(state, changed),
        TenantCommand::Suspend(_) if name == SITE => {
            Err(Refusal::Conflict("the site itself cannot be suspended".to_string()))
        }
        TenantCommand::Suspend(reason) => {
            check_reason(reason.as_deref())?;
            // Asked again, it stays suspended since when it was first.
            let suspended = TenantEvent::Suspended(TenantSuspended { reason: reason.clone() });
            Ok(state.suspended.is_none().then_some(suspended).into_iter().collect())
        }
        TenantCommand::Resume => {
            let resumed = TenantEvent::Resumed(TenantResumed {});
            Ok(state.suspended.is_some().then_some(resumed).into_iter().collect())
        }
        TenantCommand::SetQuota(quota) => {
            quota.validate().map_err(|error| Refusal::Invalid(error.to_string()))?;
            let set = TenantEvent::Quota(QuotaSet(*quota));
            Ok((state.quota != *quota).then_some(set).into_iter().collect())
        }
    }
}

/// Only what differs is recorded.
fn change(state: &Tenant, wanted: &TenantChanged) -> Result<Vec<TenantEvent>, Refusal> {
    let mut changed = wanted.clone();
    if let Some(name) = &changed.display_name {
        check_name("the name for people", name)?;
    }
    if let Some(zone) = &changed.timezone {
        check_zone(zone)?;
    }
    if let Some(labels) = &changed.labels {
        check_labels(labels)?;
    }
    changed.display_name = changed.display_name.filter(|name| *name != state.display_name);
    changed.timezone = changed.timezone.filter(|zone| *zone != state.timezone);
    changed.labels = changed.labels.filter(|labels| *labels != state.labels);
    match changed == TenantChanged::default() {
        true => Ok(Vec::new()),
        false => Ok(vec![TenantEvent::Changed(changed)]),
    }
}
