//! Attacks that somebody would try: each is found, with its name, by both verifiers.

use std::path::Path;

use dagbook_events::journal::bundle::layout::{
    CHECKPOINT, LINES, MANIFEST_NOTE, POLICY, policy_text,
};
use dagbook_events::tlog::{Note, encode_entries, parse_entries};
use serde_json::Value;
use tempfile::TempDir;

use super::verifiers::{both, python};
use dagbook_tests::bundles::{Bundle, History, Key, Wanted};

/// A bundle of a second month, with corrections and lines.
fn december() -> (Vec<Vec<u8>>, Wanted, Key) {
    let leaves = History::random(11).leaves;
    let start = leaves.len() as u64 / 2;
    let wanted = Wanted { period: Some("2026-12".to_string()), first: 0, start, witnesses: 1 };
    (leaves, wanted, Key::log(1))
}

fn written(bundle: &Bundle) -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    bundle.write(folder.path());
    folder
}

fn answer(bundle: &Bundle) -> String {
    both(written(bundle).path(), Some(&Key::log(1).verifier))
}

/// The bundle of other leaves, with the money of the true ones, all signed by the log's key.
fn with_leaves(bundle: &Bundle, leaves: &[Vec<u8>], wanted: &Wanted, key: &Key) -> Bundle {
    let history = Wanted { period: None, ..wanted.clone() };
    let mut forged = Bundle::of(leaves, &history, key);
    for (path, bytes) in &bundle.files {
        forged.files.entry(path.clone()).or_insert_with(|| bytes.clone());
    }
    let events = forged.manifest.control.events;
    forged.manifest.kind = bundle.manifest.kind;
    forged.manifest.period = bundle.manifest.period.clone();
    forged.manifest.control = bundle.manifest.control.clone();
    forged.manifest.control.events = events;
    forged.files.retain(|path, _| !path.starts_with("tile/") || is_of(&forged.manifest, path));
    forged.seal(key);
    forged
}

fn is_of(manifest: &dagbook_events::journal::bundle::manifest::Manifest, path: &str) -> bool {
    manifest.log.extent().all_tiles().any(|tile| tile.to_string() == path)
}

/// One leaf with another value of a member.
fn changed(leaf: &[u8], change: impl FnOnce(&mut Value)) -> Vec<u8> {
    let mut leaf: Value = serde_json::from_slice(leaf).expect("JSON");
    change(&mut leaf);
    dagbook_events::canonical::to_vec(&leaf).expect("canonical")
}

/// Where usage is that counts for the second month.
fn some_end(leaves: &[Vec<u8>], wanted: &str) -> usize {
    let usage = String::from_utf8(
        Bundle::of(
            leaves,
            &Wanted { period: Some(wanted.to_string()), first: 0, start: 0, witnesses: 0 },
            &Key::log(1),
        )
        .files["usage.csv"]
            .clone(),
    )
    .expect("text");
    let row = usage.lines().skip(1).find(|row| row.ends_with("none,true")).expect("billed usage");
    row.split(',').nth(1).expect("a leaf").parse().expect("an index")
}

#[test]
fn a_cent_more_in_a_line_is_found() {
    let (leaves, wanted, key) = december();
    let mut bundle = Bundle::of(&leaves, &wanted, &key);
    assert_eq!(answer(&bundle), "verified");
    let text = String::from_utf8(bundle.files[LINES].clone()).expect("text");
    let line = text.lines().nth(1).expect("a line");
    let mut fields: Vec<String> = line.split(',').map(str::to_string).collect();
    let minor: i128 = fields[9].parse().expect("minor units");
    fields[9] = (minor + 1).to_string();
    bundle.put(LINES, text.replacen(line, &fields.join(","), 1));
    assert_eq!(answer(&bundle), "manifest");
    bundle.seal_without_key();
    assert_eq!(answer(&bundle), "signature");
    bundle.seal(&key);
    assert_eq!(answer(&bundle), "rating");
}

#[test]
fn a_leaf_that_is_left_out_is_found() {
    let (leaves, wanted, key) = december();
    let bundle = Bundle::of(&leaves, &wanted, &key);
    let tile = bundle.files.keys().find(|path| path.starts_with("tile/entries/")).expect("a tile");
    let mut dropped = bundle.clone();
    let mut entries = parse_entries(&bundle.files[tile]).expect("a tile");
    entries.remove(3);
    dropped.put(tile, encode_entries(entries).expect("a tile"));
    assert_eq!(answer(&dropped), "manifest");
    dropped.seal(&key);
    assert_eq!(answer(&dropped), "root");
    // The site itself leaves it out, and signs all of it again.
    let mut fewer = leaves.clone();
    fewer.remove(3);
    assert_eq!(answer(&with_leaves(&bundle, &fewer, &wanted, &key)), "sequence");
}

