//! `run` and the exit codes that come from it.

use dagbook_tests::project::Project;

fn one_step(script: &str) -> String {
    format!("dagbook: v1\nname: one\nsteps:\n  only:\n    run: {script}\n")
}

#[test]
fn exit_codes_follow_the_run() {
    let project = Project::with("good.yaml", &one_step("'true'"));
    project.write("bad.yaml", &one_step("exit 3"));
    project.write("wrong.yaml", "dagbook: v1\nname: x\nsteps: {}\n");
    assert_eq!(project.dagbook(&["run", "good.yaml"]).code, 0);
    let failed = project.dagbook(&["run", "bad.yaml"]);
    assert_eq!((failed.code, failed.stdout.as_str()), (1, ""));
    assert!(failed.stderr.contains("exit code 3"), "{}", failed.stderr);
    let wrong = project.dagbook(&["run", "wrong.yaml"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("hint: `dagbook lint wrong.yaml`"), "{}", wrong.stderr);
    let statuses: Vec<_> = project.json(&["runs"])["runs"]
        .as_array()
        .expect("runs")
        .iter()
        .map(|run| (run["number"].clone(), run["status"].clone()))
        .collect();
    assert_eq!(statuses, [(2.into(), "failed".into()), (1.into(), "succeeded".into())]);
}

#[test]
fn a_quiet_run_says_nothing_and_json_says_one_object() {
    let project = Project::with("good.yaml", &one_step("echo hello"));
    let quiet = project.dagbook(&["run", "good.yaml", "--quiet"]);
    assert_eq!((quiet.code, quiet.stdout.as_str(), quiet.stderr.as_str()), (0, "", ""));
    let report = project.json(&["run", "good.yaml"]);
    assert_eq!(report["status"], "succeeded");
    assert_eq!(report["steps"], serde_json::json!([{ "step": "only", "status": "succeeded" }]));
}

#[test]
fn the_data_lie_at_the_repository_root_and_out_of_its_history() {
    let project = Project::new();
    std::fs::create_dir(project.path().join("deep")).expect("a folder");
    project.write("deep/good.yaml", &one_step("'true'"));
    assert_eq!(project.dagbook(&["run", "deep/good.yaml"]).code, 0);
    let data = project.path().join(".dagbook");
    assert!(data.join("events.sqlite").is_file());
    let ignored = std::fs::read_to_string(data.join(".gitignore")).expect("a .gitignore");
    assert_eq!(ignored, "*\n");
    assert!(!project.path().join("deep/.dagbook").exists());
}

#[test]
fn secrets_reach_the_step_and_nothing_else() {
    let text = "dagbook: v1\nname: secretive\nsteps:\n  use:\n    secrets: { TOKEN: hub }\n    \
                run: |\n      echo \"length ${#TOKEN}\"\n      echo \"value $TOKEN\"\n";
    let project = Project::with("dag.yaml", text);
    assert_eq!(project.with_input(&["secret", "set", "hub"], "correct-horse\n").code, 0);
    assert_eq!(project.json(&["secret", "list"]), serde_json::json!({ "secrets": ["hub"] }));
    let ran = project.dagbook(&["run", "dag.yaml"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let log = project.dagbook(&["logs", "latest", "use"]).stdout;
    assert!(log.contains("length 13") && !log.contains("correct-horse"), "{log}");
    let leaves = project.dagbook(&["events", "latest", "--output", "json"]).stdout;
    assert!(!leaves.contains("correct-horse"));
    assert_eq!(project.with_input(&["secret", "set", "hub"], "").code, 2);
    assert_eq!(project.with_input(&["secret", "set", "../hub"], "x").code, 2);
    assert_eq!(project.dagbook(&["secret", "remove", "hub"]).code, 0);
    assert_eq!(project.dagbook(&["secret", "remove", "hub"]).code, 2);
}
