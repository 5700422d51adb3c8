//! Secrets show nowhere: not in the store, the data folder, events, answers or debug output.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagbook::adapters::{SealedSecrets, SecretFiles};
use dagbook_events::ids::{Position, TenantId};
use dagbook_executors::{SecretError, SecretSource};
use serde_json::json;

use super::site::Site;

const VALUE: &str = "correct-horse-battery-staple";

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            match entry.path().is_dir() {
                true => open.push(entry.path()),
                false => found.push(entry.path()),
            }
        }
    }
    found
}

fn holds(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

fn source(site: &Site) -> SealedSecrets {
    let installation = &site.installation;
    let files = SecretFiles::new(installation.layout().secrets());
    let home = installation.deps.tenant.clone();
    SealedSecrets::new(installation.shelf.clone(), installation.site_keys.clone(), files, home)
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a slug")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_is_in_no_file_event_or_answer() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let (_, ours) = site.make_token("acme", "ours", "maintainer").await;
    let body = Some(json!({ "value": VALUE }));
    let set = site.done(&ours, None, "put", "/api/v1/secrets/db", body).await;
    assert_eq!((&set["name"], &set["version"]), (&json!("db"), &json!(1)));
    let list = site.done(&ours, None, "get", "/api/v1/secrets", None).await;
    assert!(!holds(list.to_string().as_bytes(), VALUE), "{list}");
    let got = source(&site).get(&tenant("acme"), "db").await.expect("opened");
    assert_eq!(got, VALUE.as_bytes());
    let other = source(&site).get(&tenant("umbrella"), "db").await;
    assert_eq!(other, Err(SecretError::Missing("db".to_string())), "a stranger's is not there");

    let base64 = {
        use base64::Engine as _;
        base64::engine::general_purpose::STANDARD.encode(VALUE)
    };
    let all = files(site.folder.path());
    assert!(all.len() >= 3, "{all:?}");
    for path in all {
        let bytes = std::fs::read(&path).expect("read");
        for text in [VALUE, base64.as_str(), ours.as_str(), site.admin.as_str()] {
            assert!(!holds(&bytes, text), "{} shows it", path.display());
        }
    }
    let store = &site.installation.deps.store;
    let events = store.read_after(Position(0), 1_000).await.expect("events");
    assert!(events.iter().any(|event| holds(&event.leaf, "secret.set")));
    let debugged = format!(
        "{:?} {:?}",
        site.installation.site_keys,
        events.iter().map(|event| String::from_utf8_lossy(&event.leaf)).collect::<Vec<_>>()
    );
    assert!(!holds(debugged.as_bytes(), VALUE) && !holds(debugged.as_bytes(), &ours));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_value_cannot_be_moved_to_another_name_or_tenant() {
    let site = Site::start().await;
    for name in ["acme", "umbrella"] {
        site.make_tenant(name).await;
    }
    let path = "/api/v1/secrets/db";
    let body = Some(json!({ "value": VALUE }));
    site.done(&site.admin, Some("acme"), "put", path, body).await;
    let shelf = &site.installation.shelf;
    let item = shelf.get(&tenant("acme"), "secret/db").await.expect("read").expect("there");
    let any = dagbook_events::ports::ShelfExpected::Any;
    for (owner, name) in [("umbrella", "db"), ("acme", "other")] {
        let key = format!("secret/{name}");
        shelf.put(&tenant(owner), &key, &item.value, any, None).await.expect("moved");
        let moved = source(&site).get(&tenant(owner), name).await;
        assert!(matches!(moved, Err(SecretError::Unavailable(_))), "{owner} {name}: {moved:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_new_site_key_seals_everything_anew() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    for name in ["a", "b"] {
        let (path, body) = (format!("/api/v1/secrets/{name}"), json!({ "value": VALUE }));
        site.done(&site.admin, Some("acme"), "put", &path, Some(body)).await;
    }
    let rekey = async || site.done(&site.admin, None, "post", "/api/v1/site/rekey", None).await;
    assert_eq!(rekey().await, json!({ "sealed": 0, "current": 2, "lost": 0 }));
    let keys = Arc::clone(&site.installation.site_keys);
    keys.add().expect("a new key");
    assert_eq!(source(&site).get(&tenant("acme"), "a").await, Ok(VALUE.as_bytes().to_vec()));
    assert_eq!(rekey().await, json!({ "sealed": 2, "current": 0, "lost": 0 }));
    assert_eq!(rekey().await, json!({ "sealed": 0, "current": 2, "lost": 0 }));
    // Only the new key is left.
    let path = site.installation.layout().site_key();
    let text = std::fs::read_to_string(&path).expect("the file");
    let first = text.lines().find(|line| !line.starts_with('#')).expect("a key").to_string();
    std::fs::write(&path, first).expect("written");
    let fresh = dagbook::adapters::SiteKeys::own(path, site.installation.deps.rng.clone());
    let files = SecretFiles::new(site.installation.layout().secrets());
    let source = SealedSecrets::new(
        site.installation.shelf.clone(),
        Arc::new(fresh),
        files,
        tenant("local"),
    );
    assert_eq!(source.get(&tenant("acme"), "b").await, Ok(VALUE.as_bytes().to_vec()));
}

#[tokio::test(flavor = "multi_thread")]
async fn setting_and_removing_leave_what_the_record_says() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let path = "/api/v1/secrets/db";
    let put = |value: &str| Some(json!({ "value": value }));
    let acme = Some("acme");
    for version in 1..=3 {
        let set = site.done(&site.admin, acme, "put", path, put(&format!("v{version}"))).await;
        assert_eq!(set["version"], json!(version));
    }
    assert_eq!(source(&site).get(&tenant("acme"), "db").await, Ok(b"v3".to_vec()));
    site.done(&site.admin, acme, "delete", path, None).await;
    let gone = source(&site).get(&tenant("acme"), "db").await;
    assert_eq!(gone, Err(SecretError::Missing("db".to_string())));
    let again = site.ask(Some(&site.admin), acme, "delete", path, None).await;
    assert_eq!(again.status, 404);
    let set = site.done(&site.admin, acme, "put", path, put("v5")).await;
    assert_eq!(set["version"], json!(5), "a version is never used twice");
    for bad in [json!({}), json!({ "value": "" }), json!({ "value_base64": "%" })] {
        let answer = site.ask(Some(&site.admin), acme, "put", path, Some(bad)).await;
        assert_eq!(answer.status, 400, "{answer:?}");
    }
    let large = Some(json!({ "value": "x".repeat(65_537) }));
    assert_eq!(site.ask(Some(&site.admin), acme, "put", path, large).await.status, 400);
}
