//! Fuzzing of DAG files: bytes → findings or a plan → pictures.
//!
//! [`fuzz_one`] is the target; [`mutate`] makes inputs that still look like DAG files, since
//! without coverage to steer by, random bytes would never get past the parser.

mod corpus;
mod mutators;
mod random;

use std::collections::BTreeMap;

use dagbook_events::dag::graph::{GraphFormat, render};
use dagbook_events::dag::{self, Finding, PlanFacts, SourceBundle};
use dagbook_events::value::Value;

pub use corpus::corpus;
pub use mutators::mutate;
pub use random::Random;

/// Reads, checks, plans and draws one input. Panics when what comes back makes no sense.
pub fn fuzz_one(data: &[u8]) {
    let checked = dag::parse(data, "dag.yaml");
    assert_eq!(checked.spec.is_some(), !checked.has_errors(), "a spec comes without errors only");
    for finding in &checked.findings {
        check_finding(finding, data.len());
    }
    let Ok(text) = dag::decode(data, "dag.yaml") else { return };
    for path in dag::sub_dag_paths("dag.yaml", &text) {
        assert!(!path.starts_with('/') && !path.split('/').any(|part| part == ".."), "{path}");
    }
    // The file calls itself under a second name, so that calls are followed.
    let bundle = SourceBundle {
        entry: "dag.yaml".into(),
        files: ["dag.yaml", "parts/child.yaml"].map(|path| (path.to_string(), text.clone())).into(),
    };
    let given = BTreeMap::from([("dataset".to_string(), Value::str("cats"))]);
    let facts = PlanFacts::default();
    for given in [BTreeMap::new(), given] {
        match dag::plan(&bundle, &given, &facts) {
            Err(findings) => {
                assert!(findings.iter().any(Finding::is_error), "a refusal has a reason");
                let drawn = dag::render(&findings[..findings.len().min(50)], &bundle, false);
                assert!(!drawn.chars().any(|c| c == '\u{1b}' || c == '\0'), "escapes are drawn");
            }
            Ok(plan) => check_plan(&plan),
        }
    }
}

fn check_finding(finding: &Finding, length: usize) {
    assert!(finding.line >= 1 && finding.column >= 1, "{finding:?}");
    assert!(finding.span.start <= finding.span.end && finding.span.end <= length, "{finding:?}");
    assert!(!finding.message.is_empty() && !finding.message.chars().any(char::is_control));
    assert!(dag::codes::ALL.iter().any(|code| code.id == finding.code));
}

fn check_plan(plan: &dag::Plan) {
    assert!(plan.unit_count() <= 100_000);
    for (at, step) in plan.steps.iter().enumerate() {
        assert!(step.needs.iter().all(|need| (need.0 as usize) < at), "needs come before");
        assert!(step.needs.iter().all(|need| plan.step(*need).level < step.level));
        assert_eq!(plan.index[&step.name].0 as usize, at);
    }
    if plan.steps.len() <= 300 {
        for format in [GraphFormat::Text, GraphFormat::Dot, GraphFormat::Mermaid, GraphFormat::Svg]
        {
            assert!(!render(plan, format).is_empty());
        }
    }
}
