//! Retention on a server: set from afar with the same words as here, applied by whoever leads,
//! and told to whoever asks for what went.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::ids::{EventId, RunId, StreamName, TenantId};
use dagbook_events::journal::clock::{SystemClock, SystemRng};
use dagbook_events::journal::store::{SqliteOptions, SqliteStore};
use dagbook_events::ports::{
    Actor, AppendRequest, Clock, EventStore, Expected, NewEvent, Rng, StreamAppend,
};
use dagbook_events::time::Millis;
use dagbook_tests::project::Project;
use dagbook_tests::servers::wait_for;
use serde_json::{Value as Json, json};
use uuid::Uuid;

use dagbook_tests::served::{Client, Served};

const PATIENCE: Duration = Duration::from_secs(60);
const DAY: u64 = 24 * 3_600 * 1_000;

fn project() -> Project {
    let mut project =
        Project::with("dag.yaml", "dagbook: v1\nname: t\nsteps:\n  a: { run: echo words }\n");
    let data = project.path().join("data").display().to_string();
    project.set("DAGBOOK_DATA", &data);
    project.set("DAGBOOK_RETENTION_EVERY_S", "1");
    project
}

/// Appends to a stream of the project's record, as another process on this machine does.
fn append(project: &Project, stream: &str, days_ago: u64, events: &[(&str, Json)]) {
    let path = project.path().join("data/events.sqlite");
    let options = SqliteOptions::new(path, Arc::new(SystemClock));
    let at = SystemClock.now() - Millis(days_ago * DAY);
    let event = |(kind, data): &(&str, Json)| NewEvent {
        id: EventId(Uuid::from_bytes(SystemRng.bytes())),
        kind: Arc::from(*kind),
        at,
        actor: Arc::new(Actor::new("system", "test")),
        causation: None,
        correlation: None,
        traceparent: None,
        data: data.to_string().into_bytes(),
        blob: None,
    };
    let stream = StreamName::new(stream).expect("a name");
    let events = events.iter().map(event).collect();
    let streams = vec![StreamAppend { stream, expected: Expected::Any, events }];
    let tenant = TenantId::new("local").expect("a name");
    let request = AppendRequest { tenant, key: None, streams, fence: None };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(options).expect("opened");
        store.append(request).await.expect("appended");
    });
}

/// Logs of a run that ended so long ago.
fn old_logs(project: &Project, n: u128, days_ago: u64) -> std::path::PathBuf {
    let run = RunId(Uuid::from_u128(n));
    let folder = project.path().join(format!("data/logs/{run}"));
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join("a.log"), b"some words\n").expect("a log");
    let (exited, finished) = (("attempt.exited", json!({})), ("run.finished", json!({})));
    append(project, &format!("run/{run}"), days_ago, &[exited, finished]);
    folder
}

/// The figures of `/metrics`, by their names with labels.
pub fn metrics(client: &Client<'_>) -> BTreeMap<String, f64> {
    let http = reqwest::blocking::Client::new();
    let request = http.get(format!("{}/metrics", client.url)).bearer_auth(&client.token);
    let text = request.send().expect("answered").text().expect("text");
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| line.rsplit_once(' '))
        .filter_map(|(name, value)| Some((name.to_string(), value.parse().ok()?)))
        .collect()
}

