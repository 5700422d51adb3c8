//! The same words from a server as from the record here: both look at the same record.

use dagbook_tests::project::Project;
use dagbook_tests::served::{Client, Served};

const DAG: &str = "\
dagbook: v1
name: looks
params:
  who: { default: all }
steps:
  list:
    env: { WHO: '${{ params.who }}' }
    run: |
      echo 'things=[\"a\", \"b\"]' | sed 's/=/=/' >> $DAGBOOK_OUTPUT
      echo listed for $WHO
  each:
    needs: [list]
    matrix: { n: [1, 2, 3] }
    env: { N: '${{ matrix.n }}' }
    run: echo number $N
  flaky:
    retry: { max_attempts: 2, backoff: { initial: 10ms } }
    run: |
      echo attempt $DAGBOOK_ATTEMPT
      [ $DAGBOOK_ATTEMPT = 2 ]
  bad:
    needs: [each]
    run: |
      echo this goes wrong >&2
      exit 7
  never:
    needs: [bad]
    run: echo no
";

#[test]
fn what_looks_says_the_same_from_a_server_as_from_here() {
    let project = Project::with("dag.yaml", DAG);
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let (run, said) = client.run(&["dag.yaml", "--param", "who=us"]);
    assert_eq!(said.code, 1, "{}", said.stderr);
    let looks: Vec<Vec<&str>> = vec![
        vec!["show", &run],
        vec!["show", "latest"],
        vec!["show", "#1"],
        vec!["show", &run[24..]],
        vec!["events", "-1"],
        vec!["why", &run],
        vec!["why", &run, "bad"],
        vec!["why", &run, "never"],
        vec!["why", &run, "each[n=2]"],
        vec!["why", &run, "each[2]"],
        vec!["why", &run, "bed"],
        vec!["logs", &run, "bad"],
        vec!["logs", &run, "flaky"],
        vec!["logs", &run, "flaky", "--attempt", "1"],
        vec!["logs", &run, "list", "--tail", "1"],
        vec!["logs", &run, "list", "--follow"],
        vec!["events", &run, "--follow"],
        vec!["show", "no-such-run"],
        vec!["show", "#77"],
        vec!["logs", &run, "beds"],
        vec!["logs", &run, "bad", "--attempt", "9"],
    ];
    for look in looks {
        for format in ["text", "json"] {
            let args = [&look[..], &["--output", format]].concat();
            let (here, there) = (project.dagbook(&args), client.dagbook(&args));
            assert_eq!(there.stdout, here.stdout, "{args:?}: {}", there.stderr);
            assert_eq!(there.stderr, here.stderr, "{args:?}");
            assert_eq!(there.code, here.code, "{args:?}");
        }
    }
    // Lines of several steps come in the order of their arrival.
    let sorted = |text: &str| {
        let mut lines: Vec<String> = text.lines().map(str::to_string).collect();
        lines.sort();
        lines
    };
    let (here, there) = (project.dagbook(&["logs", &run]), client.dagbook(&["logs", &run]));
    assert_eq!(sorted(&there.stdout), sorted(&here.stdout));
    assert_eq!(there.stdout.lines().count(), 6, "{}", there.stdout);
    for list in [&["runs"][..], &["runs", "--status", "failed"], &["runs", "--limit", "1"]] {
        let args = [list, &["--output", "json"]].concat();
        assert_eq!(client.dagbook(&args).stdout, project.dagbook(&args).stdout, "{args:?}");
    }
    let none = client.dagbook(&["runs", "--status", "succeeded"]);
    assert_eq!((none.stdout.as_str(), none.stderr.as_str()), ("", "no run to show\n"));
}

#[test]
fn a_person_acts_on_runs_of_a_server_as_on_those_here() {
    let dag = "\
dagbook: v1
name: acts
steps:
  ask:
    approval: { message: go on? }
  hear:
    needs: [ask]
    wait: { event: bell }
  work:
    needs: [hear]
    run: test -e \"$MARK\"
    env: { MARK: \"${{ params.mark }}\" }
params:
  mark: { type: string }
";
    let project = Project::with("dag.yaml", dag);
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let mark = project.path().join(".git/mark").display().to_string();
    let param = format!("mark={mark}");
    let accepted = client.dagbook(&["submit", "dag.yaml", "--param", &param]);
    assert_eq!(accepted.code, 0, "{}", accepted.stderr);
    let run = accepted.stdout.trim();
    let does = |args: &[&str], words: &str| {
        let said = client.dagbook(args);
        assert_eq!(said.code, 0, "{args:?}: {}", said.stderr);
        assert_eq!(said.stderr, format!("run {run}: {words}\n"), "{args:?}");
    };
    does(&["pause", run], "paused");
    does(&["resume", run], "resumed");
    does(&["approve", run, "ask", "--comment", "yes"], "ask approved");
    does(&["signal", run, "bell"], "event `bell` sent");
    let followed = client.dagbook(&["logs", run, "--follow"]);
    assert_eq!(followed.code, 0, "{}", followed.stderr);
    assert!(client.dagbook(&["show", run]).stdout.contains("failed"));
    let again = client.dagbook(&["cancel", run]);
    assert!(again.code == 2 || again.code == 5, "it is over: {}", again.stderr);
    std::fs::write(&mark, "").expect("a mark");
    let retried = client.dagbook(&["retry", run, "--from-failed", "--wait"]);
    assert_eq!(retried.code, 0, "{}", retried.stderr);
    let newest = client.dagbook(&["show", "latest"]).stdout;
    assert!(newest.contains("taken over from run") && newest.contains(run), "{newest}");
}
