//! A bundle of one tenant tells nothing of another, and what was sealed stays sealed.

use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::envelope::{Envelope, SealedRef};
use dagbook_events::ids::{Position, StreamName, TenantId};
use dagbook_events::journal::bundle::export::{Order, Wanted};
use dagbook_events::ports::{
    AppendError, AppendRequest, Appended, EventStore, LogHead, ReadError, Recorded,
};
use dagbook_events::tlog::{Frontier, leaf_hash};
use serde_json::json;

use super::billed::{append, check, check_by_python, closed, export, export_from, order};
use super::invoices::{entries, files};
use super::record_support::{Record, tenant};

fn holds(bytes: &[u8], text: &[u8]) -> bool {
    bytes.windows(text.len()).any(|window| window == text)
}

#[tokio::test]
async fn a_bundle_of_one_tenant_holds_no_text_of_another() {
    let record = Record::new();
    // Turn by turn, so that they stand between each other in the record.
    for turn in 0..40 {
        for (name, secret) in [("acme", "falcon"), ("umbrella", "hive")] {
            let run = format!("run/{secret}-run-{turn}");
            let data = json!({ "step": format!("{secret}-step"), "by": format!("{secret}@mail") });
            append(&record, name, &run, &[("step.failed", data)]).await;
        }
    }
    closed(&record, "umbrella", 12).await;
    closed(&record, "acme", 12).await;
    let theirs = ["umbrella", "hive-run", "hive-step", "hive@mail"];
    let ours = ["acme", "falcon-run", "falcon-step", "falcon@mail"];
    for (name, own, foreign) in [("acme", ours, theirs), ("umbrella", theirs, ours)] {
        let target = record.folder.path().join(name);
        let lines = vec!["000001".to_string()];
        export(&record, &Order { lines, ..order(name) }, &target).await.expect("exported");
        check(&record, &target).expect("accepted");
        let there = files(&target);
        for (path, bytes) in &there {
            // The rule and the program have examples, with the same names for everybody.
            if path == "verify.py" || path == "VERIFY.md" {
                continue;
            }
            for text in foreign {
                assert!(!holds(bytes, text.as_bytes()), "{path} of {name} tells of {text}");
                assert!(!path.contains(text), "{path}");
            }
        }
        let leaves = entries(&there).concat();
        assert!(own.iter().all(|text| holds(&leaves, text.as_bytes())), "{name} has its own");
        // Positions are the record's, so others leave gaps; their leaves are in no tile.
        let mine: Vec<_> = record.leaves(name).await.iter().map(|leaf| leaf.to_vec()).collect();
        assert!(entries(&there) == mine);
    }
}

/// A log whose leaves were sealed elsewhere, read as a store's.
struct Log(Vec<Recorded>);

impl Log {
    /// The record's log of a tenant, with a sealed part in every leaf.
    async fn sealed(record: &Record, name: &str, parts: &BTreeMap<u64, SealedRef>) -> Self {
        let mut log = Vec::new();
        let page = record.store.read_log(&tenant(name), 0, usize::MAX).await.expect("readable");
        for mut event in page {
            let mut envelope = Envelope::parse(&event.leaf).expect("a leaf");
            envelope.sealed = parts.get(&event.tenant_sequence).cloned();
            event.leaf = Arc::from(envelope.to_leaf().expect("canonical"));
            log.push(event);
        }
        Self(log)
    }
}

