//! What the local executor does beyond the port's law book: outputs, artifacts, inputs, secrets,
//! heartbeats, and the real death of the process that holds it.

#[path = "local_late.rs"]
mod late;
#[path = "local_nursery.rs"]
mod nursery;
#[path = "local_source.rs"]
mod source;

use std::fs;
use std::io::BufRead as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use dagbook_events::ports::Blobs as _;
use dagbook_events::step::{
    ArtifactRequest, AttemptExit, AttemptSpec, InputFile, Outcome, Program, SecretRequest,
    StartErrorKind, TimeoutKind, Workspace,
};
use dagbook_events::time::Millis;
use dagbook_events::value::Value;
use dagbook_executors::conformance::{
    LocalFactory, LocalWorld, Setup, Watch, World as _, command, shell,
};
use dagbook_executors::local::{Cgroups, read_log};
use dagbook_executors::{Executor, LogQuery, Recovery, StartError};
use serde_json::json;

const TOOL: &str = env!("CARGO_BIN_EXE_executor-tool");

fn world() -> (tempfile::TempDir, LocalWorld) {
    let dir = tempfile::tempdir().expect("a folder");
    let factory = LocalFactory::new(dir.path().to_path_buf(), PathBuf::from(TOOL), Cgroups::Auto);
    let world = factory.local_world(Setup::default()).expect("a world");
    (dir, world)
}

async fn run(executor: &dyn Executor, spec: AttemptSpec) -> AttemptExit {
    let mut watch = Watch::on(executor);
    let attempt = spec.attempt;
    executor.start(spec).await.expect("it starts");
    watch.exit(attempt).await.expect("it ends")
}

async fn log(executor: &dyn Executor, spec: &AttemptSpec) -> String {
    let wait = Duration::from_secs(5);
    let query = LogQuery { attempt: spec.attempt, offset: 0, limit: 1 << 20, wait };
    let chunk = executor.logs(query).await.expect("a log");
    String::from_utf8_lossy(&chunk.bytes).into_owned()
}

#[tokio::test]
async fn outputs_are_read_and_their_mistakes_are_named() {
    let (_dir, world) = world();
    let executor = world.executor();
    let lines = "echo a=1 >> $DAGBOOK_OUTPUT; printf 'b<<E\\nx\\ny\\nE\\n' >> $DAGBOOK_OUTPUT";
    let exit = run(executor.as_ref(), shell(lines)).await;
    assert_eq!(exit.outputs["a"], Value::str("1"));
    assert_eq!(exit.outputs["b"], Value::str("x\ny"));
    let object = r#"echo '{"n": 3, "l": ["x"]}' > $DAGBOOK_OUTPUT"#;
    let exit = run(executor.as_ref(), shell(object)).await;
    assert_eq!(exit.outputs["n"], Value::Int(3));
    assert_eq!(exit.outputs["l"], Value::list(vec![Value::str("x")]));
    let exit = run(executor.as_ref(), shell("echo oops > $DAGBOOK_OUTPUT")).await;
    assert_eq!(exit.outcome, Outcome::Succeeded, "the core makes a failure of it");
    let error = exit.output_error.expect("an error");
    assert_eq!(error, "line 1: `name=value` is expected, found `oops`");
    let big = "head -c 70000 /dev/zero | tr '\\0' x > $DAGBOOK_OUTPUT";
    let exit = run(executor.as_ref(), shell(big)).await;
    assert!(exit.output_error.expect("an error").contains("64 KiB"));
    let exit = run(executor.as_ref(), shell("echo a=1 > $DAGBOOK_OUTPUT; exit 4")).await;
    assert_eq!(exit.outcome, Outcome::Failed { exit_code: 4 });
    assert!(exit.outputs.is_empty(), "a failed step has no outputs");
}

