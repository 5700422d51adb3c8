//! Login of people by an identity provider, and the sessions that follow. What is pending and who
//! is logged in lies on the shelf, so that every replica knows it; cookies carry chance, of which
//! only digests are kept.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use dagbook_events::access::Role;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::TenantId;
use dagbook_events::ports::{Actor, Clock, Rng, Shelf, ShelfAnswer, ShelfExpected};
use dagbook_events::tenant::Scopes;
use dagbook_events::time::{Millis, Timestamp};
use serde::{Deserialize, Serialize};

use super::directory::Directory;
use super::error::AppError;
use super::principal::{Principal, SITE_TENANT};

/// How long a person may take at the provider.
const LOGIN_LASTS: Millis = Millis::seconds(10 * 60);
/// How long a session lasts.
pub const SESSION_LASTS: Millis = Millis::seconds(12 * 3_600);
/// What a session's cookie begins with.
const SESSION_PREFIX: &str = "dgs_";
/// Characters of a cookie's value behind what it begins with.
const CHANCE: usize = 43;

/// Where a person is sent, and what must come back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begun {
    /// The address at the provider.
    #[serde(skip)]
    pub address: String,
    /// What comes back with the code.
    #[serde(skip)]
    pub state: String,
    /// What the token must hold.
    pub nonce: String,
    /// The verifier of the code.
    pub verifier: String,
}

/// A person as the provider names them, proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The provider's issuer.
    pub issuer: String,
    /// What it calls them.
    pub subject: String,
    /// What people call them.
    pub name: String,
    /// The groups that it puts them in.
    pub groups: Vec<String>,
}

/// Proves who people are.
#[async_trait]
pub trait IdentityProvider: Send + Sync {
    /// Begins a login.
    ///
    /// # Errors
    /// [`AppError::Unavailable`] where the provider cannot be reached.
    async fn begin(&self) -> Result<Begun, AppError>;

    /// Who came back with this code.
    ///
    /// # Errors
    /// [`AppError::Unauthenticated`] where it proves nobody, [`AppError::Unavailable`] where the
    /// provider cannot be reached.
    async fn finish(&self, code: &str, begun: &Begun) -> Result<Identity, AppError>;
}

/// What members of a group are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Grant {
    /// The group.
    pub group: String,
    /// The tenant.
    pub tenant: TenantId,
    /// What they are there.
    pub role: Role,
}

/// Logs people in. Clones share everything.
#[derive(Clone)]
pub struct Logins {
    /// Proves who they are.
    pub provider: Arc<dyn IdentityProvider>,
    /// What groups are.
    pub grants: Arc<[Grant]>,
    /// Knows what people are.
    pub directory: Directory,
    /// Where sessions lie.
    pub shelf: Arc<dyn Shelf>,
    /// Time.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub rng: Arc<dyn Rng>,
    /// Whether cookies go over TLS alone.
    pub is_secure: bool,
}

/// A login that waits for its person to come back.
#[derive(Serialize, Deserialize)]
struct Pending {
    begun: Begun,
    browser: Sha256Digest,
    to: String,
}

/// Who is logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Session {
    issuer: String,
    subject: String,
    name: String,
    grants: BTreeMap<TenantId, Role>,
    expires_at: Timestamp,
}

/// A person who was sent to the provider.
pub struct SentAway {
    /// Where to.
    pub address: String,
    /// What their browser must bring back: the value of a cookie.
    pub browser: String,
}

/// A person who came back.
pub struct LoggedIn {
    /// The value of the session's cookie.
    pub cookie: String,
    /// Where they wanted to go.
    pub to: String,
}

impl Logins {
    /// Sends a person to the provider; afterwards they go to the path `to`.
    ///
    /// # Errors
    /// Where the provider or the store is away.
    pub async fn begin(&self, to: Option<&str>) -> Result<SentAway, AppError> {
        let begun = self.provider.begin().await?;
        let (address, state) = (begun.address.clone(), begun.state.clone());
        let browser = chance(self.rng.as_ref());
        let pending = Pending {
            begun,
            browser: Sha256Digest::of(browser.as_bytes()),
            to: to.filter(|to| is_path(to)).unwrap_or("/").to_string(),
        };
        let (key, value) = (pending_key(&state), json(&pending)?);
        let (new, lasting) = (ShelfExpected::New, Some(LOGIN_LASTS));
        match self.shelf.put(&site()?, &key, &value, new, lasting).await? {
            ShelfAnswer::Kept(_) => Ok(SentAway { address, browser }),
            ShelfAnswer::Differs(_) => Err(AppError::Internal("chance came twice".to_string())),
        }
    }

    /// Lets a person in who comes back with a code and the state that they were sent with. Each
    /// state is good once.
    ///
    /// # Errors
    /// [`AppError::Unauthenticated`] where anything of it is not as it must be,
    /// [`AppError::Forbidden`] for someone who has no role here.
    pub async fn finish(
        &self,
        state: &str,
        code: &str,
        browser: Option<&str>,
    ) -> Result<LoggedIn, AppError> {
        let over = || unauthenticated("this login is over, or was begun elsewhere; begin again");
        let (site, key) = (site()?, pending_key(state));
        let item = self.shelf.get(&site, &key).await?.ok_or_else(over)?;
        // Whoever takes it away goes on; a second one finds nothing.
        if !self.shelf.remove(&site, &key).await? {
            return Err(over());
        }
        let pending: Pending = serde_json::from_slice(&item.value).map_err(|_| over())?;
        let shown = Sha256Digest::of(browser.unwrap_or_default().as_bytes());
        if !bool::from(subtle::ConstantTimeEq::ct_eq(&shown.0[..], &pending.browser.0[..])) {
            return Err(over());
        }
        let identity = self.provider.finish(code, &pending.begun).await?;
        let cookie = self.open_session(identity).await?;
        Ok(LoggedIn { cookie, to: pending.to })
    }

