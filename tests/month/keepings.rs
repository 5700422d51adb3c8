//! The same month as bundles out of files, a database, and the tiles that its events left it for;
//! under heads that witnesses co-signed.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::conformance::store::ManualClock;
use dagbook_events::ids::{EventId, StreamName, TenantId};
use dagbook_events::journal::Guard;
use dagbook_events::journal::archive::{ArchivedLeaves, ArchivedStore, Archiver, ArchiverParts};
use dagbook_events::journal::bundle::export::{Exporter, Order, Wanted};
use dagbook_events::journal::bundle::verify;
use dagbook_events::journal::checkpoints::{
    Checkpoints, History, Publisher, PublisherOptions, PublisherParts,
};
use dagbook_events::journal::copy::{MemoryCopy, MemoryNotes};
use dagbook_events::journal::keys::{FileCosigner, FileSigner};
use dagbook_events::journal::objects::MemoryObjects;
use dagbook_events::journal::store::postgres::{
    PostgresOptions, PostgresStore, PostgresUrl, migrate,
};
use dagbook_events::journal::witness::{Witness, WitnessOptions, WitnessParts};
use dagbook_events::ports::{
    Actor, AppendRequest, Clock, EventStore, Expected, NewEvent, RecordCopy, StreamAppend,
};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_events::tlog::VerifierKey;
use dagbook_tests::month::{Invoiced, SITE, Shape, record};
use dagbook_tests::servers::{Postgres, PostgresVersion};
use dagbook_tests::stores;
use tempfile::TempDir;
use uuid::Uuid;

use super::{clock, sorted};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/audit/verify.py");
/// Long behind the month.
const LATER: Timestamp = Timestamp(9_000_000_000_000);
/// Positions of a partition.
const WIDTH: u64 = 400;

fn tenants() -> Vec<TenantId> {
    ["acme", "baker", "kiribati"].map(|name| TenantId::new(name).expect("a slug")).to_vec()
}

/// Ends all runs, so that their events may leave a database.
async fn finish(store: &dyn EventStore) {
    let mut count = 0u128;
    for tenant in tenants() {
        let names = store.streams(&tenant, "run/", None, usize::MAX).await.expect("names");
        let names: BTreeSet<StreamName> = names.into_iter().collect();
        assert!(!names.is_empty(), "{tenant} has runs");
        for stream in names {
            count += 1;
            let event = NewEvent {
                id: EventId(Uuid::from_u128((7 << 100) | count)),
                kind: Arc::from("run.finished"),
                at: Timestamp(1_800_000_000_000),
                actor: Arc::new(Actor::new("system", "engine")),
                causation: None,
                correlation: None,
                traceparent: None,
                data: b"{}".to_vec(),
                blob: None,
            };
            let append = StreamAppend { stream, expected: Expected::Any, events: vec![event] };
            let (tenant, streams) = (tenant.clone(), vec![append]);
            let request = AppendRequest { tenant, key: None, streams, fence: None };
            store.append(request).await.expect("appended");
        }
    }
}

/// Keys of a site and of its witnesses; every site of this test has the same.
struct Keys {
    folder: PathBuf,
    log: VerifierKey,
    witnesses: Vec<VerifierKey>,
}

impl Keys {
    fn new(folder: &Path) -> Self {
        let signer = FileSigner::open(folder.join("key"), SITE).expect("a key");
        let (folder, log) = (folder.to_path_buf(), signer.verifier().clone());
        let mut this = Self { folder, log, witnesses: Vec::new() };
        this.witnesses = (0..2).map(|n| this.cosigner(n).verifier().clone()).collect();
        this
    }

    fn signer(&self) -> FileSigner {
        FileSigner::open(self.folder.join("key"), SITE).expect("a key")
    }

    fn cosigner(&self, n: usize) -> FileCosigner {
        let key = self.folder.join(format!("witness-{n}"));
        FileCosigner::open(key, &format!("witness.example/w{n}")).expect("a key")
    }
}

/// A record that was published, and co-signed at an instant.
struct Site<'a> {
    keys: &'a Keys,
    folder: PathBuf,
    objects: Arc<MemoryObjects>,
}

