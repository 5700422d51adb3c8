//! Events cannot be changed, and one that was changed all the same is never served.

use dagbook_events::ids::Position;
use dagbook_events::journal::verify::{Damage, verify};
use dagbook_events::ports::{EventStore, Expected, ReadError};

use super::subject::{Server, open, request};

#[tokio::test(flavor = "multi_thread")]
async fn events_can_be_neither_changed_nor_deleted_by_anybody() {
    let server = Server::debian();
    let database = server.database();
    let mut options = server.options(&database);
    options.partition_width = 4;
    let store = open(options).await;
    store.append(request("run/a", Expected::New, 6)).await.expect("appended");
    // As the owner of the tables, on the whole and on each part, and those who look away.
    for table in ["event", "event_from_1", "event_from_5"] {
        for (sql, done) in [
            (format!("UPDATE {table} SET version = 9"), "updated"),
            (format!("UPDATE {table} SET leaf = leaf"), "updated"),
            (format!("DELETE FROM {table}"), "deleted"),
            (format!("TRUNCATE {table}"), "truncated"),
            (format!("TRUNCATE {table} CASCADE"), "truncated"),
        ] {
            let refused = server.try_ask(&database, &sql).expect_err("refused");
            assert_eq!(refused, format!("events are never {done}"), "{sql}");
        }
    }
    let upsert = "INSERT INTO event SELECT * FROM event ON CONFLICT (position) DO UPDATE
                  SET version = 7";
    let refused = server.try_ask(&database, upsert).expect_err("refused");
    assert_eq!(refused, "events are never updated");
    assert_eq!(store.read_after(Position(0), 10).await.expect("all").len(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_leaf_is_named_and_never_served() {
    let server = Server::debian();
    let database = server.database();
    let store = open(server.options(&database)).await;
    for n in 0..10 {
        let ask = request(&format!("run/{}", n % 2), Expected::Any, 1);
        store.append(ask).await.expect("appended");
    }
    let report = verify(&*store, &[]).await.expect("readable");
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.events, 10);
    // Someone with all rights, who takes the fence down first.
    server.ask(
        &database,
        "ALTER TABLE event DISABLE TRIGGER USER;
         UPDATE event SET leaf = convert_to(replace(convert_from(leaf, 'UTF8'), 'ada', 'eve'), 'UTF8')
         WHERE position = 7;",
    );
    let read = store.read_after(Position(0), 100).await;
    let refused = matches!(&read, Err(ReadError::Corrupt { position, .. }) if position.0 == 7);
    assert!(refused, "{read:?}");
    assert_eq!(store.read_after(Position(7), 100).await.expect("the rest").len(), 3);
    let report = verify(&*store, &[]).await.expect("readable");
    let first = &report.findings[0];
    assert_eq!((first.position, &first.damage), (Some(7), &Damage::Hash));
}
