//! Who may come in: authentication of every request whose path is not open, and how often
//! someone may come.

use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use dagbook_events::time::Millis;
use governor::clock::{Clock as _, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::HashMapStateStore;
use governor::{Quota, RateLimiter};

use super::pass::{Pass, Shown};
use super::{Api, Caller, Limits, Problem, login};
use crate::app::error::AppError;

/// Paths that answer without a token. The login's pages are open by their prefix.
const OPEN: [&str; 2] = ["/healthz", "/readyz"];
/// Where people in browsers come and go: open, but counted.
const LOGIN: [&str; 3] = ["/login", "/login/callback", "/logout"];
/// Everything below is open: it shows who asks in its own way.
const OPEN_BELOW: [&str; 1] = ["/login/"];
/// By whom someone of the site acts on a tenant.
pub const TENANT: HeaderName = HeaderName::from_static("dagbook-tenant");
/// Longest token that is looked at.
const TOKEN_MAX: usize = 512;
/// Longest name of a tenant.
const TENANT_MAX: usize = 63;
/// After so many requests, forgets those who were not here lately.
const SWEEP_EVERY: u64 = 4_096;

type Limiter<K> = RateLimiter<K, HashMapStateStore<K>, DefaultClock, StateInformationMiddleware>;

/// How often someone may come.
pub struct Gate {
    tokens: Limiter<String>,
    peers: Limiter<IpAddr>,
    per_token: u32,
    per_peer: u32,
    seen: AtomicU64,
}

impl Gate {
    pub(super) fn new(limits: &Limits) -> Self {
        let quota = |per_minute: u32, burst: u32| {
            let one = NonZeroU32::MIN;
            Quota::per_minute(NonZeroU32::new(per_minute).unwrap_or(one))
                .allow_burst(NonZeroU32::new(burst).unwrap_or(one))
        };
        let tokens = quota(limits.per_token, limits.per_token_burst);
        let peers = quota(limits.per_peer, limits.per_peer);
        Self {
            tokens: RateLimiter::hashmap(tokens).with_middleware(),
            peers: RateLimiter::hashmap(peers).with_middleware(),
            per_token: limits.per_token_burst,
            per_peer: limits.per_peer,
            seen: AtomicU64::new(0),
        }
    }

    /// Counts a request of a token.
    fn of_token(&self, token: &str) -> Result<Budget, Refused> {
        self.sweep();
        check(&self.tokens, &token.to_string(), self.per_token)
    }

    /// Counts a request of someone whom nobody knows.
    fn of_peer(&self, peer: IpAddr) -> Result<Budget, Refused> {
        self.sweep();
        check(&self.peers, &network(peer), self.per_peer)
    }

    fn sweep(&self) {
        if self.seen.fetch_add(1, Ordering::Relaxed) % SWEEP_EVERY == SWEEP_EVERY - 1 {
            self.tokens.retain_recent();
            self.peers.retain_recent();
        }
    }
}

/// What is left to someone.
struct Budget {
    limit: u32,
    remaining: u32,
    reset: Millis,
}

/// Nothing is left.
struct Refused {
    limit: u32,
    wait: Millis,
}

fn check<K: std::hash::Hash + Eq + Clone>(
    limiter: &Limiter<K>,
    key: &K,
    limit: u32,
) -> Result<Budget, Refused> {
    match limiter.check_key(key) {
        Ok(snapshot) => {
            let remaining = snapshot.remaining_burst_capacity();
            let refill = snapshot.quota().replenish_interval();
            let missing = limit.saturating_sub(remaining);
            Ok(Budget { limit, remaining, reset: millis(refill.saturating_mul(missing)) })
        }
        Err(refused) => {
            let wait = refused.wait_time_from(DefaultClock::default().now());
            Err(Refused { limit, wait: millis(wait) })
        }
    }
}

fn millis(span: std::time::Duration) -> Millis {
    Millis(u64::try_from(span.as_millis()).unwrap_or(u64::MAX))
}

/// One host has one IPv4 address, but as many of a /64 as it likes.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(address) => {
            let mut octets = address.octets();
            octets[8..].fill(0);
            IpAddr::V6(octets.into())
        }
        address => address,
    }
}