#[test]
fn the_server_that_leads_lets_go_of_what_the_policy_lets_go_and_counts_it() {
    let project = project();
    // The record is made before anything is put in.
    assert_eq!(project.dagbook(&["migrate"]).code, 0);
    let (old, held, young) =
        (old_logs(&project, 1, 40), old_logs(&project, 2, 40), old_logs(&project, 3, 10));
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let run = RunId(Uuid::from_u128(2)).to_string();
    for args in [
        vec!["retention", "hold", "audit", "--run", &run, "--reason", "an audit asks for it"],
        vec!["retention", "set", "--logs-days", "30"],
    ] {
        let said = client.dagbook(&args);
        assert_eq!((said.code, said.stdout.as_str()), (0, ""), "{args:?}: {}", said.stderr);
    }
    wait_for("the old logs to go", PATIENCE, || (!old.exists()).then_some(()));
    wait_for("it to be told", PATIENCE, || {
        client.dagbook(&["retention", "show"]).stdout.contains("went     1 logs").then_some(())
    });
    assert!(held.exists() && young.exists());
    for output in ["text", "json"] {
        let args = ["retention", "show", "--output", output];
        let (there, here) = (client.dagbook(&args), project.dagbook(&args));
        assert_eq!((there.code, here.code), (0, 0), "{}{}", there.stderr, here.stderr);
        assert_eq!(there.stdout, here.stdout);
    }
    let lifted = client.dagbook(&["retention", "lift", "audit"]);
    assert_eq!(lifted.code, 0, "{}", lifted.stderr);
    wait_for("what was held to go", PATIENCE, || (!held.exists()).then_some(()));
    wait_for("the numbers", PATIENCE, || {
        let numbers = metrics(&client);
        let of = |name: &str| numbers.get(name).copied().unwrap_or(0.0);
        let gone = of("dagbook_retention_gone_total{what=\"logs\"}");
        (gone == 2.0 && of("dagbook_retention_turn_seconds_count") >= 2.0).then_some(())
    });
    let numbers = metrics(&client);
    assert_eq!(numbers.get("dagbook_retention_problems_total"), Some(&0.0), "{numbers:?}");
}

#[test]
fn what_a_server_refuses_about_retention_it_refuses_with_a_reason() {
    let project = project();
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let refused = |args: &[&str], word: &str| {
        let said = client.dagbook(args);
        assert_eq!(said.code, 2, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(word), "{args:?}: {}", said.stderr);
    };
    let none = RunId(Uuid::from_u128(9)).to_string();
    refused(&["retention", "hold", "a", "--run", &none, "--reason", "why"], "there is no run");
    refused(&["retention", "lift", "a"], "there is no hold `a`");
    refused(&["retention", "set", "--logs-days", "0"], "1 to 36500");
    refused(&["retention", "apply"], "not on a server");
    refused(&["retention", "plan"], "not on a server");
    let site = client.dagbook(&["retention", "set", "--site", "--at-least-days", "7"]);
    assert_eq!(site.code, 0, "{}", site.stderr);
    let shown = client.dagbook(&["retention", "show", "--output", "json"]);
    let shown: Json = serde_json::from_str(&shown.stdout).expect("JSON");
    assert_eq!(shown["site_policy"], json!({ "at_least_days": 7 }));
}

#[test]
fn who_asks_for_logs_that_went_hears_so_and_when() {
    let project = project();
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let (run, said) = client.run(&["dag.yaml"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let path = format!("{}/api/v1/runs/{run}/steps/a/attempts/1/log", client.url);
    let http = reqwest::blocking::Client::new();
    let get = |path: &str| {
        let request = http.get(path).bearer_auth(&client.token).header("dagbook-tenant", "local");
        let answer = request.send().expect("answered");
        (answer.status().as_u16(), answer.text().expect("text"))
    };
    assert_eq!(get(&path), (200, "words\n".to_string()));
    let tomorrow = (SystemClock.now() + Millis(DAY)).0;
    let applied = json!({ "what": "logs", "count": 1, "bytes": 6, "ended_before": tomorrow });
    append(&project, "retention", 0, &[("retention.applied", applied)]);
    assert_eq!(get(&path).0, 200, "what is there is read");
    std::fs::remove_dir_all(project.path().join(format!("data/logs/{run}"))).expect("removed");
    for path in [path.clone(), format!("{path}?follow=true")] {
        let (status, body) = get(&path);
        assert_eq!(status, 410, "{path}: {body}");
        let problem: Json = serde_json::from_str(&body).expect("a problem");
        assert_eq!(problem["code"], "gone");
        let detail = problem["detail"].as_str().expect("a detail");
        assert!(detail.contains("the logs of this run went at 20"), "{detail}");
    }
    let said = client.dagbook(&["logs", &run]);
    assert!(said.stderr.contains("the logs of this run went at"), "{}{}", said.stdout, said.stderr);
}
