//! The month as bundles, checked by both verifiers.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::journal::bundle::export::{Exporter, Order, Wanted};
use dagbook_events::journal::bundle::verify;
use dagbook_events::journal::checkpoints::{Checkpoints, History};
use dagbook_events::journal::keys::FileSigner;
use dagbook_events::ports::EventStore;
use dagbook_tests::month::{Invoiced, SITE, record};
use dagbook_tests::stores;
use tempfile::TempDir;

use super::{clock, shape, sorted};

const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/audit/verify.py");

/// A record's keys and the folder that its bundles go to.
struct Site<'a> {
    store: &'a dyn EventStore,
    checkpoints: Checkpoints,
    folder: &'a Path,
}

impl Site<'_> {
    /// Exports an issued invoice, from the beginning of the log or from the period's opening.
    async fn export(&self, invoiced: &Invoiced, since_opening: bool) -> PathBuf {
        let name = if since_opening { "since-opening" } else { "whole" };
        let target = self.folder.join(format!("{}-{name}", invoiced.event.number));
        let order = Order {
            tenant: invoiced.tenant.clone(),
            what: Wanted::Period(invoiced.event.period.clone()),
            since_opening,
            unwitnessed: false,
            lines: Vec::new(),
        };
        let exporter = Exporter {
            store: self.store,
            checkpoints: &self.checkpoints,
            witnesses: &[],
            program: "0.1.0",
            patience: Duration::from_secs(5),
        };
        let plan = exporter.plan(&order).await.expect("a closed period");
        exporter.write(&plan, &target, None).await.expect("a bundle");
        target
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_month_leaves_as_bundles_that_both_verifiers_accept() {
    let folder = TempDir::new().expect("a folder");
    let now = clock();
    let file = format!("sqlite:{}", folder.path().join("record.db").display());
    let store = stores::open(&file, now.clone()).await.expect("a store");
    let invoices = sorted(record(&*store, &now, shape()).await.expect("a month"));
    let signer = FileSigner::open(folder.path().join("key"), SITE).expect("a key");
    let key = signer.verifier().clone();
    let history = History::new(folder.path().join("checkpoints"), key.clone());
    let site = Site {
        store: &*store,
        checkpoints: Checkpoints::new(history, Arc::new(signer), SITE),
        folder: folder.path(),
    };
    let mut bundles = Vec::new();
    for invoiced in &invoices {
        for since_opening in [false, true] {
            let bundle = site.export(invoiced, since_opening).await;
            let text = |name: &str| {
                let bytes = std::fs::read(bundle.join(name)).expect("a document");
                String::from_utf8(bytes).expect("text")
            };
            let what = bundle.display();
            assert_eq!(text("lines.csv"), invoiced.lines_csv, "{what}");
            assert_eq!(text("invoice.json"), invoiced.invoice_json, "{what}");
            let verified = verify(&bundle, Some(&key), &mut |_| {});
            verified.unwrap_or_else(|failure| panic!("{what}: {failure:?}"));
            bundles.push(bundle);
        }
    }
    let said = Command::new("python3")
        .arg(PROGRAM)
        .args(["--key", &key.to_text(), "--quiet"])
        .args(&bundles)
        .output()
        .expect("Python");
    let text = String::from_utf8_lossy(&said.stdout);
    assert!(said.status.success(), "{text}\n{}", String::from_utf8_lossy(&said.stderr));
    let verified = text.lines().filter(|line| line.contains("verified")).count();
    assert_eq!(verified, bundles.len(), "{text}");
}