/// Lets in whom it knows, as often as they may come.
pub(super) async fn enter(State(api): State<Api>, mut request: Request, next: Next) -> Response {
    let path = request.uri().path();
    let is_login = LOGIN.contains(&path);
    if is_open(path) && !is_login {
        return next.run(request).await;
    }
    let peer = request
        .extensions()
        .get::<ConnectInfo<SocketAddr>>()
        .map_or(IpAddr::from([127, 0, 0, 1]), |ConnectInfo(address)| address.ip());
    if is_login {
        return match api.gate.of_peer(peer) {
            Err(refused) => too_many(&refused, "this address"),
            Ok(budget) => {
                let response = next.run(request).await;
                with_budget(response, budget.limit, budget.remaining, budget.reset)
            }
        };
    }
    let known = match shown(request.headers(), request.method().is_safe()) {
        Ok(pass) => pass.principal(&api).await.map(|principal| (pass, principal)),
        Err(error) => Err(error),
    };
    let (budget, response) = match known {
        Ok((pass, principal)) => {
            let caller = Caller(principal);
            let name = match &caller.0.actor.token {
                Some(token) => token.clone(),
                None => format!("{}/{}", caller.0.actor.kind, caller.0.actor.id),
            };
            let span = tracing::Span::current();
            span.record("tenant", caller.0.tenant.as_str());
            span.record("by", caller.0.actor.id.as_str());
            match api.gate.of_token(&name) {
                Err(refused) => return too_many(&refused, "this token"),
                Ok(budget) => {
                    request.extensions_mut().insert(caller);
                    request.extensions_mut().insert(pass);
                    (budget, next.run(request).await)
                }
            }
        }
        // A store that is away is nobody's fault, and costs nobody a request.
        Err(error @ (AppError::Unavailable { .. } | AppError::Internal(_))) => {
            return Problem::from(error).into_response();
        }
        // No token, a bad one, one of a suspended tenant, one that names another's tenant.
        Err(error) => match api.gate.of_peer(peer) {
            Err(refused) => return too_many(&refused, "this address, whom nobody let in,"),
            Ok(budget) => (budget, Problem::from(error).into_response()),
        },
    };
    with_budget(response, budget.limit, budget.remaining, budget.reset)
}

/// What a request shows, and the tenant that it names. `is_safe` says that it changes nothing.
fn shown(headers: &HeaderMap, is_safe: bool) -> Result<Pass, AppError> {
    let tenant = tenant_named(headers)?;
    let bearer = headers.contains_key(header::AUTHORIZATION);
    match login::cookie(headers, login::SESSION) {
        Some(_) if !bearer && !is_safe && !headers.contains_key(login::CSRF) => {
            Err(AppError::Forbidden {
                reason: "a browser that changes something must send the header `Dagbook-Csrf`"
                    .to_string(),
            })
        }
        Some(cookie) if !bearer => Ok(Pass { shown: Shown::Session(cookie), tenant }),
        _ => Ok(Pass { shown: Shown::Token(bearer_token(headers)?), tenant }),
    }
}

fn tenant_named(headers: &HeaderMap) -> Result<Option<String>, AppError> {
    let wrong = |reason: &str| AppError::Invalid(format!("`Dagbook-Tenant` {reason}"));
    let mut given = headers.get_all(TENANT).iter();
    let Some(value) = given.next() else { return Ok(None) };
    if given.next().is_some() {
        return Err(wrong("was sent more than once"));
    }
    let name = value.to_str().ok().filter(|name| (1..=TENANT_MAX).contains(&name.len()));
    name.map(|name| Some(name.to_string())).ok_or_else(|| wrong("is no name of a tenant"))
}

fn bearer_token(headers: &HeaderMap) -> Result<String, AppError> {
    let refused = |reason: &str| AppError::Unauthenticated { reason: reason.to_string() };
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let header = given
        .next()
        .ok_or_else(|| refused("no token was sent; send `Authorization: Bearer TOKEN`"))?;
    if given.next().is_some() {
        return Err(refused("more than one `Authorization` was sent"));
    }
    let token = header
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .filter(|token| (1..=TOKEN_MAX).contains(&token.len()))
        .ok_or_else(|| refused("`Authorization` must be `Bearer TOKEN`"))?;
    Ok(token.to_string())
}

fn is_open(path: &str) -> bool {
    OPEN.contains(&path) || OPEN_BELOW.iter().any(|below| path.starts_with(below))
}

fn too_many(refused: &Refused, who: &str) -> Response {
    let problem = Problem::new(
        "rate-limited",
        format!("{who} sent more requests than the {} it may", refused.limit),
    );
    let response = problem.retry_after(refused.wait).into_response();
    with_budget(response, refused.limit, 0, refused.wait)
}

fn with_budget(mut response: Response, limit: u32, remaining: u32, reset: Millis) -> Response {
    let headers = response.headers_mut();
    headers.insert("ratelimit-limit", HeaderValue::from(limit));
    headers.insert("ratelimit-remaining", HeaderValue::from(remaining));
    headers.insert("ratelimit-reset", HeaderValue::from(reset.0.div_ceil(1_000)));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_used_up_comes_back_and_others_are_not_touched() {
        let limits = Limits { per_token: 60, per_token_burst: 3, ..Limits::default() };
        let gate = Gate::new(&limits);
        let left: Vec<u32> = std::iter::from_fn(|| gate.of_token("a").ok())
            .map(|budget| budget.remaining)
            .take(10)
            .collect();
        assert_eq!(left, [2, 1, 0]);
        let refused = gate.of_token("a").err().expect("nothing left");
        assert!((1..=1_000).contains(&refused.wait.0), "{}", refused.wait);
        assert!(gate.of_token("b").is_ok());
    }

    #[test]
    fn addresses_of_one_network_are_one() {
        let of = |text: &str| network(text.parse().expect("an address"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
    }
}
