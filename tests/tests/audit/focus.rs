//! `focus/cost_and_usage.csv` before the validator of those who made the specification (PyPI
//! `focus-validator`), in the deep suite.

use std::process::Command;

use dagbook_tests::servers::focus_validator;

use super::billed::{PERIOD, close, project};

/// Rules that the validator breaks itself: they fail on every file that has only usage, whatever
/// is in it. Anything else that fails is ours.
const BROKEN: [&str; 7] = [
    "ConsumedQuantity-C-000-C",
    "ConsumedQuantity-C-003-C",
    "ConsumedQuantity-C-004-C",
    "ConsumedQuantity-C-005-C",
    "ConsumedQuantity-C-006-C",
    "InvoiceId-C-004-C",
    "InvoiceId-C-005-C",
];

/// Rules of a report that failed, and how many there are.
fn failed(report: &str) -> (Vec<String>, usize) {
    let mut failed = Vec::new();
    let cases: Vec<&str> = report.split("<testcase").skip(1).collect();
    for case in &cases {
        let name = case.split("name=\"").nth(1).and_then(|rest| rest.split('"').next());
        let rule = name.and_then(|name| name.split(" ::").next()).expect("a name").to_string();
        if case.contains("<failure") || case.contains("<error") {
            failed.push(rule);
        }
    }
    (failed, cases.len())
}

#[test]
fn the_validator_finds_nothing_but_what_it_breaks_itself() {
    if std::env::var("DAGBOOK_DEEP").as_deref() != Ok("1") {
        eprintln!("only in the deep suite: `./ops/test deep`");
        return;
    }
    let Some((program, library)) = focus_validator() else {
        eprintln!(
            "SKIPPED: focus-validator is not installed. Its pinned wheels need Python 3.12, which \
             `./ops/test deep` looks for as python3.12, python3 and below ~/.pyenv"
        );
        return;
    };
    let project = project(3);
    close(&project);
    let said = project.dagbook(&["audit", "export", "--period", PERIOD, "-o", "bundle"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let file = project.path().join("bundle/focus/cost_and_usage.csv");
    let report = project.path().join("report.xml");
    let output = Command::new(program)
        .arg("--data-file")
        .arg(file)
        .args(["--validate-version", "1.2", "--block-download", "--focus-dataset", "CostAndUsage"])
        .args(["--applicability-criteria", "USAGE_MEASUREMENT_SUPPORTED"])
        .args(["--output-type", "unittest", "--output-destination"])
        .arg(&report)
        // It looks for its rules here.
        .current_dir(library)
        .output()
        .expect("focus-validator");
    let text = std::fs::read_to_string(&report).unwrap_or_else(|error| {
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        panic!("it wrote no report ({error}): {said}")
    });
    let (failed, all) = failed(&text);
    assert!(all > 400, "only {all} rules were looked at");
    let ours: Vec<&String> =
        failed.iter().filter(|rule| !BROKEN.contains(&rule.as_str())).collect();
    assert!(ours.is_empty(), "{ours:?}");
    assert!(failed.len() <= 6, "{failed:?}");
}