impl<'a> Site<'a> {
    async fn publish(
        keys: &'a Keys,
        name: &str,
        store: &Arc<dyn EventStore>,
        cosigned_at: Timestamp,
    ) -> Self {
        let folder = keys.folder.join(name);
        let site = Self { keys, folder, objects: Arc::new(MemoryObjects::new()) };
        let (copy, notes) = (MemoryCopy::new(), MemoryNotes::new());
        loop {
            let last = copy.last(1).await.expect("readable");
            let page = store.read_after(last, 1_000).await.expect("readable");
            if page.is_empty() {
                break;
            }
            copy.add(1, last, &page).await.expect("added");
        }
        let parts = PublisherParts {
            store: store.clone(),
            checkpoints: site.checkpoints(),
            objects: Some(site.objects.clone()),
            notes: Some(Arc::new(notes.clone())),
            guard: Arc::new(Guard::open()),
        };
        let witnesses = keys.witnesses.clone();
        let options = PublisherOptions { witnesses, ..PublisherOptions::default() };
        let mut publisher = Publisher::new(parts, options).expect("a publisher");
        publisher.turn().await.expect("a turn");
        for n in 0..keys.witnesses.len() {
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::new(cosigned_at));
            let parts = WitnessParts {
                copy: Arc::new(copy.clone()),
                notes: Arc::new(notes.clone()),
                cosigner: keys.cosigner(n),
                clock,
                folder: site.folder.join(format!("witness-{n}")),
            };
            let log_key = Some(keys.log.clone());
            let options = WitnessOptions { log_key, ..WitnessOptions::default() };
            let mut witness = Witness::open(parts, options).expect("a witness");
            let status = witness.turn().await.expect("a turn");
            assert_eq!((status.problem, status.cosigned), (None, 3));
        }
        let turn = publisher.turn().await.expect("a turn");
        assert!(turn.problems.is_empty(), "{turn:?}");
        site
    }

    fn checkpoints(&self) -> Checkpoints {
        let history = History::new(self.folder.join("checkpoints"), self.keys.log.clone());
        Checkpoints::new(history, Arc::new(self.keys.signer()), SITE)
    }

    /// Bundles of all invoices, each from the first leaf on and from what it needs.
    async fn export(
        &self,
        store: &dyn EventStore,
        name: &str,
        invoices: &[Invoiced],
    ) -> Vec<PathBuf> {
        let checkpoints = self.checkpoints();
        let exporter = Exporter {
            store,
            checkpoints: &checkpoints,
            witnesses: &self.keys.witnesses,
            program: "0.1.0",
            patience: Duration::from_secs(5),
        };
        let mut bundles = Vec::new();
        for (invoiced, since_opening) in invoices.iter().flat_map(|it| [(it, false), (it, true)]) {
            let line = Some("000001".to_string());
            let order = Order {
                tenant: invoiced.tenant.clone(),
                what: Wanted::Period(invoiced.event.period.clone()),
                since_opening,
                unwitnessed: false,
                lines: line.filter(|_| !invoiced.event.totals.is_empty()).into_iter().collect(),
            };
            let plan = exporter.plan(&order).await.expect("a closed period");
            let number = &invoiced.event.number;
            let target = self.folder.join(format!("{name}-{number}-{since_opening}"));
            exporter.write(&plan, &target, None).await.expect("a bundle");
            bundles.push(target);
        }
        bundles
    }
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below").display().to_string();
            found.insert(name, std::fs::read(path).expect("readable"));
        }
    }
    found
}

