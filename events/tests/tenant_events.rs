//! The recorded shape of every event of tenants, tokens, people and secrets: golden files that
//! must be read for ever. With `DAGBOOK_BLESS=1` files that are missing are written; one that
//! exists is never rewritten.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use dagbook_events::access::{Permission, Role};
use dagbook_events::admission::Quota;
use dagbook_events::aggregate::AggregateEvent;
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::tenant::*;
use dagbook_events::time::Timestamp;

const ID: &str = "018f0000-0000-7000-8000-000000000009";
const LATER: Timestamp = Timestamp(1_800_000_000_000);

fn text(text: &str) -> String {
    text.to_string()
}

fn labels() -> BTreeMap<String, String> {
    BTreeMap::from([(text("cost-center"), text("42"))])
}

fn tenant_events() -> Vec<TenantEvent> {
    let (display_name, timezone) = (text("Acme Ltd"), text("Europe/Berlin"));
    vec![
        TenantEvent::Created(TenantCreated {
            display_name: display_name.clone(),
            timezone: timezone.clone(),
            labels: labels(),
        }),
        TenantEvent::Changed(TenantChanged {
            display_name: Some(display_name),
            timezone: Some(timezone),
            labels: Some(labels()),
        }),
        TenantEvent::Suspended(TenantSuspended { reason: Some(text("unpaid")) }),
        TenantEvent::Resumed(TenantResumed {}),
        TenantEvent::Quota(QuotaSet(Quota {
            weight: Some(300),
            open_runs: Some(10),
            cpu_milli: Some(8_000),
            ..Quota::default()
        })),
    ]
}

fn access_events() -> Vec<AccessEvent> {
    let scopes = Scopes {
        permissions: Some(BTreeSet::from([Permission::SubmitRuns, Permission::ReadRuns])),
        pipelines: Some(BTreeSet::from([text("nightly")])),
    };
    let (issuer, subject) = (text("https://id.example"), text("ada"));
    vec![
        AccessEvent::Issued(TokenIssued {
            token: text(ID),
            hash: Sha256Digest::of(b"a"),
            name: text("ci"),
            role: Role::Developer,
            scopes,
            expires_at: Some(LATER),
        }),
        AccessEvent::Rotated(TokenRotated {
            token: text(ID),
            hash: Sha256Digest::of(b"b"),
            overlap_until: Timestamp(1_700_000_000_000),
            expires_at: Some(LATER),
        }),
        AccessEvent::Revoked(TokenRevoked { token: text(ID), reason: Some(text("leaked")) }),
        AccessEvent::PersonSet(PersonSet {
            issuer: issuer.clone(),
            subject: subject.clone(),
            name: text("Ada"),
            role: Role::Owner,
        }),
        AccessEvent::PersonRemoved(PersonRemoved { issuer, subject }),
    ]
}

fn secret_events() -> Vec<SecretEvent> {
    vec![
        SecretEvent::Set(SecretSet { name: text("db"), version: 3 }),
        SecretEvent::Removed(SecretRemoved { name: text("db"), version: 4 }),
    ]
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/tenant-events-1")
}

fn check<E: AggregateEvent + PartialEq + std::fmt::Debug>(event: &E) {
    let mut written = Vec::new();
    canonical::write(&mut written, &event.to_data()).expect("recordable");
    let path = folder().join(format!("{}.json", event.kind()));
    if std::env::var_os("DAGBOOK_BLESS").is_some() && !path.exists() {
        std::fs::create_dir_all(folder()).expect("made");
        std::fs::write(&path, &written).expect("written");
    }
    let golden = std::fs::read(&path).unwrap_or_default();
    assert_eq!(
        String::from_utf8_lossy(&written),
        String::from_utf8_lossy(&golden),
        "{}: what is written changed; a new shape needs a data version and a reader of the old",
        event.kind()
    );
    let data = serde_json::from_slice(&golden).expect("an object");
    assert_eq!(E::read(event.kind(), &data).expect("readable").as_ref(), Some(event));
    let mut later = data;
    later.insert(text("added_by_a_later_program"), serde_json::json!(1));
    assert_eq!(E::read(event.kind(), &later).expect("readable").as_ref(), Some(event));
    assert_eq!(E::read("thing.dreamt", &later).expect("of another program"), None);
}

#[test]
fn every_event_has_its_golden_file_and_reads_back() {
    tenant_events().iter().for_each(check);
    access_events().iter().for_each(check);
    secret_events().iter().for_each(check);
    let count = tenant_events().len() + access_events().len() + secret_events().len();
    let files = std::fs::read_dir(folder()).expect("the folder").count();
    assert_eq!(files, count, "a golden file of an event that no sample has");
}

#[test]
fn what_is_not_of_its_shape_is_refused_with_its_kind() {
    let data = serde_json::json!({ "token": 3 });
    let data = data.as_object().expect("an object");
    let error = AccessEvent::read("token.revoked", data).expect_err("another shape");
    assert!(error.contains("token.revoked"), "{error}");
}
