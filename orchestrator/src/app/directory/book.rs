//! The folds of all tenants' settings and access, and tokens by their digests.

use std::collections::{BTreeMap, HashMap};

use dagbook_events::access::Role;
use dagbook_events::admission::money::Terms;
use dagbook_events::aggregate::{Aggregate, AggregateEvent};
use dagbook_events::billing::BILLING_STREAM;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::ports::{EventStore, Recorded};
use dagbook_events::tenant::{
    ACCESS_STREAM, Access, AccessEvent, Scopes, TENANT_STREAM, Tenant, TokenState,
};
use dagbook_events::time::Timestamp;
use subtle::ConstantTimeEq as _;

use crate::app::error::AppError;
use crate::app::streams::{self, Loaded};

/// Everything that is known.
#[derive(Default)]
pub(super) struct Book {
    tenants: BTreeMap<TenantId, Entry>,
    by_hash: HashMap<Sha256Digest, (TenantId, String)>,
    pub(super) reached: Position,
}

#[derive(Default)]
struct Entry {
    settings: Loaded<Tenant>,
    access: Loaded<Access>,
    billing: Loaded<Terms>,
}

/// A token that works.
pub(super) struct Found {
    pub(super) tenant: TenantId,
    pub(super) token: String,
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) scopes: Scopes,
}

/// What taking in an event came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Taken {
    /// It is in the book, or has nothing to do with it.
    Yes,
    /// Events before it are missing here: the streams must be read again.
    Gap,
}

impl Book {
    /// Reads all tenants. Events that come while it reads are taken in again afterwards, from
    /// the head at its beginning; their versions say whether they are in the folds already.
    pub(super) async fn load(
        store: &dyn EventStore,
        always: [&TenantId; 2],
    ) -> Result<Self, AppError> {
        let reached = store.head().await?;
        let mut tenants: Vec<TenantId> = store.log_heads().await?.into_keys().collect();
        tenants.extend(always.into_iter().cloned());
        let mut book = Self { reached, ..Self::default() };
        for tenant in tenants {
            book.reload(store, &tenant).await?;
        }
        Ok(book)
    }

    /// Reads the streams of one tenant.
    pub(super) async fn reload(
        &mut self,
        store: &dyn EventStore,
        tenant: &TenantId,
    ) -> Result<(), AppError> {
        let settings = streams::load(store, tenant, &stream(TENANT_STREAM)?).await?;
        let access: Loaded<Access> = streams::load(store, tenant, &stream(ACCESS_STREAM)?).await?;
        self.by_hash.retain(|_, (of, _)| of != tenant);
        for (id, token) in &access.state.tokens {
            let hashes = std::iter::once(token.hash).chain(token.previous.map(|(hash, _)| hash));
            for hash in hashes {
                self.by_hash.insert(hash, (tenant.clone(), id.clone()));
            }
        }
        let billing = streams::load(store, tenant, &stream(BILLING_STREAM)?).await?;
        self.tenants.insert(tenant.clone(), Entry { settings, access, billing });
        Ok(())
    }

    /// Takes in an event of the record.
    pub(super) fn take(&mut self, recorded: &Recorded) -> Result<Taken, AppError> {
        match recorded.stream.as_str() {
            TENANT_STREAM => {
                let entry = self.tenants.entry(recorded.tenant.clone()).or_default();
                apply(&mut entry.settings, recorded, |_| {})
            }
            ACCESS_STREAM => {
                let entry = self.tenants.entry(recorded.tenant.clone()).or_default();
                let (by_hash, tenant) = (&mut self.by_hash, &recorded.tenant);
                apply(&mut entry.access, recorded, |event| {
                    let (token, hash) = match event {
                        AccessEvent::Issued(issued) => (&issued.token, issued.hash),
                        AccessEvent::Rotated(rotated) => (&rotated.token, rotated.hash),
                        _ => return,
                    };
                    by_hash.insert(hash, (tenant.clone(), token.clone()));
                })
            }
            BILLING_STREAM => {
                let entry = self.tenants.entry(recorded.tenant.clone()).or_default();
                apply(&mut entry.billing, recorded, |_| {})
            }
            _ => Ok(Taken::Yes),
        }
    }

    /// Prices, periods and budgets of a tenant.
    pub(super) fn terms(&self, tenant: &TenantId) -> Option<&Terms> {
        Some(&self.tenants.get(tenant)?.billing.state)
    }

    /// Tenants with a budget, and the version of their stream `billing`.
    pub(super) fn budgeted(&self) -> BTreeMap<TenantId, u64> {
        let all = self.tenants.iter();
        let own = all.filter(|(_, entry)| !entry.billing.state.budgets.is_empty());
        own.map(|(tenant, entry)| (tenant.clone(), entry.billing.version)).collect()
    }

    pub(super) fn settings(&self, tenant: &TenantId) -> Option<&Tenant> {
        Some(&self.tenants.get(tenant)?.settings.state)
    }

    pub(super) fn access(&self, tenant: &TenantId) -> Option<&Access> {
        Some(&self.tenants.get(tenant)?.access.state)
    }

    pub(super) fn tenants(&self) -> impl Iterator<Item = &TenantId> {
        self.tenants.keys()
    }

    /// The token of this digest, if it works at that instant. What is looked up is a digest of
    /// what was shown, so that the time it takes says nothing about tokens; digests are compared
    /// whole all the same.
    pub(super) fn find(&self, hash: &Sha256Digest, now: Timestamp) -> Option<Found> {
        let (tenant, id) = self.by_hash.get(hash)?;
        let token = self.tenants.get(tenant)?.access.state.tokens.get(id)?;
        let is = |kept: &Sha256Digest| bool::from(kept.0.ct_eq(&hash.0));
        let before = token.previous.as_ref();
        let is_before = before.is_some_and(|(kept, until)| is(kept) && now < *until);
        let works = (is(&token.hash) || is_before) && token.state_at(now) == TokenState::Active;
        works.then(|| Found {
            tenant: tenant.clone(),
            token: id.clone(),
            name: token.name.clone(),
            role: token.role,
            scopes: token.scopes.clone(),
        })
    }
}

fn apply<A: Aggregate>(
    loaded: &mut Loaded<A>,
    recorded: &Recorded,
    also: impl FnOnce(&A::Event),
) -> Result<Taken, AppError>
where
    A::Event: AggregateEvent,
{
    if recorded.version < loaded.version {
        return Ok(Taken::Yes);
    }
    if recorded.version > loaded.version {
        return Ok(Taken::Gap);
    }
    if let Some((at, event)) = streams::read::<A::Event>(recorded)? {
        also(&event);
        loaded.state.apply(at, &event);
    }
    loaded.version = recorded.version + 1;
    Ok(Taken::Yes)
}

pub(super) fn stream(name: &str) -> Result<StreamName, AppError> {
    StreamName::new(name).map_err(|error| AppError::Internal(error.to_string()))
}
