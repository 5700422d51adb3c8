//! A whole site for the drills: Postgres, JetStream, and what runs between them.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{Position, TenantId};
use dagbook_events::journal::Guard;
use dagbook_events::journal::bus::jetstream::{
    JetStreamCopy, JetStreamNotes, Nats as Connection, NatsOptions,
};
use dagbook_events::journal::checkpoints::{
    Checkpoints, History, Publisher, PublisherOptions, PublisherParts,
};
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::keys::{FileCosigner, FileSigner, verify_note};
use dagbook_events::journal::objects::FsObjects;
use dagbook_events::journal::relay::{Relay, RelayLimits, RelayStatus};
use dagbook_events::journal::witness::{Witness, WitnessOptions, WitnessParts, WitnessStatus};
use dagbook_events::ports::{Board, EventStore, Notes, RecordCopy};
use dagbook_events::tlog::{Checkpoint, VerifierKey};
use dagbook_tests::servers::{Nats, NatsVersion, Postgres, PostgresVersion};
use dagbook_tests::stores::{self, AnyStore};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::support::SOON;

/// Its servers and files.
pub struct Site {
    pub postgres: Postgres,
    pub nats: Nats,
    pub address: String,
    folder: TempDir,
}

/// What runs in the place of one server process of ours, and a witness beside it.
pub struct Running {
    pub store: Arc<dyn AnyStore>,
    pub guard: Arc<Guard>,
    pub copy: Arc<JetStreamCopy>,
    relay: watch::Receiver<RelayStatus>,
    pub witness: watch::Receiver<WitnessStatus>,
    notes: JetStreamNotes,
    witness_key: VerifierKey,
    stop: watch::Sender<bool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Site {
    pub fn new(version: NatsVersion) -> Self {
        let postgres = Postgres::start(PostgresVersion::Debian);
        let address = postgres.database("record");
        let nats = Nats::start(version);
        let folder = tempfile::tempdir().expect("a folder");
        Self { postgres, nats, address, folder }
    }

    /// Another connection to the second copy.
    pub async fn copy(&self) -> Arc<JetStreamCopy> {
        let options = NatsOptions::parse(&self.nats.url()).expect("an address");
        let connection = Connection::start(options);
        connection.ready(SOON).await.expect("the server answers");
        Arc::new(JetStreamCopy::new(connection))
    }

    /// Starts store, relay, publisher and witness. Nothing can be appended before the relay
    /// has compared the record with its copy.
    pub async fn run(&self) -> Running {
        self.run_parts(true).await
    }

    /// The same without publisher and witness: only the relay compares and halts.
    pub async fn run_with_relay_only(&self) -> Running {
        self.run_parts(false).await
    }

    async fn run_parts(&self, signing: bool) -> Running {
        let guard = Arc::new(Guard::waiting("the record was not compared with its copy yet"));
        let clock = Arc::new(SystemClock);
        let store = stores::open_guarded(&self.address, clock, Arc::clone(&guard)).await;
        let store = store.expect("a store");
        let shared: Arc<dyn EventStore> = Arc::clone(&store) as _;
        let copy = self.copy().await;
        let notes = || JetStreamNotes::new(copy.nats().clone());
        let (stop, stopped) = watch::channel(false);
        let mut tasks = Vec::new();

        let limits = RelayLimits {
            look_again: Duration::from_millis(300),
            longest_pause: Duration::from_millis(200),
            ..RelayLimits::default()
        };
        let second: Arc<dyn RecordCopy> = Arc::clone(&copy) as _;
        let relay = Relay::new(Arc::clone(&shared), second, Arc::clone(&guard), limits);
        let relay_status = relay.status();
        tasks.push(tokio::spawn(relay.run(stopped.clone())));

        let path = self.folder.path();
        let signer = FileSigner::open(path.join("site.key"), "site.example").expect("a key");
        let log_key = signer.verifier().clone();
        let witness_key = FileCosigner::open(path.join("witness.key"), "witness.example");
        let witness_key = witness_key.expect("a key");
        let history = History::new(path.join("checkpoints"), log_key.clone());
        let checkpoints = Checkpoints::new(history, Arc::new(signer), "site.example");
        let parts = PublisherParts {
            store: shared,
            checkpoints,
            objects: Some(Arc::new(FsObjects::open(path.join("tiles")).expect("a folder"))),
            notes: Some(Arc::new(notes())),
            guard: Arc::clone(&guard),
        };
        let verifier = witness_key.verifier().clone();
        let witnesses = vec![verifier.clone()];
        let options = PublisherOptions { interval: Duration::from_millis(200), witnesses };
        let mut publisher = Publisher::new(parts, options).expect("a publisher");
        let until = stopped.clone();
        if signing {
            tasks.push(tokio::spawn(async move {
                // It ends early only where it halts the record, which the drills look at.
                let _ = publisher.run(until).await;
            }));
        }

        let parts = WitnessParts {
            copy: self.copy().await,
            notes: Arc::new(notes()),
            cosigner: witness_key,
            clock: Arc::new(SystemClock),
            folder: path.join("witness"),
        };
        let options = WitnessOptions {
            log_key: Some(log_key),
            interval: Duration::from_millis(200),
            ..WitnessOptions::default()
        };
        let mut witness = Witness::open(parts, options).expect("a witness");
        let witness_status = witness.status();
        if signing {
            tasks.push(tokio::spawn(async move {
                let refusals = witness.run(stopped).await.expect("the witness goes on");
                assert!(refusals.is_empty(), "the witness refuses: {refusals:?}");
            }));
        }
        let (relay, witness, notes) = (relay_status, witness_status, notes());
        let witness_key = verifier;
        Running { store, guard, copy, relay, witness, notes, witness_key, stop, tasks }
    }
}

impl Running {
    pub fn events(&self) -> Arc<dyn EventStore> {
        Arc::clone(&self.store) as _
    }

