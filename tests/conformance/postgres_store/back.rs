//! A database that goes back to an older state under running processes, as with a restore in
//! place or a standby that was behind and takes over; and standbys among the hosts of an address.

use std::sync::Arc;
use std::time::{Duration, Instant};

use dagbook_events::ids::Position;
use dagbook_events::journal::GuardState;
use dagbook_events::journal::store::postgres::PostgresStore;
use dagbook_events::ports::{AppendError, EventStore, Expected, LeaseAnswer, Leases};
use dagbook_events::time::Millis;
use dagbook_tests::servers::{Postgres, PostgresVersion};

use super::subject::{Server, open, request, stream, url};

async fn epoch(store: &Arc<PostgresStore>) -> u64 {
    let held = store.acquire("engine", "laws", Millis::seconds(60)).await.expect("an answer");
    let LeaseAnswer::Held(lease) = held else { panic!("{held:?}") };
    lease.fence.epoch
}

/// A database, what it was before, and how it becomes that again.
struct Backup<'a> {
    server: &'a Server,
    database: String,
}

impl<'a> Backup<'a> {
    /// Nobody may be connected to the database.
    fn take(server: &'a Server, database: &str) -> Self {
        server.ask("postgres", &format!("CREATE DATABASE {database}_before TEMPLATE {database}"));
        Self { server, database: database.to_string() }
    }

    /// Ends all sessions, as any restore does.
    fn restore(self) {
        let Self { server, database } = self;
        server.ask("postgres", &format!("DROP DATABASE {database} WITH (FORCE)"));
        let back = format!("ALTER DATABASE {database}_before RENAME TO {database}");
        server.ask("postgres", &back);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_under_which_acknowledged_events_are_gone_halts() {
    let server = Server::debian();
    let database = server.database();
    let store = open(server.options(&database)).await;
    store.append(request("run/a", Expected::New, 2)).await.expect("appended");
    drop(store);
    let backup = Backup::take(&server, &database);
    let options = server.options(&database);
    let guard = Arc::clone(&options.guard);
    let store = open(options).await;
    store.append(request("run/b", Expected::New, 3)).await.expect("appended");
    backup.restore();

    for _ in 0..2 {
        let refused = store.append(request("run/b", Expected::Exact(3), 1)).await;
        let Err(AppendError::Halted(reason)) = refused else { panic!("{refused:?}") };
        for said in ["at position 2 ", "up to position 5", "ops/runbooks/store-restored.md"] {
            assert!(reason.contains(said), "{reason}");
        }
    }
    assert!(matches!(guard.state(), GuardState::Halted(_)));
    assert_eq!(store.head().await, Ok(Position(2)), "nothing was added");

    // Another process knows nothing of what is gone, and does what it is told.
    let other = open(server.options(&database)).await;
    let timeline = other.timeline().await.expect("a timeline");
    assert_eq!(other.begin_timeline(timeline).await, Ok(timeline + 1));
    other.append(request("run/b", Expected::New, 1)).await.expect("appended");
}

/// Nor does a process that goes over to another timeline on what it believes is its record.
#[tokio::test(flavor = "multi_thread")]
async fn no_timeline_is_begun_where_acknowledged_events_are_gone() {
    let server = Server::debian();
    let database = server.database();
    let backup = Backup::take(&server, &database);
    let store = open(server.options(&database)).await;
    store.append(request("run/b", Expected::New, 3)).await.expect("appended");
    let timeline = store.timeline().await.expect("a timeline");
    backup.restore();
    let refused = store.begin_timeline(timeline).await;
    assert!(matches!(refused, Err(AppendError::Halted(_))), "{refused:?}");
    assert_eq!(store.timeline().await, Ok(timeline));
}

/// The short name of a stream that is gone is given to another stream.
#[tokio::test(flavor = "multi_thread")]
async fn no_event_is_read_under_the_name_of_a_stream_that_is_gone() {
    let server = Server::debian();
    let database = server.database();
    let backup = Backup::take(&server, &database);
    let store = open(server.options(&database)).await;
    store.append(request("run/gone", Expected::New, 3)).await.expect("appended");
    let read = store.read_after(Position(0), 10).await.expect("read");
    assert_eq!(read[0].stream, stream("run/gone"));
    backup.restore();
    let other = open(server.options(&database)).await;
    other.append(request("run/new", Expected::New, 3)).await.expect("appended");
    let read = store.read_after(Position(0), 10).await.expect("read");
    assert_eq!(read.len(), 3);
    assert!(read.iter().all(|event| event.stream == stream("run/new")), "{read:?}");
}

/// Otherwise each that follows the record would ask for it again and again, without a pause.
#[tokio::test(flavor = "multi_thread")]
async fn nobody_is_woken_for_events_that_are_gone() {
    let server = Server::debian();
    let database = server.database();
    let backup = Backup::take(&server, &database);
    let store = open(server.options(&database)).await;
    store.append(request("run/gone", Expected::New, 3)).await.expect("appended");
    backup.restore();
    assert_eq!(store.read_after(Position(0), 10).await.expect("read"), []);
    let (asked, patience) = (Instant::now(), Duration::from_millis(300));
    assert_eq!(store.wait_beyond(Position(0), patience).await, Ok(Position(0)));
    assert!(asked.elapsed() >= patience, "it waited");
    let other = open(server.options(&database)).await;
    other.append(request("run/new", Expected::New, 1)).await.expect("appended");
    let woken = store.wait_beyond(Position(0), Duration::from_secs(30)).await;
    assert_eq!(woken, Ok(Position(1)), "what is there wakes");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_epoch_that_is_gone_is_not_given_out_again() {
    let server = Server::debian();
    let database = server.database();
    let backup = Backup::take(&server, &database);
    let store = open(server.options(&database)).await;
    let gone = epoch(&store).await;
    backup.restore();
    let other = open(server.options(&database)).await;
    let next = epoch(&other).await;
    assert!(next > gone, "{next} after {gone}");
}

/// Also where the database is set up to answer before it keeps.
#[tokio::test(flavor = "multi_thread")]
async fn a_lease_is_kept_before_it_is_answered() {
    let server = Server::debian();
    let database = server.database();
    server.ask(
        &database,
        &format!(
            "ALTER DATABASE {database} SET synchronous_commit = off;
             CREATE TABLE noted (setting text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
               INSERT INTO noted VALUES (current_setting('synchronous_commit'));
               RETURN NEW;
             END $$;
             CREATE TRIGGER noting AFTER INSERT ON lease FOR EACH ROW EXECUTE FUNCTION note();"
        ),
    );
    let store = open(server.options(&database)).await;
    epoch(&store).await;
    assert_eq!(server.ask(&database, "SELECT setting FROM noted"), ["on"]);
}

/// The first host answers and takes no writes, as a standby does.
#[tokio::test(flavor = "multi_thread")]
async fn readers_are_where_the_writer_is() {
    let server = Server::debian();
    let database = server.database();
    let settings = [("fsync", "off"), ("default_transaction_read_only", "on")];
    let standby = Postgres::start_with(PostgresVersion::Debian, &settings);
    let hosts = format!("127.0.0.1:{},127.0.0.1:{}", standby.port(), server.server.port());
    let mut options = server.options(&database);
    options.url = url(&format!("postgres://postgres@{hosts}/{database}"));
    let store = open(options).await;
    store.append(request("run/a", Expected::New, 1)).await.expect("appended");
    assert_eq!(store.head().await, Ok(Position(1)));
    assert_eq!(store.read_after(Position(0), 10).await.expect("read").len(), 1);
}
