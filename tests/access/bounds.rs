//! What keeps people from one another and from more than they were given: scopes, suspension,
//! keys of requests, streams that end with what let them begin, bodies that do not come.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{Request, header};
use dagbook::edge::http::Limits;
use futures_util::StreamExt as _;
use serde_json::{Value as Json, json};
use tokio::time::timeout;
use tower::ServiceExt as _;

use super::site::Site;

/// Longest wait for something that comes at once.
const SOON: Duration = Duration::from_secs(30);

#[tokio::test(flavor = "multi_thread")]
async fn scopes_take_away_and_never_give() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let narrow = json!({
        "name": "narrow", "role": "viewer", "permissions": ["read_runs", "manage_secrets"],
    });
    let tokens = "/api/v1/tokens";
    let made = site.done(&site.admin, Some("acme"), "post", tokens, Some(narrow)).await;
    let narrow = made["value"].as_str().expect("a value");
    let me = site.done(narrow, None, "get", "/api/v1/me", None).await;
    assert_eq!(me["permissions"], json!(["read_runs"]));
    for (path, status) in [("/api/v1/tenants", 200), ("/api/v1/secrets", 403), (tokens, 403)] {
        let answer = site.ask(Some(narrow), None, "get", path, None).await;
        assert_eq!(answer.status, status, "{path}: {answer:?}");
    }
    let bound = json!({ "name": "bound", "role": "owner", "pipelines": ["nightly"] });
    let made = site.done(&site.admin, Some("acme"), "post", tokens, Some(bound)).await;
    let bound = made["value"].as_str().expect("a value");
    let answer = site.ask(Some(bound), None, "get", "/api/v1/secrets", None).await;
    assert_eq!(answer.status, 403, "what concerns no pipeline is not for it: {answer:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_suspended_tenant_is_shut_for_its_own_and_open_for_the_site() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let (_, ours) = site.make_token("acme", "ours", "owner").await;
    let why = Some(json!({ "reason": "unpaid" }));
    site.done(&site.admin, None, "post", "/api/v1/tenants/acme/suspend", why).await;
    let answer = site.ask(Some(&ours), None, "get", "/api/v1/me", None).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    site.done(&site.admin, Some("acme"), "get", "/api/v1/tokens", None).await;
    site.done(&site.admin, None, "post", "/api/v1/tenants/acme/resume", None).await;
    site.done(&ours, None, "get", "/api/v1/me", None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_of_one_token_is_none_of_another_with_the_same_name() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let ask = async |token: &str, key: &str| {
        let request = Request::post("/api/v1/lint")
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/json")
            .header("idempotency-key", key);
        let dag = json!({ "dag": super::samples::dag("t") });
        site.send(request.body(Body::from(dag.to_string())).expect("a request")).await
    };
    let (first, value) = site.make_token("acme", "twin", "developer").await;
    assert_eq!(ask(&value, "one").await.status, 200);
    let again = ask(&value, "one").await;
    assert_eq!(again.status, 200, "{again:?}");
    assert_eq!(again.headers["idempotency-replayed"], "true");
    let path = format!("/api/v1/tokens/{first}");
    site.done(&site.admin, Some("acme"), "delete", &path, None).await;

    let narrow = json!({ "name": "twin", "role": "developer", "permissions": ["read_runs"] });
    let tokens = "/api/v1/tokens";
    let twin = site.done(&site.admin, Some("acme"), "post", tokens, Some(narrow)).await;
    let other = ask(twin["value"].as_str().expect("a value"), "one").await;
    assert_eq!(other.status, 403, "it was given another's answer: {other:?}");
    assert!(!other.headers.contains_key("idempotency-replayed"));
}

/// What a stream says from here on, until it ends or has said `until`.
async fn read(
    stream: &mut (impl futures_util::Stream<Item = Result<Bytes, axum::Error>> + Unpin),
    until: &str,
) -> String {
    let mut said = String::new();
    while !said.contains(until) {
        let piece = timeout(SOON, stream.next()).await;
        match piece.unwrap_or_else(|_| panic!("it neither ends nor says `{until}`: {said}")) {
            Some(bytes) => said.push_str(&String::from_utf8_lossy(&bytes.expect("bytes"))),
            None => break,
        }
    }
    said
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stream_ends_when_what_let_it_begin_does() {
    let limits = Limits { heartbeat: Duration::from_millis(100), ..Limits::default() };
    let site = Site::start_within(limits).await;
    for (n, how) in ["revoked", "expired", "suspended"].into_iter().enumerate() {
        let tenant = format!("tenant-{n}");
        site.make_tenant(&tenant).await;
        let run = site.make_run(&tenant).await;
        let now = site.administration.services.clock.now();
        let expires_at = (now + dagbook_events::time::Millis(4_000)).to_rfc3339();
        let mut wanted = json!({ "name": "follower", "role": "viewer" });
        if how == "expired" {
            wanted["expires_at"] = json!(expires_at);
        }
        let tokens = "/api/v1/tokens";
        let made = site.done(&site.admin, Some(&tenant), "post", tokens, Some(wanted)).await;
        let value = made["value"].as_str().expect("a value");
        let request = Request::get(format!("/api/v1/runs/{run}/events/stream"))
            .header(header::AUTHORIZATION, format!("Bearer {value}"));
        let request = request.body(Body::empty()).expect("a request");
        let response = site.router.clone().oneshot(request).await.expect("answered");
        assert_eq!(response.status(), 200, "{how}");
        let mut stream = response.into_body().into_data_stream();
        // It is good as long as it is good.
        assert!(read(&mut stream, "still here").await.contains("event: run."), "{how}");
        match how {
            "revoked" => {
                let path = format!("{tokens}/{}", made["token"].as_str().expect("an id"));
                site.done(&site.admin, Some(&tenant), "delete", &path, None).await;
            }
            "suspended" => {
                let path = format!("/api/v1/tenants/{tenant}/suspend");
                site.done(&site.admin, None, "post", &path, Some(json!({}))).await;
            }
            _ => {}
        }
        let said = read(&mut stream, "never said").await;
        let code = if how == "suspended" { "forbidden" } else { "unauthenticated" };
        let last = said.rsplit("event: problem\ndata: ").next().unwrap_or_default();
        let problem: Json = serde_json::from_str(last.trim()).unwrap_or_default();
        assert_eq!(problem["code"], code, "{how}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_does_not_come_is_not_waited_for() {
    let limits = Limits { request: Duration::from_millis(300), ..Limits::default() };
    let site = Site::start_within(limits).await;
    let hash = "0".repeat(64);
    for (method, path, kind, key) in [
        ("POST", "/api/v1/runs".to_string(), "application/json", None),
        ("POST", "/api/v1/runs".to_string(), "application/json", Some("slow")),
        // What may take long to answer may not take long to be asked.
        ("POST", "/api/v1/invoices/2026-11/what-if".to_string(), "application/json", None),
        ("PUT", format!("/api/v1/sources/{hash}"), "application/gzip", None),
        ("POST", format!("/api/v1/sources/{hash}"), "application/gzip", Some("slower")),
    ] {
        let first = futures_util::stream::iter([Ok::<_, std::io::Error>(Bytes::from("{"))]);
        let body = Body::from_stream(first.chain(futures_util::stream::pending()));
        let mut request = Request::builder()
            .method(method)
            .uri(&path)
            .header(header::AUTHORIZATION, format!("Bearer {}", site.admin))
            .header(header::CONTENT_TYPE, kind);
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        let asked = site.send(request.body(body).expect("a request"));
        let answer = timeout(SOON, asked).await.unwrap_or_else(|_| panic!("{path} waits for ever"));
        assert_eq!(answer.status, 408, "{method} {path} {key:?}: {answer:?}");
        assert_eq!(answer.body["code"], "request-timeout");
        assert_eq!(answer.headers["connection"], "close");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tenant_is_named_once_and_by_a_name() {
    let site = Site::start().await;
    let long = "x".repeat(64);
    for names in [&["acme", "acme"][..], &[""], &["\u{e4}"], &[&long]] {
        let mut request = Request::get("/api/v1/me")
            .header(header::AUTHORIZATION, format!("Bearer {}", site.admin));
        for name in names {
            request = request.header("dagbook-tenant", *name);
        }
        let answer = site.send(request.body(Body::empty()).expect("a request")).await;
        assert_eq!(answer.status, 400, "{names:?}: {answer:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_not_let_in_may_not_try_for_ever() {
    let site = Site::start_within(Limits { per_peer: 5, ..Limits::default() }).await;
    for tenant in ["acme", "umbrella"] {
        site.make_tenant(tenant).await;
    }
    let (_, ours) = site.make_token("acme", "ours", "owner").await;
    let mut said = Vec::new();
    for n in 0..8 {
        let (token, tenant) = match n % 2 {
            0 => ("dgb_none", None),
            _ => (ours.as_str(), Some("umbrella")),
        };
        said.push(site.ask(Some(token), tenant, "get", "/api/v1/me", None).await.status.as_u16());
    }
    assert_eq!(said, [401, 403, 401, 403, 401, 429, 429, 429]);
    // Whoever is let in does not pay for others behind the same address.
    site.done(&ours, None, "get", "/api/v1/me", None).await;
}
