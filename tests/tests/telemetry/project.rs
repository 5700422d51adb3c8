//! Runs of the program with a collector.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A folder with a DAG file.
pub struct Project(TempDir);

impl Project {
    pub fn with(steps: &str) -> Self {
        let folder = TempDir::new().expect("a folder");
        let dag = format!("dagbook: v1\nname: traced\nsteps:\n{steps}");
        std::fs::write(folder.path().join("dag.yaml"), dag).expect("a file");
        Self(folder)
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.0.path().join(file), text).expect("a file");
    }

    pub fn path(&self) -> &std::path::Path {
        self.0.path()
    }

    /// The program with these arguments, and of our environment the search path alone.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(args)
            .current_dir(self.0.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.0.path())
            .env("USER", "tester")
            .env("DAGBOOK_DATA", self.0.path().join("data"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// `dagbook run dag.yaml` with variables.
    pub fn run(&self, variables: &[(&str, &str)]) -> Output {
        let mut command = self.command(&["run", "dag.yaml"]);
        command.envs(variables.iter().copied()).output().expect("the program")
    }
}

fn program() -> PathBuf {
    let own = std::env::current_exe().expect("this test");
    let folder = own.ancestors().nth(2).expect("the folder of programs");
    folder.join("dagbook")
}
