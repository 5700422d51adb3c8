//! Events of real runs leave a real Postgres for the tiles, through the same turn of retention
//! that a server takes; the programs read, replay and verify them as before.

use std::sync::Arc;
use std::time::Duration;

use dagbook::app::retention::{Swept, Turn, change};
use dagbook::config::{Config, DataDir, Overrides};
use dagbook::wiring::{Installation, Purpose};
use dagbook_events::ids::TenantId;
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::store::postgres::{PostgresUrl, migrate};
use dagbook_events::ports::Clock;
use dagbook_events::retention::{Policy, RetentionCommand};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_tests::project::Project;
use dagbook_tests::servers::{Postgres, PostgresVersion};

const DAG: &str = "\
dagbook: v1
name: kept
steps:
  a: { run: echo one }
  b: { needs: [a], run: echo two }
";

/// So many days from now.
struct Ahead(u64);

impl Clock for Ahead {
    fn now(&self) -> Timestamp {
        SystemClock.now() + Millis(self.0 * 24 * 3_600 * 1_000)
    }
}

fn client(address: &str) -> postgres::Client {
    let config: postgres::Config = address.parse().expect("an address");
    config.connect(postgres::NoTls).expect("a connection")
}

fn first_kept(address: &str) -> i64 {
    let sql = "SELECT min(position) FROM event";
    client(address).query_one(sql, &[]).expect("asked").get::<_, Option<i64>>(0).unwrap_or(0)
}

/// What the programs say about a run, byte by byte.
fn told(project: &Project, run: &str) -> Vec<String> {
    let all: [&[&str]; 4] = [
        &["events", run, "--output", "json"],
        &["show", run, "--output", "json"],
        &["replay", run],
        &["replay", run, "--verify"],
    ];
    let tell = |args: &&[&str]| {
        let said = project.dagbook(args);
        assert_eq!(said.code, 0, "{args:?}: {}{}", said.stdout, said.stderr);
        // The verification also counts the whole record, which grows; the run's line is the last.
        match args.contains(&"--verify") {
            true => said.stdout.lines().last().unwrap_or_default().to_string(),
            false => said.stdout,
        }
    };
    all.iter().map(tell).collect()
}

/// Turns of retention in a process of its own, some days from now, until no more events go.
async fn turns(project: &Project, variables: &[(String, String)], days: u64) -> Vec<Swept> {
    let variable = |name: &str| {
        variables.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
    };
    let data = Some(project.path().join(".dagbook"));
    let config = Config::load(&Overrides { file: None, data }, variable, None).expect("good");
    let data = DataDir::find(&config, None, |_| None).expect("a data folder");
    let installation = Installation::open(&config, &data, Purpose::Append).await.expect("opened");
    let deps = &installation.deps;
    let site = TenantId::new("site").expect("a name");
    let policy = Policy { archive_days: Some(30), ..Policy::default() };
    let ports = (deps.store.as_ref(), deps.clock.as_ref(), deps.rng.as_ref());
    let command = RetentionCommand::Set(policy);
    change(ports, &site, &deps.person, &command).await.expect("changed");
    let mut keeping = installation.keeping(&config).expect("the parts");
    keeping.clock = Arc::new(Ahead(days));
    let (mut turn, mut all) = (Turn::default(), Vec::new());
    loop {
        let swept = turn.take(&keeping, false).await.expect("a turn");
        assert!(swept.problems.is_empty(), "{swept:?}");
        let goes_on = swept.has_more;
        all.push(swept);
        if !goes_on {
            return all;
        }
    }
}

#[test]
fn runs_whose_events_left_postgres_are_read_replayed_and_verified_as_before() {
    let server = Postgres::start(PostgresVersion::Debian);
    let address = server.database("books");
    let url = PostgresUrl::parse_with(&address, |_| None).expect("an address");
    migrate(&url, Duration::from_secs(30)).expect("migrated");
    // The first partitions are small, so that a few runs fill them.
    let small = "SELECT event_partitions_ahead(30, 1)";
    client(&address).query_one(small, &[]).expect("partitions");
    let mut project = Project::with("dag.yaml", DAG);
    let objects = format!("file:{}", project.path().join("objects").display());
    let variables =
        [("DAGBOOK_STORE", address.clone()), ("DAGBOOK_OBJECTS", objects)].map(|(name, value)| {
            project.set(name, &value);
            (name.to_string(), value)
        });
    let runs: Vec<String> = (0..8)
        .map(|_| {
            let ran = project.json(&["run", "dag.yaml"]);
            ran["run"].as_str().expect("a run").to_string()
        })
        .collect();
    let before: Vec<Vec<String>> = runs.iter().map(|run| told(&project, run)).collect();
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let young = runtime.block_on(turns(&project, &variables, 29));
    assert!(young.iter().all(|swept| swept.events == 0), "{young:?}");
    assert!(young[0].events_wait.as_deref().is_some_and(|why| why.contains("old enough at")));
    assert_eq!(first_kept(&address), 1);
    let swept = runtime.block_on(turns(&project, &variables, 31));
    let gone: u64 = swept.iter().map(|swept| swept.events).sum();
    assert_eq!((gone, first_kept(&address)), (60, 61), "{swept:?}");
    for (run, before) in runs.iter().zip(&before) {
        assert!(told(&project, run) == *before, "run {run} is told in other words");
        assert!(before[3].contains("decided again, with the same result"), "{}", before[3]);
    }
    let reconciled = project.dagbook(&["audit", "reconcile"]);
    assert_eq!(reconciled.code, 0, "{}{}", reconciled.stdout, reconciled.stderr);
    // A retry of a run that is only in the archive takes over what it had.
    let again = project.dagbook(&["retry", &runs[0], "--from", "b"]);
    assert_eq!(again.code, 0, "{}{}", again.stdout, again.stderr);
    // Without the tiles it cannot be read, and nobody says that it is empty.
    std::fs::rename(project.path().join("objects"), project.path().join("away")).expect("moved");
    let lost = project.dagbook(&["events", &runs[0]]);
    assert_ne!(lost.code, 0, "{}", lost.stdout);
}

#[test]
fn doctor_says_truly_what_room_there_is_before_and_behind_the_first_append() {
    let server = Postgres::start(PostgresVersion::Debian);
    let address = server.database("books");
    let mut project = Project::with("dag.yaml", DAG);
    project.set("DAGBOOK_STORE", &address);
    assert_eq!(project.dagbook(&["migrate"]).code, 0);
    let said = project.dagbook(&["doctor"]);
    assert!(said.stdout.contains("none so far: the first process"), "{}", said.stdout);
    assert!(!said.stdout.contains("room for 0"), "{}", said.stdout);
    assert_eq!(project.dagbook(&["run", "dag.yaml"]).code, 0);
    let said = project.dagbook(&["doctor"]);
    assert!(said.stdout.contains("more events") && !said.stdout.contains("room for 0"));
}
