//! Every member that `--output json` prints is named on the page about it.

use std::collections::BTreeSet;

use serde_json::Value;

use dagbook_tests::project::Project;

/// Members below these have names that the author gave.
const FREE: [&str; 5] = ["params", "labels", "outputs", "counts", "d"];

const DAG: &str = "\
dagbook: v1
name: shapes
description: For the shapes of what is printed
labels: { team: tests }
params: { n: { type: integer, default: 1 } }
concurrency: { group: shapes, limit: 1, when_full: queue }
timeout: 1h
max_parallel: 4
steps:
  make:
    run: |
      echo made > \"$DAGBOOK_ARTIFACTS/made\"
      echo v=1 >> \"$DAGBOOK_OUTPUT\"
      echo written
    env: { N: \"${{ params.n }}\" }
    outputs: { v: integer }
    resources: { cpu: 100m }
  grid:
    needs: make
    if: params.n == 1
    max_parallel: 2
    matrix: { x: [a, b] }
    command: [echo, \"${{ matrix.x }}\"]
  list:
    needs: make
    for_each: ${{ [1, 2] }}
    command: [echo, \"${{ item }}\"]
  fail:
    needs: grid
    run: |
      echo it will not
      exit 4
  after:
    needs: fail
    run: 'true'
";

fn documented() -> BTreeSet<String> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../ops/docs/cli-output.md");
    let text = std::fs::read_to_string(page).expect("the page");
    text.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

fn members(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, inner) in object {
                found.insert(name.clone());
                if !FREE.contains(&name.as_str()) {
                    members(inner, found);
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| members(item, found)),
        _ => {}
    }
}

#[test]
fn every_member_is_documented() {
    let project = Project::with("dag.yaml", DAG);
    let mut printed: Vec<(String, String)> = Vec::new();
    let commands: [&[&str]; 14] = [
        &["lint", "dag.yaml"],
        &["plan", "dag.yaml"],
        &["run", "dag.yaml"],
        &["retry", "latest", "--from-failed"],
        &["runs"],
        &["show"],
        &["logs"],
        &["events"],
        &["why"],
        &["why", "latest", "after"],
        &["replay", "--verify"],
        &["secret", "list"],
        &["doctor"],
        &["version"],
    ];
    for command in commands {
        let said = project.dagbook(&[command, &["--output", "json"]].concat());
        assert!(!said.stdout.trim().is_empty(), "{command:?} printed nothing: {}", said.stderr);
        printed.push((command.join(" "), said.stdout));
    }
    let error = project.dagbook(&["show", "#99", "--output", "json"]).stderr;
    printed.push(("an error".to_string(), error));
    let documented = documented();
    for (command, text) in &printed {
        let mut found = BTreeSet::new();
        for document in serde_json::Deserializer::from_str(text).into_iter::<Value>() {
            members(&document.unwrap_or_else(|e| panic!("{command}: {e}: {text}")), &mut found);
        }
        let unnamed: Vec<_> = found.difference(&documented).collect();
        assert!(unnamed.is_empty(), "`{command}` prints {unnamed:?}, which the page does not name");
    }
}
