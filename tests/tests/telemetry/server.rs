//! A server's telemetry: requests and the runs that they ask for in one trace, and `/metrics`.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use dagbook::telemetry::metrics::{FAMILIES, parse};
use dagbook_tests::servers::wait_for;
use reqwest::blocking::{Client, RequestBuilder};
use serde_json::{Value, json};

use crate::collector::{Collector, Manner, attribute, hex};
use crate::project::Project;
use crate::traces::{ABOVE, named, tree};

/// How long anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// `dagbook serve` on a port of its own. Killed when it is dropped.
struct Served {
    child: Child,
    url: String,
    token: String,
    client: Client,
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Served {
    fn start(project: &Project, variables: &[(&str, &str)]) -> Self {
        let mut command =
            project.command(&["serve", "--listen", "127.0.0.1:0", "--output", "json"]);
        // Whoever waits here asks often.
        command.env("DAGBOOK_HTTP_LIMITS", "per_token = 600000\nper_token_burst = 100000");
        command.envs(variables.iter().copied()).stderr(Stdio::inherit());
        let mut child = command.spawn().expect("the program");
        // What it prints is one JSON object over several lines.
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let mut text = String::new();
        let ready: Value = loop {
            let line = lines.next().unwrap_or_else(|| panic!("it ended: {text}")).expect("text");
            text.push_str(&line);
            if let Ok(ready) = serde_json::from_str(&text) {
                break ready;
            }
        };
        let member = |name: &str| ready[name].as_str().expect(name).to_string();
        let (url, token) = (member("server"), member("admin_token"));
        Self { child, url, token, client: Client::new() }
    }

    fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(format!("{}{path}", self.url)).bearer_auth(&self.token)
    }

    fn submit(&self, dag: &str, above: Option<&str>) -> String {
        let post = self.client.post(format!("{}/api/v1/runs", self.url)).bearer_auth(&self.token);
        let post = above.into_iter().fold(post, |post, above| post.header("traceparent", above));
        let answer = post.json(&json!({ "dag": dag })).send().expect("an answer");
        let (status, text) = (answer.status(), answer.text().expect("a body"));
        assert_eq!(status.as_u16(), 201, "{text}");
        let run: Value = serde_json::from_str(&text).expect("JSON");
        run["run"].as_str().expect("its id").to_string()
    }

    fn wait_for_end(&self, run: &str) {
        wait_for("the run's end", PATIENCE, || {
            let answer = self.get(&format!("/api/v1/runs/{run}")).send().ok()?;
            let text = answer.text().ok()?;
            text.contains("\"finished_at\"").then_some(())
        });
    }

    /// Asks it to stop, and waits for that.
    fn stop(mut self) {
        let pid = i32::try_from(self.child.id()).expect("a process");
        let pid = rustix::process::Pid::from_raw(pid).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("it is there");
        wait_for("the server's end", PATIENCE, || self.child.try_wait().expect("its state"));
    }
}

const DAG: &str = "dagbook: v1\nname: served\nsteps:\n  a: { run: 'true' }\n";

#[test]
fn a_request_its_run_and_its_steps_are_one_trace() {
    let collector = Collector::start(Manner::Takes);
    let project = Project::with("  a: { run: 'true' }\n");
    let served = Served::start(&project, &[("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url)]);
    let within = served.submit(DAG, Some(ABOVE));
    let alone = served.submit(DAG, None);
    served.wait_for_end(&within);
    served.wait_for_end(&alone);
    served.stop();
    let got = collector.got();
    let above = [0xb7, 0xad, 0x6b, 0x71, 0x69, 0x20, 0x33, 0x31];
    assert_eq!(
        tree(&got.spans, &above, 0),
        ["POST /api/v1/runs unset", "  run served ok", "    step a ok", "      attempt 1 of a ok",]
    );
    let of_run = |name: &str, run: &str| {
        let found = got.spans.iter().find(|span| {
            let of = attribute(&span.attributes, "dagbook.run");
            span.name == name && of.as_deref() == Some(run)
        });
        found.unwrap_or_else(|| panic!("no `{name}` of {run}"))
    };
    // Outside any trace the run has its own, and the request points to it.
    let (post, run) = (of_run("POST /api/v1/runs", &alone), of_run("run served", &alone));
    assert_ne!(post.trace_id, run.trace_id);
    assert_eq!(hex(&post.links[0].trace_id), hex(&run.trace_id));
    assert_eq!(hex(&post.links[0].span_id), hex(&run.span_id));
    assert!(attribute(&post.attributes, "dagbook.request_id").is_some());
    let status = attribute(&post.attributes, "http.response.status_code");
    assert_eq!(status.as_deref(), Some("201"));
    named(&got.spans, "GET /api/v1/runs/{id}");
}

#[test]
fn the_metrics_of_a_server_hold_every_documented_family() {
    let project = Project::with("  a: { run: 'true' }\n");
    let served = Served::start(&project, &[]);
    let run = served.submit(DAG, None);
    served.wait_for_end(&run);
    let look = || {
        let answer = served.get("/metrics").send().expect("an answer");
        let kind = answer.headers()["content-type"].to_str().expect("text").to_string();
        assert!(kind.starts_with("application/openmetrics-text"), "{kind}");
        parse(&answer.text().expect("a body")).expect("it parses")
    };
    let exposed = wait_for("the count of the run", PATIENCE, || {
        let exposed = look();
        let labels = [("tenant", "local"), ("status", "succeeded")];
        (exposed.value("dagbook_runs_finished", &labels) == Some(1.0)).then_some(exposed)
    });
    for family in FAMILIES {
        assert!(exposed.family(family.name).is_some(), "{}", family.name);
    }
    let value = |name: &str, labels: &[(&str, &str)]| exposed.value(name, labels);
    assert_eq!(value("dagbook_lease_held", &[]), Some(1.0));
    assert_eq!(value("dagbook_takeovers", &[]), Some(1.0));
    assert!(value("dagbook_lease_epoch", &[]).is_some_and(|epoch| epoch > 0.0));
    assert_eq!(value("dagbook_record_open", &[]), Some(1.0));
    let posts = [("method", "POST"), ("route", "/api/v1/runs"), ("status", "201")];
    assert_eq!(value("dagbook_http_requests", &posts), Some(1.0));
    let ended = [("executor", "local"), ("outcome", "succeeded")];
    assert_eq!(value("dagbook_attempts_ended", &ended), Some(1.0));
    let places = wait_for("the engine's numbers", PATIENCE, || {
        look().value("dagbook_pool_places", &[("pool", "local")])
    });
    assert!(places >= 1.0);
    let stranger = Client::new().get(format!("{}/metrics", served.url)).send().expect("an answer");
    assert_eq!(stranger.status().as_u16(), 401);
    served.stop();
}
