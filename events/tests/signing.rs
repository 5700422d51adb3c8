//! Keys, their memory, and checkpoints on disk.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;

use dagbook_events::conformance::store::ManualClock;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{EventId, StreamName, TenantId};
use dagbook_events::journal::checkpoints::{CheckpointError, Checkpoints, History};
use dagbook_events::journal::clock::{IdMint, SystemRng};
use dagbook_events::journal::keys::{FileSigner, verify_note};
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::journal::verify::verify;
use dagbook_events::ports::{
    Actor, AppendRequest, EventStore, Expected, NewEvent, SignError, Signer, StreamAppend,
};
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::{Checkpoint, Note, VerifierKey, consistency_proof, leaf_hash, root};
use tempfile::TempDir;

fn signer(folder: &TempDir) -> FileSigner {
    FileSigner::open(folder.path().join("keys/log"), "dagbook.local").expect("a key")
}

fn mode(path: &Path) -> u32 {
    std::fs::metadata(path).expect("there").permissions().mode() & 0o777
}

fn hashes(n: u64) -> Vec<Sha256Digest> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn checkpoint(origin: &str, leaves: &[Sha256Digest]) -> String {
    Checkpoint { origin: origin.into(), size: leaves.len() as u64, root: root(leaves) }.to_text()
}

#[test]
fn a_published_signature_is_accepted_and_a_changed_text_is_not() {
    let key =
        VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
            .expect("a key");
    let signed = "If you think cryptography is the answer to your problem,\n\
         then you don't know what your problem is.\n\n\u{2014} PeterNeumann \
         x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    let note = Note::parse(signed.as_bytes()).expect("a note");
    assert_eq!(verify_note(&note, &key), Ok(()));
    let changed = Note::parse(signed.replace("answer", "question").as_bytes()).expect("a note");
    assert!(verify_note(&changed, &key).is_err());
}

#[test]
fn a_key_is_made_once_with_tight_modes() {
    let folder = TempDir::new().expect("a folder");
    let first = signer(&folder);
    let path = folder.path().join("keys/log");
    assert_eq!((mode(&path), mode(path.parent().expect("a folder"))), (0o600, 0o700));
    assert_eq!(signer(&folder).public_key(), first.public_key());
    let public = std::fs::read_to_string(folder.path().join("keys/log.vkey")).expect("published");
    assert_eq!(VerifierKey::parse(public.trim_end()).as_ref(), Ok(first.verifier()));
    let other = FileSigner::open(&path, "another.name").err().expect("refused").to_string();
    assert!(other.contains("holds the key `dagbook.local`"), "{other}");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).expect("opened up");
    let open = FileSigner::open(&path, "dagbook.local").err().expect("refused").to_string();
    assert!(open.contains("chmod 600"), "{open}");
}

#[test]
fn keys_made_at_once_are_one_key() {
    let folder = TempDir::new().expect("a folder");
    let folder = &folder;
    let keys: Vec<_> = std::thread::scope(|scope| {
        let makers: Vec<_> =
            (0..8).map(|_| scope.spawn(move || signer(folder).public_key())).collect();
        makers.into_iter().map(|maker| maker.join().expect("no panic")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]));
}

#[test]
fn only_extensions_of_what_was_signed_are_signed() {
    let folder = TempDir::new().expect("a folder");
    let first = signer(&folder);
    let all = hashes(12);
    let refused = |signer: &FileSigner, text: &str, proof: &[Sha256Digest]| {
        assert!(matches!(signer.sign_extension(text, proof), Err(SignError::Inconsistent(_))));
    };
    first.sign(checkpoint("log", &all[..5]).as_bytes()).expect("the first");
    first.sign(checkpoint("log", &all[..5]).as_bytes()).expect("the same again");
    // What it signed outlives the process.
    let second = signer(&folder);
    assert_eq!(second.last_signed("log").expect("known").expect("signed").size, 5);
    refused(&second, &checkpoint("log", &all[..4]), &[]);
    refused(&second, &checkpoint("log", &all[1..6]), &[]);
    refused(&second, &checkpoint("log", &all[..9]), &[]);
    refused(&second, "no checkpoint", &[]);
    let mut forked = all.clone();
    forked[2] = leaf_hash(b"forged");
    let proof = consistency_proof(5, &forked[..9]).expect("in range");
    refused(&second, &checkpoint("log", &forked[..9]), &proof);
    let proof = consistency_proof(5, &all[..9]).expect("in range");
    let text = checkpoint("log", &all[..9]);
    let signature = second.sign_extension(&text, &proof).expect("an extension");
    let mut note = Note::new(&text).expect("a text");
    note.sign_with(second.verifier(), &signature);
    assert_eq!(verify_note(&note, first.verifier()), Ok(()));
    second.sign(checkpoint("another log", &all[..2]).as_bytes()).expect("logs are apart");
}

