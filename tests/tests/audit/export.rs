//! `dagbook audit export`, here and from a server.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use dagbook_tests::project::{Project, Said};
use dagbook_tests::served::{Client, Served};

use super::billed::{PERIOD, close, project, stream};

/// What the other program says of a bundle.
fn by_python(bundle: &Path) -> Said {
    let mut command = Command::new("python3");
    Said::from(command.arg(bundle.join("verify.py")).arg(bundle).output().expect("python3"))
}

fn accepted(project: &Project, folder: &str) {
    let said = by_python(&project.path().join(folder));
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
}

fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut open = vec![folder.to_path_buf()];
    while let Some(at) = open.pop() {
        for entry in std::fs::read_dir(at).expect("readable").flatten() {
            let path = entry.path();
            if path.is_dir() {
                open.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).expect("below").display().to_string();
            found.insert(name, std::fs::read(path).expect("readable"));
        }
    }
    found
}

#[test]
fn what_really_ran_is_billed_exported_and_accepted_here_and_from_a_server() {
    let project = project(3);
    let total = close(&project);
    assert!(total > 0);
    let export = ["audit", "export", "--period", PERIOD, "--line", "1", "-o", "november"];
    let said = project.dagbook(&export);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert!(said.stdout.contains("the period today of local"), "{}", said.stdout);
    accepted(&project, "november");
    let here = files(&project.path().join("november"));
    assert!(here.contains_key("proofs/000001.tlog-proof"));
    let again = project.dagbook(&export);
    assert_eq!(again.code, 2, "{}{}", again.stdout, again.stderr);
    assert!(again.stderr.contains("not empty"), "{}", again.stderr);

    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let export = ["audit", "export", "--period", PERIOD, "--line", "1", "-o", "afar"];
    let said = client.dagbook(&[&export[..], &["--output", "json"]].concat());
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).expect("JSON");
    assert_eq!(report["total_minor"], total.to_string());
    assert_eq!(report["kind"], "invoice");
    accepted(&project, "afar");
    let there = files(&project.path().join("afar"));
    for path in ["invoice.json", "lines.csv", "usage.csv", "focus/cost_and_usage.csv"] {
        assert!(here[path] == there[path], "{path} differs");
    }
    let unknown = client.dagbook(&["audit", "export", "--period", "2001-01", "-o", "nothing"]);
    assert_eq!(unknown.code, 2, "{}{}", unknown.stdout, unknown.stderr);
    assert!(!project.path().join("nothing").exists());
}

#[test]
fn a_changed_cent_is_found() {
    let project = project(1);
    close(&project);
    let said = project.dagbook(&["audit", "export", "--period", PERIOD, "-o", "bundle"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let lines = project.path().join("bundle/lines.csv");
    let text = std::fs::read_to_string(&lines).expect("readable");
    std::fs::write(&lines, text.replacen(",EUR,", "1,EUR,", 1)).expect("written");
    let said = by_python(&project.path().join("bundle"));
    assert_ne!(said.code, 0);
    assert!(format!("{}{}", said.stdout, said.stderr).contains("manifest"), "{}", said.stdout);
}

#[test]
fn closed_periods_are_rated_again_and_the_report_is_an_event() {
    let project = project(1);
    close(&project);
    let said = project.dagbook(&["audit", "reconcile", "--periods", "--record"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let reports = stream(&project, "local", "reconciliation");
    assert_eq!(reports.len(), 1);
    let leaf = String::from_utf8_lossy(&reports[0].leaf).into_owned();
    assert!(
        leaf.contains("\"comparison\":\"periods\"") && leaf.contains("\"agrees\":true"),
        "{leaf}"
    );
    let said = project.dagbook(&["audit", "reconcile", "--itself", "--record"]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    assert_eq!(stream(&project, "site", "reconciliation").len(), 1);
}
