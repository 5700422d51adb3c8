//! Folders that are sent.

use dagbook_tests::project::Project;
use dagbook_tests::served::{Client, Served};

const DAG: &str = "\
dagbook: v1
name: folder
steps:
  scripts:
    run: ./bin/hello.sh
  spoils:
    run: |
      echo spoiled > data/in.txt
      rm -r bin
  data:
    needs: [spoils]
    run: |
      cat data/in.txt
      ls -A
  below:
    needs: [data]
    dag: sub/below.yaml
";

fn project() -> Project {
    let project = Project::with("dag.yaml", DAG);
    for folder in ["bin", "data", "sub", "build"] {
        std::fs::create_dir(project.path().join(folder)).expect("a folder");
    }
    project.write("bin/hello.sh", "#!/bin/sh\necho hello from a script\n");
    let script = project.path().join("bin/hello.sh");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(script, mode).expect("executable");
    project.write("data/in.txt", "data of the author\n");
    project.write("build/out.bin", "not sent");
    project.write("secret.env", "not sent");
    project.write(".gitignore", "build/\n");
    project.write(".dagbookignore", "*.env\n");
    project.write(
        "sub/below.yaml",
        "dagbook: v1\nname: below\nsteps:\n  only:\n    run: cat near.txt\n",
    );
    project.write("sub/near.txt", "beside the file below\n");
    project
}

#[test]
fn steps_work_on_the_folder_that_was_sent_each_in_a_copy_of_its_own() {
    let project = project();
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let (run, said) = client.run(&["dag.yaml"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert!(said.stderr.contains("source: 7 files"), "{}", said.stderr);
    assert!(!said.stderr.contains("the server has them"), "{}", said.stderr);
    assert_eq!(client.dagbook(&["logs", &run, "scripts"]).stdout, "hello from a script\n");
    let data = client.dagbook(&["logs", &run, "data"]).stdout;
    let wanted = "data of the author\n.dagbookignore\n.gitignore\nbin\ndag.yaml\ndata\nsub\n";
    assert_eq!(data, wanted);
    let children = client.dagbook(&["runs", "--children", "--output", "json"]).stdout;
    let children: serde_json::Value = serde_json::from_str(&children).expect("a list");
    let child = children["runs"].as_array().expect("runs").iter().find(|r| r["parent"] == run);
    let child = child.expect("the sub-DAG's run")["run"].as_str().expect("an id").to_string();
    assert_eq!(client.dagbook(&["logs", &child, "only"]).stdout, "beside the file below\n");
    let (_, again) = client.run(&["dag.yaml"]);
    assert!(again.stderr.contains("the server has them"), "{}", again.stderr);
    // The author's folder is as it was.
    let here = std::fs::read_to_string(project.path().join("data/in.txt")).expect("there");
    assert_eq!(here, "data of the author\n");
}

#[test]
fn without_its_folder_a_step_begins_in_an_empty_one() {
    let project = Project::with(
        "dag.yaml",
        "dagbook: v1\nname: bare\nsteps:\n  look:\n    run: ls -A | wc -l\n",
    );
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let (run, said) = client.run(&["dag.yaml", "--no-source"]);
    assert_eq!(said.code, 0, "{}", said.stderr);
    assert_eq!(client.dagbook(&["logs", &run, "look"]).stdout.trim(), "0");
}

#[test]
fn the_same_key_submits_once() {
    let project =
        Project::with("dag.yaml", "dagbook: v1\nname: once\nsteps:\n  one:\n    run: 'true'\n");
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let submit = || client.dagbook(&["submit", "dag.yaml", "--idempotency-key", "job-7"]);
    let (first, second) = (submit(), submit());
    assert_eq!((first.code, second.code), (0, 0), "{}{}", first.stderr, second.stderr);
    assert_eq!(first.stdout, second.stdout);
}

#[test]
fn a_folder_that_is_too_large_is_not_sent() {
    let project = project();
    project.write("data/model.bin", &"x".repeat(3 << 20));
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let said = client.dagbook(&["submit", "dag.yaml", "--source-limit", "2"]);
    assert_eq!(said.code, 2, "{}", said.stderr);
    assert!(said.stderr.contains("data/model.bin") && said.stderr.contains(".dagbookignore"));
}
