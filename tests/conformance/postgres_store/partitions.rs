//! Partitions are made ahead of need, and readers open only those that they need.

use dagbook_events::ids::Position;
use dagbook_events::ports::{EventStore, Expected};

use super::subject::{Server, open, request, stream, tenant};

const PARTITIONS: &str = "SELECT first_position || '-' || end_position FROM event_partition
                          ORDER BY first_position";

#[tokio::test(flavor = "multi_thread")]
async fn partitions_are_made_ahead_of_the_head() {
    let server = Server::debian();
    let database = server.database();
    let mut options = server.options(&database);
    options.partition_width = 10;
    let store = open(options.clone()).await;
    assert_eq!(server.ask(&database, PARTITIONS), ["1-11"], "nothing is in it yet");
    let mut last = 0;
    for n in 0..60u64 {
        let ask = request(&format!("run/{}", n % 7), Expected::Any, 1 + u128::from(n % 3));
        last = store.append(ask).await.expect("appended").last.0;
        let ends = server.ask(&database, "SELECT max(end_position) FROM event_partition");
        let end: u64 = ends[0].parse().expect("a number");
        assert!(end > last + 10, "a whole one is ahead: the head is {last}, they end at {end}");
    }
    // One append over several partitions, and over all that there are.
    for (name, events) in [("run/many", 55), ("run/copied", 5_000)] {
        let done = store.append(request(name, Expected::New, events)).await.expect("appended");
        assert_eq!(done.first.0, last + 1);
        last = done.last.0;
    }
    let made = server.ask(&database, PARTITIONS);
    let dense = made.windows(2).all(|pair| {
        pair[0].split_once('-').map(|it| it.1) == pair[1].split_once('-').map(|it| it.0)
    });
    assert!(dense, "{made:?}");

    // Another width from some day on.
    drop(store);
    options.partition_width = 1_000;
    let store = open(options).await;
    let ends = server.ask(&database, "SELECT max(end_position) FROM event_partition");
    let end: u64 = ends[0].parse().expect("a number");
    assert!(end > last + 2_000, "two are ahead of {last} when it is opened, they end at {end}");
    store.append(request("run/later", Expected::New, 1_500)).await.expect("appended");
    let mut read = Vec::new();
    while let Ok(page) = store.read_after(Position(read.len() as u64), 1_000).await
        && !page.is_empty()
    {
        read.extend(page);
    }
    let positions: Vec<u64> = read.iter().map(|event| event.position.0).collect();
    assert_eq!(positions, (1..=last + 1_500).collect::<Vec<_>>());
    let many = store.read_stream(&tenant(), &stream("run/many"), 50, 10).await.expect("read");
    assert_eq!(many.iter().map(|event| event.version).collect::<Vec<_>>(), [50, 51, 52, 53, 54]);
    let log = store.read_log(&tenant(), last - 3, 10).await.expect("read");
    assert_eq!(log.len(), 10);
}

/// What a statement of the store would open, by the server's own account.
fn opened(server: &Server, database: &str, sql: &str, types: &str, values: &str) -> Vec<String> {
    let script = format!(
        "SET plan_cache_mode = force_generic_plan;
         PREPARE ask ({types}) AS {sql};
         EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) EXECUTE ask ({values})"
    );
    let plan = server.ask(database, &script);
    let scans = plan.iter().filter(|line| line.contains(" on event_from_"));
    let executed = scans.filter(|line| !line.contains("never executed"));
    let partition = |line: &String| {
        let name = line.split(" on ").nth(1).unwrap_or_default();
        name.split_whitespace().next().unwrap_or_default().to_string()
    };
    executed.map(partition).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn readers_open_only_the_partitions_that_they_need() {
    let server = Server::debian();
    let database = server.database();
    let mut options = server.options(&database);
    options.partition_width = 10;
    let store = open(options).await;
    for n in 0..10 {
        store.append(request(&format!("run/{n}"), Expected::New, 10)).await.expect("appended");
    }
    store.append(request("run/3", Expected::Exact(10), 1)).await.expect("appended");
    let sql = |name: &str| {
        let path = format!(
            "{}/../events/src/journal/store/postgres/sql/{name}.sql",
            env!("CARGO_MANIFEST_DIR")
        );
        std::fs::read_to_string(path).expect("the statement of the store")
    };
    let open = |name: &str, types: &str, values: &str| {
        opened(&server, &database, &sql(name), types, values)
    };
    let of_stream = open("events_of_stream", "text, text, bigint, bigint", "'acme', 'run/5', 0, 9");
    assert_eq!(of_stream, ["event_from_51"]);
    let after = open("events_after", "bigint, bigint", "73, 4");
    assert_eq!(after, ["event_from_71"]);
    let of_log = open("events_of_log", "text, bigint, bigint", "'acme', 85, 100");
    assert!(!of_log.is_empty() && !of_log.iter().any(|it| it == "event_from_71"), "{of_log:?}");
}
