//! Closed periods with their invoices.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use dagbook_events::billing::BillingEvent;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::bundle::export::{ExportError, Order, rate_again};
use dagbook_events::journal::bundle::manifest::Kind;
use dagbook_events::tlog::{Checkpoint, Note, leaf_hash, parse_entries, verify_inclusion};

use super::billed::{self, check, check_by_python, closed, export, order};
use super::record_support::Record;

/// All files of a folder, by path.
pub fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in fs::read_dir(at).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below").to_string_lossy().into_owned();
            found.insert(name, fs::read(path).expect("readable"));
        }
    }
    found
}

#[tokio::test]
async fn a_closed_period_is_exported_with_its_invoice_and_both_verifiers_accept_it() {
    let record = Record::new();
    record.append("acme", 3).await;
    record
        .checkpoints()
        .write(record.store.as_ref(), &order("acme").tenant, 1)
        .await
        .expect("signed");
    let event = closed(&record, "acme", 60).await;
    let target = record.folder.path().join("bundle");
    let exported = export(&record, &order("acme"), &target).await.expect("exported");
    assert_eq!(exported.manifest.kind, Kind::Invoice);
    assert_eq!(exported.manifest.log.start.size, 3, "the checkpoint before the period");
    let there = files(&target);
    let total: u64 = there.values().map(|bytes| bytes.len() as u64).sum();
    assert_eq!(total, exported.bytes);
    for path in [
        "checkpoint",
        "start.checkpoint",
        "consistency.proof",
        "usage.csv",
        "lines.csv",
        "invoice.json",
        "credit_notes/acme-c-000001.json",
        "ratecards/standard.3.yaml",
        "contracts/acme.1.json",
        "focus/cost_and_usage.csv",
        "verify.py",
        "VERIFY.md",
    ] {
        assert!(there.contains_key(path), "{path} is missing: {:?}", there.keys());
    }
    assert_eq!(Sha256Digest::of(&there["invoice.json"]), event.invoice);
    let verified = check(&record, &target).expect("accepted");
    assert_eq!(verified.manifest.control.total_minor, Some(event.total_minor.to_string()));
    let (accepted, said) = check_by_python(&target);
    assert!(accepted, "{said}");
}

#[tokio::test]
async fn the_same_log_under_the_same_checkpoint_gives_the_same_bytes() {
    let record = Record::new();
    closed(&record, "acme", 40).await;
    let (one, two) = (record.folder.path().join("one"), record.folder.path().join("two"));
    let lines = vec!["000001".to_string()];
    let order = Order { lines, ..order("acme") };
    export(&record, &order, &one).await.expect("exported");
    export(&record, &order, &two).await.expect("exported");
    assert!(files(&one) == files(&two));
}

#[tokio::test]
async fn what_is_left_out_before_the_opening_does_not_change_the_bill() {
    let record = Record::new();
    for _ in 0..3 {
        record.append("acme", 300).await;
    }
    let event = closed(&record, "acme", 20).await;
    let (whole, since) = (record.folder.path().join("whole"), record.folder.path().join("since"));
    let trimmed = Order { since_opening: true, ..order("acme") };
    export(&record, &order("acme"), &whole).await.expect("exported");
    let exported = export(&record, &trimmed, &since).await.expect("exported");
    assert_eq!(exported.manifest.log.first, 768);
    let (whole, fewer) = (files(&whole), files(&since));
    assert!(fewer.len() < whole.len());
    for path in ["usage.csv", "lines.csv", "invoice.json"] {
        assert!(whole[path] == fewer[path], "{path}");
    }
    let verified = check(&record, &since).expect("accepted");
    assert_eq!(verified.manifest.control.total_minor, Some(event.total_minor.to_string()));
    let (accepted, said) = check_by_python(&since);
    assert!(accepted, "{said}");
}

#[tokio::test]
async fn what_was_left_out_and_matters_after_all_is_said_and_not_called_damage() {
    let record = Record::new();
    let run = "run/00000000-0000-7000-9000-00000000000a";
    let ended = |ran_ms| billed::exited("late", 77, billed::START, ran_ms, "none");
    billed::append(&record, "acme", run, &[ended(1_000)]).await;
    record.append("acme", 300).await;
    billed::open(&record, "acme", 4).await;
    // Something else is said of it, which the whole log knows for a contradiction.
    billed::append(&record, "acme", run, &[ended(2_000)]).await;
    let event = billed::closing(&record, "acme").await;
    billed::bill(&record, "acme", BillingEvent::PeriodClosed(event)).await;
    let whole = record.folder.path().join("whole");
    export(&record, &order("acme"), &whole).await.expect("exported");
    check(&record, &whole).expect("accepted");
    let since = record.folder.path().join("since");
    let trimmed = Order { since_opening: true, ..order("acme") };
    let error = export(&record, &trimmed, &since).await.expect_err("it cannot be judged");
    assert!(matches!(error, ExportError::TooMuch(_)), "{error}");
    assert!(error.to_string().contains("export it whole"), "{error}");
    assert!(!since.exists());
}

#[tokio::test]
async fn earlier_tiles_are_there_where_prices_were_recorded_in_them() {
    let record = Record::new();
    billed::open(&record, "acme", 0).await;
    for _ in 0..4 {
        record.append("acme", 300).await;
    }
    let event = billed::closing(&record, "acme").await;
    billed::bill(&record, "acme", BillingEvent::PeriodClosed(event)).await;
    // As if nothing before mattered: what was recorded says so for the next period.
    let whole = record.folder.path().join("whole");
    let exported = export(&record, &order("acme"), &whole).await.expect("exported");
    assert!(exported.manifest.log.tiles.is_empty());
    let later = record.folder.path().join("later");
    let order = Order {
        what: dagbook_events::journal::bundle::export::Wanted::Between { from: None, to: None },
        ..order("acme")
    };
    export(&record, &order, &later).await.expect("exported");
    check(&record, &later).expect("accepted");
}