#[async_trait]
impl EventStore for Log {
    async fn append(&self, _: AppendRequest) -> Result<Appended, AppendError> {
        Err(AppendError::Unavailable("it is only read".to_string()))
    }
    async fn read_stream(
        &self,
        _: &TenantId,
        stream: &StreamName,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        let of = self.0.iter().filter(|it| it.stream == *stream && it.version >= from);
        Ok(of.take(limit).cloned().collect())
    }
    async fn read_after(&self, _: Position, _: usize) -> Result<Vec<Recorded>, ReadError> {
        Err(ReadError::Unavailable("it is one log".to_string()))
    }
    async fn read_log(
        &self,
        _: &TenantId,
        from: u64,
        limit: usize,
    ) -> Result<Vec<Recorded>, ReadError> {
        Ok(self.0.iter().skip(from as usize).take(limit).cloned().collect())
    }
    async fn streams(
        &self,
        _: &TenantId,
        _: &str,
        _: Option<&StreamName>,
        _: usize,
    ) -> Result<Vec<StreamName>, ReadError> {
        Ok(Vec::new())
    }
    async fn open_streams(
        &self,
        _: &str,
        _: Option<(&TenantId, &StreamName)>,
        _: usize,
    ) -> Result<Vec<(TenantId, StreamName)>, ReadError> {
        Ok(Vec::new())
    }
    async fn head(&self) -> Result<Position, ReadError> {
        Ok(self.0.last().map_or(Position(0), |event| event.position))
    }
    async fn log_head(&self, _: &TenantId) -> Result<LogHead, ReadError> {
        let mut frontier = Frontier::new();
        self.0.iter().for_each(|event| frontier.push(leaf_hash(&event.leaf)));
        Ok(LogHead { size: frontier.size(), root: frontier.root() })
    }
    async fn log_heads(&self) -> Result<BTreeMap<TenantId, LogHead>, ReadError> {
        Ok(BTreeMap::new())
    }
    async fn timeline(&self) -> Result<u64, ReadError> {
        Ok(1)
    }
    async fn begin_timeline(&self, _: u64) -> Result<u64, AppendError> {
        Err(AppendError::Unavailable("it is only read".to_string()))
    }
    async fn wait_beyond(&self, _: Position, _: Duration) -> Result<Position, ReadError> {
        self.head().await
    }
}

#[tokio::test]
async fn sealed_parts_stay_sealed_and_checks_pass_when_the_key_is_destroyed() {
    let record = Record::new();
    record.append("acme", 20).await;
    // One key for one subject; the record keeps what it needs to name a ciphertext, no more.
    let subject = record.folder.path().join("subject.key");
    let secret = [0x5au8; 32];
    fs::write(&subject, secret).expect("written");
    let plain = b"ada lovelace, ada@example.org";
    let seal = |nonce: u8, mut text: Vec<u8>| {
        let key = UnboundKey::new(&AES_256_GCM, &secret).expect("a key");
        let nonce = Nonce::assume_unique_for_key([nonce; NONCE_LEN]);
        LessSafeKey::new(key)
            .seal_in_place_append_tag(nonce, Aad::empty(), &mut text)
            .expect("sealed");
        text
    };
    let ciphertexts: BTreeMap<u64, Vec<u8>> =
        (0..20).map(|n| (n, seal(n as u8, plain.to_vec()))).collect();
    let parts = ciphertexts.iter().map(|(n, text)| {
        let (h, k) = (Sha256Digest::of(text), "subject/ada".to_string());
        (*n, SealedRef { a: "AES-256-GCM".to_string(), h, k, n: text.len() as u64 })
    });
    let log = Log::sealed(&record, "acme", &parts.collect()).await;
    let target = record.folder.path().join("bundle");
    let what = Wanted::Between { from: None, to: None };
    export_from(&log, &record, &Order { what, ..order("acme") }, &target).await.expect("exported");
    let there = files(&target);
    let sealed = entries(&there).iter().filter(|leaf| holds(leaf, b"\"s\":{\"a\":\"AES")).count();
    assert_eq!(sealed, 20, "the parts are named");
    for (path, bytes) in &there {
        assert!(!holds(bytes, plain) && !holds(bytes, b"ada@example.org"), "{path}");
        assert!(!holds(bytes, &secret), "{path}");
        assert!(!ciphertexts.values().any(|text| holds(bytes, text)), "{path}");
    }
    check(&record, &target).expect("accepted");
    fs::remove_file(&subject).expect("destroyed");
    check(&record, &target).expect("accepted without the key");
    let (accepted, said) = check_by_python(&target);
    assert!(accepted, "{said}");
    // And what is exported anew is the same.
    let again = record.folder.path().join("again");
    let what = Wanted::Between { from: None, to: None };
    export_from(&log, &record, &Order { what, ..order("acme") }, &again).await.expect("exported");
    assert!(files(&again) == there);
}
