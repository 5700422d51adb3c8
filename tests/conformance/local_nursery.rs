//! Supervisors are forked from a process that is kept for it, and need it no more once they are
//! there. And what a machine leaves that lost its power before anything reached the disk.

use std::fs;
use std::io::BufRead as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use dagbook_events::step::{AttemptSpec, Outcome};
use dagbook_executors::conformance::{Watch, World as _, command, shell};
use dagbook_executors::local::{inspection, log_path};
use dagbook_executors::request::StopCause;
use dagbook_executors::{CancelMode, Executor, Recovery, StartError};
use rustix::process::Signal;

use super::{TOOL, run, world};

/// How long anything here may take.
const BOUND: Duration = Duration::from_secs(20);

/// A process as the kernel describes it: its state and its parent. None: it is not there.
fn described(pid: u32) -> Option<(String, u32)> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let mut fields = stat[stat.rfind(')')? + 1..].split_ascii_whitespace();
    Some((fields.next()?.to_string(), fields.next()?.parse().ok()?))
}

fn is_there(pid: u32) -> bool {
    described(pid).is_some_and(|(state, _)| state != "Z" && state != "X")
}

fn supervisor(root: &Path, spec: &AttemptSpec) -> u32 {
    inspection::supervisor(root, spec.attempt).expect("a living supervisor")
}

/// The process from which it was forked.
fn nursery(root: &Path, spec: &AttemptSpec) -> u32 {
    let (_, parent) = described(supervisor(root, spec)).expect("a process");
    let words = fs::read(format!("/proc/{parent}/cmdline")).expect("a parent");
    assert!(words.ends_with(b"\0shim\0nursery\0"), "{}", String::from_utf8_lossy(&words));
    parent
}