#[tokio::test]
async fn a_line_leads_to_its_leaves_by_proofs_that_lead_to_the_checkpoint() {
    let record = Record::new();
    closed(&record, "acme", 30).await;
    let target = record.folder.path().join("bundle");
    let lines = vec!["000001".to_string(), "000002".to_string()];
    let proven = Order { lines, ..order("acme") };
    export(&record, &proven, &target).await.expect("exported");
    check(&record, &target).expect("accepted");
    let there = files(&target);
    let leaves = record.leaves("acme").await;
    let text = String::from_utf8(there["proofs/000001.tlog-proof"].clone()).expect("text");
    let proofs: Vec<&str> =
        text.split("c2sp.org/tlog-proof@v1\n").filter(|it| !it.is_empty()).collect();
    assert!(proofs.len() > 10, "{}", proofs.len());
    for proof in proofs {
        let (head, note) = proof.split_once("\n\n").expect("an empty line");
        let mut lines = head.lines();
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).expect("an index");
        let index: u64 = index.parse().expect("a number");
        let path: Vec<Sha256Digest> = lines
            .map(|line| {
                STANDARD.decode(line).expect("base64").try_into().map(Sha256Digest).expect("a hash")
            })
            .collect();
        let note = Note::parse(note.as_bytes()).expect("a note");
        let head = Checkpoint::parse(&note.text).expect("a checkpoint");
        let leaf = leaf_hash(&leaves[index as usize]);
        verify_inclusion(&leaf, index, head.size, &path, &head.root).expect("included");
        let text = std::str::from_utf8(&leaves[index as usize]).expect("text");
        assert!(text.contains("attempt.exited"), "{text}");
    }
    let unknown = Order { lines: vec!["000099".to_string()], ..order("acme") };
    let refused = export(&record, &unknown, &record.folder.path().join("no")).await;
    assert!(matches!(refused, Err(ExportError::NoLine { .. })), "{refused:?}");
}

#[tokio::test]
async fn a_closing_that_its_leaves_do_not_give_is_not_exported() {
    let record = Record::new();
    billed::open(&record, "acme", 5).await;
    let mut event = billed::closing(&record, "acme").await;
    event.lines = Sha256Digest::of(b"others");
    billed::bill(&record, "acme", BillingEvent::PeriodClosed(event)).await;
    let target = record.folder.path().join("bundle");
    let refused = export(&record, &order("acme"), &target).await;
    let Err(ExportError::Damaged(reason)) = refused else { panic!("{refused:?}") };
    assert!(reason.contains("`lines`"), "{reason}");
    let left: Vec<_> = fs::read_dir(record.folder.path())
        .expect("readable")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().contains("bundle"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
}

#[tokio::test]
async fn a_period_that_is_open_or_unknown_is_refused_with_what_there_is() {
    let record = Record::new();
    billed::open(&record, "acme", 1).await;
    let target = record.folder.path().join("bundle");
    let open = export(&record, &order("acme"), &target).await;
    assert!(matches!(open, Err(ExportError::Open { .. })), "{open:?}");
    let what = dagbook_events::journal::bundle::export::Wanted::Period("2031-01".to_string());
    let unknown = export(&record, &Order { what, ..order("acme") }, &target).await;
    let Err(ExportError::NoPeriod { known, .. }) = unknown else { panic!("{unknown:?}") };
    assert!(known.contains(billed::PERIOD), "{known}");
}

/// Entries of a bundle, by their place.
pub fn entries(there: &BTreeMap<String, Vec<u8>>) -> Vec<Vec<u8>> {
    let tiles = there.iter().filter(|(path, _)| path.starts_with("tile/entries/"));
    tiles
        .flat_map(|(_, bytes)| {
            parse_entries(bytes).expect("entries").into_iter().map(<[u8]>::to_vec)
        })
        .collect()
}

#[tokio::test]
async fn closed_periods_are_rated_again_and_what_differs_is_named() {
    let record = Record::new();
    closed(&record, "acme", 30).await;
    let scratch = record.folder.path().join("scratch");
    let origin = |timeline: u64| format!("{}/t/acme/{timeline}", super::record_support::SITE);
    let acme = order("acme").tenant;
    let again = rate_again(record.store.as_ref(), &acme, origin, &scratch).await.expect("rated");
    assert_eq!((again.periods, again.findings.len()), (1, 0), "{:?}", again.findings);

    billed::open(&record, "umbrella", 30).await;
    let mut event = billed::closing(&record, "umbrella").await;
    event.total_minor.0 += 1;
    event.root = Sha256Digest::of(b"another");
    billed::bill(&record, "umbrella", BillingEvent::PeriodClosed(event)).await;
    let origin = |timeline: u64| format!("{}/t/umbrella/{timeline}", super::record_support::SITE);
    let umbrella = order("umbrella").tenant;
    let again =
        rate_again(record.store.as_ref(), &umbrella, origin, &scratch).await.expect("rated");
    let kinds: Vec<&str> = again.findings.iter().map(|it| it.kind.as_str()).collect();
    assert!(kinds.contains(&"root"), "{:?}", again.findings);
    let names = again.findings.iter().any(|it| it.detail.contains("`total_minor`"));
    assert!(names, "{:?}", again.findings);
    assert!(!scratch.exists(), "what was sorted is gone");
}