#[tokio::test]
async fn artifacts_become_inputs_byte_for_byte() {
    let (_dir, world) = world();
    let executor = world.executor();
    let script = "mkdir -p out/deep; echo one > out/a.txt; echo two > out/deep/b.txt
        chmod 755 out/a.txt; echo three > single; echo four > $DAGBOOK_ARTIFACTS/own";
    let request = |name: &str, path: &str| ArtifactRequest { name: name.into(), path: path.into() };
    let mut spec = shell(script);
    spec.artifacts = vec![request("tree", "out"), request("file", "single"), request("own", "own")];
    spec.artifacts.push(request("texts", "out/**/*.txt"));
    let exit = run(executor.as_ref(), spec.clone()).await;
    assert_eq!(exit.output_error, None);
    assert_eq!(exit.artifacts["tree"], exit.artifacts["texts"], "the same files, the same hash");
    let manifest = world.blobs.get(&exit.artifacts["tree"].sha256).await.expect("a manifest");
    let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
    assert_eq!(manifest[0]["path"], json!("a.txt"));
    assert_eq!(manifest[0]["mode"], json!("0755"));
    assert_eq!(manifest[1]["path"], json!("deep/b.txt"));
    assert_eq!(exit.artifacts["tree"].bytes, 8);

    let input = |path: &str, name: &str| InputFile {
        path: path.into(),
        artifact: exit.artifacts[name].clone(),
    };
    let script = "cat in/tree/a.txt in/tree/deep/b.txt in/one own
        cmp in/one $DAGBOOK_INPUTS/in/one; test -x in/tree/a.txt";
    let mut next = shell(script);
    next.inputs = vec![input("in/tree", "tree"), input("in/one", "file"), input("own", "own")];
    let ended = run(executor.as_ref(), next.clone()).await;
    assert_eq!(ended.outcome, Outcome::Succeeded, "{}", log(executor.as_ref(), &next).await);
    assert_eq!(log(executor.as_ref(), &next).await, "one\ntwo\nthree\nfour\n");

    let mut missing = shell("true");
    missing.artifacts = vec![request("model", "out/model")];
    let exit = run(executor.as_ref(), missing).await;
    let error = exit.output_error.expect("an error");
    assert_eq!(error, "artifact `model`: there is nothing at `out/model`");
    let mut escaping = shell("ln -s /etc/passwd link");
    escaping.artifacts = vec![request("stolen", "link")];
    let exit = run(executor.as_ref(), escaping).await;
    assert!(exit.output_error.expect("an error").contains("leads out of"));
}

#[tokio::test]
async fn kept_artifacts_are_told_the_same_after_the_files_have_changed() {
    let (dir, mut world) = world();
    let work = dir.path().join("project");
    fs::create_dir(&work).unwrap();
    let mut spec = shell("echo first > result");
    spec.workspace = Workspace::Folder { path: work.to_str().unwrap().to_string() };
    spec.artifacts = vec![ArtifactRequest { name: "r".into(), path: "result".into() }];
    let exit = run(world.executor().as_ref(), spec.clone()).await;
    fs::write(work.join("result"), "changed").unwrap();
    world.crash().await;
    world.boot().await;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    executor.recover(vec![(spec.attempt, None)]).await;
    assert_eq!(watch.exit(spec.attempt).await.expect("it ends"), exit);
}

