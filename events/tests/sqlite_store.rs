//! What only a file can show: damage that is found, fences, full queues, and starts that race.

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::Duration;

use dagbook_events::conformance::store::ManualClock;
use dagbook_events::ids::{EventId, Position, StreamName, TenantId};
use dagbook_events::journal::store::{SqliteOptions, SqliteStore, sqlite_schema};
use dagbook_events::journal::verify::{AuditSource, Damage, SignedHead, VerifyReport, verify};
use dagbook_events::ports::{
    Actor, AppendError, AppendRequest, EventStore, Expected, NewEvent, ReadError, StreamAppend,
};
use dagbook_events::time::Timestamp;
use rusqlite::Connection;
use tempfile::TempDir;
use uuid::Uuid;

fn options(folder: &TempDir) -> SqliteOptions {
    let clock = Arc::new(ManualClock::new(Timestamp(1_767_225_600_000)));
    SqliteOptions::new(folder.path().join("record.db"), clock)
}

fn open(folder: &TempDir) -> SqliteStore {
    SqliteStore::open(options(folder)).expect("opened")
}

fn tenant() -> TenantId {
    TenantId::new("acme").expect("a tenant")
}

fn request(stream: &str, events: u128) -> AppendRequest {
    let event = |n: u128| NewEvent {
        id: EventId(Uuid::from_u128(n)),
        kind: Arc::from("thing.happened"),
        at: Timestamp(1),
        actor: Arc::new(Actor::new("user", "ada")),
        causation: None,
        correlation: None,
        traceparent: None,
        data: format!("{{\"n\":{n}}}").into_bytes(),
        blob: None,
    };
    let stream = StreamAppend {
        stream: StreamName::new(stream).expect("a stream"),
        expected: Expected::Any,
        events: (0..events).map(event).collect(),
    };
    AppendRequest { tenant: tenant(), key: None, streams: vec![stream], fence: None }
}

/// A record of ten events in two streams.
async fn ten_events(folder: &TempDir) -> SqliteStore {
    let store = open(folder);
    for n in 0..10 {
        store.append(request(&format!("run/{}", n % 2), 1)).await.expect("appended");
    }
    store
}

/// Runs statements past the fences, as someone with an editor for SQLite files would.
fn tamper(folder: &TempDir, sql: &str) {
    let connection = Connection::open(folder.path().join("record.db")).expect("opened");
    connection
        .execute_batch("DROP TRIGGER event_is_never_updated; DROP TRIGGER event_is_never_deleted;")
        .expect("no fences");
    connection.execute_batch(sql).expect("tampered");
}

async fn findings(store: &SqliteStore, signed: &[SignedHead]) -> VerifyReport {
    verify(store, signed).await.expect("readable")
}

/// A process that dies in the middle of a migration is played by a note about it that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_interrupted_is_made_again() {
    let newest = {
        let folder = TempDir::new().expect("a folder");
        drop(open(&folder));
        sqlite_schema(&folder.path().join("record.db")).expect("a schema").database
    };
    for version in 1..=newest {
        let folder = TempDir::new().expect("a folder");
        let path = folder.path().join("record.db");
        let owner = Connection::open(&path).expect("opened");
        let obstacle = format!(
            "CREATE TABLE refinery_schema_history(
                 version INT4 PRIMARY KEY, name VARCHAR(255), applied_on VARCHAR(255),
                 checksum VARCHAR(255));
             CREATE TRIGGER dies BEFORE INSERT ON refinery_schema_history
             WHEN new.version = {version} BEGIN SELECT RAISE(ABORT, 'it died here'); END"
        );
        owner.execute_batch(&obstacle).expect("an obstacle");
        let refused = SqliteStore::open(options(&folder)).err().expect("it dies").to_string();
        assert!(refused.contains("it died here"), "{refused}");
        owner.execute_batch("DROP TRIGGER dies").expect("no obstacle");
        drop(owner);
        ten_events(&folder).await;
        assert_eq!(sqlite_schema(&path).expect("a schema").database, newest);
    }
}

