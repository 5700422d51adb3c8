//! Login of people by an identity provider that is real, and by ones that are not what they say.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Request, header};
use dagbook::adapters::{Oidc, OidcOptions};
use dagbook::app::directory::Directory;
use dagbook::app::login::{Grant, Logins};
use dagbook::wiring::Installation;
use dagbook_events::access::Role;
use dagbook_events::ids::TenantId;
use serde_json::json;

use super::provider::{CLIENT, Flaw, Provider};
use super::site::{Answer, Site};

fn logins(provider: &Provider) -> impl FnOnce(&Installation, &Directory) -> Option<Logins> {
    let issuer = provider.issuer.clone();
    move |installation, directory| {
        let options = OidcOptions {
            issuer,
            client_id: CLIENT.to_string(),
            client_secret: None,
            redirect_url: "http://localhost/login/callback".to_string(),
            groups_claim: "groups".to_string(),
        };
        let grant = |group: &str, tenant: &str, role| Grant {
            group: group.to_string(),
            tenant: TenantId::new(tenant).expect("a slug"),
            role,
        };
        Some(Logins {
            provider: Arc::new(Oidc::new(options).expect("a client")),
            grants: Arc::from([
                grant("ml", "acme", Role::Developer),
                grant("ml-leads", "acme", Role::Owner),
                grant("ops", "site", Role::Admin),
            ]),
            directory: directory.clone(),
            shelf: installation.shelf.clone(),
            clock: installation.deps.clock.clone(),
            rng: installation.deps.rng.clone(),
            is_secure: false,
        })
    }
}

async fn start() -> (Provider, Site) {
    let provider = Provider::start().await;
    let site = Site::start_with(logins(&provider)).await;
    site.make_tenant("acme").await;
    (provider, site)
}

fn get(path: &str, cookie: Option<&str>) -> Request<Body> {
    let mut request = Request::builder().uri(path);
    if let Some(cookie) = cookie {
        request = request.header(header::COOKIE, cookie);
    }
    request.body(Body::empty()).expect("a request")
}

fn place(answer: &Answer) -> String {
    let place = answer.headers.get(header::LOCATION).expect("a place");
    place.to_str().expect("text").to_string()
}

/// The cookie that the answer sets, as a browser sends it back.
fn cookie(answer: &Answer, name: &str) -> Option<String> {
    let all = answer.headers.get_all(header::SET_COOKIE).iter();
    let mut all = all.filter_map(|value| value.to_str().ok());
    let set = all.find(|set| set.starts_with(&format!("{name}=")))?;
    assert!(set.contains("HttpOnly") && set.contains("SameSite=Lax"), "{set}");
    let pair = set.split(';').next().expect("a pair").to_string();
    (!pair.ends_with('=')).then_some(pair)
}

/// Goes to the provider and says yes there: the address to come back to, and the browser.
async fn approve(
    site: &Site,
    provider: &Provider,
    subject: &str,
    groups: &[&str],
) -> (String, String) {
    let away = site.send(get("/login?to=/runs", None)).await;
    assert_eq!(away.status, 303, "{away:?}");
    let browser = cookie(&away, "dagbook_login").expect("a cookie");
    let (code, state) = provider.approve(&place(&away), subject, groups);
    (format!("/login/callback?code={code}&state={state}"), browser)
}

async fn log_in(site: &Site, provider: &Provider, subject: &str, groups: &[&str]) -> Answer {
    let (back, browser) = approve(site, provider, subject, groups).await;
    site.send(get(&back, Some(&browser))).await
}

