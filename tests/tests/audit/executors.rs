//! `dagbook audit reconcile --executors`: attempts of the record with the journal of the machine.

use std::path::PathBuf;

use dagbook_tests::project::{Project, Said};

use super::billed::project;

fn journal(project: &Project) -> PathBuf {
    project.path().join("data/attempts.journal")
}

fn lines(project: &Project) -> Vec<String> {
    let text = std::fs::read_to_string(journal(project)).expect("a journal");
    text.lines().map(str::to_string).collect()
}

fn write(project: &Project, lines: &[String]) {
    std::fs::write(journal(project), format!("{}\n", lines.join("\n"))).expect("written");
}

fn reconcile(project: &Project) -> Said {
    project.dagbook(&["audit", "reconcile", "--executors"])
}

/// What is found, in a word for each.
fn kinds(project: &Project) -> Vec<String> {
    let report = project.json(&["audit", "reconcile", "--executors"]);
    let findings = report["reports"][0]["findings"].as_array().expect("findings");
    findings.iter().map(|it| it["kind"].as_str().expect("a word").to_string()).collect()
}

#[test]
fn every_attempt_is_in_the_record_and_in_the_journal_with_the_same_times() {
    let project = project(2);
    let said = reconcile(&project);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("4 attempts"), "{}", said.stdout);
    let whole = lines(&project);
    assert_eq!(whole.len(), 5, "a head, and a line for each attempt: {whole:?}");

    let without: Vec<String> = whole.iter().take(4).cloned().collect();
    write(&project, &without);
    assert_eq!(kinds(&project), ["missing"]);
    let said = reconcile(&project);
    assert_eq!(said.code, 6, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("reconciliation-failed"), "{}", said.stdout);

    let id = "00000000-0000-7000-8000-000000000001";
    let mut ended: serde_json::Value = serde_json::from_str(&whole[4]).expect("JSON");
    ended["attempt"] = id.into();
    let more = [&whole[..], &[ended.to_string()]].concat();
    write(&project, &more);
    assert_eq!(kinds(&project), ["surplus"]);

    let mut changed = whole.clone();
    let mut ended: serde_json::Value = serde_json::from_str(&whole[1]).expect("JSON");
    ended["released"] = (ended["released"].as_i64().expect("ms") + 1).into();
    changed[1] = ended.to_string();
    write(&project, &changed);
    assert_eq!(kinds(&project), ["times"]);

    // The same line twice is what a crash leaves; another one is not.
    write(&project, &[&whole[..], &whole[1..2]].concat());
    assert_eq!(kinds(&project), Vec::<String>::new());
    write(&project, &[&whole[..], &changed[1..2]].concat());
    assert_eq!(kinds(&project), ["twice"]);

    // A line that a crash cut off does not spoil the next one.
    write(&project, &whole);
    let mut text = std::fs::read_to_string(journal(&project)).expect("readable");
    text.push_str("{\"attempt\":\"01");
    std::fs::write(journal(&project), text).expect("written");
    let said = project.dagbook(&["run", "dag.yaml"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let said = reconcile(&project);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("6 attempts"), "{}", said.stdout);
}
