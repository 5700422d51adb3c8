//! Tenants, tokens and people in memory on each replica: loaded when a server starts, kept
//! current by following the record. Whoever shows a token is known here without a question to
//! the store.
//!
//! A directory that could not look at the record for [`STALE_AFTER`] lets nobody in: somebody's
//! token may have been revoked in the meantime.

mod book;
mod follow;
mod used;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use dagbook_events::access::Role;
use dagbook_events::admission::money::Terms;
use dagbook_events::ids::{Position, TenantId};
use dagbook_events::ports::{Actor, Clock, EventStore, Shelf};
use dagbook_events::tenant::{Access, Scopes, Tenant};
use dagbook_events::time::{Millis, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use self::book::Book;
use self::used::LastUse;
use super::authenticate::Authenticate;
use super::error::AppError;
use super::principal::{Principal, SITE_TENANT};
use super::token_text::TokenText;
use crate::runtime::news::News;

pub use self::used::USED_PREFIX;

/// How long a directory that cannot look at the record lets people in.
pub const STALE_AFTER: Duration = Duration::from_secs(120);

/// What is said to every token that does not work, so that nobody learns which ones did.
const NOT_GOOD: &str = "the token is unknown, has expired or was revoked";

/// Who may come in. Clones share everything.
#[derive(Clone)]
pub struct Directory {
    shared: Arc<Shared>,
    _followers: Arc<Followers>,
}

struct Shared {
    store: Arc<dyn EventStore>,
    news: News,
    shelf: Arc<dyn Shelf>,
    clock: Arc<dyn Clock>,
    /// The tenant of the server itself, which is there without having been created.
    home: TenantId,
    site: TenantId,
    book: RwLock<Book>,
    /// How far the book has come.
    reached: watch::Sender<Position>,
    /// When the record was last seen.
    looked: RwLock<Instant>,
    used: LastUse,
}

struct Followers([JoinHandle<()>; 2]);

impl Drop for Followers {
    fn drop(&mut self) {
        self.0.iter().for_each(JoinHandle::abort);
    }
}

impl Shared {
    fn book(&self) -> RwLockReadGuard<'_, Book> {
        self.book.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_stale(&self) -> bool {
        self.looked.read().unwrap_or_else(PoisonError::into_inner).elapsed() > STALE_AFTER
    }

    fn saw_the_record(&self) {
        *self.looked.write().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }
}

/// What a directory is made of.
#[derive(Clone)]
pub struct DirectoryParts {
    /// The record.
    pub store: Arc<dyn EventStore>,
    /// What is new in it.
    pub news: News,
    /// Where last uses are noted.
    pub shelf: Arc<dyn Shelf>,
    /// Time, for what expires.
    pub clock: Arc<dyn Clock>,
    /// The server's own tenant.
    pub home: TenantId,
}

impl Directory {
    /// Reads all tenants, and follows the record from then on until the last clone is dropped.
    /// Needs a runtime.
    ///
    /// # Errors
    /// Where the record cannot be read.
    pub async fn open(parts: DirectoryParts) -> Result<Self, AppError> {
        let DirectoryParts { store, news, shelf, clock, home } = parts;
        let site = TenantId::new(SITE_TENANT).map_err(|e| AppError::Internal(e.to_string()))?;
        let book = Book::load(store.as_ref(), [&home, &site]).await?;
        let (reached, _) = watch::channel(book.reached);
        let shared = Arc::new(Shared {
            store,
            news,
            shelf,
            clock,
            home,
            site,
            book: RwLock::new(book),
            reached,
            looked: RwLock::new(Instant::now()),
            used: LastUse::default(),
        });
        let followers = Followers([
            tokio::spawn(follow::follow(Arc::clone(&shared))),
            tokio::spawn(follow::note_uses(Arc::clone(&shared))),
        ]);
        Ok(Self { shared, _followers: Arc::new(followers) })
    }

    /// Returns when the book has come so far, or after a second: who has just revoked a token
    /// here finds it revoked here.
    pub async fn caught_up(&self, position: Position) {
        let mut reached = self.shared.reached.subscribe();
        let there = reached.wait_for(|reached| *reached >= position);
        // Late is no failure: it comes by itself.
        let _ = tokio::time::timeout(Duration::from_secs(1), there).await;
    }

    /// How long ago it was compared with the record.
    pub fn age(&self) -> std::time::Duration {
        self.shared.looked.read().unwrap_or_else(PoisonError::into_inner).elapsed()
    }

    /// Whether the record was looked at lately enough to let anybody in.
    pub fn is_fresh(&self) -> bool {
        !self.shared.is_stale()
    }

    /// Whether there is such a tenant: it was created, or is there by itself.
    pub fn exists(&self, tenant: &TenantId) -> bool {
        self.is_implied(tenant)
            || self.shared.book().settings(tenant).is_some_and(|it| it.created_at.is_some())
    }

    /// Whether a tenant is there without having been created.
    pub fn is_implied(&self, tenant: &TenantId) -> bool {
        *tenant == self.shared.home || *tenant == self.shared.site
    }

    /// A tenant's settings, as far as there is such a tenant.
    pub fn settings(&self, tenant: &TenantId) -> Option<Tenant> {
        let settings = self.shared.book().settings(tenant).cloned();
        self.exists(tenant).then(|| settings.unwrap_or_default())
    }

    /// Tenants with a budget, and the version of their stream `billing`.
    pub fn budgeted(&self) -> BTreeMap<TenantId, u64> {
        self.shared.book().budgeted()
    }

    /// Prices, periods and budgets of a tenant.
    pub fn terms(&self, tenant: &TenantId) -> Option<Arc<Terms>> {
        self.shared.book().terms(tenant).cloned().map(Arc::new)
    }

    /// Whether a tenant may do nothing at present.
    pub fn is_suspended(&self, tenant: &TenantId) -> bool {
        self.shared.book().settings(tenant).is_some_and(|it| it.suspended.is_some())
    }

    /// All tenants, by name.
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut all: Vec<TenantId> = self.shared.book().tenants().cloned().collect();
        all.extend([self.shared.home.clone(), self.shared.site.clone()]);
        all.retain(|tenant| self.exists(tenant));
        all.sort();
        all.dedup();
        all
    }

    /// A tenant's tokens and people.
    pub fn access(&self, tenant: &TenantId) -> Access {
        self.shared.book().access(tenant).cloned().unwrap_or_default()
    }

    /// Whether the site never had a token.
    pub fn is_unborn(&self) -> bool {
        self.access(&self.shared.site).tokens.is_empty()
    }

    /// Whose token it is: [`Authenticate::authenticate`] without a wait.
    ///
    /// # Errors
    /// As there.
    pub fn look_up(&self, token: &str, wanted: Option<&str>) -> Result<Principal, AppError> {
        let unknown = || AppError::Unauthenticated { reason: NOT_GOOD.to_string() };
        self.check_fresh()?;
        let hash = TokenText::parse(token).ok_or_else(unknown)?.hash();
        let now = self.shared.clock.now();
        let found = self.shared.book().find(&hash, now).ok_or_else(unknown)?;
        let actor = Actor {
            kind: "token".to_string(),
            id: found.name,
            on_behalf_of: None,
            token: Some(found.token.clone()),
        };
        let principal = self.principal(actor, &found.tenant, found.role, found.scopes, wanted)?;
        self.shared.used.note(&found.tenant, &found.token, now);
        Ok(principal)
    }

    /// Refuses while the record is away for too long.
    pub(super) fn check_fresh(&self) -> Result<(), AppError> {
        if !self.shared.is_stale() {
            return Ok(());
        }
        Err(AppError::Unavailable {
            reason: format!(
                "the record could not be read for {} seconds, so nobody knows which tokens still \
                 work",
                STALE_AFTER.as_secs()
            ),
            retry_after: Millis::seconds(5),
        })
    }

    pub(super) fn shelf(&self) -> &dyn Shelf {
        self.shared.shelf.as_ref()
    }

    pub(super) fn now(&self) -> Timestamp {
        self.shared.clock.now()
    }

    /// Someone of a tenant who has shown who they are, acting on the tenant that they want.
    ///
    /// # Errors
    /// [`AppError::Forbidden`] where they may not act on it, or it is suspended;
    /// [`AppError::NotFound`] where someone of the site names a tenant that is not there.
    pub fn principal(
        &self,
        actor: Actor,
        of: &TenantId,
        role: Role,
        scopes: Scopes,
        wanted: Option<&str>,
    ) -> Result<Principal, AppError> {
        let of_site = *of == self.shared.site;
        let forbidden = |reason: &str| AppError::Forbidden { reason: reason.to_string() };
        let tenant = match wanted {
            Some(wanted) if of_site => {
                let missing = || AppError::not_found("tenant", wanted);
                let tenant = TenantId::new(wanted).map_err(|_| missing())?;
                if !self.exists(&tenant) {
                    return Err(missing());
                }
                tenant
            }
            // The same words whether there is such a tenant or not.
            Some(wanted) if wanted != of.as_str() => {
                return Err(forbidden("this token acts on its own tenant only"));
            }
            None if of_site => self.shared.home.clone(),
            _ => of.clone(),
        };
        if !of_site && self.is_suspended(&tenant) {
            return Err(forbidden("the tenant is suspended; ask whoever runs the site"));
        }
        Ok(Principal { actor, tenant, role, of_site, scopes })
    }
}

#[async_trait]
impl Authenticate for Directory {
    async fn authenticate(&self, token: &str, tenant: Option<&str>) -> Result<Principal, AppError> {
        self.look_up(token, tenant)
    }

    async fn of_session(&self, cookie: &str, tenant: Option<&str>) -> Result<Principal, AppError> {
        Directory::of_session(self, cookie, tenant).await
    }
}