    /// Waits until the copy has all that is recorded.
    pub async fn caught_up(&self) {
        let head = self.store.head().await.expect("a head");
        let timeline = self.store.timeline().await.expect("a timeline");
        let copied = || async { (self.copy.last(timeline).await.ok()? == head).then_some(()) };
        let started = std::time::Instant::now();
        while copied().await.is_none() {
            assert!(started.elapsed() < SOON, "not caught up: {:?}", *self.relay.borrow());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until the witness has co-signed the heads of all logs as they are.
    pub async fn cosigned(&self) {
        let heads = self.store.log_heads().await.expect("heads");
        let mut missing: Vec<(TenantId, u64, Sha256Digest)> =
            heads.into_iter().map(|(tenant, head)| (tenant, head.size, head.root)).collect();
        assert!(!missing.is_empty(), "there is nothing to co-sign");
        let mut seen = 0;
        let started = std::time::Instant::now();
        while !missing.is_empty() {
            assert!(
                started.elapsed() < SOON,
                "not co-signed: {missing:?}; {:?}",
                *self.witness.borrow()
            );
            let wait = Duration::from_millis(200);
            let Ok(page) = self.notes.after(Board::Cosigned, seen, 100, wait).await else {
                continue;
            };
            for posted in page {
                seen = posted.number;
                verify_note(&posted.note, &self.witness_key).expect("the witness's signature");
                let checkpoint = Checkpoint::parse(&posted.note.text).expect("a checkpoint");
                missing.retain(|(tenant, size, root)| {
                    let named = posted.origin.contains(&format!("/t/{tenant}/"));
                    !(named && checkpoint.size == *size && checkpoint.root == *root)
                });
            }
        }
    }

    /// Where the copy ends.
    pub async fn copied(&self, timeline: u64) -> Position {
        self.copy.last(timeline).await.expect("the copy answers")
    }

    /// Ends everything that runs.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        for task in self.tasks {
            task.await.expect("it ends without a failure");
        }
    }
}