async fn me(site: &Site, session: &str) -> Answer {
    site.send(get("/api/v1/me", Some(session))).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_comes_in_by_their_groups_and_goes() {
    let (provider, site) = start().await;
    let back = log_in(&site, &provider, "ada", &["ml", "ml-leads", "choir"]).await;
    assert_eq!((back.status.as_u16(), place(&back).as_str()), (303, "/runs"), "{back:?}");
    let session = cookie(&back, "dagbook_session").expect("a session");
    let seen = me(&site, &session).await;
    assert_eq!(seen.status, 200, "{seen:?}");
    assert_eq!((&seen.body["kind"], &seen.body["role"]), (&json!("user"), &json!("owner")));
    assert_eq!(seen.body["tenant"], json!("acme"));

    let issue = |csrf: bool| {
        let mut request = Request::builder()
            .method("POST")
            .uri("/api/v1/tokens")
            .header(header::COOKIE, &session)
            .header(header::CONTENT_TYPE, "application/json");
        if csrf {
            request = request.header("dagbook-csrf", "1");
        }
        let body = json!({ "name": "ada's", "role": "viewer" }).to_string();
        request.body(Body::from(body)).expect("a request")
    };
    assert_eq!(site.send(issue(false)).await.status, 403, "another site cannot do it for her");
    assert_eq!(site.send(issue(true)).await.status, 201);

    let out = |csrf: bool| {
        let request = Request::builder().method("POST").uri("/logout");
        let mut request = request.header(header::COOKIE, &session);
        if csrf {
            request = request.header("dagbook-csrf", "1");
        }
        request.body(Body::empty()).expect("a request")
    };
    assert_eq!(site.send(out(false)).await.status, 403);
    assert_eq!(site.send(out(true)).await.status, 204);
    assert_eq!(me(&site, &session).await.status, 401, "the session is gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_prove_nobody_let_nobody_in() {
    let (provider, site) = start().await;
    let flaws =
        [Flaw::Issuer, Flaw::Audience, Flaw::Nonce, Flaw::Expired, Flaw::Unsigned, Flaw::Forged];
    for flaw in flaws {
        provider.flaw(flaw);
        let back = log_in(&site, &provider, "ada", &["ops"]).await;
        assert_eq!(back.status, 401, "{flaw:?}: {back:?}");
        assert_eq!(cookie(&back, "dagbook_session"), None, "{flaw:?}");
    }
    provider.flaw(Flaw::None);
    assert_eq!(log_in(&site, &provider, "ada", &["ops"]).await.status, 303);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_and_a_state_are_good_once_and_for_one_browser() {
    let (provider, site) = start().await;
    let (back, browser) = approve(&site, &provider, "ada", &["ml"]).await;
    assert_eq!(site.send(get(&back, Some(&browser))).await.status, 303);
    let again = site.send(get(&back, Some(&browser))).await;
    assert_eq!(again.status, 401, "replayed: {again:?}");

    // The code of one login with the state of another.
    let (first, _) = approve(&site, &provider, "ada", &["ml"]).await;
    let code = first.split("state=").next().expect("a code").to_string();
    let (second, browser) = approve(&site, &provider, "eve", &["ml"]).await;
    let state = second.split("state=").nth(1).expect("a state");
    let mixed = site.send(get(&format!("{code}state={state}"), Some(&browser))).await;
    assert_eq!(mixed.status, 401, "{mixed:?}");

    let (back, _) = approve(&site, &provider, "eve", &["ml"]).await;
    let elsewhere = site.send(get(&back, None)).await;
    assert_eq!(elsewhere.status, 401, "another browser: {elsewhere:?}");
    for nonsense in ["", "?code=x", "?code=x&state=y", "?error=access_denied&state=y"] {
        let answer = site.send(get(&format!("/login/callback{nonsense}"), None)).await;
        assert_eq!(answer.status, 401, "{nonsense}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn new_keys_of_the_provider_are_found() {
    let (provider, site) = start().await;
    assert_eq!(log_in(&site, &provider, "ada", &["ml"]).await.status, 303);
    provider.rotate();
    // What was discovered is looked at again for a missing key every few seconds at most.
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while log_in(&site, &provider, "ada", &["ml"]).await.status != 303 {
        assert!(std::time::Instant::now() < deadline, "the new key is never found");
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_tenant_gives_a_person_counts_at_once() {
    let (provider, site) = start().await;
    let nobody = log_in(&site, &provider, "bob", &["choir"]).await;
    assert_eq!(nobody.status, 403, "{nobody:?}");
    let person = json!({
        "issuer": provider.issuer, "subject": "bob", "name": "Bob", "role": "viewer",
    });
    site.done(&site.admin, Some("acme"), "put", "/api/v1/people", Some(person)).await;
    let back = log_in(&site, &provider, "bob", &["choir"]).await;
    let session = cookie(&back, "dagbook_session").expect("a session");
    assert_eq!(me(&site, &session).await.body["role"], json!("viewer"));
    let issuer = provider.issuer.replace(':', "%3A").replace('/', "%2F");
    let path = format!("/api/v1/people?issuer={issuer}&subject=bob");
    site.done(&site.admin, Some("acme"), "delete", &path, None).await;
    assert_eq!(me(&site, &session).await.status, 401, "the session is worth nothing now");
}