#[test]
fn another_end_of_an_attempt_is_found_whoever_signs_it() {
    let (mut leaves, wanted, key) = december();
    let bundle = Bundle::of(&leaves, &wanted, &key);
    let at = some_end(&leaves, "2026-12");
    leaves[at] = changed(&leaves[at], |leaf| {
        let released = leaf["d"]["usage"]["released_ms"].as_i64().expect("an instant");
        leaf["d"]["usage"]["released_ms"] = (released - 600_000).into();
    });
    let forged = with_leaves(&bundle, &leaves, &wanted, &key);
    // With the key, the log is another one: what it was closed with is not.
    assert_eq!(answer(&forged), "root");
    // Without it, every hash is right but the signatures are those that there were.
    let mut unsigned = forged.clone();
    for path in [CHECKPOINT, MANIFEST_NOTE] {
        let text = Note::parse(&forged.files[path]).expect("a note").text;
        let mut old = Note::parse(&bundle.files[path]).expect("a note");
        old.text = text;
        unsigned.put(path, old.encode());
    }
    unsigned.seal_without_key();
    assert_eq!(answer(&unsigned), "signature");
}

#[test]
fn a_head_that_somebody_else_signed_is_found() {
    let (leaves, wanted, key) = december();
    let other = Key::log(2);
    let mut bundle = Bundle::of(&leaves, &wanted, &key);
    let text = Note::parse(&bundle.files[CHECKPOINT]).expect("a note").text;
    bundle.put(CHECKPOINT, other.signed(&text).encode());
    bundle.seal(&key);
    assert_eq!(answer(&bundle), "signature");
    // With a policy that names the other key, only who knows the true one can tell.
    let forged = Bundle::of(&leaves, &Wanted { witnesses: 0, ..wanted }, &other);
    assert_eq!(forged.files[POLICY], policy_text(&other.verifier, &[]).into_bytes());
    assert_eq!(answer(&forged), "signature");
    assert_eq!(both(written(&forged).path(), None), "verified");
}

#[test]
fn two_leaves_that_changed_places_are_found() {
    let (mut leaves, wanted, key) = december();
    let bundle = Bundle::of(&leaves, &wanted, &key);
    let tile = bundle.files.keys().find(|path| path.starts_with("tile/entries/")).expect("a tile");
    let mut swapped = bundle.clone();
    let mut entries = parse_entries(&bundle.files[tile]).expect("a tile");
    entries.swap(4, 5);
    swapped.put(tile, encode_entries(entries).expect("a tile"));
    swapped.seal(&key);
    assert_eq!(answer(&swapped), "root");
    leaves.swap(4, 5);
    assert_eq!(answer(&with_leaves(&bundle, &leaves, &wanted, &key)), "sequence");
}

#[test]
fn signatures_are_checked_alike_with_and_without_openssl() {
    let (leaves, wanted, key) = december();
    let good = written(&Bundle::of(&leaves, &wanted, &key));
    let mut bundle = Bundle::of(&leaves, &wanted, &key);
    let mut note = Note::parse(&bundle.files[CHECKPOINT]).expect("a note");
    note.signatures[0].signature[40] ^= 1;
    bundle.put(CHECKPOINT, note.encode());
    bundle.seal(&key);
    let bad = written(&bundle);
    let folders = [good.path().to_path_buf(), bad.path().to_path_buf()];
    for options in [&[][..], &["--arithmetic"]] {
        let words: Vec<String> =
            python(&folders, options).into_iter().map(|said| said.word).collect();
        assert_eq!(words, ["verified", "signature"]);
    }
}

#[test]
fn what_is_no_bundle_is_refused_by_name() {
    let empty = tempfile::tempdir().expect("a folder");
    assert_eq!(both(empty.path(), None), "manifest");
    let (leaves, wanted, key) = december();
    let folder = written(&Bundle::of(&leaves, &wanted, &key));
    let link = folder.path().join("proofs");
    std::fs::create_dir(&link).expect("a folder");
    assert_eq!(both(folder.path(), None), "verified", "empty folders do not count");
    std::os::unix::fs::symlink(Path::new("/etc/passwd"), link.join("000001.tlog-proof"))
        .expect("a link");
    assert_eq!(both(folder.path(), None), "manifest");
}
