//! What operators read agrees with what there is: the table of metrics, alerts and their
//! runbooks, the dashboard.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use dagbook::telemetry::metrics::{FAMILIES, Kind, family};

fn ops() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").join("ops")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(ops().join(path)).unwrap_or_else(|e| panic!("ops/{path}: {e}"))
}

/// A row of the document's table.
fn row(family: &dagbook::telemetry::metrics::Family) -> String {
    let labels: Vec<String> = family.labels.iter().map(|label| format!("`{label}`")).collect();
    let kind = family.kind.as_str();
    let name = match family.kind {
        Kind::Counter => format!("{}_total", family.name),
        _ => family.name.to_string(),
    };
    format!("| `{name}` | {kind} | {} | {} |", labels.join(", "), family.help)
}

#[test]
fn the_document_has_every_family_and_no_other() {
    let text = read("docs/telemetry.md");
    let rows = |text: &str| -> BTreeSet<String> {
        let rows = text
            .lines()
            .filter(|line| line.starts_with("| `dagbook_") || line.starts_with("| `process_"));
        rows.map(str::to_string).collect()
    };
    let wanted: BTreeSet<String> = FAMILIES.iter().map(row).collect();
    let found = rows(&text);
    let missing: Vec<_> = wanted.difference(&found).collect();
    let strange: Vec<_> = found.difference(&wanted).collect();
    assert!(missing.is_empty() && strange.is_empty(), "missing {missing:#?}, strange {strange:#?}");
}

/// Names of metrics in an expression.
fn metrics_in(text: &str) -> Vec<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| word.starts_with("dagbook_") || word.starts_with("process_"))
        .collect()
}

/// The family of a series, whose name has an ending of its kind.
fn exists(series: &str) -> bool {
    let of = |ending: &str, kind: Kind| {
        let name = series.strip_suffix(ending);
        name.and_then(family).is_some_and(|family| family.kind == kind)
    };
    of("_total", Kind::Counter)
        || of("", Kind::Gauge)
        || ["_bucket", "_sum", "_count"].iter().any(|ending| of(ending, Kind::Histogram))
}

#[test]
fn every_alert_asks_for_series_that_exist_and_names_a_runbook() {
    let text = read("prometheus/alerts.yaml");
    let mut alerts = 0;
    for part in text.split("- alert: ").skip(1) {
        alerts += 1;
        let name = part.lines().next().unwrap_or_default();
        let field = |key: &str| {
            let line = part.lines().find(|line| line.trim_start().starts_with(key));
            let line = line.unwrap_or_else(|| panic!("{name} has no {key}"));
            line.trim_start().trim_start_matches(key).trim().trim_matches('"').to_string()
        };
        let asked = field("expr:");
        let series = metrics_in(&asked);
        assert!(!series.is_empty(), "{name} asks for nothing");
        for series in series {
            assert!(exists(series), "{name} asks for `{series}`, which nobody exposes");
        }
        let runbook = field("runbook:");
        assert!(runbook.starts_with("ops/runbooks/"), "{name}: {runbook}");
        let page = read(runbook.trim_start_matches("ops/"));
        assert!(page.contains(&format!("`{name}`")), "{runbook} does not speak of {name}");
        field("summary:");
        assert!(["page", "ticket"].contains(&field("severity:").as_str()), "{name}");
    }
    assert!(alerts >= 10, "{alerts} alerts");
}

#[test]
fn the_dashboard_shows_series_that_exist() {
    let board: serde_json::Value =
        serde_json::from_str(&read("grafana/dagbook.json")).expect("JSON");
    let mut asked = 0;
    let mut open = vec![&board];
    while let Some(value) = open.pop() {
        match value {
            serde_json::Value::Object(members) => {
                if let Some(expr) = members.get("expr").and_then(serde_json::Value::as_str) {
                    asked += 1;
                    let series = metrics_in(expr);
                    assert!(!series.is_empty(), "{expr} shows nothing of ours");
                    for series in series {
                        assert!(exists(series), "{expr}: nobody exposes `{series}`");
                    }
                }
                open.extend(members.values());
            }
            serde_json::Value::Array(items) => open.extend(items),
            _ => {}
        }
    }
    assert!(asked >= 15, "{asked} expressions");
}

#[test]
fn every_runbook_stands_in_the_index_once_and_every_link_between_them_leads_somewhere() {
    let folder = ops().join("runbooks");
    let pages: BTreeSet<String> = std::fs::read_dir(folder)
        .expect("the runbooks")
        .map(|entry| entry.expect("a file").file_name().to_string_lossy().into_owned())
        .filter(|name| name != "README.md")
        .collect();
    let index = read("runbooks/README.md");
    for page in &pages {
        let named = index.matches(&format!("]({page})")).count();
        assert_eq!(named, 1, "the index of runbooks names {page} {named} times");
    }
    for page in pages.iter().map(String::as_str).chain(["README.md"]) {
        let text = read(&format!("runbooks/{page}"));
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let is_page = link.ends_with(".md") && !link.contains('/');
            assert!(!is_page || pages.contains(link), "{page} leads to {link}, which is not there");
        }
    }
}
