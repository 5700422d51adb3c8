//! Looking at a run while it waits, while it writes, and after its process was killed.

use std::process::Child;
use std::time::{Duration, Instant};

use dagbook_tests::project::{Project, Said, redact};

const DAG: &str = "\
dagbook: v1
name: gate
steps:
  talk:
    run: |
      echo begun
      until [ -e go ]; do sleep 0.05; done
      echo done
  ship:
    approval: { role: maintainer, timeout: 1h }
  publish:
    needs: [talk, ship]
    run: echo published
";

/// A run in the background that ends with the test, whatever happens.
struct Background(Option<Child>);

impl Background {
    fn start(project: &Project, args: &[&str]) -> Self {
        Self(Some(project.command(args).spawn().expect("the program")))
    }

    fn end(mut self) -> Said {
        let child = self.0.take().expect("a child");
        Said::from(child.wait_with_output().expect("its output"))
    }

    fn kill(mut self) {
        let mut child = self.0.take().expect("a child");
        child.kill().expect("killed");
        child.wait().expect("gone");
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        if let Some(mut child) = self.0.take() {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Asks again until the answer is right; each question is a process of its own.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < Duration::from_secs(30), "it never came to this: {what}");
    }
}

fn waits(project: &Project) -> bool {
    let said = project.dagbook(&["show", "--output", "json"]);
    let report: serde_json::Value = serde_json::from_str(&said.stdout).unwrap_or_default();
    report["steps"][0]["status"] == "running" && report["steps"][1]["status"] == "awaiting_approval"
}

#[test]
fn every_wait_has_a_reason_and_logs_are_followed() {
    let project = Project::with("dag.yaml", DAG);
    let run = Background::start(&project, &["run", "dag.yaml"]);
    until("talking and waiting", || waits(&project));
    let why = |step: &str| redact(&project, &project.dagbook(&["why", "latest", step]).stdout);
    insta::assert_snapshot!(why("ship"), @r"
    step ship: awaiting_approval
      it waits for the approval of a maintainer (since [span] of at most 1h00m)

      $ dagbook approve [id] ship
      $ dagbook reject [id] ship
    ");
    insta::assert_snapshot!(why("publish"), @r"
    step publish: waiting
      it needs `talk`, which is running
      it needs `ship`, which is awaiting_approval

      $ dagbook why [id] talk
    ");
    let follower = Background::start(&project, &["logs", "latest", "talk", "--follow"]);
    project.write("go", "");
    let followed = follower.end();
    assert_eq!((followed.code, followed.stdout.as_str()), (0, "begun\ndone\n"));
    assert_eq!(project.dagbook(&["approve", "latest", "ship"]).code, 0);
    let ended = run.end();
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert_eq!(project.dagbook(&["logs", "latest", "publish"]).stdout, "published\n");
}

#[test]
fn a_killed_run_is_shown_as_interrupted_and_goes_on() {
    let project = Project::with("dag.yaml", DAG);
    let run = Background::start(&project, &["run", "dag.yaml"]);
    until("talking and waiting", || waits(&project));
    run.kill();
    assert_eq!(project.json(&["runs"])["runs"][0]["status"], "interrupted");
    let id = project.json(&["show"])["run"].as_str().expect("an id").to_string();
    let resume = format!("dagbook run --resume {id}");
    let why = project.json(&["why"]);
    assert_eq!(why["reasons"][0]["code"], "interrupted");
    assert_eq!(why["commands"][0], resume.as_str());
    let doctor = project.json(&["doctor"]);
    let checks = doctor["checks"].as_array().expect("checks");
    let runs = checks.iter().find(|check| check["check"] == "runs").expect("a check of runs");
    assert_eq!((&runs["status"], &runs["hint"]), (&"warning".into(), &resume.as_str().into()));
    project.write("go", "");
    assert_eq!(project.dagbook(&["approve", &id, "ship"]).code, 0);
    let resumed = project.dagbook(&["run", "--resume", &id]);
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert_eq!(project.dagbook(&["logs", "latest", "talk"]).stdout, "begun\ndone\n");
    assert_eq!(project.dagbook(&["replay", "--verify"]).code, 0);
}
