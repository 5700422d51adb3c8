//! Both verifiers, asked about the same folders.

use std::path::{Path, PathBuf};
use std::process::Command;

use dagbook_events::journal::bundle::{VERIFY_PROGRAM, verify};
use dagbook_events::tlog::VerifierKey;

/// What a verifier said: how it ended, in a word, and the whole of its last line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub word: String,
    pub line: String,
}

impl Said {
    fn of(line: &str) -> Self {
        let word = match line.strip_prefix("failed: ") {
            Some(rest) => rest.split(':').next().unwrap_or_default(),
            None => line.split(':').next().unwrap_or_default(),
        };
        Self { word: word.to_string(), line: line.to_string() }
    }
}

/// What the program in Rust says.
pub fn rust(folder: &Path, key: Option<&VerifierKey>) -> Said {
    let line = match verify(folder, key, &mut |_| {}) {
        Ok(verified) => format!("verified: {}", verified.summary),
        Err(failure) => format!("failed: {failure}"),
    };
    Said::of(&line)
}

/// What the program in Python says, of each folder. A traceback is never an answer.
pub fn python(folders: &[PathBuf], options: &[&str]) -> Vec<Said> {
    let place = tempfile::tempdir().expect("a folder");
    let program = place.path().join("verify.py");
    std::fs::write(&program, VERIFY_PROGRAM).expect("written");
    let mut said = Vec::new();
    for folders in folders.chunks(200) {
        let mut command = Command::new("python3");
        // Two folders at least: only then is it said of which one.
        let first = &folders[0];
        command.arg("-I").arg(&program).args(options).arg("--quiet").arg(first).args(folders);
        let output = command.output().expect("Python runs");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(errors.is_empty(), "{errors}");
        let text = String::from_utf8(output.stdout).expect("text");
        let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with("bundle: ")).collect();
        assert_eq!(lines.len(), folders.len() + 1, "{text}");
        let failed = lines.iter().any(|line| line.starts_with("failed: "));
        assert_eq!(output.status.code(), Some(if failed { 6 } else { 0 }), "{text}");
        said.extend(lines[1..].iter().map(|line| Said::of(line)));
    }
    said
}

/// Both answers must be the same; that one.
pub fn both(folder: &Path, key: Option<&VerifierKey>) -> String {
    let given = key.map(VerifierKey::to_text);
    let options: Vec<&str> = given.iter().flat_map(|key| ["--key", key]).collect();
    let python = python(&[folder.to_path_buf()], &options).remove(0);
    let rust = rust(folder, key);
    assert_eq!(rust.word, python.word, "{rust:?} {python:?}");
    rust.word
}
