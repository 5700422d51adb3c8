//! What is wanted to be kept: the site's policy, each tenant's, and holds.

use std::collections::BTreeMap;
use std::sync::Arc;

use dagbook_events::aggregate::AggregateEvent;
use dagbook_events::canonical;
use dagbook_events::ids::{StreamName, TenantId};
use dagbook_events::ports::{
    Actor, AppendError, AppendRequest, Clock, EventStore, NewEvent, Rng, StreamAppend,
};
use dagbook_events::retention::{
    Effective, RETENTION_STREAM, Retention, RetentionCommand, RetentionEvent, RetentionRefusal,
    decide,
};

use crate::app::error::AppError;
use crate::app::principal::SITE_TENANT;
use crate::app::streams::{self, Loaded};

/// How often a change is decided anew because somebody else was first.
const TRIES: usize = 5;

/// The policies and holds of a site and of all its tenants.
#[derive(Debug, Clone, Default)]
pub struct Policies {
    /// The site's.
    pub site: Retention,
    /// Each tenant's, also of those that never said anything.
    pub tenants: BTreeMap<TenantId, Retention>,
}

impl Policies {
    /// What holds for a tenant.
    pub fn of(&self, tenant: &TenantId) -> (Effective, Retention) {
        let own = self.tenants.get(tenant).cloned().unwrap_or_default();
        (Effective::new(self.site.policy, own.policy), own)
    }

    /// Whether policies and holds are the same as those, whatever else was recorded.
    pub fn wants_the_same(&self, earlier: &Self) -> bool {
        let of = |all: &Self, tenant: &TenantId| {
            let own = all.tenants.get(tenant).cloned().unwrap_or_default();
            (own.policy, own.holds)
        };
        let mut tenants = self.tenants.keys().chain(earlier.tenants.keys());
        self.site.policy == earlier.site.policy
            && tenants.all(|tenant| of(self, tenant) == of(earlier, tenant))
    }
}

fn stream() -> Result<StreamName, AppError> {
    StreamName::new(RETENTION_STREAM).map_err(|error| AppError::Internal(error.to_string()))
}

pub(super) async fn of(
    store: &dyn EventStore,
    tenant: &TenantId,
) -> Result<Loaded<Retention>, AppError> {
    streams::load::<Retention>(store, tenant, &stream()?).await
}

/// Reads them all.
///
/// # Errors
/// Where the record cannot be read.
pub async fn load(store: &dyn EventStore) -> Result<Policies, AppError> {
    let mut policies = Policies::default();
    for tenant in store.log_heads().await?.into_keys() {
        let loaded = of(store, &tenant).await?.state;
        if tenant.as_str() == SITE_TENANT {
            policies.site = loaded.clone();
        }
        policies.tenants.insert(tenant, loaded);
    }
    Ok(policies)
}

/// Changes what a tenant wants; says what holds then.
///
/// # Errors
/// [`AppError::Invalid`], [`AppError::Conflict`] or [`AppError::NotFound`] where it makes no
/// sense; otherwise where the record cannot be extended.
pub async fn change(
    (store, clock, rng): (&dyn EventStore, &dyn Clock, &dyn Rng),
    tenant: &TenantId,
    by: &Actor,
    command: &RetentionCommand,
) -> Result<Retention, AppError> {
    let of_site = tenant.as_str() == SITE_TENANT;
    for _ in 0..TRIES {
        let loaded = of(store, tenant).await?;
        let events = decide(&loaded.state, command, of_site).map_err(refused)?;
        if events.is_empty() {
            return Ok(loaded.state);
        }
        match append((store, clock, rng), tenant, by, &loaded, &events).await {
            Err(AppendError::Conflict { .. }) => {}
            Err(error) => return Err(error.into()),
            Ok(()) => return Ok(of(store, tenant).await?.state),
        }
    }
    Err(AppError::Conflict("others changed the retention of the tenant meanwhile".to_string()))
}

/// Records what happened to a tenant's retention, whatever else did.
pub(super) async fn record(
    ports: (&dyn EventStore, &dyn Clock, &dyn Rng),
    tenant: &TenantId,
    by: &Actor,
    event: RetentionEvent,
) -> Result<(), AppError> {
    for _ in 0..TRIES {
        let loaded = of(ports.0, tenant).await?;
        match append(ports, tenant, by, &loaded, std::slice::from_ref(&event)).await {
            Err(AppendError::Conflict { .. }) => {}
            done => return Ok(done?),
        }
    }
    Err(AppError::Conflict("others changed the retention of the tenant meanwhile".to_string()))
}

async fn append(
    (store, clock, rng): (&dyn EventStore, &dyn Clock, &dyn Rng),
    tenant: &TenantId,
    by: &Actor,
    loaded: &Loaded<Retention>,
    events: &[RetentionEvent],
) -> Result<(), AppendError> {
    let invalid = |error: String| AppendError::Invalid(error);
    let stream = StreamName::new(RETENTION_STREAM).map_err(|error| invalid(error.to_string()))?;
    let actor = Arc::new(by.clone());
    let mut ready = Vec::with_capacity(events.len());
    for event in events {
        let mut data = Vec::new();
        canonical::write(&mut data, &event.to_data())
            .map_err(|error| invalid(error.to_string()))?;
        ready.push(NewEvent {
            id: crate::app::stamp::event_id(clock, rng),
            kind: Arc::from(event.kind()),
            at: clock.now(),
            actor: actor.clone(),
            causation: None,
            correlation: None,
            traceparent: None,
            data,
            blob: None,
        });
    }
    let streams = vec![StreamAppend { stream, expected: loaded.expected(), events: ready }];
    let request = AppendRequest { tenant: tenant.clone(), key: None, streams, fence: None };
    store.append(request).await.map(drop)
}

fn refused(refusal: RetentionRefusal) -> AppError {
    match refusal {
        RetentionRefusal::Invalid(text) => AppError::Invalid(text),
        RetentionRefusal::Taken(_) => AppError::Conflict(refusal.to_string()),
        RetentionRefusal::Unknown(hold) => AppError::not_found("hold", &hold),
    }
}