#[tokio::test]
async fn inputs_leave_the_author_s_folder_alone() {
    let (dir, world) = world();
    let executor = world.executor();
    let work = dir.path().join("project");
    fs::create_dir(&work).unwrap();
    fs::write(work.join("model"), "the author's own").unwrap();
    let spec_for = async |content: &str, path: &str| {
        let sha256 = world.blobs.put(content.as_bytes()).await.unwrap();
        let bytes = content.len() as u64;
        let artifact = dagbook_events::step::ArtifactRef { sha256, bytes, manifest: false };
        let mut spec = shell("cat \"$DAGBOOK_INPUTS/model\"");
        spec.workspace = Workspace::Folder { path: work.to_str().unwrap().to_string() };
        spec.inputs = vec![InputFile { path: path.to_string(), artifact }];
        spec
    };
    for content in ["first", "second"] {
        let spec = spec_for(content, "model").await;
        run(executor.as_ref(), spec.clone()).await;
        assert_eq!(log(executor.as_ref(), &spec).await, content);
    }
    assert_eq!(fs::read(work.join("model")).unwrap(), b"the author's own");
    assert_eq!(fs::read_dir(&work).unwrap().count(), 1, "nothing was added");
    let mut fresh = spec_for("third", "model").await;
    fresh.workspace = Workspace::Empty;
    fresh.program = Program::Command { argv: vec!["cat".into(), "model".into()] };
    run(executor.as_ref(), fresh.clone()).await;
    assert_eq!(log(executor.as_ref(), &fresh).await, "third", "a fresh folder has them");
    for path in ["../model", "/tmp/model", ""] {
        let refused = executor.start(spec_for("x", path).await).await;
        let outcome = refused.as_ref().err().and_then(StartError::outcome);
        let config = StartErrorKind::Config;
        assert!(
            matches!(outcome, Some(Outcome::StartError { kind, .. }) if kind == config),
            "{path:?}: {refused:?}"
        );
    }
    assert_eq!(executor.list().await.unwrap().len(), 3, "what was refused left nothing");
}

#[tokio::test]
async fn what_cannot_start_says_why() {
    let (dir, world) = world();
    let executor = world.executor();
    let outcome = async |spec: AttemptSpec| match executor.start(spec.clone()).await {
        Ok(_) => Watch::on(executor.as_ref()).exit(spec.attempt).await.unwrap().outcome,
        Err(error) => error.outcome().expect("a final refusal"),
    };
    let expect = |outcome: Outcome, wanted: StartErrorKind, word: &str| {
        let Outcome::StartError { kind, message } = &outcome else { panic!("{outcome:?}") };
        assert!(*kind == wanted && message.contains(word), "{outcome:?}");
    };
    expect(outcome(command(&["/no/such/program"])).await, StartErrorKind::Image, "does not exist");
    expect(outcome(command(&["/etc/passwd"])).await, StartErrorKind::Image, "executed");
    expect(outcome(command(&[])).await, StartErrorKind::Config, "empty");
    expect(outcome(command(&["echo", "a\0b"])).await, StartErrorKind::Config, "NUL");
    let long = "x".repeat(3 << 20);
    expect(outcome(command(&["echo", &long])).await, StartErrorKind::Config, "too long");
    let mut nowhere = command(&["true"]);
    let path = dir.path().join("gone").to_str().unwrap().to_string();
    nowhere.workspace = Workspace::Folder { path };
    expect(outcome(nowhere).await, StartErrorKind::Config, "does not exist");
    let mut secret = command(&["true"]);
    let (variable, name) = ("T".to_string(), "token".to_string());
    secret.secrets = vec![SecretRequest { variable, secret: name, as_file: false }];
    expect(outcome(secret).await, StartErrorKind::Config, "dagbook secret set token");
    let mut script = command(&[]);
    let interpreter = vec!["no-such-shell".to_string()];
    script.program = Program::Script { interpreter, text: String::new() };
    expect(outcome(script).await, StartErrorKind::Image, "not found in PATH");
}

#[tokio::test]
async fn a_script_reaches_its_interpreter_and_a_file_without_one_the_shell() {
    let (_dir, world) = world();
    let executor = world.executor();
    let mut named = command(&[]);
    let interpreter = ["sh", "-c", "cat \"$1\"; echo after", "x", "{script}"];
    let interpreter = interpreter.map(str::to_string).to_vec();
    named.program = Program::Script { interpreter, text: "the text\n".to_string() };
    run(executor.as_ref(), named.clone()).await;
    assert_eq!(log(executor.as_ref(), &named).await, "the text\nafter\n");
    let plain = shell("printf 'echo plain $1' > p; chmod +x p; ./p one; exec ./p two");
    let exit = run(executor.as_ref(), plain.clone()).await;
    assert_eq!(exit.outcome, Outcome::Succeeded);
    assert_eq!(log(executor.as_ref(), &plain).await, "plain one\nplain two\n");
}

