//! The log of a run as JSON lines.

use serde_json::Value;

use crate::project::Project;

fn lines(stderr: &[u8]) -> Vec<Value> {
    let text = String::from_utf8_lossy(stderr);
    let json = text.lines().filter(|line| line.starts_with('{'));
    json.map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{line}: {e}"))).collect()
}

#[test]
fn a_runs_log_has_its_tenant_run_step_and_attempt_as_fields() {
    let project = Project::with("  a: { run: 'exit 4' }\n");
    let out = project.run(&[("DAGBOOK_LOG_FORMAT", "json"), ("DAGBOOK_LOG_LEVEL", "info")]);
    assert_eq!(out.status.code(), Some(1));
    let lines = lines(&out.stderr);
    let said = |message: &str| {
        let found = lines.iter().find(|line| line["message"] == message);
        found.unwrap_or_else(|| panic!("nothing says `{message}`: {lines:#?}"))
    };
    let submitted = said("run submitted");
    assert_eq!(submitted["tenant"], "local");
    assert_eq!(submitted["pipeline"], "traced");
    let ended = said("attempt ended");
    assert_eq!(ended["run"], submitted["run"]);
    assert_eq!(ended["step"], "a");
    assert_eq!(ended["outcome"], "failed");
    assert_eq!(ended["number"], 1);
    assert!(ended["attempt"].as_str().is_some_and(|id| id.len() == 36), "{ended}");
    assert_eq!(said("run finished")["status"], "failed");
    for line in &lines {
        assert!(line["at"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
        assert!(line["level"].is_string() && line["target"].is_string(), "{line}");
    }
}

#[test]
fn a_secret_is_in_no_line_however_much_is_said() {
    let project = Project::with(
        "  a:\n    secrets: { KEY: api-key }\n    run: 'test \"$KEY\" = hunter2-hunter2'\n",
    );
    let mut keep = project.command(&["secret", "set", "api-key"]);
    let mut keep = keep.stdin(std::process::Stdio::piped()).spawn().expect("the program");
    use std::io::Write;
    keep.stdin.take().expect("a pipe").write_all(b"hunter2-hunter2").expect("it is read");
    assert!(keep.wait().expect("its end").success());
    let out = project.run(&[("DAGBOOK_LOG_FORMAT", "json"), ("DAGBOOK_LOG_LEVEL", "trace")]);
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let lines = lines(&out.stderr);
    for message in ["attempt planned", "attempt started", "attempt ended", "run finished"] {
        assert!(lines.iter().any(|line| line["message"] == message), "no `{message}`: {said}");
    }
    assert!(!said.contains("hunter2"), "{said}");
}

#[test]
fn a_format_that_is_none_is_a_problem_of_the_configuration() {
    let project = Project::with("  a: { run: 'true' }\n");
    let out = project.run(&[("DAGBOOK_LOG_FORMAT", "xml")]);
    assert_eq!(out.status.code(), Some(2));
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(said.contains("`log_format` must be `pretty` or `json`"), "{said}");
}
