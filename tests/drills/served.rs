//! `dagbook serve` as people start it: a process of its own with a port of its own.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use dagbook_tests::drill::Site;
use dagbook_tests::project::{Said, binary};
use dagbook_tests::servers::wait_for;
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::SOON;

/// A running server. It is killed with its value.
pub struct Served {
    child: Child,
    /// Where it answers.
    pub url: String,
    /// The first admin token, where this one printed it.
    pub admin: Option<String>,
    log: PathBuf,
}

fn command(site: &Site) -> Command {
    let mut command = Command::new(binary());
    command
        .args(["serve", "--listen", "127.0.0.1:0", "--output", "json"])
        .current_dir(site.folder())
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("HOME", site.folder())
        .env("USER", "tester")
        .envs(site.variables())
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    command
}

impl Served {
    /// Starts one; returns when it listens.
    pub fn start(site: &Site, name: &str) -> Self {
        let log = site.log(name);
        let file = std::fs::OpenOptions::new().create(true).append(true).open(&log).expect("a log");
        let mut child = command(site).stderr(file).spawn().expect("the program");
        // What it prints is one JSON object over several lines.
        let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
        let mut text = String::new();
        let ready: Value = loop {
            let Some(line) = lines.next() else {
                let said = std::fs::read_to_string(&log).unwrap_or_default();
                panic!("the server {name} ended: {text}{said}");
            };
            text.push_str(&line.expect("text"));
            if let Ok(ready) = serde_json::from_str(&text) {
                break ready;
            }
        };
        let url = ready["server"].as_str().expect("its address").to_string();
        let admin = ready["admin_token"].as_str().map(str::to_string);
        Self { child, url, admin, log }
    }

    /// Starts one that must not serve; what it said until it ended.
    pub fn refused(site: &Site) -> Said {
        Said::from(command(site).stderr(Stdio::piped()).output().expect("the program"))
    }

    /// The number of its process, which stands in the lease, too.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// What it logged.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.id()).ok().and_then(Pid::from_raw).expect("a process");
        kill_process(pid, signal).expect("it is ours");
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        matches!(self.child.try_wait(), Ok(None))
    }

    /// Kills it with -9.
    pub fn kill(mut self) {
        self.child.kill().expect("it is ours");
        self.child.wait().expect("it ends");
    }

    /// Asks it to stop, and waits for that; says how long it took.
    pub fn stop(mut self) -> Duration {
        let began = Instant::now();
        self.signal(Signal::TERM);
        let ended = wait_for("a server to stop", SOON, || self.child.try_wait().expect("ours"));
        assert!(ended.success(), "{ended}: {}", self.log());
        began.elapsed()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
