//! Rules of the house that a machine can check.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the workspace").to_path_buf()
}

fn files_below(folder: &str, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![root().join(folder)];
    while let Some(folder) = open.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries.flatten() {
            let path = entry.path();
            let name = entry.file_name().to_string_lossy().into_owned();
            if path.is_dir() {
                if name != "target" && name != ".dagbook" && name != ".git" {
                    open.push(path);
                }
            } else if name.ends_with(ending) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_default()
}

/// Lines of code outside comments, with their numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

/// Fails with every place where one of the words stands in code.
fn forbid(files: &[PathBuf], words: &[&str], rule: &str) {
    let mut found = Vec::new();
    for path in files {
        for (number, line) in code_lines(&read(path)) {
            if words.iter().any(|word| line.contains(word)) {
                found.push(format!("{}:{number}: {}", shown(path), line.trim()));
            }
        }
    }
    assert!(!files.is_empty(), "no files to check: the rule `{rule}` has lost its place");
    assert!(found.is_empty(), "{rule}:\n{}", found.join("\n"));
}

fn core_files() -> Vec<PathBuf> {
    let adapters = ["events/src/journal/", "events/src/conformance/"];
    files_below("events/src", ".rs")
        .into_iter()
        .filter(|path| !adapters.iter().any(|folder| shown(path).starts_with(folder)))
        .collect()
}

#[test]
fn imports_point_down_only() {
    let events = files_below("events/src", ".rs");
    forbid(
        &events,
        &["dagbook_executors", "dagbook::"],
        "events imports neither executors nor orchestrator",
    );
    let executors = files_below("executors/src", ".rs");
    forbid(&executors, &["dagbook::"], "executors do not import the orchestrator");
}

#[test]
fn the_core_does_no_input_or_output() {
    let words =
        ["std::fs", "std::net", "std::process", "std::thread", "tokio::", "rusqlite", "aws_lc_rs"];
    forbid(&core_files(), &words, "the core does no input or output");
}

#[test]
fn the_core_reads_no_clock_and_no_chance() {
    let words = [
        "SystemTime::now",
        "Instant::now",
        "Timestamp::now",
        "now_v7",
        "new_v4",
        "thread_rng",
        "HashMap",
        "HashSet",
    ];
    forbid(&core_files(), &words, "time, ids and chance arrive as data");
}

#[test]
fn the_engine_is_synchronous() {
    let engine = files_below("orchestrator/src/engine", ".rs");
    let words = ["async ", ".await", "tokio", "std::time", "std::thread"];
    forbid(&engine, &words, "the engine waits for nothing");
}

#[test]
fn only_wiring_names_concrete_adapters() {
    let files: Vec<PathBuf> = files_below("orchestrator/src", ".rs")
        .into_iter()
        .filter(|path| {
            let name = shown(path);
            let allowed = ["orchestrator/src/wiring/", "orchestrator/src/adapters/"];
            !allowed.iter().any(|place| name.starts_with(place))
        })
        .collect();
    let words = [
        "SqliteStore",
        "PostgresStore",
        "MemoryStore",
        "JetStreamCopy",
        "JetStreamNotes",
        "FsObjects",
        "S3Objects",
        "DiskBlobs",
        "MemoryBlobs",
        "FileSigner",
        "FileCosigner",
        "LocalExecutor::new",
    ];
    forbid(&files, &words, "only the wiring names concrete adapters");
}

#[test]
fn there_is_no_sql_outside_the_journal() {
    let mut files = files_below("orchestrator/src", ".rs");
    files.extend(files_below("executors/src", ".rs"));
    files.extend(core_files());
    let words = ["SELECT ", "INSERT INTO", "UPDATE ", "DELETE FROM", "PRAGMA "];
    forbid(&files, &words, "SQL stays in the journal");
}

#[test]
fn unsafe_code_stays_in_the_shim() {
    let mut files = files_below("events/src", ".rs");
    files.extend(files_below("orchestrator/src", ".rs"));
    files.extend(files_below("tests/src", ".rs"));
    files.extend(
        files_below("executors/src", ".rs")
            .into_iter()
            .filter(|path| !shown(path).starts_with("executors/src/local/shim")),
    );
    forbid(&files, &["unsafe {", "unsafe fn", "unsafe impl"], "unsafe code stays in the shim");
}

#[test]
fn nothing_is_left_unfinished() {
    let mut files = Vec::new();
    for folder in ["events", "executors", "orchestrator", "tests/src"] {
        files.extend(files_below(folder, ".rs"));
    }
    let words = ["todo!(", "unimplemented!(", "#[ignore", "dbg!("];
    forbid(&files, &words, "nothing is left unfinished or switched off");
}

#[test]
fn tests_do_not_sleep_to_wait() {
    let files: Vec<PathBuf> = files_below("tests/tests", ".rs")
        .into_iter()
        .filter(|path| !shown(path).ends_with("tidy.rs"))
        .collect();
    forbid(&files, &["thread::sleep("], "tests wait for the thing itself (see the harness)");
}

#[test]
fn every_file_says_what_it_is() {
    let mut missing = Vec::new();
    for folder in ["events/src", "executors/src", "orchestrator/src", "tests/src"] {
        for path in files_below(folder, ".rs") {
            let text = read(&path);
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            if !first.starts_with("//!") {
                missing.push(shown(&path));
            }
        }
    }
    assert!(missing.is_empty(), "files without a first line of `//!`:\n{}", missing.join("\n"));
}

#[test]
fn documents_name_only_what_exists() {
    let mut missing = BTreeSet::new();
    for document in ["README.md", "ARCHITECTURE.md", "ops/docs/quick-start.md"] {
        let text = read(&root().join(document));
        assert!(!text.is_empty(), "{document} is missing");
        for (index, word) in text.split('`').enumerate() {
            let top = word.split('/').next().unwrap_or_default();
            let folders = [
                "orchestrator",
                "executors",
                "events",
                "migrations",
                "dag-examples",
                "tests",
                "ops",
            ];
            let path_like = index % 2 == 1
                && word.contains('/')
                && folders.contains(&top)
                && !word.contains([' ', '<', '*', '{', '\n']);
            if path_like && !root().join(word.trim_end_matches('/')).exists() {
                missing.insert(format!("{document}: {word}"));
            }
        }
    }
    let missing: Vec<String> = missing.into_iter().collect();
    assert!(missing.is_empty(), "documents name what does not exist:\n{}", missing.join("\n"));
}

#[test]
fn every_example_is_whole() {
    let examples = root().join("dag-examples");
    let mut count = 0;
    for entry in std::fs::read_dir(examples).expect("examples").flatten() {
        if !entry.path().is_dir() {
            continue;
        }
        count += 1;
        for file in ["dag.yaml", "README.md", "plan.txt"] {
            let path = entry.path().join(file);
            assert!(path.is_file(), "{} is missing", shown(&path));
        }
    }
    assert!(count >= 7, "only {count} examples");
}
