//! Every operation of the description with every role, with tokens that do not work, and with the
//! names of another tenant's things.
//!
//! An operation joins by its `x-permission`, or by a line in [`PERMISSIONS`]; one with a body by a
//! line in [`super::samples`]; one with a new kind of name in its path by a line there. One that
//! does none of it makes these tests fail.

use std::collections::BTreeMap;

use dagbook_events::access::{Permission, Role};
use serde_json::{Value as Json, json};

use super::samples::{NAMED_IN_BODIES, Names, dag, sample};
use super::site::{Answer, Site};

/// Who may use an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Who {
    /// Everybody, without a token.
    Open,
    /// Everybody with a token.
    Anyone,
    /// Who has the permission.
    May(Permission),
}

/// Operations that do not say it themselves, by their ids.
const PERMISSIONS: &[(&str, Who)] = &[
    ("index", Who::Anyone),
    ("openapi", Who::Anyone),
    ("problem", Who::Anyone),
    ("healthz", Who::Open),
    ("readyz", Who::Open),
    ("metrics", Who::May(Permission::ManageSite)),
    // Runs.
    ("list_runs", Who::May(Permission::ReadRuns)),
    ("submit_run", Who::May(Permission::SubmitRuns)),
    ("show_run", Who::May(Permission::ReadRuns)),
    ("list_events", Who::May(Permission::ReadRuns)),
    ("follow_events", Who::May(Permission::ReadRuns)),
    ("read_log", Who::May(Permission::ReadLogs)),
    ("why_run", Who::May(Permission::ReadRuns)),
    ("why_step", Who::May(Permission::ReadRuns)),
    ("cancel_run", Who::May(Permission::ActOnRuns)),
    ("pause_run", Who::May(Permission::ActOnRuns)),
    ("resume_run", Who::May(Permission::ActOnRuns)),
    ("retry_run", Who::May(Permission::SubmitRuns)),
    ("approve_step", Who::May(Permission::ActOnRuns)),
    ("reject_step", Who::May(Permission::ActOnRuns)),
    ("signal_run", Who::May(Permission::ActOnRuns)),
    ("plan", Who::May(Permission::ReadPipelines)),
    ("lint", Who::May(Permission::ReadPipelines)),
];

/// An operation of the description.
#[derive(Debug, Clone)]
struct Operation {
    id: String,
    method: String,
    path: String,
    who: Who,
    has_body: bool,
    query: Vec<String>,
    statuses: Vec<u16>,
}

async fn operations(site: &Site) -> Vec<Operation> {
    let api = site.done(&site.admin, None, "get", "/api/v1/openapi.json", None).await;
    let mut all = Vec::new();
    for (path, item) in api["paths"].as_object().expect("paths") {
        for (method, operation) in item.as_object().expect("operations") {
            let id = operation["operationId"].as_str().expect("an id").to_string();
            let parameters = operation["parameters"].as_array().cloned().unwrap_or_default();
            let query = parameters
                .iter()
                .filter(|it| it["in"] == "query" && it["required"] == true)
                .map(|it| it["name"].as_str().expect("a name").to_string());
            all.push(Operation {
                who: who(&id, &operation["x-permission"]),
                id,
                method: method.clone(),
                path: path.clone(),
                has_body: operation.get("requestBody").is_some(),
                query: query.collect(),
                statuses: operation["responses"]
                    .as_object()
                    .expect("responses")
                    .keys()
                    .filter_map(|status| status.parse().ok())
                    .collect(),
            });
        }
    }
    assert!(all.len() >= 60, "the description has lost its operations");
    for (known, _) in PERMISSIONS {
        assert!(all.iter().any(|op| op.id == *known), "`{known}` is no operation any more");
    }
    // What makes something comes behind what looks for it.
    all.sort_by_key(|op| op.method == "put");
    all
}

fn who(id: &str, said: &Json) -> Who {
    match said.as_str() {
        Some("open") => Who::Open,
        Some("none") => Who::Anyone,
        Some(word) => Who::May(word.parse().expect("a permission")),
        None => {
            let known = PERMISSIONS.iter().find(|(known, _)| *known == id);
            let known = known.unwrap_or_else(|| {
                panic!("nobody knows who may use `{id}`: give it `x-permission`, or a line here")
            });
            known.1
        }
    }
}

async fn try_it(site: &Site, op: &Operation, names: &Names, token: Option<&str>) -> Answer {
    let body = op.has_body.then(|| sample(&op.id, names));
    site.ask(token, None, &op.method, &names.fill(&op.path, &op.query), body).await
}

