//! Streams that nothing has closed: found by an index, and known of older records, too.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::Position;
use dagbook_events::journal::store::postgres::{migrate, schema_version};
use dagbook_events::ports::{EventStore, Expected};

use super::subject::{Server, open, request, url};

/// Makes of a database one that has the schema of an older program, its second.
const BACK_TO_TWO: &str = "
    DROP TABLE archive_log, archive_stream, archive;
    DROP FUNCTION archive_let_go(bigint, bigint), archive_is_right(),
        append_keys_forget(bigint, bigint);
    DROP INDEX append_key_age, stream_open;
    ALTER TABLE stream DROP COLUMN closed;
    DELETE FROM refinery_schema_history WHERE name IN ('open_streams', 'archive')";

/// A request whose last event closes its stream.
fn closing(name: &str) -> dagbook_events::ports::AppendRequest {
    let mut request = request(name, Expected::Any, 2);
    request.streams[0].events[1].kind = Arc::from("run.finished");
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn a_record_of_an_older_program_learns_which_of_its_streams_are_open() {
    let server = Server::debian();
    let database = server.database();
    let mut options = server.options(&database);
    options.partition_width = 10;
    let store = open(options.clone()).await;
    for n in 0..20 {
        store.append(request(&format!("run/{n}"), Expected::New, 2)).await.expect("appended");
    }
    for n in (0..20).filter(|n| n % 3 != 0) {
        store.append(closing(&format!("run/{n}"))).await.expect("closed");
    }
    store.append(request("run/1", Expected::Any, 1)).await.expect("a late report");
    let mut misleading = request("run/3", Expected::Any, 1);
    let said = r#"{"said":",\"ty\":\"run.finished\",\"v\":1}","ty":"run.finished","v":1}"#;
    misleading.streams[0].events[0].data = said.as_bytes().to_vec();
    store.append(misleading).await.expect("appended");
    let before = store.open_streams("run/", None, 100).await.expect("open streams");
    assert_eq!(before.len(), 7);
    drop(store);
    server.ask(&database, BACK_TO_TWO);
    let address = url(&server.server.url_of(&database));
    let done = migrate(&address, Duration::from_secs(30)).expect("migrated");
    assert!(done.applied.iter().any(|it| it.name == "open_streams"), "{done:?}");
    let store = open(options).await;
    assert_eq!(store.open_streams("run/", None, 100).await.expect("open streams"), before);
}

/// A process that dies in the middle of a migration is played by a note about it that is refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_that_was_interrupted_is_made_again_and_what_was_done_stays() {
    let server = Server::debian();
    let dies = |version: u32| {
        format!(
            "CREATE TABLE IF NOT EXISTS refinery_schema_history(
                 version int4 PRIMARY KEY, name varchar(255), applied_on varchar(255),
                 checksum varchar(255));
             ALTER TABLE refinery_schema_history
             ADD CONSTRAINT dies CHECK (version <> {version})"
        )
    };
    let goes_on = "ALTER TABLE refinery_schema_history DROP CONSTRAINT dies";
    let patience = Duration::from_secs(30);
    // Version 0 is an empty database, where nothing stays of what was begun.
    for (from, at, left) in [(0, 1, 0), (0, 3, 0), (2, 3, 2), (2, 4, 3)] {
        let database = if from > 0 { server.database() } else { format!("empty_{at}") };
        let (options, address) = (server.options(&database), server.server.url_of(&database));
        if from > 0 {
            let store = open(server.options(&database)).await;
            store.append(request("run/1", Expected::Any, 3)).await.expect("appended");
            server.ask(&database, BACK_TO_TWO);
        } else {
            server.server.database(&database);
        }
        server.ask(&database, &dies(at));
        let refused = migrate(&url(&address), patience).expect_err("it dies").to_string();
        assert!(refused.contains("dies"), "{refused}");
        assert_eq!(schema_version(&url(&address)).expect("a schema").database, left);
        server.ask(&database, goes_on);
        let done = migrate(&url(&address), patience).expect("migrated");
        assert_eq!(done.applied.first().map(|one| one.version), Some(left + 1));
        let store = open(options).await;
        let before = if from > 0 { 3 } else { 0 };
        assert_eq!(store.head().await.expect("a head"), Position(before));
        store.append(request("run/2", Expected::New, 1)).await.expect("appended");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_open_is_found_without_a_look_at_what_is_closed() {
    let server = Server::debian();
    let database = server.database();
    let store = open(server.options(&database)).await;
    for n in 0..30 {
        store.append(closing(&format!("run/{n}"))).await.expect("closed");
    }
    // Many more, as a record has after years.
    server.ask(
        &database,
        "INSERT INTO stream (id, tenant, name, size, first_position, last_position, closed)
         SELECT 1000 + n, 1, 'run/old-' || n, 1, 1, 1, true FROM generate_series(1, 20000) AS n;
         ANALYZE stream",
    );
    store.append(request("run/alive", Expected::New, 1)).await.expect("appended");
    for (file, types, values) in [
        ("streams_open_of_kind", "text, text, text, text, bigint", "'run', 'run/', NULL, NULL, 9"),
        (
            "streams_open_of_kind",
            "text, text, text, text, bigint",
            "'run', 'run/', 'acme', 'run/7', 9",
        ),
        ("streams_open", "text, text, text, bigint", "'', NULL, NULL, 9"),
    ] {
        let path = format!(
            "{}/../events/src/journal/store/postgres/sql/{file}.sql",
            env!("CARGO_MANIFEST_DIR")
        );
        let sql = std::fs::read_to_string(path).expect("the statement of the store");
        let script = format!(
            "SET plan_cache_mode = force_generic_plan;
             PREPARE ask ({types}) AS {sql};
             EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE ask ({values})"
        );
        let plan = server.ask(&database, &script).join("\n");
        assert!(plan.contains("stream_open"), "{file}:\n{plan}");
        assert!(!plan.contains("Seq Scan on stream"), "{file}:\n{plan}");
    }
    let open = store.open_streams("run/", None, 9).await.expect("open streams");
    assert_eq!(open.len(), 1);
}