#[test]
fn a_signer_whose_memory_is_damaged_does_not_sign() {
    let folder = TempDir::new().expect("a folder");
    let signer = signer(&folder);
    signer.sign(checkpoint("log", &hashes(2)).as_bytes()).expect("the first");
    std::fs::write(folder.path().join("keys/log.signed"), "{").expect("damaged");
    let text = checkpoint("log", &hashes(2));
    assert!(matches!(signer.sign(text.as_bytes()), Err(SignError::Key(_))));
}

struct Log {
    folder: TempDir,
    store: MemoryStore,
    mint: IdMint,
}

impl Log {
    fn new() -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp(1_767_225_600_000)));
        let store = MemoryStore::new(Arc::clone(&clock) as _);
        let folder = TempDir::new().expect("a folder");
        Self { folder, store, mint: IdMint::new(clock, Arc::new(SystemRng)) }
    }

    async fn append(&self, events: usize) {
        let event = |_| NewEvent {
            id: self.mint.event_id(),
            kind: Arc::from("thing.happened"),
            at: Timestamp(1),
            actor: Arc::new(Actor::new("user", "ada")),
            causation: None,
            correlation: None,
            traceparent: None,
            data: b"{}".to_vec(),
            blob: None,
        };
        let stream = StreamAppend {
            stream: StreamName::new("run/a").expect("a stream"),
            expected: Expected::Any,
            events: (0..events).map(event).collect(),
        };
        let request =
            AppendRequest { tenant: tenant(), key: None, streams: vec![stream], fence: None };
        self.store.append(request).await.expect("appended");
    }

    fn checkpoints(&self) -> Checkpoints {
        let signer = signer(&self.folder);
        let history =
            History::new(self.folder.path().join("checkpoints"), signer.verifier().clone());
        Checkpoints::new(history, Arc::new(signer), "dagbook.local")
    }

    async fn write(&self) -> Result<u64, CheckpointError> {
        let written = self.checkpoints().write(&self.store, &tenant(), 1).await;
        written.map(|signed| signed.checkpoint.size)
    }
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("a tenant")
}

#[tokio::test]
async fn checkpoints_follow_the_log_and_are_checked_against_it() {
    let log = Log::new();
    for (more, size) in [(1, 1), (6, 7), (1, 8), (30, 38)] {
        log.append(more).await;
        assert_eq!(log.write().await.expect("signed"), size);
        assert_eq!(log.write().await.expect("nothing new"), size);
    }
    let history = log.checkpoints();
    let all = history.history().all(&tenant()).expect("read");
    let sizes: Vec<u64> = all.iter().map(|signed| signed.checkpoint.size).collect();
    assert_eq!(sizes, [1, 7, 8, 38]);
    assert_eq!(all[3].checkpoint.origin, "dagbook.local/t/acme/1");
    let signed = history.history().signed_heads().expect("read");
    let report = verify(&log.store, &signed).await.expect("readable");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.checkpoints, 4);
}

/// The process died between the signature and the note: the next checkpoint still follows.
#[tokio::test]
async fn a_note_that_was_lost_does_not_stop_the_next_one() {
    let log = Log::new();
    log.append(5).await;
    log.write().await.expect("signed");
    log.append(3).await;
    log.write().await.expect("signed");
    let lost = log.folder.path().join("checkpoints/acme/0000000000000008.note");
    std::fs::remove_file(lost).expect("lost");
    log.append(3).await;
    assert_eq!(log.write().await.expect("signed"), 11);
    std::fs::remove_file(log.folder.path().join("checkpoints/acme/frontier")).expect("lost");
    log.append(1).await;
    assert_eq!(log.write().await.expect("signed from the first leaf on"), 12);
}

#[tokio::test]
async fn another_history_is_not_signed() {
    let log = Log::new();
    log.append(5).await;
    log.write().await.expect("signed");
    // The same key and checkpoints, but a store with other events.
    let other = Log { folder: log.folder, ..Log::new() };
    other.append(4).await;
    let shorter = other.write().await.expect_err("refused").to_string();
    assert!(shorter.contains("5 leaves were signed, 4 are there"), "{shorter}");
    other.append(4).await;
    assert!(matches!(other.write().await, Err(CheckpointError::Inconsistent { .. })));
    let note = other.folder.path().join("checkpoints/acme/0000000000000005.note");
    let text = std::fs::read_to_string(&note).expect("read").replace("acme/1", "acme/2");
    std::fs::write(&note, text).expect("changed");
    assert!(matches!(other.write().await, Err(CheckpointError::History { .. })));
}

#[test]
fn ids_ascend_while_the_clock_steps_back() {
    let clock = Arc::new(ManualClock::new(Timestamp(1_000_000)));
    let mint = IdMint::new(Arc::clone(&clock) as _, Arc::new(SystemRng));
    let mut ids: Vec<EventId> = Vec::new();
    for step in [0, 5, -700, 0, 900] {
        clock.set(Timestamp(1_000_000 + step));
        ids.extend((0..200).map(|_| mint.event_id()));
    }
    assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    assert!(ids.iter().all(|id| id.0.get_version_num() == 7));
    let first = ids[0].0.get_timestamp().expect("a time").to_unix();
    assert_eq!(first, (1_000, 0));
}
