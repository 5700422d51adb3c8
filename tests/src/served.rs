//! `dagbook serve` as a process of the test's own, on the data of a project.

use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use crate::project::{Project, Said};
use crate::servers::wait_for;

const PATIENCE: Duration = Duration::from_secs(30);

/// A running server. It is ended with its value.
pub struct Served {
    child: Child,
    pub port: u16,
    pub token: String,
    log: PathBuf,
}

impl Served {
    /// Starts it on the project's own data folder.
    pub fn start(project: &Project) -> Self {
        let log = project.path().join(".git/serve.log");
        let file = std::fs::File::create(&log).expect("a log");
        let mut command = project.command(&["serve", "--listen", "127.0.0.1:0"]);
        command.stdout(file.try_clone().expect("a handle")).stderr(file).stdin(Stdio::null());
        let child = command.spawn().expect("the server");
        let mut this = Self { child, port: 0, token: String::new(), log };
        this.port = wait_for("the server's address", PATIENCE, || {
            let text = this.said();
            let rest = text.split("http://127.0.0.1:").nth(1)?;
            let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
            // The whole line is there once something follows it.
            rest.contains('\n').then(|| digits.parse().ok())?
        });
        this.token = wait_for("the first token", PATIENCE, || {
            let text = this.said();
            let word = text.split(|c: char| !c.is_ascii_alphanumeric() && !"_-".contains(c));
            word.into_iter().find(|w| w.starts_with("dgb_") && w.len() == 47).map(str::to_string)
        });
        this
    }

    /// What it printed.
    pub fn said(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// The number of its process.
    pub fn process(&self) -> u32 {
        self.child.id()
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let id = i32::try_from(self.child.id()).expect("a process number");
        if let Some(pid) = rustix::process::Pid::from_raw(id) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        }
        let _ = self.child.wait();
    }
}

/// A project whose commands speak to a server.
pub struct Client<'a> {
    pub project: &'a Project,
    pub url: String,
    pub token: String,
}

impl<'a> Client<'a> {
    pub fn of(project: &'a Project, served: &Served) -> Self {
        Self { project, url: served.url(), token: served.token.clone() }
    }

    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = self.project.command(args);
        command.env("DAGBOOK_SERVER", &self.url).env("DAGBOOK_TOKEN", &self.token);
        command
    }

    /// Whatever it says, the token is not in it.
    pub fn dagbook(&self, args: &[&str]) -> Said {
        let said = Said::from(self.command(args).output().expect("its output"));
        let all = format!("{}{}", said.stdout, said.stderr);
        assert!(!all.contains(&self.token[4..]), "the token is in the output of {args:?}");
        said
    }

    /// Submits, stays until the end, and gives the run's id.
    pub fn run(&self, args: &[&str]) -> (String, Said) {
        let all = [&["submit", "--wait", "--output", "json"], args].concat();
        let said = self.dagbook(&all);
        let ended: serde_json::Value = serde_json::from_str(&said.stdout)
            .unwrap_or_else(|e| panic!("{e}: {}{}", said.stdout, said.stderr));
        (ended["run"].as_str().expect("a run").to_string(), said)
    }
}
