//! `dagbook audit verify`: what it says and how it ends, and that the other program ends alike.

use std::fs;
use std::path::Path;
use std::process::Command;

use dagbook_tests::bundles::{Bundle, History, Key, Wanted};
use dagbook_tests::project::{Project, Said};
use serde_json::{Value as Json, json};

/// Two good bundles and one in which a cent was changed.
fn bundles(project: &Project) -> Key {
    let key = Key::log(1);
    let leaves = History::random(3).leaves;
    for (folder, period) in [("november", "2026-11"), ("december", "2026-12"), ("bad", "2026-12")] {
        let period = Some(period.to_string());
        let wanted = Wanted { period, first: 0, start: 0, witnesses: 1 };
        let mut bundle = Bundle::of(&leaves, &wanted, &key);
        if folder == "bad" {
            let lines = String::from_utf8(bundle.files["lines.csv"].clone()).expect("text");
            let changed = lines.replacen(",EUR,", "0,EUR,", 1).replacen(",JPY,", "0,JPY,", 1);
            let changed = changed.replacen(",KWD,", "0,KWD,", 1);
            assert_ne!(changed, lines);
            bundle.put("lines.csv", changed);
            bundle.seal(&key);
        }
        bundle.write(&project.path().join(folder));
    }
    key
}

/// The other program with the same arguments.
fn python(project: &Project, arguments: &[&str]) -> Said {
    let program = project.path().join("november/verify.py");
    let mut command = Command::new("python3");
    command.arg("-I").arg(program).args(arguments).current_dir(project.path());
    Said::from(command.output().expect("python3"))
}

fn verify(project: &Project, arguments: &[&str]) -> Said {
    project.dagbook(&[&["audit", "verify"], arguments].concat())
}

/// Both programs, which must end alike; what ours said.
fn both(project: &Project, arguments: &[&str], code: i32) -> Said {
    let (ours, theirs) = (verify(project, arguments), python(project, arguments));
    assert_eq!(ours.code, code, "{arguments:?}: {}{}", ours.stdout, ours.stderr);
    assert_eq!(theirs.code, code, "{arguments:?}: {}{}", theirs.stdout, theirs.stderr);
    ours
}

const CHECKS: [&str; 9] = [
    "manifest",
    "signature",
    "root",
    "consistency",
    "leaf",
    "sequence",
    "usage",
    "rating",
    "invoice",
];

#[test]
fn a_good_bundle_passes_each_check_and_a_changed_cent_is_named() {
    let project = Project::new();
    bundles(&project);
    let said = both(&project, &["december"], 0);
    let words: Vec<&str> =
        said.stdout.lines().filter_map(|line| line.split([' ', ':']).next()).collect();
    assert_eq!(words, [&CHECKS[..], &["verified"]].concat(), "{}", said.stdout);
    let said = both(&project, &["bad"], 6);
    let last = said.stdout.lines().last().unwrap_or_default();
    assert!(last.starts_with("failed: rating: "), "{}", said.stdout);
    // The same words in the same lines, from another program.
    let theirs = python(&project, &["december"]);
    assert_eq!(theirs.stdout.lines().count(), CHECKS.len() + 1, "{}", theirs.stdout);
}

#[test]
fn several_bundles_are_checked_one_after_another_and_the_worst_counts() {
    let project = Project::new();
    bundles(&project);
    let said = both(&project, &["november", "bad", "december", "--quiet"], 6);
    let lines: Vec<&str> = said.stdout.lines().collect();
    let begin = |line: &&str| line.split(": ").next().unwrap_or_default().to_string();
    let begins: Vec<String> = lines.iter().map(begin).collect();
    let wanted = ["bundle", "verified", "bundle", "failed", "bundle", "verified"];
    assert_eq!(begins, wanted, "{}", said.stdout);
    assert_eq!((lines[0], lines[4]), ("bundle: november", "bundle: december"));
    let said = both(&project, &["november", "december"], 0);
    assert_eq!(said.stdout.matches("verified: ").count(), 2, "{}", said.stdout);
    assert_eq!(said.stdout.lines().count(), 2 * (CHECKS.len() + 2), "{}", said.stdout);
}

#[test]
fn the_key_that_a_person_knows_is_the_one_that_counts() {
    let project = Project::new();
    let key = bundles(&project).verifier.to_text();
    both(&project, &["november", "--key", &key], 0);
    let other = Key::log(2).verifier.to_text();
    let said = both(&project, &["november", "--key", &other], 6);
    assert!(said.stdout.contains("failed: signature: "), "{}", said.stdout);
    let witness = Key::witness(100).verifier.to_text();
    let said = both(&project, &["november", "--key", &witness], 2);
    assert!(said.stderr.contains("witness"), "{}", said.stderr);
    let said = both(&project, &["november", "--key", "nonsense"], 2);
    assert!(said.stderr.contains("--key"), "{}", said.stderr);
}

