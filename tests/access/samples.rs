//! Bodies that make sense, and what names in paths, queries and bodies stand for.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

/// Operations whose bodies name something that may be another's.
pub const NAMED_IN_BODIES: &[&str] = &["create_schedule", "submit_run"];

/// A rate card.
pub const CARD: &str = "rate_card: made-here\ncurrency: EUR\nprices: [ { sku: cpu, meter: cpu_milli_ms, \
                    price: '0.048', per: 3600000000 } ]\n";

/// A DAG file of this name.
pub fn dag(name: &str) -> String {
    format!("dagbook: v1\nname: {name}\nsteps:\n  a: {{ run: \"true\" }}\n")
}

/// A body that makes sense. Its names are these.
pub fn sample(id: &str, names: &Names) -> Json {
    let spec = json!({ "pipeline": names.0["pipeline"], "cron": "0 3 * * *" });
    match id {
        "create_tenant" => json!({ "tenant": "made-here" }),
        "change_tenant" => json!({ "display_name": "Other" }),
        "suspend_tenant" => json!({ "reason": "a test" }),
        "issue_token" => json!({ "name": "made here", "role": "viewer" }),
        "rotate_token" => json!({}),
        "set_person" => json!({
            "issuer": "https://id.example", "subject": "bob", "name": "Bob", "role": "viewer",
        }),
        "set_secret" => json!({ "value": "s3cret-value" }),
        // It takes no JSON, and says so to those who may send something.
        "put_source" => json!({}),
        "submit_run" => json!({ "pipeline": names.0["pipeline"] }),
        "plan" | "lint" => json!({ "dag": dag("t") }),
        "register_pipeline" => json!({ "dag": dag(&names.0["pipeline"]) }),
        "run_pipeline" | "archive_pipeline" | "restore_pipeline" => json!({}),
        "create_schedule" => json!({ "name": "made-here", "spec": spec }),
        "change_schedule" => spec,
        "pause_schedule" | "resume_schedule" | "cancel_backfill" => json!({}),
        "preview_backfill" | "backfill_schedule" => {
            json!({ "from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z" })
        }
        "cancel_run" | "pause_run" | "resume_run" | "retry_run" | "approve_step"
        | "reject_step" => json!({}),
        "signal_run" => json!({ "name": "go" }),
        "set_retention" => json!({ "logs_days": 30 }),
        "set_site_retention" => json!({ "at_least_days": 7 }),
        "place_hold" => json!({ "hold": "a-test", "reason": "a test" }),
        "publish_rate_card" | "compare_invoice" => json!({ "source": CARD }),
        "assign_rate_card" | "close_period" => json!({}),
        "publish_contract" => json!({ "source": "contract: made-here\ncurrency: EUR\n" }),
        "open_period" => json!({ "period": "2026-01", "currency": "EUR" }),
        "set_budget" => json!({ "amount": "5.00", "currency": "EUR", "on_exceed": "warn" }),
        "issue_credit_note" => json!({ "reason": "a test" }),
        other => panic!("`{other}` takes a body, and no sample of one is here"),
    }
}

/// What names in paths, queries and bodies stand for.
#[derive(Debug, Clone, Default)]
pub struct Names(pub BTreeMap<&'static str, String>);

impl Names {
    /// Names of nothing.
    pub fn of_nothing() -> Self {
        let id = "018f0000-0000-7000-8000-00000000dead".to_string();
        Self(BTreeMap::from([
            ("tenant", "nowhere".to_string()),
            ("token", id.clone()),
            ("secret", "nothing".to_string()),
            ("run", id),
            ("pipeline", "nothing".to_string()),
            ("schedule", "nothing".to_string()),
            ("step", "a".to_string()),
            ("number", "1".to_string()),
            ("problem", "not-found".to_string()),
            ("hash", "0".repeat(64)),
            ("issuer", "https://id.example".to_string()),
            ("subject", "nobody".to_string()),
            ("hold", "nothing".to_string()),
            ("card", "nothing".to_string()),
            ("budget", "nothing".to_string()),
            ("period", "2026-02".to_string()),
            ("line", "000001".to_string()),
        ]))
    }

    /// The name that stands at this place.
    fn of(&self, path: &str, parameter: &str) -> String {
        let kind = match parameter {
            "tenant" | "token" | "issuer" | "subject" | "run" | "step" | "hash" => parameter,
            "sha256" => "hash",
            "id" if path.contains("/runs/") => "run",
            "id" | "name" if path.contains("/schedules/") => "schedule",
            "name" if path.contains("/pipelines/") => "pipeline",
            "name" if path.contains("/secrets/") => "secret",
            "name" if path.contains("/holds/") => "hold",
            "name" if path.contains("/rate-cards/") => "card",
            "name" if path.contains("/budgets/") => "budget",
            "period" | "line" => parameter,
            "code" if path.contains("/problems/") => "problem",
            "key" => "step",
            "n" | "attempt" | "number" | "version" | "from" | "level" | "index" => "number",
            other => panic!("nobody knows what `{other}` of {path} names"),
        };
        self.0[kind].clone()
    }

    /// The path with the names in it, and the query that it needs.
    pub fn fill(&self, template: &str, query: &[String]) -> String {
        let mut path = template.to_string();
        while let Some((before, rest)) = path.split_once('{') {
            let (parameter, after) = rest.split_once('}').expect("a parameter");
            let name = self.of(template, parameter);
            path = format!("{before}{name}{after}");
        }
        for (n, key) in query.iter().enumerate() {
            let value = self.of(template, key).replace(':', "%3A").replace('/', "%2F");
            path = format!("{path}{}{key}={value}", if n == 0 { '?' } else { '&' });
        }
        path
    }
}
