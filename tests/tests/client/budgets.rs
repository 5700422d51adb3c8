//! Budgets on a server: money is put aside before a step starts, `why` says it with figures, a
//! budget that is raised lets go on, one that is used up stops what runs; and what runs long is
//! measured on its way.

use std::sync::Arc;
use std::time::Duration;

use dagbook_events::aggregate::AggregateEvent as _;
use dagbook_events::billing::{
    Bill, BillFaults, BillingEvent, BudgetAction, BudgetSet, CardAdopted, Clock as Whose, Match,
    Meter, Price, RateCard, Rounding, Step, TierKind, Tiers, Whole,
};
use dagbook_events::canonical;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::{EventId, StreamName, TenantId};
use dagbook_events::journal::clock::{SystemClock, SystemRng};
use dagbook_events::ports::{Actor, AppendRequest, Clock, Expected, NewEvent, Rng, StreamAppend};
use dagbook_events::time::{Millis, Timestamp};
use dagbook_tests::project::Project;
use dagbook_tests::served::{Client, Served};
use dagbook_tests::servers::{Postgres, PostgresVersion, wait_for};
use dagbook_tests::stores;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use super::retention::metrics;

const PATIENCE: Duration = Duration::from_secs(60);

/// Ten minutes of one core at most: at a euro for a core and an hour, 17 cents.
const DAG: &str = "dagbook: v1\nname: t\nsteps:\n  a:\n    run: sleep 1000\n    \
                   timeout: 10m\n    resources: { cpu: 1 }\n";

fn project() -> Project {
    let mut project = Project::with("dag.yaml", DAG);
    let data = project.path().join("data").display().to_string();
    project.set("DAGBOOK_DATA", &data);
    project.set("DAGBOOK_USAGE_EVERY_S", "1");
    project
}

/// Appends to the tenant's stream `billing`, as another process does.
fn record(store: &str, events: &[BillingEvent]) {
    let event = |event: &BillingEvent| {
        let mut data = Vec::new();
        canonical::write(&mut data, &event.to_data()).expect("plain data");
        NewEvent {
            id: EventId(Uuid::from_bytes(SystemRng.bytes())),
            kind: Arc::from(event.kind()),
            at: SystemClock.now(),
            actor: Arc::new(Actor::new("system", "test")),
            causation: None,
            correlation: None,
            traceparent: None,
            data,
            blob: None,
        }
    };
    let stream = StreamName::new("billing").expect("a name");
    let events = events.iter().map(event).collect();
    let streams = vec![StreamAppend { stream, expected: Expected::Any, events }];
    let tenant = TenantId::new("local").expect("a name");
    let request = AppendRequest { tenant, key: None, streams, fence: None };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = stores::open(store, Arc::new(SystemClock)).await.expect("opened");
        store.append(request).await.expect("appended");
    });
}

fn card() -> BillingEvent {
    let step = Step { price_nanos: Whole(1_000_000_000), up_to: None };
    let price = Price {
        sku: "cpu".to_string(),
        meter: Meter::CpuMilliMs,
        matches: Match::default(),
        per: Whole(3_600_000_000),
        tiers: Tiers { kind: TierKind::Flat, steps: vec![step] },
    };
    let card = RateCard {
        name: "standard".to_string(),
        version: 1,
        currency: "EUR".to_string(),
        exponent: 2,
        bill: Bill::Allocated,
        clock: Whose::Executor,
        bill_faults: BillFaults { infra: false, policy: true, user: true },
        minimum_ms: Millis(0),
        increment_ms: Millis(1),
        rounding: Rounding::HalfEven,
        prices: vec![price],
    };
    let (sha256, source) = (Sha256Digest([0; 32]), String::new());
    BillingEvent::CardAdopted(CardAdopted { card, effective_from: Timestamp(0), sha256, source })
}

fn budget(cents: i128, on_exceed: BudgetAction) -> BillingEvent {
    let (name, currency) = ("month".to_string(), "EUR".to_string());
    BillingEvent::BudgetSet(BudgetSet { name, minor: Whole(cents), currency, on_exceed })
}

