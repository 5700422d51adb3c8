//! Properties of parsing and planning.

use std::collections::BTreeMap;

use dagbook_events::dag::{self, Finding, PlanFacts, SourceBundle};
use proptest::prelude::*;

const FULL: &str = include_str!("dag/full.yaml");
const KINDS: &str = include_str!("dag/kinds.yaml");

fn check_bytes(bytes: &[u8]) {
    let checked = dag::parse(bytes, "dag.yaml");
    assert_eq!(checked.spec.is_some(), !checked.has_errors());
    for finding in &checked.findings {
        assert!(finding.line >= 1 && finding.column >= 1);
        assert!(finding.span.start <= finding.span.end && finding.span.end <= bytes.len());
        assert!(!finding.message.chars().any(|c| c.is_control()), "{:?}", finding.message);
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        let bundle = SourceBundle {
            entry: "dag.yaml".into(),
            files: [("dag.yaml".to_string(), text.to_string())].into(),
        };
        let plan = |_: u8| dag::plan(&bundle, &BTreeMap::new(), &PlanFacts::default());
        let (first, second) = (plan(1), plan(2));
        assert_eq!(first, second, "a plan is the same each time");
        if let Err(findings) = first {
            assert!(findings.iter().any(Finding::is_error));
            dag::render(&findings, &bundle, true);
        }
    }
}

/// A good file with one stretch of it changed.
fn changed_file() -> impl Strategy<Value = Vec<u8>> {
    let stretch = (any::<prop::sample::Index>(), 0usize..40, any::<bool>());
    let new = prop_oneof![
        "[ -~\n]{0,20}",
        Just("${{ ".to_string()),
        Just(" }}".to_string()),
        Just("\t".to_string()),
        Just("- ".to_string()),
        Just("&a ".to_string()),
        Just("*a".to_string()),
        Just("{".to_string()),
        Just("]".to_string()),
        Just("💥\u{feff}".to_string()),
    ];
    (stretch, new).prop_map(|((at, length, which), new)| {
        let mut bytes = if which { FULL.as_bytes() } else { KINDS.as_bytes() }.to_vec();
        let start = at.index(bytes.len());
        let end = (start + length).min(bytes.len());
        bytes.splice(start..end, new.into_bytes());
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn arbitrary_bytes_are_answered_with_findings(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        check_bytes(&bytes);
    }

    #[test]
    fn arbitrary_yaml_like_text_is_answered(text in "[-a-z:{}\\[\\],&*!|>'\"#% \n\t0-9$.]{0,200}") {
        check_bytes(text.as_bytes());
    }

    #[test]
    fn a_good_file_with_one_change_is_answered(bytes in changed_file()) {
        check_bytes(&bytes);
    }
}

#[test]
fn the_reference_lists_every_code() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/docs/dag-file.md"))
            .expect("the reference is there");
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let expected: Vec<String> = dag::codes::ALL
        .iter()
        .map(|code| format!("| `{}` | {} |", code.id, code.meaning))
        .collect();
    let found: Vec<&str> =
        rows.into_iter().filter(|row| row.starts_with("| `E") || row.starts_with("| `W")).collect();
    assert_eq!(found, expected);
    let mut ids: Vec<&str> = dag::codes::ALL.iter().map(|code| code.id).collect();
    ids.dedup();
    assert_eq!(ids.len(), dag::codes::ALL.len(), "a code is used once");
}

#[test]
fn small_plans_are_quick() {
    let text = "dagbook: v1\nname: s\nsteps:\n  a: { run: 'true' }\n  b: { needs: a, run: 'true' }\n  c: { needs: b, run: 'true' }\n";
    let bundle = SourceBundle {
        entry: "dag.yaml".into(),
        files: [("dag.yaml".to_string(), text.to_string())].into(),
    };
    let plan = || dag::plan(&bundle, &BTreeMap::new(), &PlanFacts::default()).expect("good");
    plan();
    #[expect(clippy::disallowed_methods, reason = "the test measures its own time")]
    let start = std::time::Instant::now();
    for _ in 0..1_000 {
        plan();
    }
    let each = start.elapsed() / 1_000;
    println!("three steps: {each:?} a plan");
    // Far above what an unoptimised build needs; it would show work that is not bounded.
    assert!(each.as_millis() < 20, "{each:?}");
}
