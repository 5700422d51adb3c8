//! Exit codes against a server, and what is said.

use dagbook_tests::project::Project;
use dagbook_tests::served::{Client, Served};

#[test]
fn each_refusal_has_its_exit_code_and_a_hint() {
    let project =
        Project::with("dag.yaml", "dagbook: v1\nname: ok\nsteps:\n  one:\n    run: 'true'\n");
    project.write("fails.yaml", "dagbook: v1\nname: bad\nsteps:\n  one:\n    run: exit 9\n");
    project.write("wrong.yaml", "dagbook: v1\nname: wrong\nstep: {}\n");
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let stranger =
        Client { project: &project, url: served.url(), token: format!("dgb_{}", "x".repeat(43)) };
    let nobody =
        Client { project: &project, url: "http://127.0.0.1:9".into(), token: client.token.clone() };
    let cases: [(&Client<'_>, &[&str], i32, &str); 9] = [
        (&client, &["submit", "dag.yaml", "--wait"], 0, "accepted by http://127.0.0.1:"),
        (&client, &["submit", "fails.yaml", "--wait"], 1, "failed"),
        (&client, &["submit", "wrong.yaml"], 2, "cannot be used"),
        (&client, &["show", "00000000-0000-7000-8000-000000000000"], 2, "there is no run"),
        (&client, &["show", "#99"], 2, "`dagbook runs` lists them"),
        (&client, &["retry", "latest", "--from", "nowhere"], 2, "nowhere"),
        (&stranger, &["runs"], 5, "hint:"),
        (&stranger, &["submit", "dag.yaml"], 5, "hint:"),
        (&nobody, &["runs"], 4, "http://127.0.0.1:9 cannot be reached: connection refused"),
    ];
    for (who, args, code, words) in cases {
        let said = who.dagbook(args);
        assert_eq!(said.code, code, "{args:?}: {}", said.stderr);
        assert!(said.stderr.contains(words), "{args:?}: {}", said.stderr);
    }
    assert!(!served.said().contains(&stranger.token), "the server wrote down a token");
}

#[test]
fn a_server_is_named_well_or_not_at_all() {
    let project =
        Project::with("dag.yaml", "dagbook: v1\nname: ok\nsteps:\n  one:\n    run: 'true'\n");
    let none = project.dagbook(&["submit", "dag.yaml"]);
    assert_eq!(none.code, 2);
    assert!(none.stderr.contains("needs a server"), "{}", none.stderr);
    for (server, words) in [
        ("example.org", "it begins with `https://`"),
        ("http://me:hunter2@example.org", "--token-file"),
    ] {
        let said = project.dagbook(&["--server", server, "runs"]);
        assert_eq!(said.code, 2, "{}", said.stderr);
        assert!(said.stderr.contains(words), "{}", said.stderr);
        assert!(!said.stderr.contains("hunter2"), "{}", said.stderr);
    }
    let gone = project.dagbook(&["--server", "http://localhost:9", "--token-file", "no", "runs"]);
    assert_eq!(gone.code, 2);
    assert!(gone.stderr.contains("cannot read no"), "{}", gone.stderr);
}