/// The same where there are events, from the schema of an older program.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_migration_of_a_record_is_made_again_and_what_was_done_stays() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("record.db");
    drop(ten_events(&folder).await);
    let newest = sqlite_schema(&path).expect("a schema").database;
    let owner = Connection::open(&path).expect("opened");
    owner
        .execute_batch(
            "DROP INDEX stream_open; ALTER TABLE stream DROP COLUMN closed;
             DROP TABLE shelf; DROP TABLE shelf_counter;
             DELETE FROM refinery_schema_history WHERE version > 2;
             CREATE TRIGGER dies BEFORE INSERT ON refinery_schema_history
             WHEN new.version = 4 BEGIN SELECT RAISE(ABORT, 'it died here'); END",
        )
        .expect("an older schema, and an obstacle");
    let refused = SqliteStore::open(options(&folder)).err().expect("it dies").to_string();
    assert!(refused.contains("it died here"), "{refused}");
    assert_eq!(sqlite_schema(&path).expect("a schema").database, 3);
    owner.execute_batch("DROP TRIGGER dies").expect("no obstacle");
    drop(owner);
    let store = open(&folder);
    assert_eq!(sqlite_schema(&path).expect("a schema").database, newest);
    assert!(findings(&store, &[]).await.findings.is_empty());
    assert_eq!(store.head().await.expect("a head"), Position(10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_edited_is_seen_where_there_is_nothing_to_do() {
    let folder = TempDir::new().expect("a folder");
    drop(ten_events(&folder).await);
    let owner = Connection::open(folder.path().join("record.db")).expect("opened");
    let edit = "UPDATE refinery_schema_history SET checksum = '7' WHERE version = 1";
    owner.execute_batch(edit).expect("edited");
    let refused = SqliteStore::open(options(&folder)).err().expect("another schema").to_string();
    assert!(refused.contains("schema") && refused.contains("record"), "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_untouched_record_is_clean() {
    let folder = TempDir::new().expect("a folder");
    let store = ten_events(&folder).await;
    let head = store.log_head(&tenant()).await.expect("the log");
    let signed = SignedHead { tenant: tenant(), size: head.size, root: head.root };
    let report = findings(&store, &[signed]).await;
    assert!(report.is_clean(), "{report:?}");
    assert_eq!((report.events, report.checkpoints), (10, 1));
    assert_eq!(report.logs["acme"], head);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_changed_byte_is_found_where_it_is() {
    let folder = TempDir::new().expect("a folder");
    let store = ten_events(&folder).await;
    tamper(
        &folder,
        "UPDATE event SET leaf = CAST(replace(CAST(leaf AS TEXT), '\"n\":0', '\"n\":1') AS BLOB)
         WHERE position = 7",
    );
    let report = findings(&store, &[]).await;
    let first = &report.findings[0];
    assert_eq!((first.position, &first.damage), (Some(7), &Damage::Hash));
    assert_eq!(
        first.to_string(),
        "position 7, tenant acme, stream run/0, \
         the leaf does not have the hash that was stored with it"
    );
    assert!(matches!(report.findings[1].damage, Damage::Root { size: 10, .. }), "{report:?}");
    let read = store.read_after(Position(0), 100).await;
    let refused = matches!(&read, Err(ReadError::Corrupt { position, .. }) if position.0 == 7);
    assert!(refused, "a damaged event is never served: {read:?}");
    assert_eq!(store.read_after(Position(7), 100).await.expect("the rest").len(), 3);
}

/// Whoever changes the hash too is betrayed by the tree, and whoever changes that by what was
/// signed.
#[tokio::test(flavor = "multi_thread")]
async fn a_forged_event_is_betrayed_by_the_tree_and_the_checkpoint() {
    let folder = TempDir::new().expect("a folder");
    let store = open(&folder);
    let mut signed = Vec::new();
    for _ in 0..4 {
        store.append(request("run/0", 2)).await.expect("appended");
        let head = store.log_head(&tenant()).await.expect("the log");
        signed.push(SignedHead { tenant: tenant(), size: head.size, root: head.root });
    }
    let page = store.raw_events(Position(4), 1).await.expect("a row");
    let forged = String::from_utf8(page[0].leaf.clone()).expect("UTF-8").replace("ada", "eve");
    let hash = dagbook_events::tlog::leaf_hash(forged.as_bytes()).to_hex();
    tamper(
        &folder,
        &format!(
            "UPDATE event SET leaf = CAST('{forged}' AS BLOB), leaf_hash = x'{hash}'
             WHERE position = 5"
        ),
    );
    let report = findings(&store, &signed).await;
    assert!(matches!(report.findings.last().expect("found").damage, Damage::Root { .. }));
    let broken: Vec<_> = report
        .findings
        .iter()
        .filter_map(|finding| match finding.damage {
            Damage::Checkpoint { size, intact, .. } => Some((size, intact)),
            _ => None,
        })
        .collect();
    assert_eq!(broken, [(6, 4), (8, 4)], "the change lies behind leaf 4: {report:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_damage_has_its_name() {
    type Check = fn(&Damage) -> bool;
    let cases: [(&str, Option<u64>, Check); 8] = [
        ("DELETE FROM event WHERE position = 4", Some(5), |d| {
            matches!(d, Damage::Gap { number: "position", expected: 4, actual: 5 })
        }),
        ("DELETE FROM event WHERE position = 10", None, |d| {
            matches!(d, Damage::Counter { counter: "size", .. })
        }),
        ("UPDATE event SET stream = 2, version = 9 WHERE position = 3", Some(3), |d| {
            matches!(d, Damage::Column { column: "stream", .. })
        }),
        ("UPDATE event SET version = 77 WHERE position = 9", Some(9), |d| {
            matches!(d, Damage::Gap { number: "version in the stream", actual: 77, .. })
        }),
        ("UPDATE event SET leaf = x'7b7d' WHERE position = 2", Some(2), |d| {
            matches!(d, Damage::Envelope(_))
        }),
        ("UPDATE event SET leaf = CAST(' ' || leaf AS BLOB) WHERE position = 2", Some(2), |d| {
            matches!(d, Damage::NotCanonical(_))
        }),
        ("UPDATE tenant SET frontier = x'00'", None, |d| matches!(d, Damage::Frontier(_))),
        ("UPDATE head SET recorded_at = 5", None, |d| {
            matches!(d, Damage::Counter { counter: "recorded_at", .. })
        }),
    ];
    for (sql, position, check) in cases {
        let folder = TempDir::new().expect("a folder");
        let store = ten_events(&folder).await;
        tamper(&folder, sql);
        let report = findings(&store, &[]).await;
        let found = report.findings.iter().any(|f| f.position == position && check(&f.damage));
        assert!(found, "{sql}: {report:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_signed_and_is_gone_is_missed() {
    let folder = TempDir::new().expect("a folder");
    let store = ten_events(&folder).await;
    let root = store.log_head(&tenant()).await.expect("the log").root;
    let report = findings(&store, &[SignedHead { tenant: tenant(), size: 12, root }]).await;
    assert_eq!(report.findings[0].damage, Damage::Missing { size: 12, actual: 10 });
}

#[tokio::test(flavor = "multi_thread")]
async fn events_can_be_neither_changed_nor_deleted() {
    let folder = TempDir::new().expect("a folder");
    let _store = ten_events(&folder).await;
    let connection = Connection::open(folder.path().join("record.db")).expect("opened");
    for sql in ["UPDATE event SET version = 9", "DELETE FROM event WHERE position = 1"] {
        let error = connection.execute_batch(sql).expect_err("refused").to_string();
        assert!(error.contains("events are never"), "{error}");
    }
}

/// While another process holds the write lock the queue fills, and callers hear of it.
#[tokio::test(flavor = "multi_thread")]
async fn a_full_queue_is_an_answer() {
    let folder = TempDir::new().expect("a folder");
    let mut options = options(&folder);
    options.queue_bytes = 4 * 1_024;
    options.queue_deadline = Duration::from_millis(30);
    let store = Arc::new(SqliteStore::open(options).expect("opened"));
    let other = Connection::open(folder.path().join("record.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let callers: Vec<_> = (0..8)
        .map(|n| {
            let store = Arc::clone(&store);
            tokio::spawn(async move { store.append(request(&format!("run/{n}"), 1)).await })
        })
        .collect();
    let mut callers: std::collections::VecDeque<_> = callers.into();
    let mut busy = 0;
    let mut kept = Vec::new();
    // Four fit; the others are answered while the lock is still held.
    while busy < 4 {
        let mut caller = callers.pop_front().expect("a caller");
        match tokio::time::timeout(Duration::from_millis(50), &mut caller).await {
            Ok(answer) => {
                let answer = answer.expect("no panic");
                assert_eq!(answer, Err(AppendError::Busy { retry_after_ms: 100 }));
                busy += 1;
            }
            Err(_) => callers.push_back(caller),
        }
    }
    other.execute_batch("ROLLBACK").expect("unlocked");
    for caller in callers {
        kept.push(caller.await.expect("no panic").expect("appended").first.0);
    }
    kept.sort_unstable();
    assert_eq!(kept, [1, 2, 3, 4]);
}

/// A writer that cannot get the lock in time says so, and nothing is appended.
#[tokio::test(flavor = "multi_thread")]
async fn a_lock_that_is_never_given_back_is_an_answer() {
    let folder = TempDir::new().expect("a folder");
    let mut options = options(&folder);
    options.busy_timeout = Duration::from_millis(20);
    let store = SqliteStore::open(options).expect("opened");
    let other = Connection::open(folder.path().join("record.db")).expect("opened");
    other.execute_batch("BEGIN IMMEDIATE").expect("locked");
    let outcome = store.append(request("run/a", 1)).await;
    assert!(matches!(outcome, Err(AppendError::Unavailable(_))), "{outcome:?}");
    other.execute_batch("ROLLBACK").expect("unlocked");
    assert_eq!(store.append(request("run/a", 1)).await.expect("appended").first, Position(1));
}

#[test]
fn handles_that_start_together_migrate_once() {
    for _ in 0..5 {
        let folder = TempDir::new().expect("a folder");
        let barrier = Barrier::new(6);
        std::thread::scope(|scope| {
            for _ in 0..6 {
                scope.spawn(|| {
                    barrier.wait();
                    drop(open(&folder));
                });
            }
        });
        let files = std::fs::read_dir("../migrations/sqlite").expect("migrations").count();
        let applied = count(folder.path(), "SELECT count(*) FROM refinery_schema_history");
        assert_eq!(applied, i64::try_from(files).expect("a few"));
        assert_eq!(count(folder.path(), "SELECT count(*) FROM head"), 1);
    }
}

fn count(folder: &Path, sql: &str) -> i64 {
    let connection = Connection::open(folder.join("record.db")).expect("opened");
    connection.query_row(sql, [], |row| row.get(0)).expect("counted")
}

#[test]
fn a_newer_schema_is_refused_with_advice() {
    let folder = TempDir::new().expect("a folder");
    drop(open(&folder));
    let connection = Connection::open(folder.path().join("record.db")).expect("opened");
    connection
        .execute_batch(
            "INSERT INTO refinery_schema_history
             SELECT 999, 'from_the_future', applied_on, '1' FROM refinery_schema_history
             WHERE version = 1",
        )
        .expect("inserted");
    let error = SqliteStore::open(options(&folder)).err().expect("refused").to_string();
    assert!(error.contains("a newer program has migrated it"), "{error}");
    assert!(error.contains("has schema 999"), "{error}");
}

#[test]
fn a_folder_that_is_missing_and_a_file_that_is_no_database_are_named() {
    let folder = TempDir::new().expect("a folder");
    let mut options = options(&folder);
    options.path = folder.path().join("missing/record.db");
    let error = SqliteStore::open(options.clone()).err().expect("refused").to_string();
    assert!(error.contains("missing/record.db"), "{error}");
    options.path = folder.path().join("text.db");
    std::fs::write(&options.path, "not a database, but long enough to be taken for one")
        .expect("written");
    let error = SqliteStore::open(options).err().expect("refused").to_string();
    assert!(error.contains("text.db"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_an_older_program_learns_which_of_its_streams_are_open() {
    let folder = TempDir::new().expect("a folder");
    let store = ten_events(&folder).await;
    let mut closing = request("run/1", 2);
    closing.streams[0].events[0].kind = Arc::from("run.finished");
    store.append(closing).await.expect("closed");
    // Neither the words of another event nor one of its names closes a stream.
    let mut misleading = request("run/0", 1);
    misleading.streams[0].events[0].data =
        br#"{"said":",\"ty\":\"run.finished\",\"v\":1}","ty":"run.finished","v":1}"#.to_vec();
    store.append(misleading).await.expect("appended");
    let open_before = store.open_streams("", None, 10).await.expect("open streams");
    assert_eq!(open_before.len(), 1);
    drop(store);
    let file = Connection::open(folder.path().join("record.db")).expect("opened");
    file.execute_batch(
        "DROP INDEX stream_open;
         ALTER TABLE stream DROP COLUMN closed;
         DELETE FROM refinery_schema_history WHERE name = 'open_streams';",
    )
    .expect("taken back");
    drop(file);
    let again = open(&folder);
    assert_eq!(again.open_streams("", None, 10).await.expect("open streams"), open_before);
}