#[tokio::test]
async fn silence_beyond_the_heartbeat_ends_it_and_signs_of_life_do_not() {
    let (_dir, world) = world();
    let executor = world.executor();
    let mut silent = command(&["sleep", "1000"]);
    silent.limits.heartbeat = Some(Millis(300));
    let exit = run(executor.as_ref(), silent).await;
    assert_eq!(exit.outcome, Outcome::TimedOut { kind: TimeoutKind::Heartbeat });
    let script = "for i in 1 2 3 4 5; do echo $i; sleep 0.15; done
        for i in 1 2 3 4 5; do touch $DAGBOOK_OUTPUT; sleep 0.15; done";
    let mut lively = shell(script);
    lively.limits.heartbeat = Some(Millis(700));
    let exit = run(executor.as_ref(), lively).await;
    assert_eq!(exit.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_secret_in_the_outputs_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let factory = LocalFactory::new(dir.path().into(), PathBuf::from(TOOL), Cgroups::Auto);
    let secrets = [("token".to_string(), b"hunter22".to_vec())].into();
    let world = factory.local_world(Setup { secrets, ..Setup::default() }).unwrap();
    let mut spec = shell("echo \"url=https://$T@host/\" >> $DAGBOOK_OUTPUT");
    let (variable, secret) = ("T".to_string(), "token".to_string());
    spec.secrets = vec![SecretRequest { variable, secret, as_file: false }];
    let exit = run(world.executor().as_ref(), spec).await;
    assert!(exit.outputs.is_empty());
    assert!(exit.output_error.expect("an error").contains("value of a secret"));
}

/// The process that holds the executor is really killed, with attempts in every state.
#[tokio::test]
async fn killing_the_orchestrator_loses_no_end_and_repeats_no_start() {
    let (dir, mut world) = world();
    world.crash().await;
    let data = world.config.root.parent().unwrap().to_path_buf();
    let specs: Vec<AttemptSpec> = ["echo done", "echo run; sleep 0.6; echo end", "exit 9"]
        .iter()
        .map(|text| shell(text))
        .collect();
    let file = dir.path().join("specs.json");
    fs::write(&file, serde_json::to_vec(&specs).unwrap()).unwrap();
    kill_host_when_ready(&data, &file);
    world.boot().await;
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    for spec in &specs {
        let answers = executor.recover(vec![(spec.attempt, None)]).await;
        match answers[0].1 {
            Recovery::Found(_) => {}
            // Killed before its supervisor had begun: then nothing ran, and nothing will.
            Recovery::Gone => drop(executor.start(spec.clone()).await.expect("it starts")),
            Recovery::Unknown { ref reason } => panic!("{reason}"),
        }
    }
    let expected = [Outcome::Succeeded, Outcome::Succeeded, Outcome::Failed { exit_code: 9 }];
    for ((spec, expected), text) in specs.iter().zip(expected).zip(["done\n", "run\nend\n", ""]) {
        let exit = watch.exit(spec.attempt).await.expect("it ends");
        assert_eq!(exit.outcome, expected);
        assert_eq!(watch.exits(spec.attempt), 1);
        let chunk = read_log(&world.config.logs, spec.run, spec.attempt, 0, 100).unwrap();
        assert_eq!(chunk.bytes, text.as_bytes(), "any process can read the log");
        assert!(chunk.is_end());
        assert_eq!(exit.log.crc32, crc(&chunk.bytes));
        executor.release(spec.attempt).await;
        assert_eq!(world.remains(spec.attempt), Vec::<String>::new());
    }
}

fn kill_host_when_ready(data: &Path, specs: &Path) {
    let mut host = Command::new(TOOL)
        .arg("host")
        .args([data, specs])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the host starts");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(host.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("it says something");
    assert_eq!(line, "ready\n");
    host.kill().expect("it can be killed");
    host.wait().expect("it is gone");
}

fn crc(bytes: &[u8]) -> u32 {
    let mut crc = !0u32;
    for byte in bytes {
        crc ^= u32::from(*byte);
        for _ in 0..8 {
            crc = if crc & 1 == 1 { crc >> 1 ^ 0xedb8_8320 } else { crc >> 1 };
        }
    }
    !crc
}