async fn until(what: &str, mut done: impl FnMut() -> bool) {
    let began = Instant::now();
    while !done() {
        assert!(began.elapsed() < BOUND, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn end(executor: &dyn Executor, spec: &AttemptSpec) -> Outcome {
    let mut watch = Watch::on(executor);
    let (mode, by) = (CancelMode::Force, StopCause::Shutdown);
    executor.cancel(spec.attempt, spec.epoch, mode, by).await.expect("it can be stopped");
    watch.exit(spec.attempt).await.expect("it ends").outcome
}

#[tokio::test]
async fn supervisors_are_forked_from_one_process_and_outlive_it() {
    let (_dir, world) = world();
    let (executor, root) = (world.executor(), world.config.root.clone());
    let mut watch = Watch::on(executor.as_ref());
    let mut begin = async |spec: AttemptSpec| {
        executor.start(spec.clone()).await.expect("it starts");
        watch.started(spec.attempt).await.expect("it has started");
        spec
    };
    let first = begin(command(&["sleep", "1000"])).await;
    let second = begin(command(&["sleep", "1000"])).await;
    let before = nursery(&root, &first);
    assert_eq!(before, nursery(&root, &second), "one process for both");
    let name = fs::read_to_string(format!("/proc/{}/comm", supervisor(&root, &first))).unwrap();
    let id = first.attempt.to_string();
    assert_eq!(name.trim(), format!("shim-{}", &id[id.len() - 10..]));

    inspection::kill(before, Signal::KILL);
    until("its end", || !is_there(before)).await;
    // The first one is started without it, and a new one is there for those that follow.
    assert_eq!(run(executor.as_ref(), command(&["true"])).await.outcome, Outcome::Succeeded);
    let third = begin(command(&["sleep", "1000"])).await;
    assert_ne!(before, nursery(&root, &third), "another one forks");
    for spec in [first, second, third] {
        assert!(is_there(supervisor(&root, &spec)), "its supervisor lives on");
        let outcome = end(executor.as_ref(), &spec).await;
        assert_eq!(outcome, Outcome::Canceled { by: StopCause::Shutdown, forced: true });
    }
}

#[tokio::test]
async fn the_process_that_forks_ends_with_the_orchestrator_and_no_step_does() {
    let (dir, mut world) = world();
    world.crash().await;
    let root = world.config.root.clone();
    let (data, file) = (root.parent().expect("above it"), dir.path().join("specs.json"));
    let spec = shell("echo run; sleep 1000");
    fs::write(&file, serde_json::to_vec(&[&spec]).unwrap()).unwrap();
    let mut host = Command::new(TOOL)
        .arg("host")
        .args([data, &file])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the host starts");
    let mut line = String::new();
    let mut out = std::io::BufReader::new(host.stdout.take().expect("its output"));
    out.read_line(&mut line).expect("it says something");
    until("its supervisor", || inspection::supervisor(&root, spec.attempt).is_some()).await;
    let forks = nursery(&root, &spec);
    host.kill().expect("it can be killed");
    host.wait().expect("it is gone");
    until("the end of what forks", || !is_there(forks)).await;
    assert!(is_there(supervisor(&root, &spec)), "its supervisor lives on");
    world.boot().await;
    let executor = world.executor();
    let answers = executor.recover(vec![(spec.attempt, None)]).await;
    assert!(matches!(answers[0].1, Recovery::Found(_)), "{answers:?}");
    let outcome = end(executor.as_ref(), &spec).await;
    assert_eq!(outcome, Outcome::Canceled { by: StopCause::Shutdown, forced: true });
}

#[tokio::test]
async fn a_folder_that_never_reached_the_disk_whole_is_no_attempt() {
    let (_dir, world) = world();
    let (executor, config) = (world.executor(), &world.config);
    for torn in ["", "{\"hash\":\"00"] {
        let spec = shell("echo ran");
        let folder = config.root.join(spec.attempt.to_string());
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("attempt.json"), torn).unwrap();
        fs::write(folder.join("lock"), "").unwrap();
        let answers = executor.recover(vec![(spec.attempt, None)]).await;
        assert_eq!(answers, [(spec.attempt, Recovery::Gone)]);
        assert!(!folder.exists(), "it is cleared away");

        // Found only by the start itself, it is no hindrance either.
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("attempt.json"), torn).unwrap();
        assert_eq!(run(executor.as_ref(), spec).await.outcome, Outcome::Succeeded);
    }
}

#[tokio::test]
async fn a_torn_attempt_that_left_a_log_is_not_run_again() {
    let (_dir, world) = world();
    let (executor, config) = (world.executor(), &world.config);
    let spec = shell("echo ran");
    let folder = config.root.join(spec.attempt.to_string());
    let log = log_path(&config.logs, spec.run, spec.attempt);
    fs::create_dir_all(log.parent().expect("a folder")).unwrap();
    fs::write(&log, "ran\n").unwrap();
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("attempt.json"), "").unwrap();
    let again = executor.start(spec.clone()).await;
    assert_eq!(again, Err(StartError::Spent { attempt: spec.attempt }));
    assert!(matches!(again.unwrap_err().outcome(), Some(Outcome::Lost { .. })), "and is lost");
}

#[tokio::test]
async fn a_torn_record_whose_supervisor_lives_is_left_alone() {
    let (_dir, mut world) = world();
    let spec = command(&["sleep", "1000"]);
    let executor = world.executor();
    let mut watch = Watch::on(executor.as_ref());
    executor.start(spec.clone()).await.expect("it starts");
    watch.started(spec.attempt).await.expect("it has started");
    let record = world.config.root.join(spec.attempt.to_string()).join("attempt.json");
    let whole = fs::read(&record).unwrap();
    world.crash().await;
    world.boot().await;
    let executor = world.executor();
    fs::write(&record, &whole[..whole.len() / 2]).unwrap();
    let answers = executor.recover(vec![(spec.attempt, None)]).await;
    assert!(matches!(&answers[0].1, Recovery::Unknown { .. }), "{answers:?}");
    fs::write(&record, &whole).unwrap();
    let answers = executor.recover(vec![(spec.attempt, None)]).await;
    assert!(matches!(answers[0].1, Recovery::Found(_)), "{answers:?}");
    end(executor.as_ref(), &spec).await;
}