fn assert_problem(answer: &Answer, code: &str, at: &str) {
    assert_eq!(answer.body["code"], code, "{at}: {answer:?}");
    let kind = answer.headers.get("content-type").and_then(|kind| kind.to_str().ok());
    assert_eq!(kind, Some("application/problem+json"), "{at}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_asks_for_a_token_that_works() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let (id, revoked) = site.make_token("acme", "revoked", "owner").await;
    let path = format!("/api/v1/tokens/{id}");
    site.done(&site.admin, Some("acme"), "delete", &path, None).await;
    let soon = site.administration.services.clock.now() + dagbook_events::time::Millis(1_500);
    let brief = json!({ "name": "brief", "role": "owner", "expires_at": soon.to_rfc3339() });
    let tokens = "/api/v1/tokens";
    let brief = site.done(&site.admin, Some("acme"), "post", tokens, Some(brief)).await;
    let expired = brief["value"].as_str().expect("a value").to_string();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while site.ask(Some(&expired), None, "get", "/api/v1/me", None).await.status != 401 {
        assert!(std::time::Instant::now() < deadline, "it never expires");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    let strange = format!("dgb_{}", "A".repeat(43));
    let unknown = Names::of_nothing();
    let mut said = std::collections::BTreeSet::new();
    for op in operations(&site).await {
        let at = format!("{} {}", op.method, op.path);
        if op.who == Who::Open {
            let answer = try_it(&site, &op, &unknown, None).await;
            assert!(op.statuses.contains(&answer.status.as_u16()), "{at}: {answer:?}");
            assert_ne!(answer.status, 500, "{at}");
            continue;
        }
        assert!(op.statuses.contains(&401), "{at} does not document 401");
        for token in [None, Some(&revoked), Some(&expired), Some(&strange), Some(&"x".into())] {
            let answer = try_it(&site, &op, &unknown, token.map(String::as_str)).await;
            assert_eq!(answer.status, 401, "{at} with {token:?}: {answer:?}");
            assert_problem(&answer, "unauthenticated", &at);
            if token.is_some_and(|token| token.starts_with("dgb_")) {
                said.insert(answer.body["detail"].to_string());
            }
        }
    }
    assert_eq!(said.len(), 1, "what is said tells which token once worked: {said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_operation_lets_in_exactly_the_roles_that_it_says() {
    let site = Site::start().await;
    site.make_tenant("acme").await;
    let mut tokens = Vec::new();
    for role in Role::ALL {
        let tenant = if role == Role::Admin { "site" } else { "acme" };
        let name = format!("one {}", role.as_str());
        let (_, value) = site.make_token(tenant, &name, role.as_str()).await;
        tokens.push((role, value));
    }
    let unknown = Names::of_nothing();
    for op in operations(&site).await {
        for (role, token) in &tokens {
            let at = format!("{} {} as {}", op.method, op.path, role.as_str());
            let answer = try_it(&site, &op, &unknown, Some(token)).await;
            let status = answer.status.as_u16();
            assert!(op.statuses.contains(&status), "{at}: {status} is not documented: {answer:?}");
            assert_ne!(status, 500, "{at}: {answer:?}");
            match op.who {
                Who::Open => {}
                Who::May(permission) if !role.may(permission) => {
                    assert_eq!(status, 403, "{at}: {answer:?}");
                    assert_problem(&answer, "forbidden", &at);
                }
                _ => assert!(status != 401 && status != 403, "{at}: {answer:?}"),
            }
        }
    }
}

/// What lies in a tenant, as its owner sees it.
async fn look(site: &Site, token: &str) -> BTreeMap<&'static str, Json> {
    let mut seen = BTreeMap::new();
    for path in [
        "/api/v1/tokens",
        "/api/v1/secrets",
        "/api/v1/people",
        "/api/v1/runs",
        "/api/v1/pipelines",
        "/api/v1/pipelines/their-pipeline/versions",
        "/api/v1/schedules",
        "/api/v1/schedules/their-schedule/history",
        "/api/v1/rate-cards",
        "/api/v1/contracts",
        "/api/v1/periods",
        "/api/v1/budgets",
        "/api/v1/invoices",
    ] {
        let mut list = site.done(token, None, "get", path, None).await;
        for item in list["items"].as_array_mut().expect("items") {
            // Looking is a use, and time goes on.
            let item = item.as_object_mut().expect("an item");
            item.remove("last_used_at");
            item.remove("duration_ms");
        }
        seen.insert(path, list);
    }
    seen
}

/// The answer with the names in it taken out: what is left must not tell whether they exist.
fn without(names: &Names, answer: &Answer) -> String {
    let mut body = answer.body.clone();
    if let Some(body) = body.as_object_mut() {
        body.remove("request_id");
    }
    let mut text = format!("{} {body}", answer.status);
    for name in names.0.values().filter(|name| name.len() > 3) {
        text = text.replace(name.as_str(), "NAME");
    }
    text
}

/// Gives the tenant of an owner's token a rate card, a contract, a period and a budget.
async fn bill(site: &Site, theirs: &str) {
    let card = super::samples::CARD.replace("made-here", "their-card");
    let contract = "contract: theirs\ncurrency: EUR\n";
    for (path, body) in [
        ("/api/v1/rate-cards", json!({ "source": card })),
        ("/api/v1/rate-cards/their-card/assign", json!({})),
        ("/api/v1/contracts", json!({ "source": contract })),
        ("/api/v1/periods", json!({ "period": "2026-03" })),
    ] {
        site.done(&site.admin, Some("umbrella"), "post", path, Some(body)).await;
    }
    let budget = json!({ "amount": "5.00", "currency": "EUR", "on_exceed": "warn" });
    site.done(theirs, None, "put", "/api/v1/budgets/their-budget", Some(budget)).await;
    let invoice = site.done(theirs, None, "get", "/api/v1/invoices/2026-03", None).await;
    assert_eq!(invoice["status"], "draft", "it is there for its own");
}

#[tokio::test(flavor = "multi_thread")]
async fn another_tenants_names_are_answered_like_names_of_nothing() {
    let site = Site::start().await;
    for tenant in ["acme", "umbrella"] {
        site.make_tenant(tenant).await;
    }
    let (_, ours) = site.make_token("acme", "ours", "owner").await;
    let (_, theirs) = site.make_token("umbrella", "theirs", "owner").await;
    let (token, _) = site.make_token("umbrella", "robot", "developer").await;
    let put = Some(json!({ "value": "their-secret-value" }));
    site.done(&theirs, None, "put", "/api/v1/secrets/their-db", put).await;
    let person = json!({
        "issuer": "https://id.example", "subject": "carol", "name": "Carol", "role": "viewer",
    });
    site.done(&theirs, None, "put", "/api/v1/people", Some(person)).await;
    let run = site.make_run("umbrella").await;
    let shown = site.done(&theirs, None, "get", &format!("/api/v1/runs/{run}"), None).await;
    assert_eq!(shown["run"], json!(run), "it is there for its own");
    let dag = json!({ "dag": dag("their-pipeline") });
    site.done(&theirs, None, "put", "/api/v1/pipelines/their-pipeline", Some(dag)).await;
    let spec = json!({ "pipeline": "their-pipeline", "cron": "0 3 1 1 *" });
    let schedule = Some(json!({ "name": "their-schedule", "spec": spec }));
    site.done(&theirs, None, "post", "/api/v1/schedules", schedule).await;
    bill(&site, &theirs).await;
    let before = look(&site, &theirs).await;

    let nothing = Names::of_nothing();
    let mut foreign = nothing.clone();
    foreign.0.insert("tenant", "umbrella".to_string());
    foreign.0.insert("token", token);
    foreign.0.insert("secret", "their-db".to_string());
    foreign.0.insert("subject", "carol".to_string());
    foreign.0.insert("run", run);
    foreign.0.insert("pipeline", "their-pipeline".to_string());
    foreign.0.insert("schedule", "their-schedule".to_string());
    foreign.0.insert("card", "their-card".to_string());
    foreign.0.insert("period", "2026-03".to_string());
    foreign.0.insert("budget", "their-budget".to_string());
    let mut compared = 0;
    for op in operations(&site).await {
        let has_names = op.path.contains('{') || !op.query.is_empty();
        let has_names = has_names || NAMED_IN_BODIES.contains(&op.id.as_str());
        if op.who == Who::Open || !has_names {
            continue;
        }
        let at = format!("{} {}", op.method, op.path);
        let of_theirs = try_it(&site, &op, &foreign, Some(&ours)).await;
        let of_nothing = try_it(&site, &op, &nothing, Some(&ours)).await;
        if of_theirs.status.is_success() {
            // It made or found something of our own under that name.
            assert_eq!(of_theirs.status, of_nothing.status, "{at}");
            assert!(!of_theirs.body.to_string().contains("their-secret-value"), "{at}");
        } else {
            // Sources are no JSON, which is said before anything is looked for.
            let usual: &[u16] = if op.id == "put_source" { &[415] } else { &[403, 404] };
            assert!(usual.contains(&of_theirs.status.as_u16()), "{at}: {of_theirs:?}");
            let (a, b) = (without(&foreign, &of_theirs), without(&nothing, &of_nothing));
            assert_eq!(a, b, "{at} tells whether it exists");
        }
        compared += 1;
    }
    assert!(compared >= 45, "only {compared} operations were compared");
    for path in ["/api/v1/me", "/api/v1/tokens", "/api/v1/secrets"] {
        let there = site.ask(Some(&ours), Some("umbrella"), "get", path, None).await;
        let nowhere = site.ask(Some(&ours), Some("nowhere"), "get", path, None).await;
        assert_eq!(there.status, 403, "{there:?}");
        assert_eq!(without(&nothing, &there), without(&nothing, &nowhere));
    }
    assert_eq!(look(&site, &theirs).await, before, "nothing of theirs was changed");
}
