//! The writing process is killed and another one goes on.

use std::sync::Arc;
use std::time::Duration;

use dagbook_tests::servers::{Postgres, PostgresVersion};
use dagbook_tests::workload::{Ledger, Tail, WriterProcess};

use crate::support::{SOON, assert_sound, chance, deep, open, sqlite};

const WRITER: &str = env!("CARGO_BIN_EXE_record-writer");

/// Kills writers at random moments; the last one gets to its end.
pub async fn writers_are_killed(address: &str, rounds: u64, events: u64) {
    let (seed, mut chance) = chance("kill");
    let store = open(address).await;
    let ledger = Arc::new(Ledger::default());
    let tail = Tail::start(Arc::clone(&store) as _);
    for round in 0..rounds {
        let before = ledger.events();
        let writer = WriterProcess::start(WRITER, address, seed, 24, u64::MAX, &ledger);
        // It must be at work before it is killed in the middle of something.
        let reached = ledger.reached(before + 1 + chance.below(200));
        let _ = tokio::time::timeout(SOON, reached).await;
        tokio::time::sleep(Duration::from_micros(chance.below(20_000))).await;
        writer.kill();
        assert!(ledger.events() > before, "round {round}: the writer recorded nothing");
    }
    let enough = ledger.events() + events;
    WriterProcess::start(WRITER, address, seed, 24, enough, &ledger).finish();
    let head = store.head().await.expect("a head");
    assert!(head.0 >= ledger.events());
    let seen = tail.finish(head).await;
    assert_sound(store.as_ref(), &ledger, Some(&seen)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_what_killed_writers_were_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let rounds = if deep() { 60 } else { 6 };
    writers_are_killed(&sqlite(folder.path()), rounds, 500).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_what_killed_writers_were_told() {
    let server = Postgres::start(PostgresVersion::Debian);
    let rounds = if deep() { 60 } else { 6 };
    writers_are_killed(&server.database("record"), rounds, 500).await;
}
