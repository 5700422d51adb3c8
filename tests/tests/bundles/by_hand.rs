//! What `ops/docs/auditing.md` tells a person to type, typed.

use std::path::Path;
use std::process::{Command, Output};

use dagbook_events::journal::bundle::layout::{CHECKPOINT, LINES, USAGE};

use dagbook_tests::bundles::{Bundle, History, Key, Wanted};

const PAGE: &str = include_str!("../../../ops/docs/auditing.md");

/// The commands of the page, in one shell.
fn commands() -> String {
    let mut commands = String::new();
    let mut is_command = false;
    for line in PAGE.lines() {
        match line {
            "```sh" => is_command = true,
            "```" => is_command = false,
            _ if is_command => commands.push_str(&format!("{line}\n")),
            _ => {}
        }
    }
    assert!(commands.lines().count() > 100, "the page has its commands");
    commands
}

fn walk(folder: &Path) -> Output {
    let shell = Command::new("bash").args(["-c", &commands()]).current_dir(folder).output();
    shell.expect("a shell")
}

fn bundle() -> (Bundle, Key) {
    let leaves = History::random(11).leaves;
    let start = leaves.len() as u64 / 2;
    let wanted = Wanted { period: Some("2026-12".to_string()), first: 0, start, witnesses: 1 };
    let key = Key::log(1);
    (Bundle::of(&leaves, &wanted, &key), key)
}

fn walk_through(bundle: &Bundle) -> (bool, String) {
    let folder = tempfile::tempdir().expect("a folder");
    bundle.write(folder.path());
    let output = walk(folder.path());
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

#[test]
fn the_page_for_auditors_can_be_followed_word_for_word() {
    let (bundle, _) = bundle();
    let (good, text) = walk_through(&bundle);
    assert!(good, "{text}");
    assert_eq!(text.matches("Signature Verified Successfully").count(), 2, "{text}");
    assert!(text.contains("allocated_ms") && text.contains("\nslice "), "{text}");
    let last = text.lines().last().unwrap_or_default();
    assert!(last.starts_with("verified: acme-000002 of acme for 2026-12"), "{text}");
}

#[test]
fn following_the_page_finds_what_was_changed() {
    let (bundle, key) = bundle();
    // A byte in a file; nothing else was made to fit.
    let mut changed = bundle.clone();
    let mut lines = changed.files[LINES].clone();
    lines.push(b'\n');
    changed.put(LINES, lines.clone());
    assert!(!walk_through(&changed).0);
    // The list fits, the signature does not.
    changed.seal_without_key();
    let (good, text) = walk_through(&changed);
    assert!(!good && text.contains("the log's key") && !text.contains("line_id"), "{text}");
    // Signed again by the site: the closing says otherwise.
    changed.seal(&key);
    let (good, text) = walk_through(&changed);
    assert!(!good && text.contains("\nslice ") && !text.contains("verified:"), "{text}");
    // Other usage behind the same line.
    let mut changed = bundle.clone();
    let usage = String::from_utf8(changed.files[USAGE].clone()).expect("text");
    changed.put(USAGE, usage.replace(",none,true", ",none,false"));
    changed.seal(&key);
    let (good, text) = walk_through(&changed);
    assert!(!good && !text.contains("\nslice "), "{text}");
    // A head that another key signed.
    let mut changed = bundle;
    let text = String::from_utf8(changed.files[CHECKPOINT].clone()).expect("text");
    let (text, _) = text.split_once("\n\n").expect("a note");
    changed.put(CHECKPOINT, Key::log(2).signed(&format!("{text}\n")).encode());
    changed.seal(&key);
    assert!(!walk_through(&changed).0);
}