    async fn open_session(&self, identity: Identity) -> Result<String, AppError> {
        let mut grants: BTreeMap<TenantId, Role> = BTreeMap::new();
        for grant in self.grants.iter().filter(|grant| identity.groups.contains(&grant.group)) {
            let role = grants.entry(grant.tenant.clone()).or_insert(grant.role);
            *role = (*role).min(grant.role);
        }
        let Identity { issuer, subject, name, .. } = identity;
        let expires_at = self.clock.now() + SESSION_LASTS;
        let session = Session { issuer, subject, name, grants, expires_at };
        if self.directory.roles(&session).is_empty() {
            return Err(AppError::Forbidden {
                reason: format!(
                    "`{}` is known, and has no role here; an owner of a tenant can give one to \
                     the subject `{}`",
                    session.name, session.subject
                ),
            });
        }
        let cookie = format!("{SESSION_PREFIX}{}", chance(self.rng.as_ref()));
        let (key, value) = (session_key(&cookie), json(&session)?);
        let (new, lasting) = (ShelfExpected::New, Some(SESSION_LASTS));
        self.shelf.put(&site()?, &key, &value, new, lasting).await?;
        Ok(cookie)
    }

    /// Ends a session, if there is one.
    ///
    /// # Errors
    /// Where the store is away.
    pub async fn end(&self, cookie: &str) -> Result<(), AppError> {
        if is_session(cookie) {
            self.shelf.remove(&site()?, &session_key(cookie)).await?;
        }
        Ok(())
    }
}

impl Directory {
    /// Who has the session of this cookie.
    ///
    /// # Errors
    /// As [`Directory::look_up`].
    pub async fn of_session(
        &self,
        cookie: &str,
        wanted: Option<&str>,
    ) -> Result<Principal, AppError> {
        let over = || unauthenticated("nobody is logged in here, or not any more");
        if !is_session(cookie) {
            return Err(over());
        }
        self.check_fresh()?;
        let item = self.shelf().get(&site()?, &session_key(cookie)).await?.ok_or_else(over)?;
        let session: Session = serde_json::from_slice(&item.value).map_err(|_| over())?;
        if session.expires_at <= self.now() {
            return Err(over());
        }
        let roles = self.roles(&session);
        let site = site()?;
        let of = match wanted.and_then(|wanted| roles.keys().find(|t| t.as_str() == wanted)) {
            Some(tenant) => tenant,
            None if roles.contains_key(&site) => &site,
            None => roles.keys().next().ok_or_else(over)?,
        };
        let id = format!("{} ({})", session.name, session.subject);
        let actor = Actor::new("user", &id.chars().take(200).collect::<String>());
        self.principal(actor, of, roles[of], Scopes::default(), wanted)
    }

    /// What a person is, and where: what their groups gave them at login, and what tenants give
    /// them now, which counts more.
    fn roles(&self, session: &Session) -> BTreeMap<TenantId, Role> {
        let mut roles = session.grants.clone();
        let key = (session.issuer.clone(), session.subject.clone());
        for tenant in self.tenants() {
            if let Some(person) = self.access(&tenant).people.get(&key) {
                roles.insert(tenant, person.role);
            }
        }
        roles.retain(|tenant, _| self.exists(tenant));
        roles
    }
}

fn unauthenticated(reason: &str) -> AppError {
    AppError::Unauthenticated { reason: reason.to_string() }
}

fn site() -> Result<TenantId, AppError> {
    TenantId::new(SITE_TENANT).map_err(|error| AppError::Internal(error.to_string()))
}

fn json<T: Serialize>(value: &T) -> Result<Vec<u8>, AppError> {
    serde_json::to_vec(value).map_err(|error| AppError::Internal(error.to_string()))
}

fn chance(rng: &dyn Rng) -> String {
    let mut bytes = [0; 32];
    bytes[..16].copy_from_slice(&rng.bytes());
    bytes[16..].copy_from_slice(&rng.bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

fn is_session(cookie: &str) -> bool {
    cookie.strip_prefix(SESSION_PREFIX).is_some_and(|rest| rest.len() == CHANCE)
}

fn pending_key(state: &str) -> String {
    format!("login/{}", Sha256Digest::of(state.as_bytes()))
}

fn session_key(cookie: &str) -> String {
    format!("session/{}", Sha256Digest::of(cookie.as_bytes()))
}

/// A path of this server, which leads nowhere else.
fn is_path(to: &str) -> bool {
    let is_own = to.starts_with('/') && !to.starts_with("//") && !to.starts_with("/\\");
    is_own && to.len() <= 500 && to.bytes().all(|c| c.is_ascii_graphic() && c != b'\\')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_to_paths_of_this_server_alone() {
        assert!(is_path("/runs?x=1") && is_path("/"));
        for bad in ["", "runs", "//evil", "/\\evil", "https://evil", "/a\r\nSet-Cookie: x", "/ä"] {
            assert!(!is_path(bad), "{bad}");
        }
    }
}
