//! Starting the binary in a folder of its own, and making its output the same every time.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A project in a folder of its own, with its data in it.
pub struct Project {
    folder: TempDir,
    variables: Vec<(String, String)>,
}

/// What a command said.
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Default for Project {
    fn default() -> Self {
        Self::new()
    }
}

impl Project {
    pub fn new() -> Self {
        let folder = TempDir::new().expect("a folder");
        std::fs::create_dir(folder.path().join(".git")).expect("a repository");
        Self { folder, variables: Vec::new() }
    }

    pub fn with(file: &str, text: &str) -> Self {
        let project = Self::new();
        project.write(file, text);
        project
    }

    /// Sets a variable for the program, such as one that stands for a key of the configuration.
    pub fn set(&mut self, name: &str, value: &str) {
        self.variables.retain(|(set, _)| set != name);
        self.variables.push((name.to_string(), value.to_string()));
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, file: &str, text: &str) {
        std::fs::write(self.path().join(file), text).expect("a file");
    }

    /// Runs the program with these arguments, nothing of our environment but the search path.
    pub fn dagbook(&self, args: &[&str]) -> Said {
        self.with_input(args, "")
    }

    pub fn with_input(&self, args: &[&str], input: &str) -> Said {
        use std::io::Write;
        let mut child = self.command(args).stdin(Stdio::piped()).spawn().expect("the program");
        // A program that does not read its input may be gone by now.
        let _ = child.stdin.take().expect("a pipe").write_all(input.as_bytes());
        Said::from(child.wait_with_output().expect("its output"))
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("USER", "tester")
            .envs(self.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// The output of a command that must succeed, as JSON.
    pub fn json(&self, args: &[&str]) -> serde_json::Value {
        let said = self.dagbook(&[args, &["--output", "json"]].concat());
        serde_json::from_str(&said.stdout).unwrap_or_else(|e| {
            panic!("{args:?} gave no JSON ({e}): {}{}", said.stdout, said.stderr)
        })
    }
}

impl From<Output> for Said {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }
}

/// The program stands beside the folder of the test's own executable.
///
/// # Panics
/// Where it was not built.
pub fn binary() -> PathBuf {
    let own = std::env::current_exe().expect("this program");
    let folder = own.ancestors().nth(2).expect("the target folder");
    let program = folder.join("dagbook");
    assert!(program.exists(), "build the workspace first: {} is missing", program.display());
    program
}

/// Ids, instants, lengths of time and folders differ from run to run.
pub fn redact(project: &Project, text: &str) -> String {
    let text = text.replace(&project.path().display().to_string(), "[project]");
    let words = text.split_inclusive(|c: char| c.is_whitespace() || "(),:;".contains(c));
    words.map(redact_word).collect()
}

fn redact_word(word: &str) -> String {
    let end = word.trim_end_matches(|c: char| c.is_whitespace() || "(),:;".contains(c)).len();
    let (core, rest) = word.split_at(end);
    let is_id = core.len() == 36 && core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_span = {
        let number = core.trim_end_matches("ms").trim_end_matches('s');
        number.len() < core.len() && number.parse::<f64>().is_ok()
    };
    match (is_id, is_span) {
        (true, _) => format!("[id]{rest}"),
        (_, true) => format!("[span]{rest}"),
        _ => word.to_string(),
    }
}
