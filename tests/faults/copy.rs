//! The second copy loses its tail or is deleted, and the record is put back to an older state.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use dagbook_events::journal::GuardState;
use dagbook_events::ports::{AppendError, EventStore};
use dagbook_tests::servers::{NatsVersion, eventually};
use dagbook_tests::workload::{Entry, Ledger, Load, Script, compare_with_copy};

use crate::site::{Running, Site};
use crate::support::{SOON, assert_sound, chance};

async fn assert_copied(running: &Running, timeline: u64) {
    running.caught_up().await;
    let store: &dyn EventStore = running.store.as_ref();
    let differences = compare_with_copy(store, running.copy.as_ref(), timeline).await;
    assert!(differences.is_empty(), "{}", differences.join("\n"));
    assert_eq!(running.guard.state(), GuardState::Open);
}

fn copy_folder(from: &Path, to: &Path) {
    let mut command = std::process::Command::new("cp");
    command.arg("--archive").arg(from).arg(to);
    assert!(command.status().expect("cp").success(), "copying {}", from.display());
}

/// Files of messages, the newest last.
fn blocks(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "blk")
                && path.to_string_lossy().contains("DAGBOOK_EVENTS")
            {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// A copy that was killed comes back as it was some time before.
async fn the_tail_is_lost(version: NatsVersion) {
    let (seed, _) = chance("tail");
    let mut site = Site::new(version);
    let running = site.run().await;
    let ledger = Arc::new(Ledger::default());
    Load::new(seed, 16, 1_500).run(running.events(), Arc::clone(&ledger)).await;
    running.caught_up().await;
    let before = running.copied(1).await;
    site.nats.kill();
    let older = tempfile::tempdir().expect("a folder");
    copy_folder(&site.nats.store(), &older.path().join("store"));
    site.nats.restart();

    Load::new(seed, 16, 3_000).run(running.events(), Arc::clone(&ledger)).await;
    running.caught_up().await;
    site.nats.kill();
    std::fs::remove_dir_all(site.nats.store()).expect("the store of a killed server");
    copy_folder(&older.path().join("store"), &site.nats.store());
    site.nats.restart();
    let copy = site.copy().await;
    let lost = dagbook_events::ports::RecordCopy::last(copy.as_ref(), 1).await;
    assert!(lost.expect("the copy answers") >= before);

    Load::new(seed, 16, 3_500).run(running.events(), Arc::clone(&ledger)).await;
    assert_copied(&running, 1).await;
    running.cosigned().await;
    assert_sound(running.store.as_ref(), &ledger, None).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tail_is_published_again_to_the_current_server() {
    the_tail_is_lost(NatsVersion::Current).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_tail_is_published_again_to_debians_server() {
    the_tail_is_lost(NatsVersion::Debian).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_whose_last_block_was_torn_is_made_whole() {
    let (seed, mut chance) = chance("torn");
    let mut site = Site::new(NatsVersion::Current);
    let running = site.run().await;
    let ledger = Arc::new(Ledger::default());
    for round in 1..=4 {
        Load::new(seed, 16, round * 400).run(running.events(), Arc::clone(&ledger)).await;
        running.caught_up().await;
        site.nats.kill();
        let block = blocks(&site.nats.store()).pop().expect("a block of messages");
        let length = std::fs::metadata(&block).expect("a file").len();
        let file = std::fs::File::options().write(true).open(&block).expect("a file");
        file.set_len(length - length.min(1 + chance.below(20_000))).expect("a shorter file");
        drop(file);
        site.nats.restart();
        assert_copied(&running, 1).await;
    }
    assert_sound(running.store.as_ref(), &ledger, None).await;
    running.cosigned().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_stream_is_made_again_from_the_record() {
    let (seed, _) = chance("deleted");
    let site = Site::new(NatsVersion::Current);
    let running = site.run().await;
    let ledger = Arc::new(Ledger::default());
    Load::new(seed, 16, 1_500).run(running.events(), Arc::clone(&ledger)).await;
    running.caught_up().await;
    let client = async_nats::connect(site.nats.url()).await.expect("the server answers");
    let jetstream = async_nats::jetstream::new(client);
    jetstream.delete_stream("DAGBOOK_EVENTS_t1").await.expect("a stream can be deleted");
    // Nothing is appended: it is noticed all the same.
    assert_copied(&running, 1).await;
    Load::new(seed, 16, 2_000).run(running.events(), Arc::clone(&ledger)).await;
    assert_copied(&running, 1).await;
    assert_sound(running.store.as_ref(), &ledger, None).await;
    running.cosigned().await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_put_back_to_an_older_backup_refuses_until_a_new_timeline_begins() {
    let (seed, _) = chance("backup");
    let mut site = Site::new(NatsVersion::Current);
    let running = site.run().await;
    let ledger = Arc::new(Ledger::default());
    Load::new(seed, 16, 1_000).run(running.events(), Arc::clone(&ledger)).await;
    let backup = tokio::task::block_in_place(|| site.postgres.base_backup());
    Load::new(seed, 16, 2_000).run(running.events(), Arc::clone(&ledger)).await;
    running.caught_up().await;
    let copied = running.copied(1).await;
    running.stop().await;
    tokio::task::block_in_place(|| site.postgres.restore(&backup));

    // The server comes up, refuses, and says why and what to do.
    let running = site.run_with_relay_only().await;
    let head = running.store.head().await.expect("a head");
    assert!(head < copied, "the backup is older");
    let planned = Script::new(seed, 5_000, 1).plan();
    let refused = || async {
        match running.store.append(planned.append.clone()).await {
            Err(AppendError::Halted(reason)) => Some(reason),
            Err(AppendError::Unavailable(_)) => None,
            other => panic!("it must refuse: {other:?}"),
        }
    };
    let reason = eventually("the record to be halted", SOON, refused).await;
    for part in [copied.to_string(), head.to_string(), "begin a new timeline".to_string()] {
        assert!(reason.contains(&part), "`{part}` is missing: {reason}");
    }
    assert_eq!(running.copied(1).await, copied, "nothing was added to the copy");
    assert_eq!(running.store.head().await.expect("a head"), head, "nothing was recorded");

    // Whoever signs knows by itself that there was more.
    running.stop().await;
    let running = site.run().await;
    let halted = || async {
        let refused = running.store.append(planned.append.clone()).await;
        matches!(refused, Err(AppendError::Halted(_))).then_some(())
    };
    eventually("the record to be halted", SOON, halted).await;
    assert_eq!(running.store.head().await.expect("a head"), head, "nothing was recorded");

    // The runbook: what is missing is lost, so a new timeline begins, and the server restarts.
    assert_eq!(running.store.begin_timeline(1).await.expect("a new timeline"), 2);
    running.stop().await;
    let running = site.run().await;
    let kept = Arc::new(Ledger::default());
    let survives = |entry: &Entry| match entry {
        Entry::Acknowledged(entry) => entry.last <= head.0,
        Entry::Refused { .. } => true,
    };
    ledger.entries().into_iter().filter(survives).for_each(|entry| kept.enter(entry));
    let load = Load { first_caller: 1_000, ..Load::new(seed, 16, kept.events() + 1_000) };
    load.run(running.events(), Arc::clone(&kept)).await;
    assert_eq!(kept.stopped(), None);
    assert_copied(&running, 2).await;
    assert_sound(running.store.as_ref(), &kept, None).await;
    running.cosigned().await;
    assert_eq!(running.copied(1).await, copied, "the old timeline stays as evidence");
    running.stop().await;
}
