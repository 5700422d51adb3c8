//! Errors: `error:`, an empty line, `hint:`; exit codes; the JSON form.

use dagbook_tests::project::{Project, redact};

#[test]
fn a_wrong_option_is_a_wrong_call_in_both_forms() {
    let project = Project::new();
    let said = project.dagbook(&["runs", "--limt", "3"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    assert!(said.stderr.starts_with("error: "), "{}", said.stderr);
    let said = project.dagbook(&["runs", "--limt", "3", "--output", "json"]);
    assert_eq!((said.code, said.stdout.as_str()), (2, ""));
    let error: serde_json::Value = serde_json::from_str(&said.stderr).expect("JSON");
    assert_eq!(error["error"]["kind"], "usage");
    assert_eq!(error["error"]["exit_code"], 2);
}

#[test]
fn looking_where_nothing_was_run_makes_nothing() {
    let project = Project::new();
    for command in ["runs", "show", "logs", "events", "why", "replay"] {
        let said = project.dagbook(&[command]);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{command}");
        let (error, hint) = said.stderr.split_once("\n\n").expect("two paragraphs");
        assert_eq!(
            redact(&project, error),
            "error: nothing was run here yet: there is no [project]/.dagbook/events.sqlite"
        );
        assert!(hint.starts_with("hint: `dagbook run FILE` makes it"), "{hint}");
    }
    assert!(!project.path().join(".dagbook").exists());
}

#[test]
fn a_file_that_is_not_there() {
    let project = Project::new();
    for command in ["run", "lint", "plan", "graph"] {
        let said = project.dagbook(&[command, "absent.yaml"]);
        assert_eq!(said.code, 2, "{command}");
        assert!(
            said.stderr.starts_with("error: cannot read absent.yaml: there is no such file"),
            "{command}: {}",
            said.stderr
        );
    }
}

#[test]
fn all_problems_of_the_configuration_at_once() {
    let project = Project::with("dagbook.toml", "slot = 3\nstore = \"mysql://db/x\"\n");
    let said = project.dagbook(&["runs"]);
    assert_eq!(said.code, 2);
    assert!(said.stderr.contains("unknown key `slot`; did you mean `slots`?"), "{}", said.stderr);
    assert!(said.stderr.contains("`sqlite:PATH` or `postgres://"), "{}", said.stderr);
}

#[test]
fn colours_only_where_they_are_wanted() {
    let project = Project::new();
    let plain = project.dagbook(&["runs"]).stderr;
    assert!(!plain.contains('\u{1b}'), "{plain:?}");
    let coloured = project.dagbook(&["runs", "--color", "always"]).stderr;
    assert!(coloured.contains("\u{1b}["), "{coloured:?}");
}

#[test]
fn a_reader_that_goes_away_is_no_error() {
    let project = Project::new();
    let mut child = project.command(&["schema"]).spawn().expect("the program");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("its end");
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}
