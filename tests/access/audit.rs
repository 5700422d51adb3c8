//! What auditors are given over HTTP: theirs, whole, and within bounds.

use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::{Request, StatusCode, header};
use axum::response::Response;
use tower::ServiceExt as _;

use super::site::Site;

async fn open(site: &Site, token: &str, path: &str) -> Response {
    let request = Request::get(path)
        .header(header::AUTHORIZATION, format!("Bearer {token}"))
        .body(Body::empty())
        .expect("a request");
    site.router.clone().oneshot(request).await.expect("answered")
}

async fn whole(response: Response) -> Vec<u8> {
    axum::body::to_bytes(response.into_body(), 64 << 20).await.expect("a whole body").to_vec()
}

/// Unfinished bundles of the site.
fn unfinished(site: &Site) -> usize {
    let folder = site.installation.layout().exports();
    std::fs::read_dir(folder).map_or(0, |entries| entries.flatten().count())
}

async fn nothing_is_left(site: &Site) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while unfinished(site) > 0 {
        assert!(Instant::now() < deadline, "{} bundles are left", unfinished(site));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_auditor_gets_a_bundle_of_the_own_tenant_that_verifies_and_nobody_else_one() {
    let site = Site::start().await;
    for tenant in ["acme", "umbrella"] {
        site.make_tenant(tenant).await;
        for _ in 0..3 {
            site.make_run(tenant).await;
        }
    }
    let (_, auditor) = site.make_token("acme", "audit", "auditor").await;
    let (_, developer) = site.make_token("acme", "robot", "developer").await;
    for path in ["/api/v1/audit/bundle", "/api/v1/audit/checkpoint", "/api/v1/audit/tiles/0/0"] {
        let refused = site.ask(Some(&developer), None, "get", path, None).await;
        assert_eq!(refused.status, StatusCode::FORBIDDEN, "{path}: {refused:?}");
    }
    let note = whole(open(&site, &auditor, "/api/v1/audit/checkpoint").await).await;
    let note = String::from_utf8(note).expect("text");
    assert!(note.contains("/t/acme/1\n"), "{note}");
    let response = open(&site, &auditor, "/api/v1/audit/bundle").await;
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(response.headers()[header::CONTENT_TYPE], "application/x-tar");
    let archive = whole(response).await;
    let text = String::from_utf8_lossy(&archive).into_owned();
    assert!(text.contains("\"tn\":\"acme\"") && !text.contains("\"tn\":\"umbrella\""));
    let folder = tempfile::tempdir().expect("a folder");
    tar::Archive::new(archive.as_slice()).unpack(folder.path()).expect("an archive");
    let program = folder.path().join("verify.py");
    let output = std::process::Command::new("python3").arg(program).arg(folder.path()).output();
    let output = output.expect("python3");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    nothing_is_left(&site).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_are_written_a_few_at_a_time_and_whoever_leaves_makes_room() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    for _ in 0..3 {
        site.make_run("acme").await;
    }
    let (_, auditor) = site.make_token("acme", "audit", "auditor").await;
    let path = "/api/v1/audit/bundle";
    let first = open(&site, &auditor, path).await;
    let second = open(&site, &auditor, path).await;
    assert_eq!((first.status(), second.status()), (StatusCode::OK, StatusCode::OK));
    let third = site.ask(Some(&auditor), None, "get", path, None).await;
    assert_eq!(third.status, StatusCode::TOO_MANY_REQUESTS, "{third:?}");
    assert_eq!(third.body["limit"], "exports", "{third:?}");
    // Nobody read them: they are given up with everything that they had.
    drop((first, second));
    nothing_is_left(&site).await;
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let response = open(&site, &auditor, path).await;
        if response.status() == StatusCode::OK {
            assert!(whole(response).await.len() > 1_000);
            break;
        }
        assert!(Instant::now() < deadline, "{:?}", response.status());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_makes_no_sense_is_refused_with_what_is_wrong() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    site.make_run("acme").await;
    let (_, auditor) = site.make_token("acme", "audit", "auditor").await;
    for (query, status) in [
        ("?period=2026-11", 404),
        ("?period=2026-11&from=2026-11-01T00:00:00Z", 400),
        ("?from=yesterday", 400),
        ("?from=2026-11-02T00:00:00Z&to=2026-11-01T00:00:00Z", 400),
        ("?to=2001-01-01T00:00:00Z", 400),
        ("?lines=1", 400),
        ("?period=2026-11&lines=../../etc", 400),
        ("?period=", 400),
        ("?what=ever", 400),
    ] {
        let path = format!("/api/v1/audit/bundle{query}");
        let answer = site.ask(Some(&auditor), None, "get", &path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {answer:?}");
    }
    let many = vec!["000001"; 21].join(",");
    let path = format!("/api/v1/audit/bundle?period=2026-11&lines={many}");
    let answer = site.ask(Some(&auditor), None, "get", &path, None).await;
    assert_eq!(answer.status, 413, "{answer:?}");
    for (tile, status) in [
        ("0/0", 404),
        ("entries/0", 404),
        ("64/0", 400),
        ("00/0", 400),
        ("0/-1", 400),
        ("0/0?width=256", 400),
        ("0/99999999999999999999", 400),
    ] {
        let path = format!("/api/v1/audit/tiles/{tile}");
        let answer = site.ask(Some(&auditor), None, "get", &path, None).await;
        assert_eq!(answer.status.as_u16(), status, "{tile}: {answer:?}");
    }
}
