//! What a tenant may use, from its setting to what it feels: a submission that is refused, a step
//! that waits with its numbers, and shares that are kept on the record.

use std::collections::BTreeMap;
use std::time::Duration;

use dagbook_events::time::Timestamp;
use dagbook_tests::project::Project;
use dagbook_tests::servers::wait_for;
use reqwest::StatusCode;
use reqwest::blocking::{Client as Http, Response};
use serde_json::{Value as Json, json};

use dagbook_tests::served::{Client, Served};

const SOON: Duration = Duration::from_secs(60);

/// A tenant as a program of it sees the server.
struct Tenant<'a> {
    http: Http,
    served: &'a Served,
    name: &'a str,
}

impl<'a> Tenant<'a> {
    /// Makes it, with what it may use.
    fn new(client: &Client<'_>, served: &'a Served, name: &'a str, quota: &[&str]) -> Self {
        let http = Http::builder().timeout(SOON).build().expect("a client");
        let tenant = Self { http, served, name };
        let made = client.dagbook(&["tenant", "create", name]);
        assert_eq!(made.code, 0, "{}", made.stderr);
        tenant.may(client, quota);
        tenant
    }

    fn may(&self, client: &Client<'_>, quota: &[&str]) {
        let said = client.dagbook(&[&["tenant", "set", self.name], quota].concat());
        assert_eq!(said.code, 0, "{}", said.stderr);
    }

    fn submit(&self, dag: &str) -> Response {
        let url = format!("{}/api/v1/runs", self.served.url());
        let asked = self.http.post(url).bearer_auth(&self.served.token);
        let asked = asked.header("dagbook-tenant", self.name).json(&json!({ "dag": dag }));
        asked.send().expect("an answer")
    }

    fn run(&self, dag: &str) -> String {
        let answer = self.submit(dag);
        let status = answer.status();
        let body: Json = answer.json().expect("a run");
        assert_eq!(status, StatusCode::CREATED, "{body}");
        body["run"].as_str().expect("its id").to_string()
    }

    fn get(&self, path: &str) -> Json {
        let url = format!("{}/api/v1/runs/{path}", self.served.url());
        let asked = self.http.get(url).bearer_auth(&self.served.token);
        let asked = asked.header("dagbook-tenant", self.name);
        asked.send().expect("an answer").json().expect("an object")
    }

