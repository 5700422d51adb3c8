//! The description of the API against the real server, as schemathesis (PyPI) reads it: whatever
//! it sends, nothing is answered with a status, a media type or a body that is not described, and
//! nothing with a fault of the server.

use std::process::Command;
use std::time::Duration;

use dagbook_tests::project::Project;
use dagbook_tests::served::Served;
use dagbook_tests::servers::{schemathesis, wait_for};
use serde_json::{Value as Json, json};

/// Requests of each operation that are made up, beside those for every bound of its description.
const EXAMPLES: &str = "20";
/// The same requests each time.
const SEED: &str = "20261121";
/// The longest that one round may take, in seconds.
const LONGEST: &str = "900";
/// Longest wait for the end of a small run.
const SOON: Duration = Duration::from_secs(60);
/// Requests that were sent at the least: a round that sends few looked at nothing.
const CASES_MIN: u64 = 2_000;

const DAG: &str = "\
dagbook: v1
name: nightly
steps:
  a: { run: \"echo hi\" }
  b: { approval: { message: \"Go?\" }, needs: [a] }
";

const CARD: &str = "\
rate_card: standard
currency: EUR
prices:
  - { sku: cpu, meter: cpu_milli_ms, price: '1', per: 3600000000 }
  - { sku: runner, meter: runner_ms, price: '0.25', per: 3600000 }
";

const CONTRACT: &str = "\
contract: friends
currency: EUR
discounts: [ { name: friend, percent: 10 } ]
";

/// Makes something of each kind, and says by what names they are found.
fn furnish(served: &Served) -> String {
    let client = reqwest::blocking::Client::new();
    let ask = |method: &str, path: &str, body: Json| -> Json {
        let request = client
            .request(method.parse().expect("a method"), format!("{}{path}", served.url()))
            .bearer_auth(&served.token)
            .header("content-type", "application/json")
            .body(body.to_string());
        let response = request.send().expect("an answer");
        assert!(response.status().is_success(), "{method} {path}: {:?}", response.text());
        serde_json::from_str(&response.text().expect("text")).expect("JSON")
    };
    let run = ask("POST", "/api/v1/runs", json!({ "dag": super::samples::dag("t") }));
    let run = run["run"].as_str().expect("a run");
    // Its stream ends: one that goes on would be read for ever.
    wait_for("the end of the run", SOON, || {
        let shown = ask("GET", &format!("/api/v1/runs/{run}"), Json::Null);
        (shown["status"] == "succeeded").then_some(())
    });
    ask("PUT", "/api/v1/pipelines/nightly", json!({ "dag": DAG }));
    let params = json!({ "epochs": 3, "where": "x", "all": [true, null, { "deep": 1.5 }] });
    let spec = json!({ "pipeline": "nightly", "cron": "0 3 1 1 *", "params": params });
    ask("POST", "/api/v1/schedules", json!({ "name": "each-night", "spec": spec }));
    ask("PUT", "/api/v1/secrets/db", json!({ "value": "s3cret-value" }));
    let quota = json!({ "open_runs": 100, "weight": 2 });
    let acme = json!({ "tenant": "acme", "quota": quota, "labels": { "floor": "3" } });
    ask("POST", "/api/v1/tenants", acme);
    let person = json!({
        "issuer": "https://id.example", "subject": "bob", "name": "Bob", "role": "viewer",
    });
    ask("PUT", "/api/v1/people", person);
    let token = ask("POST", "/api/v1/tokens", json!({ "name": "other", "role": "viewer" }));
    let token = token["token"].as_str().expect("a token");
    furnish_money(&ask);
    let named = |part: &str, name: &str| {
        format!(
            "[[operations]]\ninclude-path-regex = \"/{part}/\"\n\
             parameters = {{ \"path.name\" = \"{name}\" }}"
        )
    };
    [
        "[parameters]".to_string(),
        format!("\"path.id\" = \"{run}\""),
        format!("\"path.token\" = \"{token}\""),
        "\"path.step\" = \"a\"".to_string(),
        "\"path.number\" = 1".to_string(),
        "\"path.tenant\" = \"acme\"".to_string(),
        "\"path.code\" = \"not-found\"".to_string(),
        "\"path.period\" = \"2026-01\"".to_string(),
        "\"path.line\" = \"000001\"".to_string(),
        "\"path.level\" = \"entries\"".to_string(),
        "\"path.index\" = 0".to_string(),
        named("rate-cards", "standard"),
        named("budgets", "month"),
        named("pipelines", "nightly"),
        named("schedules", "each-night"),
        named("secrets", "db"),
    ]
    .join("\n")
}

/// Prices, a closed period that nothing was used in, and an open one with the run.
fn furnish_money(ask: &impl Fn(&str, &str, Json) -> Json) {
    let from = "2026-01-01T00:00:00Z";
    let publish = json!({ "source": CARD, "effective_from": from });
    ask("POST", "/api/v1/rate-cards", publish);
    let effective = json!({ "effective_from": from });
    ask("POST", "/api/v1/rate-cards/standard/assign", effective.clone());
    let contract = json!({ "source": CONTRACT, "effective_from": from });
    ask("POST", "/api/v1/contracts", contract);
    let period = json!({ "period": "2026-01", "zone": "UTC", "grace_ms": 0 });
    ask("POST", "/api/v1/periods", period);
    ask("POST", "/api/v1/periods", json!({}));
    ask("POST", "/api/v1/periods/2026-01/close", json!({}));
    let budget = json!({ "amount": "100000", "currency": "EUR", "on_exceed": "warn" });
    ask("PUT", "/api/v1/budgets/month", budget);
}

/// One round with these settings.
fn look(project: &Project, served: &Served, settings: &str) {
    project.write("schemathesis.toml", settings);
    project.write("described.py", include_str!("schemathesis_hooks.py"));
    let mut command = Command::new("timeout");
    command
        .arg(LONGEST)
        .arg(schemathesis())
        .args(["--config-file", "schemathesis.toml"])
        .args(["run", &format!("{}/api/v1/openapi.json", served.url())])
        .arg(format!("--header=Authorization: Bearer {}", served.token))
        .args(["--phases", "examples,coverage,fuzzing"])
        .arg(
            "--checks=not_a_server_error,status_code_conformance,content_type_conformance,\
             response_schema_conformance",
        )
        .args(["--max-examples", EXAMPLES, "--seed", SEED, "--generation-database=none"])
        .args(["--request-timeout=60", "--continue-on-failure", "--no-color"])
        .env("SCHEMATHESIS_HOOKS", "described")
        .current_dir(project.path());
    let output = command.output().expect("schemathesis");
    let said = String::from_utf8_lossy(&output.stdout).replace(&served.token, "TOKEN");
    let errors = String::from_utf8_lossy(&output.stderr).replace(&served.token, "TOKEN");
    let log = served.said().replace(&served.token, "TOKEN");
    assert!(output.status.success(), "{}\n{said}\n{errors}\n{log}", output.status);
    let generated = said.split(" generated, ").next().and_then(|text| {
        text.rsplit(char::is_whitespace).next()?.replace(',', "").parse::<u64>().ok()
    });
    let generated = generated.unwrap_or_else(|| panic!("nothing was counted: {said}"));
    assert!(generated >= CASES_MIN, "only {generated} requests were sent: {said}");
    eprintln!("{generated} requests, and each was answered as it is described");
}

#[test]
fn schemathesis_finds_no_answer_that_is_not_described() {
    if !super::deep() {
        eprintln!("only in the deep suite: `./ops/test deep`");
        return;
    }
    let mut project = Project::new();
    let limits = "per_token = 1000000\nper_token_burst = 1000000\nper_peer = 1000000\n";
    project.set("DAGBOOK_HTTP_LIMITS", limits);
    let served = Served::start(&project);
    // Once by names of nothing, once by names of what is there.
    look(&project, &served, "");
    let names = furnish(&served);
    look(&project, &served, &names);
}