fn events(client: &Client<'_>, run: &str) -> Vec<Json> {
    let said = client.dagbook(&["events", run, "--output", "json"]);
    let lines = said.stdout.lines().filter_map(|line| serde_json::from_str(line).ok());
    let all: Vec<Json> = lines.collect();
    match all.as_slice() {
        [Json::Object(one)] if one.contains_key("events") => {
            one["events"].as_array().cloned().unwrap_or_default()
        }
        _ => all,
    }
}

fn of<'a>(events: &'a [Json], kind: &str) -> Vec<&'a Json> {
    let text = format!("\"{kind}\"");
    events.iter().filter(|event| event.to_string().contains(&text)).collect()
}

#[test]
fn a_budget_holds_back_lets_go_on_when_it_is_raised_and_stops_what_runs_when_it_is_used_up() {
    let project = project();
    let store = format!("sqlite:{}", project.path().join("data/events.sqlite").display());
    all_of_it(&project, &store);
}

#[test]
fn a_budget_does_the_same_where_the_record_is_in_postgres() {
    let server = Postgres::start(PostgresVersion::Debian);
    let store = server.database("books");
    // The server finds tables there.
    record(&store, &[card()]);
    let mut project = project();
    project.set("DAGBOOK_STORE", &store);
    all_of_it(&project, &store);
}

/// What is recorded beside the server, and what becomes of a run.
fn all_of_it(project: &Project, store: &str) {
    let served = Served::start(project);
    let client = Client::of(project, &served);
    record(store, &[card(), budget(10, BudgetAction::Stop)]);
    // What another process recorded comes to be known in a moment, and holds from then on.
    wait_for("the budget to be known", PATIENCE, || {
        let known = metrics(&client);
        let is_it = |name: &String| name.starts_with("dagbook_budget_used_ratio{");
        known.keys().any(is_it).then_some(())
    });
    let said = client.dagbook(&["submit", "dag.yaml", "--output", "json"]);
    let accepted: Json = serde_json::from_str(&said.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}{}", said.stdout, said.stderr));
    let run = accepted["run"].as_str().expect("a run").to_string();
    let why = wait_for("a wait for money", PATIENCE, || {
        let said = client.dagbook(&["why", &run, "a", "--output", "json"]);
        (said.stdout.contains("\"budget\"") && said.stdout.contains("0.17 EUR"))
            .then_some(said.stdout)
    });
    assert!(why.contains("has 0.10 EUR: 0.00 EUR spent"), "{why}");
    assert!(why.contains("\"hold_minor\":17") || why.contains("\"hold_minor\": 17"), "{why}");
    assert_eq!(of(&events(&client, &run), "attempt.planned").len(), 0, "nothing was started");

    record(store, &[budget(100, BudgetAction::Stop)]);
    wait_for("two measurements", PATIENCE, || {
        let events = events(&client, &run);
        (of(&events, "usage.checkpoint").len() >= 2).then_some(())
    });
    let so_far = events(&client, &run);
    let planned = of(&so_far, "attempt.planned")[0].to_string();
    assert!(planned.contains("\"nanos\":\"166666667\""), "{planned}");
    assert!(planned.contains("\"basis\":\"timeout\"") && planned.contains("600000"), "{planned}");

    let said = client.dagbook(&["show", &run, "--output", "json"]);
    let shown: Json = serde_json::from_str(&said.stdout).expect("JSON");
    let cost = &shown["cost"][0];
    assert_eq!((&cost["running_attempts"], &cost["settled_nanos"]), (&json!(1), &json!("0")));
    let running = cost["running_nanos"].as_str().and_then(|it| it.parse::<i64>().ok());
    // A core for at least two seconds, and for no longer than it may run.
    assert!(running.is_some_and(|it| (555_555..166_666_667).contains(&it)), "{shown}");

    record(store, &[budget(1, BudgetAction::Stop)]);
    let ended = wait_for("the end of the run", PATIENCE, || {
        let events = events(&client, &run);
        (!of(&events, "run.finished").is_empty()).then_some(events)
    });
    let asked = of(&ended, "run.cancel_requested")[0].to_string();
    assert!(asked.contains("budget `month` of 0.01 EUR is used up"), "{asked}");
    assert!(asked.contains("\"budget\""), "by whom: {asked}");
    let end = of(&ended, "attempt.exited")[0].to_string();
    for member in ["\"heard\"", "\"planned\"", "\"started_ms\"", "\"canceled\""] {
        assert!(end.contains(member), "{member}: {end}");
    }
}
