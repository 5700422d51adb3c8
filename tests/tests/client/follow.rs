//! Following through connections that break, and leaving.

use std::io::Read as _;
use std::time::Duration;

use dagbook_tests::servers::{Proxy, wait_for};

use dagbook_tests::project::Project;
use dagbook_tests::served::{Client, Served};

const LINES: u32 = 120;

fn counting() -> String {
    format!(
        "dagbook: v1\nname: counting\nsteps:\n  count:\n    run: |\n      i=0\n      while [ $i -lt {LINES} ]; \
         do i=$((i+1)); echo line $i; sleep 0.02; done\n"
    )
}

fn expected() -> String {
    (1..=LINES).map(|n| format!("line {n}\n")).collect()
}

#[test]
fn no_line_and_no_event_is_lost_or_repeated_when_connections_break() {
    let project = Project::with("dag.yaml", &counting());
    let served = Served::start(&project);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let proxy = runtime.block_on(async { Proxy::to(served.port) });
    let mut client = Client::of(&project, &served);
    client.url = format!("http://127.0.0.1:{}", proxy.port());
    let run = client.dagbook(&["submit", "dag.yaml"]).stdout.trim().to_string();
    let follow = |args: &[&str]| client.command(args).spawn().expect("a follower");
    let mut logs = follow(&["logs", &run, "count", "--follow"]);
    let mut events = follow(&["events", &run, "--follow", "--output", "json"]);
    let mut text = String::new();
    let mut stdout = logs.stdout.take().expect("a pipe");
    // A cut each time something has come: so it is always in the middle.
    let mut piece = [0; 64];
    let mut cuts = 0;
    loop {
        let read = stdout.read(&mut piece).expect("its output");
        if read == 0 {
            break;
        }
        text.push_str(std::str::from_utf8(&piece[..read]).expect("text"));
        if text.len() / 200 > cuts {
            cuts += 1;
            proxy.cut();
        }
    }
    assert!(logs.wait().expect("its end").success());
    assert!(cuts >= 3, "it was cut {cuts} times");
    assert_eq!(text, expected());
    let mut told = String::new();
    events.stdout.take().expect("a pipe").read_to_string(&mut told).expect("its output");
    assert!(events.wait().expect("its end").success());
    let here = project.dagbook(&["events", &run, "--output", "json"]);
    let until_end: Vec<&str> = here.stdout.lines().collect();
    let finished = until_end.iter().position(|l| l.contains("\"run.finished\"")).expect("its end");
    assert_eq!(told.lines().collect::<Vec<_>>(), until_end[..=finished]);
}

#[test]
fn whoever_leaves_a_run_leaves_it_going() {
    let dag =
        "dagbook: v1\nname: long\nsteps:\n  wait:\n    run: |\n      echo begun\n      sleep 60\n";
    let project = Project::with("dag.yaml", dag);
    let served = Served::start(&project);
    let client = Client::of(&project, &served);
    let begin = |extra: &[&str]| {
        let args = [&["submit", "dag.yaml", "--follow"], extra].concat();
        let mut child = client.command(&args).spawn().expect("a follower");
        let mut stderr = child.stderr.take().expect("a pipe");
        let mut said = String::new();
        let mut piece = [0; 256];
        while !said.contains("wait started") {
            let read = stderr.read(&mut piece).expect("its talk");
            assert!(read > 0, "it ended: {said}");
            said.push_str(&String::from_utf8_lossy(&piece[..read]));
        }
        let id = i32::try_from(child.id()).expect("a number");
        let pid = rustix::process::Pid::from_raw(id).expect("a process");
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("interrupted");
        stderr.read_to_string(&mut said).expect("its talk");
        (child.wait().expect("its end").code(), said)
    };
    let status = || {
        let shown = client.dagbook(&["show", "latest", "--output", "json"]).stdout;
        let shown: serde_json::Value = serde_json::from_str(&shown).expect("a run");
        shown["status"].as_str().expect("a status").to_string()
    };
    let (code, said) = begin(&[]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("goes on; `dagbook logs"), "{said}");
    assert_eq!(status(), "running");
    assert_eq!(client.dagbook(&["cancel", "latest"]).code, 0);
    wait_for("the cancel", Duration::from_secs(30), || (status() == "canceled").then_some(()));
    let (code, said) = begin(&["--cancel-on-interrupt"]);
    assert_eq!(code, Some(3), "{said}");
    assert!(said.contains("cancelling; once more kills"), "{said}");
    assert_eq!(status(), "canceled");
}