    fn cancel(&self, run: &str) {
        let url = format!("{}/api/v1/runs/{run}/cancel", self.served.url());
        let asked = self.http.post(url).bearer_auth(&self.served.token);
        let asked = asked.header("dagbook-tenant", self.name).json(&json!({}));
        let answer = asked.send().expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.text().unwrap_or_default());
    }

    /// All that is recorded of a run.
    fn events(&self, run: &str) -> Vec<Json> {
        let (mut all, mut cursor) = (Vec::new(), String::new());
        loop {
            let page = self.get(&format!("{run}/events?limit=200{cursor}"));
            all.extend(page["items"].as_array().expect("events").iter().cloned());
            match page["next"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    fn has(&self, run: &str, event: &str, n: usize) -> Option<()> {
        (self.events(run).iter().filter(|it| it["event"] == event).count() == n).then_some(())
    }
}

const SLOW: &str =
    "dagbook: v1\nname: slow\nsteps:\n  one: { run: sleep 30 }\n  two: { run: sleep 30 }\n";

#[test]
fn a_tenant_with_too_many_open_runs_is_refused_with_the_numbers_until_one_is_over() {
    let project = Project::with("dag.yaml", SLOW);
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let acme = Tenant::new(&client, &served, "acme", &["--open-runs", "1"]);
    let other = Tenant::new(&client, &served, "other", &[]);
    let run = acme.run(SLOW);
    let words = "tenant `acme` has 1 runs that are not over, and its limit is 1";
    let refused = acme.submit(SLOW);
    assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
    let after = refused.headers().get("retry-after").expect("when to come again");
    let after: u64 = after.to_str().expect("text").parse().expect("seconds");
    assert!((1..=60).contains(&after), "{after}");
    let problem: Json = refused.json().expect("a problem");
    assert_eq!(problem["limit"], "open_runs", "{problem}");
    assert!(problem["detail"].as_str().is_some_and(|it| it.contains(words)), "{problem}");
    let said = client.dagbook(&["--tenant", "acme", "submit", "dag.yaml"]);
    assert_eq!(said.code, 5, "{}", said.stderr);
    assert!(said.stderr.contains(words), "{}", said.stderr);
    // What one tenant has used up is another's no less.
    let others = other.run(SLOW);
    other.cancel(&others);
    acme.cancel(&run);
    let again = wait_for("the tenant to be let in again", SOON, || {
        let answer = acme.submit(SLOW);
        (answer.status() == StatusCode::CREATED).then(|| answer.json::<Json>().expect("a run"))
    });
    acme.cancel(again["run"].as_str().expect("its id"));
}

#[test]
fn a_step_over_its_tenants_quota_waits_and_why_has_the_numbers() {
    let project = Project::with("dag.yaml", SLOW);
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let acme = Tenant::new(&client, &served, "acme", &["--attempts", "1"]);
    // A quota reaches the engine within a second: a run that was faster is ended.
    let (run, reason) = wait_for("a second step that waits for its quota", SOON, || {
        let run = acme.run(SLOW);
        wait_for("the first step to start", SOON, || {
            acme.events(&run).iter().any(|it| it["event"] == "attempt.started").then_some(())
        });
        let reason = acme.get(&format!("{run}/steps/two/why"))["reasons"][0].clone();
        if reason["code"] == "tenant_attempts" {
            return Some((run, reason));
        }
        acme.cancel(&run);
        wait_for("its end", SOON, || acme.has(&run, "run.finished", 1));
        None
    });
    let text = reason["text"].as_str().expect("a sentence");
    assert!(text.contains("tenant `acme` has 1 attempts under way and may have 1"), "{text}");
    let figures = &reason["figures"];
    assert_eq!(
        (&figures["used"], &figures["limit"], &figures["asked"]),
        (&json!(1), &json!(1), &json!(1))
    );
    let said = client.dagbook(&["--tenant", "acme", "why", &run, "two"]);
    assert!(said.stdout.contains("may have 1"), "{}{}", said.stdout, said.stderr);
    acme.may(&client, &["--attempts", "2"]);
    wait_for("the second step to start", SOON, || acme.has(&run, "attempt.started", 2));
    acme.cancel(&run);
    wait_for("its end", SOON, || acme.has(&run, "run.finished", 1));
}

/// From one instant to another, in milliseconds.
type Span = (i64, i64);

/// When each attempt was planned and was over.
fn spans(tenant: &Tenant<'_>, runs: &[String]) -> Vec<Span> {
    let mut spans: BTreeMap<String, Span> = BTreeMap::new();
    for run in runs {
        for event in tenant.events(run) {
            let at = event["at"].as_str().and_then(Timestamp::parse_rfc3339).expect("an instant").0;
            let key = format!("{run}/{}", event["step"]);
            match event["event"].as_str() {
                Some("attempt.planned") => drop(spans.insert(key, (at, at))),
                Some("attempt.exited") => spans.get_mut(&key).expect("it was planned").1 = at,
                _ => {}
            }
        }
    }
    spans.into_values().collect()
}

/// How long each of two held places within a time, together, at the moments when all were taken: a
/// place that is free for a moment is nobody's, however long a busy machine makes the moment.
fn held_when_full(
    (one, other): (&[Span], &[Span]),
    (from, until): Span,
    places: i64,
) -> (i64, i64) {
    let mut changes = BTreeMap::<i64, (i64, i64)>::new();
    for (spans, (of_one, of_other)) in [(one, (1, 0)), (other, (0, 1))] {
        for (begun, ended) in spans {
            for (at, sign) in [(begun, 1), (ended, -1)] {
                let change = changes.entry((*at).clamp(from, until)).or_default();
                *change = (change.0 + sign * of_one, change.1 + sign * of_other);
            }
        }
    }
    let (mut held, mut sums, mut before) = ((0, 0), (0, 0), from);
    for (at, change) in changes {
        if held.0 + held.1 == places {
            sums = (sums.0 + held.0 * (at - before), sums.1 + held.1 * (at - before));
        }
        held = (held.0 + change.0, held.1 + change.1);
        before = at;
    }
    sums
}

#[test]
fn tenants_of_weights_one_and_three_hold_a_quarter_and_three_quarters_on_the_record() {
    let mut project = Project::new();
    project.set("DAGBOOK_SLOTS", "8");
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let light = Tenant::new(&client, &served, "light", &["--weight", "100"]);
    let heavy = Tenant::new(&client, &served, "heavy", &["--weight", "300"]);
    let steps = |n: usize| -> String {
        let lines = (0..n).map(|n| format!("  s{n}: {{ run: sleep 0.3 }}\n"));
        format!("dagbook: v1\nname: work\nsteps:\n{}", lines.collect::<String>())
    };
    let runs: Vec<(String, String)> =
        (0..3).map(|_| (heavy.run(&steps(60)), light.run(&steps(20)))).collect();
    let (heavy_runs, light_runs): (Vec<String>, Vec<String>) = runs.into_iter().unzip();
    for (tenant, runs) in [(&heavy, &heavy_runs), (&light, &light_runs)] {
        for run in runs {
            wait_for("all to end", 3 * SOON, || tenant.has(run, "run.finished", 1));
        }
    }
    let (heavy, light) = (spans(&heavy, &heavy_runs), spans(&light, &light_runs));
    assert_eq!((heavy.len(), light.len()), (180, 60));
    let both = || heavy.iter().chain(&light);
    // From when nothing is left of the time before both wanted places, as long as both want more.
    let first = |of: &[Span]| of.iter().map(|span| span.0).min().expect("some");
    let met = first(&heavy).max(first(&light));
    let from = both().filter(|span| span.0 <= met).map(|span| span.1).max().expect("some");
    let last = |of: &[Span]| of.iter().map(|span| span.0).max().expect("some");
    let until = last(&heavy).min(last(&light));
    assert!(until - from > 3_000, "they met for {} ms only", until - from);
    let (heavy, light) = held_when_full((&heavy, &light), (from, until), 8);
    assert!(heavy + light > 8_000, "all places were taken for {} ms", (heavy + light) / 8);
    let off = (light * 4 - (heavy + light)).abs() * 1_000 / (heavy + light);
    assert!(off <= 50, "{light} ms of {} ms are {off} ‰ off a quarter", heavy + light);
}