#[test]
fn what_is_no_folder_is_a_wrong_call_and_nothing_is_checked() {
    let project = Project::new();
    bundles(&project);
    let said = both(&project, &["november", "nowhere"], 2);
    assert!(said.stderr.contains("nowhere is no folder"), "{}", said.stderr);
    assert_eq!(said.stdout, "");
    assert_eq!(verify(&project, &[]).code, 2);
    assert_eq!(python(&project, &[]).code, 2);
    // An empty folder is one, and a bundle it is not.
    fs::create_dir(project.path().join("empty")).expect("made");
    let said = both(&project, &["empty"], 6);
    assert!(said.stdout.contains("failed: manifest: "), "{}", said.stdout);
}

#[test]
fn damage_of_each_file_is_found_by_both_with_the_same_exit_code() {
    let project = Project::new();
    bundles(&project);
    let good = project.path().join("november");
    for (path, reason) in [
        ("manifest.json", "manifest"),
        ("SHA256SUMS", "manifest"),
        ("manifest.note", "manifest"),
        ("usage.csv", "manifest"),
        ("tile/0", "manifest"),
        ("verify.py", "manifest"),
    ] {
        let Some(file) = find(&good, path) else { panic!("no {path}") };
        let before = fs::read(&file).expect("readable");
        let mut bytes = before.clone();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(&file, &bytes).expect("written");
        // The program itself is damaged where its file is: that one is asked from elsewhere.
        let said = verify(&project, &["november"]);
        assert_eq!(said.code, 6, "{path}: {}{}", said.stdout, said.stderr);
        assert!(said.stdout.contains(&format!("failed: {reason}: ")), "{path}: {}", said.stdout);
        let program = project.path().join("december/verify.py");
        let mut command = Command::new("python3");
        let output = command.arg("-I").arg(program).arg(&good).output().expect("python3");
        let theirs = Said::from(output);
        assert_eq!(theirs.code, 6, "{path}: {}{}", theirs.stdout, theirs.stderr);
        fs::write(&file, &before).expect("written");
    }
    both(&project, &["november"], 0);
}

/// A file whose path begins so.
fn find(folder: &Path, path: &str) -> Option<std::path::PathBuf> {
    let whole = folder.join(path);
    if whole.is_file() {
        return Some(whole);
    }
    let (parent, name) = (whole.parent()?, whole.file_name()?.to_str()?.to_string());
    let mut at = fs::read_dir(parent).ok()?.flatten().map(|entry| entry.path());
    let mut found =
        at.find(|it| it.file_name().is_some_and(|it| it.to_string_lossy().starts_with(&name)))?;
    while found.is_dir() {
        found = fs::read_dir(&found).ok()?.flatten().next()?.path();
    }
    Some(found)
}

#[test]
fn programs_get_the_same_as_json() {
    let project = Project::new();
    bundles(&project);
    let ask = |folders: &[&str], code: i32| -> Json {
        let said = verify(&project, &[folders, &["--output", "json"]].concat());
        assert_eq!(said.code, code, "{}{}", said.stdout, said.stderr);
        serde_json::from_str(&said.stdout).unwrap_or_else(|e| panic!("{e}: {}", said.stdout))
    };
    let good = ask(&["november"], 0);
    assert_eq!(good["verified"], true);
    let checks: Vec<&str> = good["checks"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|it| it["check"].as_str())
        .collect();
    assert_eq!(checks, CHECKS);
    assert!(good["summary"].as_str().is_some_and(|it| it.contains("acme-000001")), "{good}");
    assert_eq!((good.get("failed"), good.get("bundle")), (None, None));
    let bad = ask(&["bad"], 6);
    assert_eq!((&bad["verified"], &bad["failed"]["reason"]), (&json!(false), &json!("rating")));
    assert_eq!(bad["checks"].as_array().map(Vec::len), Some(7), "{bad}");
    let both = ask(&["november", "bad"], 6);
    assert_eq!(both["verified"], false);
    let of = |at: usize| (&both["bundles"][at]["bundle"], &both["bundles"][at]["verified"]);
    assert_eq!(of(0), (&json!("november"), &json!(true)));
    assert_eq!(of(1), (&json!("bad"), &json!(false)));
}
