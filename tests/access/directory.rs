//! The directory on several replicas: what one learns, all know at once.

use std::time::{Duration, Instant};

use dagbook::app::directory::Directory;
use dagbook::app::error::AppError;
use dagbook::app::tokens;
use serde_json::json;

use super::site::Site;

async fn until(what: &str, is_so: impl Fn() -> bool) -> Duration {
    let began = Instant::now();
    while !is_so() {
        assert!(began.elapsed() < Duration::from_secs(30), "{what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    began.elapsed()
}

fn is_refused(directory: &Directory, token: &str) -> bool {
    matches!(directory.look_up(token, None), Err(AppError::Unauthenticated { .. }))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_works_nowhere_within_a_second() {
    let site = Site::start().await;
    let other = Directory::open(site.installation.directory_parts()).await.expect("read");
    site.make_tenant("acme").await;
    let (id, value) = site.make_token("acme", "robot", "developer").await;
    until("the other replica learns of it", || other.look_up(&value, None).is_ok()).await;
    let principal = other.look_up(&value, None).expect("known");
    assert_eq!((principal.tenant.as_str(), principal.of_site), ("acme", false));
    assert_eq!(principal.actor.token.as_deref(), Some(id.as_str()));
    let path = format!("/api/v1/tokens/{id}");
    site.done(&site.admin, Some("acme"), "delete", &path, None).await;
    assert!(is_refused(&site.administration.directory, &value), "here at once");
    let took = until("the other refuses it", || is_refused(&other, &value)).await;
    assert!(took < Duration::from_secs(1), "{took:?}");
    let fresh = Directory::open(site.installation.directory_parts()).await.expect("read");
    assert!(is_refused(&fresh, &value), "also where it is read from the record");
}

#[tokio::test(flavor = "multi_thread")]
async fn both_values_of_a_rotated_token_work_until_the_overlap_ends() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let (id, old) = site.make_token("acme", "robot", "viewer").await;
    let path = format!("/api/v1/tokens/{id}/rotate");
    let rotate = Some(json!({ "overlap_ms": 1_500 }));
    let made = site.done(&site.admin, Some("acme"), "post", &path, rotate).await;
    let new = made["value"].as_str().expect("a value").to_string();
    let directory = &site.administration.directory;
    assert!(directory.look_up(&old, None).is_ok() && directory.look_up(&new, None).is_ok());
    until("the old value ends", || is_refused(directory, &old)).await;
    assert!(directory.look_up(&new, None).is_ok());
    let again = Some(json!({ "overlap_ms": 0 }));
    site.done(&site.admin, Some("acme"), "post", &path, again).await;
    assert!(is_refused(directory, &new), "without an overlap it ends at once");
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_one_first_token_and_its_use_is_noted() {
    let site = Site::start().await;
    assert!(tokens::bootstrap(&site.administration).await.expect("asked").is_none());
    let other = Directory::open(site.installation.directory_parts()).await.expect("read");
    assert!(!other.is_unborn());
    let principal = other.look_up(&site.admin, None).expect("an admin");
    assert_eq!((principal.tenant.as_str(), principal.of_site), ("local", true));
    assert!(matches!(
        other.look_up(&site.admin, Some("nowhere")),
        Err(AppError::NotFound { what: "tenant", .. })
    ));
    let head = site.installation.deps.store.head().await.expect("a head");
    let deadline = Instant::now() + Duration::from_secs(30);
    loop {
        let list = site.done(&site.admin, Some("site"), "get", "/api/v1/tokens", None).await;
        if list["items"][0]["last_used_at"].is_string() {
            break;
        }
        assert!(Instant::now() < deadline, "its use is never noted: {list}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let after = site.installation.deps.store.head().await.expect("a head");
    assert_eq!(head, after, "a use is no event");
}
