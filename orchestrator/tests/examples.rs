//! Every example is linted, planned (against its snapshot) and run to its end.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

fn examples() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../dag-examples").canonicalize().expect("examples")
}

fn dagbook(data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dagbook"));
    command.env("DAGBOOK_DATA", data).current_dir(examples()).stdin(Stdio::null());
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn names() -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(examples())
        .expect("examples")
        .flatten()
        .filter(|entry| entry.path().join("dag.yaml").is_file())
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    assert!(names.len() >= 7, "{names:?}");
    names
}

/// Runs an example and checks how it ends; its record must verify.
fn run(name: &str, params: &[&str], code: i32) -> Output {
    let data = tempfile::tempdir().expect("a folder");
    let mut command = dagbook(data.path());
    command.arg("run").arg(format!("{name}/dag.yaml"));
    for param in params {
        command.args(["--param", param]);
    }
    let out = command.output().expect("runs");
    assert_eq!(out.status.code(), Some(code), "{name}:\n{}", text(&out.stderr));
    verify(data.path(), name);
    out
}

fn verify(data: &Path, name: &str) {
    let out = dagbook(data).args(["replay", "latest", "--verify"]).output().expect("verifies");
    let said = format!("{}{}", text(&out.stdout), text(&out.stderr));
    assert!(out.status.success(), "{name}: {said}");
}

#[test]
fn all_are_clean_and_planned_as_their_snapshots_say() {
    let data = tempfile::tempdir().expect("a folder");
    for name in names() {
        let file = format!("{name}/dag.yaml");
        let lint = dagbook(data.path()).args(["lint", &file]).output().expect("lints");
        assert!(lint.status.success(), "{name}: {}{}", text(&lint.stdout), text(&lint.stderr));
        let mut plan = dagbook(data.path());
        let plan = plan.args(["plan", &file, "--color", "never"]).output().expect("plans");
        assert!(plan.status.success(), "{name}: {}", text(&plan.stderr));
        let snapshot = examples().join(&name).join("plan.txt");
        if std::env::var_os("DAGBOOK_BLESS").is_some() {
            std::fs::write(&snapshot, &plan.stdout).expect("written");
        }
        let expected = std::fs::read_to_string(&snapshot).unwrap_or_default();
        assert_eq!(
            text(&plan.stdout),
            expected,
            "{name}: its plan changed; if that is meant, run this test with DAGBOOK_BLESS=1"
        );
    }
}

#[test]
fn air_quality_forecasts() {
    run("air-quality", &[], 0);
}

#[test]
fn word_count_counts_this_repository() {
    run("word-count", &[], 0);
}

#[test]
fn ocr_fan_out_reads_its_pages_or_says_what_is_missing() {
    let there = Command::new("tesseract").arg("--version").output().is_ok();
    let out = run("ocr-fan-out", &[], if there { 0 } else { 1 });
    if !there {
        assert!(text(&out.stderr).contains("exit code 69"), "{}", text(&out.stderr));
    }
}

#[test]
fn train_classifier_trains_without_shipping() {
    run("train-classifier", &[], 0);
}

#[test]
fn evaluate_models_makes_a_leaderboard() {
    run("evaluate-models", &[], 0);
}

#[test]
fn flaky_fails_as_it_says() {
    let out = run("flaky", &[], 1);
    let said = text(&out.stderr);
    for line in ["third_time_lucky", "4 of 5 children", "gave no sign of life"] {
        assert!(said.contains(line), "{line}: {said}");
    }
}

#[test]
fn release_waits_for_a_person() {
    for (answer, code) in [("approve", 0), ("reject", 1)] {
        let data = tempfile::tempdir().expect("a folder");
        let mut child = dagbook(data.path())
            .args(["run", "release/dag.yaml"])
            .stderr(Stdio::piped())
            .spawn()
            .expect("starts");
        let mut lines = BufReader::new(child.stderr.take().expect("piped")).lines();
        let asked = lines.by_ref().map_while(Result::ok).find(|l| l.contains("dagbook approve"));
        assert!(asked.is_some(), "nobody was asked");
        let said = dagbook(data.path()).args([answer, "latest", "approve"]).output().expect("runs");
        assert!(said.status.success(), "{}", text(&said.stderr));
        let rest: Vec<String> = lines.map_while(Result::ok).collect();
        let status = child.wait().expect("ends");
        assert_eq!(status.code(), Some(code), "{answer}: {rest:#?}");
        verify(data.path(), answer);
    }
}

#[test]
fn release_runs_its_failure_hook() {
    let out = run("release", &["break=check"], 1);
    assert!(text(&out.stderr).contains("failed"), "{}", text(&out.stderr));
}
