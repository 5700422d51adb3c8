//! Commands that look at a run which really ran.

use std::sync::OnceLock;

use dagbook_tests::project::{Project, redact};

const DAG: &str = "\
dagbook: v1
name: demo
params:
  greeting: { type: string, default: hello }
steps:
  list:
    run: |
      echo \"$GREETING\"
      echo 'items=[\"a\",\"b\",\"c\"]' >> \"$DAGBOOK_OUTPUT\"
    env: { GREETING: \"${{ params.greeting }}\" }
    outputs: { items: list }
  each:
    needs: list
    for_each: ${{ steps.list.outputs.items }}
    max_parallel: 1
    run: |
      echo \"item $ITEM\"
      echo \"name=$ITEM\" >> \"$DAGBOOK_OUTPUT\"
    env: { ITEM: \"${{ item }}\" }
    outputs: { name: string }
  flaky:
    needs: list
    run: |
      echo \"no luck\"
      exit 75
    retry: { max_attempts: 2, exit_codes: [75], backoff: { initial: 10ms } }
  after:
    needs: flaky
    run: echo never
finally:
  report:
    run: echo \"it $STATUS\"
    env: { STATUS: \"${{ run.status }}\" }
";

/// One run for all tests of this file: they only look.
fn ran() -> &'static Project {
    static PROJECT: OnceLock<Project> = OnceLock::new();
    PROJECT.get_or_init(|| {
        let project = Project::with("dag.yaml", DAG);
        let said = project.dagbook(&["run", "dag.yaml"]);
        assert_eq!(said.code, 1, "{}", said.stderr);
        project
    })
}

#[test]
fn why_says_what_failed_and_what_to_type() {
    let said = ran().dagbook(&["why"]);
    insta::assert_snapshot!(redact(ran(), &said.stdout), @r"
    run [id]: failed
      step `flaky` failed: exit code 75
      `flaky`: it failed because attempt 2 ended with exit code 75
      `flaky`: there was no further attempt: all 2 of `retry.max_attempts` are used

      $ dagbook logs [id] flaky --attempt 2 --tail 20
      $ dagbook retry [id] --from-failed
    ");
    let after = ran().dagbook(&["why", "latest", "after"]);
    insta::assert_snapshot!(redact(ran(), &after.stdout), @r"
    step after: skipped
      it was skipped: it needs `flaky`, which failed
    ");
    let child = ran().dagbook(&["why", "latest", "each[1]"]);
    insta::assert_snapshot!(redact(ran(), &child.stdout), @r"
    step each[1]: succeeded
      its first attempt succeeded
    ");
}

#[test]
fn an_unknown_step_or_run_is_a_wrong_call_with_a_hint() {
    let step = ran().dagbook(&["why", "latest", "flakey"]);
    assert_eq!(step.code, 2);
    assert!(step.stderr.ends_with("hint: did you mean `flaky`?\n"), "{}", step.stderr);
    for wanted in ["#99", "-7", "nonsense", "00000000-0000-0000-0000-000000000000", "abcdef0123"] {
        let said = ran().dagbook(&["show", wanted]);
        assert_eq!((said.code, said.stdout.as_str()), (2, ""), "{wanted}");
        assert!(said.stderr.starts_with("error: there is no run `"), "{wanted}: {}", said.stderr);
    }
}

#[test]
fn a_run_is_found_by_id_part_number_and_place() {
    let run = ran().json(&["show"])["run"].as_str().expect("an id").to_string();
    for wanted in ["latest", "-1", "#1", run.as_str(), &run[..13], &run[24..]] {
        assert_eq!(ran().json(&["show", wanted])["run"], run.as_str(), "{wanted}");
    }
}

#[test]
fn show_tells_steps_children_outputs_and_the_critical_path() {
    let report = ran().json(&["show"]);
    assert_eq!(report["status"], "failed");
    assert_eq!(report["outputs"]["each"]["name"], serde_json::json!(["a", "b", "c"]));
    assert_eq!(report["counts"], serde_json::json!({ "failed": 1, "skipped": 1, "succeeded": 5 }));
    let steps = report["steps"].as_array().expect("steps");
    let names: Vec<_> = steps.iter().filter_map(|step| step["step"].as_str()).collect();
    assert_eq!(
        names,
        ["list", "each", "each[0]", "each[1]", "each[2]", "flaky", "after", "report"]
    );
    let flaky = steps.iter().find(|step| step["step"] == "flaky").expect("flaky");
    assert_eq!(flaky["attempts"].as_array().map(Vec::len), Some(2));
    assert_eq!(flaky["attempts"][1]["outcome"], "failed");
    let path = report["critical_path"].as_array().expect("a path");
    assert_eq!(path.first().map(|s| &s["step"]), Some(&"list".into()));
    assert_eq!(path.last().map(|s| &s["step"]), Some(&"report".into()));
}

#[test]
fn logs_of_one_step_are_its_bytes_and_of_several_are_named() {
    assert_eq!(ran().dagbook(&["logs", "latest", "list"]).stdout, "hello\n");
    assert_eq!(ran().dagbook(&["logs", "latest", "flaky", "--attempt", "1"]).stdout, "no luck\n");
    assert_eq!(ran().dagbook(&["logs", "latest", "each[1]", "--follow"]).stdout, "item b\n");
    insta::assert_snapshot!(ran().dagbook(&["logs"]).stdout, @r"
    list     | hello
    each[0]  | item a
    each[1]  | item b
    each[2]  | item c
    flaky    | no luck
    report   | it failed
    ");
    let said = ran().dagbook(&["logs", "latest", "flaky", "--attempt", "9"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    let none = ran().dagbook(&["logs", "latest", "after"]);
    assert_eq!((none.code, none.stdout.as_str()), (0, ""));
}

#[test]
fn the_tail_is_the_last_lines() {
    let text = "dagbook: v1\nname: lines\nsteps:\n  count:\n    run: seq 1 30000\n";
    let project = Project::with("dag.yaml", text);
    assert_eq!(project.dagbook(&["run", "dag.yaml"]).code, 0);
    let tail = |n: &str| project.dagbook(&["logs", "latest", "count", "--tail", n]).stdout;
    assert_eq!(tail("2"), "29999\n30000\n");
    assert_eq!(tail("0"), "");
    assert_eq!(tail("40000").lines().count(), 30_000);
    assert_eq!(tail("20000").lines().next(), Some("10001"));
}

#[test]
fn events_are_the_exact_leaves() {
    let text = ran().dagbook(&["events", "latest", "--output", "json"]).stdout;
    let mut versions = Vec::new();
    for line in text.lines() {
        let leaf = line.as_bytes();
        dagbook_events::canonical::verify(leaf).expect("canonical bytes");
        let envelope = dagbook_events::envelope::Envelope::parse(leaf).expect("an envelope");
        versions.push(envelope.version);
    }
    let expected: Vec<u64> = (0..versions.len() as u64).collect();
    assert_eq!(versions, expected);
    let table = ran().dagbook(&["events"]).stdout;
    assert_eq!(table.lines().count(), versions.len() + 1, "{table}");
}

#[test]
fn replay_gives_the_state_of_any_moment() {
    let report = ran().json(&["show"]);
    let events = report["events"].as_u64().expect("a count");
    assert_eq!(ran().json(&["replay"])["status"], "failed");
    let early = ran().json(&["replay", "latest", "--at", "2"]);
    assert_eq!((early["status"].as_str(), early["events"].as_u64()), (Some("running"), Some(2)));
    let late = ran().json(&["replay", "latest", "--at", &events.to_string()]);
    assert_eq!(late["steps"], report["steps"]);
    let before = ran().dagbook(&["replay", "latest", "--at", "2020-01-01T00:00:00Z"]);
    assert_eq!(before.code, 2, "{}", before.stderr);
    assert_eq!(ran().dagbook(&["replay", "latest", "--at", "soon"]).code, 2);
}

#[test]
fn a_changed_byte_is_found_and_named() {
    let project = Project::with("dag.yaml", DAG);
    project.dagbook(&["run", "dag.yaml"]);
    let clean = project.dagbook(&["replay", "--verify"]);
    assert_eq!(clean.code, 0, "{}{}", clean.stdout, clean.stderr);
    let file = project.path().join(".dagbook/events.sqlite");
    let store = rusqlite::Connection::open(&file).expect("the file");
    store
        .execute_batch(
            "DROP TRIGGER event_is_never_updated;
             UPDATE event SET leaf = CAST(replace(CAST(leaf AS TEXT), '\"epoch\":1', '\"epoch\":2') AS BLOB)
             WHERE position = 2;",
        )
        .expect("one byte changed");
    drop(store);
    let said = project.dagbook(&["replay", "--verify"]);
    assert_eq!(said.code, 6, "{}{}", said.stdout, said.stderr);
    assert!(
        said.stdout.contains("✗ hash  position 2, tenant local, stream run/"),
        "{}",
        said.stdout
    );
    let report = project.json(&["replay", "--verify"]);
    assert_eq!(
        (report["is_clean"].as_bool(), &report["findings"][0]["position"]),
        (Some(false), &2.into())
    );
    assert_eq!(project.dagbook(&["doctor"]).code, 1);
}

#[test]
fn the_doctor_finds_a_key_that_others_may_read() {
    use std::os::unix::fs::PermissionsExt;
    let project = Project::with("dag.yaml", "dagbook: v1\nname: x\nsteps:\n  a: { run: 'true' }\n");
    assert_eq!(project.dagbook(&["run", "dag.yaml"]).code, 0);
    let well = project.dagbook(&["doctor"]);
    assert_eq!(well.code, 0, "{}", well.stdout);
    let key = project.path().join(".dagbook/keys/signing.key");
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o644)).expect("a mode");
    let report = project.json(&["doctor"]);
    assert_eq!(report["is_well"], false);
    let checks = report["checks"].as_array().expect("checks");
    let broken: Vec<_> = checks.iter().filter(|c| c["status"] == "broken").collect();
    assert!(broken.iter().any(|c| c["check"] == "signing key"), "{broken:?}");
    assert_eq!(project.dagbook(&["doctor"]).code, 1);
}