/// Files that differ between bundles, pair by pair.
fn differing(one: &[PathBuf], other: &[PathBuf]) -> BTreeSet<String> {
    assert_eq!(one.len(), other.len());
    let mut names = BTreeSet::new();
    for (one, other) in one.iter().zip(other) {
        let (one, other) = (files(one), files(other));
        assert!(one.len() > 10, "{:?}", one.keys());
        let all = one.keys().chain(other.keys());
        names.extend(all.filter(|name| one.get(*name) != other.get(*name)).cloned());
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn bundles_of_files_of_a_database_and_of_its_archive_are_the_same_byte_for_byte() {
    let folder = TempDir::new().expect("a folder");
    let keys = Keys::new(folder.path());
    let shape = Shape { seed: 20_261_001, attempts: 600 };
    let now = clock();
    let file = format!("sqlite:{}", folder.path().join("record.db").display());
    let sqlite: Arc<dyn EventStore> = stores::open(&file, now.clone()).await.expect("a store");
    let invoices = sorted(record(&*sqlite, &now, shape).await.expect("a month"));
    finish(&*sqlite).await;

    let server = Postgres::start_with(PostgresVersion::Debian, &[("fsync", "off")]);
    let url = PostgresUrl::parse(&server.database("bundles")).expect("an address");
    let made = url.clone();
    let migrated = tokio::task::spawn_blocking(move || migrate(&made, Duration::from_secs(30)));
    migrated.await.expect("joined").expect("migrated");
    let now = clock();
    let options =
        PostgresOptions { partition_width: WIDTH, ..PostgresOptions::new(url, now.clone()) };
    let postgres = Arc::new(PostgresStore::open(options).await.expect("a store"));
    let there = sorted(record(&*postgres, &now, shape).await.expect("a month"));
    assert_eq!(there, invoices);
    finish(&*postgres).await;

    let at = Timestamp(1_800_000_000_000);
    let here = Site::publish(&keys, "here", &sqlite, at).await;
    let store: Arc<dyn EventStore> = postgres.clone();
    let there = Site::publish(&keys, "there", &store, at).await;
    let of_files = here.export(&*sqlite, "files", &invoices).await;
    let of_database = there.export(&*postgres, "database", &invoices).await;
    assert_eq!(differing(&of_files, &of_database), BTreeSet::new());

    // Co-signed at another instant, only that differs, and what signs it.
    let later = Site::publish(&keys, "later", &store, at + Millis(60_000)).await;
    let of_later = later.export(&*postgres, "later", &invoices).await;
    let differ = differing(&of_files, &of_later);
    let (proofs, others): (Vec<_>, Vec<_>) =
        differ.iter().partition(|name| name.starts_with("proofs/"));
    let wanted = ["SHA256SUMS", "checkpoint", "manifest.json", "manifest.note"];
    assert_eq!(others, wanted);
    assert!(!proofs.is_empty(), "each proof ends with the head that it leads to");

    let leaves = Arc::new(ArchivedLeaves::new(there.objects.clone()));
    let archived: Arc<dyn EventStore> =
        Arc::new(ArchivedStore::new(postgres.clone(), postgres.clone(), leaves));
    let archiver = Archiver::new(ArchiverParts {
        store: archived.clone(),
        archive: postgres.clone(),
        objects: there.objects.clone(),
        key: keys.log.clone(),
        witnesses: keys.witnesses.clone(),
        copy: None,
    });
    let mut gone = 0;
    let waits = loop {
        let turn = archiver.turn(LATER, Millis(0), false).await.expect("a turn");
        gone += turn.gone;
        if turn.gone == 0 {
            break turn.waits;
        }
    };
    let all = postgres.head().await.expect("a head").0;
    assert!(gone + 2 * WIDTH > all && gone > WIDTH, "{gone} of {all} have gone: {waits:?}");
    let left = postgres.read_log(&tenants()[0], 0, 1).await.expect("readable");
    assert!(left.first().is_none_or(|first| first.tenant_sequence > 0), "the first leaves went");
    let of_archive = there.export(&*archived, "archive", &invoices).await;
    assert_eq!(differing(&of_files, &of_archive), BTreeSet::new());

    for bundle in of_archive.iter().chain(&of_later) {
        let verified = verify(bundle, Some(&keys.log), &mut |_| {});
        verified.unwrap_or_else(|failure| panic!("{}: {failure:?}", bundle.display()));
        let policy = std::fs::read_to_string(bundle.join("policy")).expect("readable");
        assert_eq!(policy.matches("witness.example/w").count(), 2, "{policy}");
    }
    let mut command = Command::new("python3");
    command.arg("-I").arg(PROGRAM).args(["--key", &keys.log.to_text(), "--quiet"]);
    let said = command.args(of_archive.iter().chain(&of_later)).output().expect("Python");
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}\n{}", String::from_utf8_lossy(&said.stderr));
}
