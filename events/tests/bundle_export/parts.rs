//! Histories: a part of the log, and nothing of money.

use std::fs;
use std::time::Duration;

use dagbook_events::journal::bundle::export::{ExportError, Exporter, Order, Progress, Wanted};
use dagbook_events::journal::bundle::manifest::Kind;
use dagbook_events::ports::EventStore as _;
use dagbook_events::time::Timestamp;
use tokio::sync::mpsc;

use super::billed::{END, START, check, check_by_python, closed, export, order};
use super::invoices::files;
use super::record_support::Record;

fn between(from: Option<i64>, to: Option<i64>) -> Order {
    let what = Wanted::Between { from: from.map(Timestamp), to: to.map(Timestamp) };
    Order { what, ..order("acme") }
}

#[tokio::test]
async fn a_history_has_what_was_recorded_between_two_instants_and_verifies() {
    let record = Record::new();
    record.append("acme", 600).await;
    record.clock.set(Timestamp(END + 60_000));
    let from = record.store.log_head(&order("acme").tenant).await.expect("readable").size;
    record.append("acme", 40).await;
    record.clock.set(Timestamp(END + 120_000));
    let order = between(Some(END + 30_000), Some(END + 90_000));
    let target = record.folder.path().join("history");
    let exported = export(&record, &order, &target).await.expect("exported");
    assert_eq!(exported.manifest.kind, Kind::History);
    assert_eq!(exported.manifest.log.first, from - from % 256);
    assert_eq!(exported.manifest.control.events, 640 - 512);
    check(&record, &target).expect("accepted");
    let (accepted, said) = check_by_python(&target);
    assert!(accepted, "{said}");
    let nothing = export(&record, &between(Some(END + 90_000), None), &target).await;
    assert!(matches!(nothing, Err(ExportError::Nothing(_))), "{nothing:?}");
}

#[tokio::test]
async fn the_bounds_of_a_closed_period_give_its_invoice() {
    let record = Record::new();
    closed(&record, "acme", 5).await;
    let target = record.folder.path().join("bundle");
    let order = between(Some(START), Some(END));
    let exported = export(&record, &order, &target).await.expect("exported");
    assert_eq!(exported.manifest.kind, Kind::Invoice);
}

#[tokio::test]
async fn a_folder_with_something_in_it_is_never_touched() {
    let record = Record::new();
    record.append("acme", 10).await;
    let target = record.folder.path().join("mine");
    fs::create_dir(&target).expect("made");
    fs::write(target.join("letter.txt"), "dear").expect("written");
    let refused = export(&record, &between(None, None), &target).await;
    assert!(matches!(refused, Err(ExportError::NotEmpty(_))), "{refused:?}");
    assert_eq!(files(&target).len(), 1);
    let empty = record.folder.path().join("empty");
    fs::create_dir(&empty).expect("made");
    export(&record, &between(None, None), &empty).await.expect("exported");
    check(&record, &empty).expect("accepted");
}

#[tokio::test]
async fn an_export_that_is_given_up_leaves_nothing() {
    let record = Record::new();
    for _ in 0..10 {
        record.append("acme", 500).await;
    }
    let checkpoints = record.checkpoints();
    let exporter = Exporter {
        store: record.store.as_ref(),
        checkpoints: &checkpoints,
        witnesses: &[],
        program: "0.1.0",
        patience: Duration::from_secs(5),
    };
    let plan = exporter.plan(&between(None, None)).await.expect("a plan");
    let above = record.folder.path().join("above");
    fs::create_dir(&above).expect("made");
    let (tell, mut heard) = mpsc::channel(1);
    let target = above.join("bundle");
    let writing = exporter.write(&plan, &target, Some(tell));
    let listening = async move {
        for _ in 0..3 {
            let heard: Option<Progress> = heard.recv().await;
            assert!(heard.is_some());
        }
    };
    let (written, ()) = tokio::join!(writing, listening);
    assert!(matches!(written, Err(ExportError::GivenUp)), "{written:?}");
    assert_eq!(fs::read_dir(&above).expect("readable").count(), 0);
}

#[tokio::test]
async fn cosignatures_that_do_not_come_are_named_and_may_be_done_without() {
    let record = Record::new();
    record.append("acme", 10).await;
    let checkpoints = record.checkpoints();
    let folder = record.folder.path().join("witness");
    let cosigner = dagbook_events::journal::keys::FileCosigner::open(folder, "w.example");
    let witnesses = [cosigner.expect("a key").verifier().clone()];
    let exporter = Exporter {
        store: record.store.as_ref(),
        checkpoints: &checkpoints,
        witnesses: &witnesses,
        program: "0.1.0",
        patience: Duration::from_millis(10),
    };
    let refused = exporter.plan(&between(None, None)).await;
    assert!(matches!(refused, Err(ExportError::Unwitnessed { size: 10, .. })), "{refused:?}");
    let order = Order { unwitnessed: true, ..between(None, None) };
    let plan = exporter.plan(&order).await.expect("a plan");
    let target = record.folder.path().join("bundle");
    exporter.write(&plan, &target, None).await.expect("written");
    check(&record, &target).expect("accepted");
    let (accepted, said) = check_by_python(&target);
    assert!(accepted, "{said}");
}
