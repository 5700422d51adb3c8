//! Damage of every kind, in every file: both verifiers give the same reason, and never say that
//! it is verified where anything that counts was changed.

use std::path::PathBuf;

use dagbook_events::journal::bundle::layout::{
    MANIFEST, MANIFEST_NOTE, PROGRAM, RULE, SUMS, UNLISTED,
};
use serde_json::{Value, json};

use super::{is_deep, verifiers};
use dagbook_tests::bundles::{Bundle, Dice, History, Key, Wanted};

/// How much of the rest is made to fit the damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Seal {
    /// Nothing.
    None,
    /// The manifest and the sums.
    Sums,
    /// The signature as well.
    Signed,
}

struct Case {
    name: String,
    bundle: Bundle,
    /// What it must be called, where that is known.
    word: Option<&'static str>,
    /// Whether it may be right all the same: a comment was changed.
    is_harmless: bool,
}

const DAMAGES: [&str; 6] = ["flip", "bit", "truncate", "append", "swap", "drop"];

/// Damages a file, or says that there is nothing to damage.
fn damage(bytes: &[u8], how: &str, dice: &mut Dice) -> Option<Vec<u8>> {
    let mut bytes = bytes.to_vec();
    let length = bytes.len() as u64;
    match how {
        "append" => bytes.push(b'x'),
        _ if bytes.is_empty() => return None,
        "flip" => bytes[dice.below(length) as usize] ^= 1 + dice.below(254) as u8,
        "bit" => bytes[dice.below(length) as usize] ^= 1 << dice.below(7),
        "truncate" => bytes.truncate(dice.below(length) as usize),
        "swap" => {
            let (at, by) = (dice.below(length) as usize, dice.below(length) as usize);
            if bytes[at] == bytes[by] {
                return None;
            }
            bytes.swap(at, by);
        }
        _ => return None,
    }
    Some(bytes)
}

fn bundle_of(seed: u64) -> (Vec<Vec<u8>>, Bundle, Key) {
    let leaves = History::random(seed).leaves;
    let key = Key::log(1);
    let start = leaves.len() as u64 / 3;
    let wanted = Wanted { period: Some("2026-12".to_string()), first: 0, start, witnesses: 2 };
    let bundle = Bundle::of(&leaves, &wanted, &key);
    (leaves, bundle, key)
}

/// Every file, each kind of damage, sealed in each way.
fn files(bundle: &Bundle, key: &Key, dice: &mut Dice, cases: &mut Vec<Case>) {
    for path in bundle.files.keys() {
        for how in DAMAGES {
            for seal in [Seal::None, Seal::Sums, Seal::Signed] {
                // What nothing else was made to fit is the easier half.
                if seal != Seal::Signed && !is_deep() && dice.is(70) {
                    continue;
                }
                let mut changed = bundle.clone();
                if how == "drop" {
                    changed.files.remove(path);
                } else {
                    let Some(bytes) = damage(&bundle.files[path], how, dice) else { continue };
                    changed.put(path, bytes);
                }
                let is_unlisted = UNLISTED.contains(&path.as_str());
                match seal {
                    Seal::None => {}
                    _ if is_unlisted => continue,
                    Seal::Sums => changed.seal_without_key(),
                    Seal::Signed => changed.seal(key),
                }
                let word = match seal {
                    Seal::None if how == "drop" || !is_unlisted || path == SUMS => Some("manifest"),
                    Seal::Sums if how != "drop" => Some("signature"),
                    _ => None,
                };
                let is_harmless = seal == Seal::Signed && (path == RULE || path == PROGRAM);
                let name = format!("{path}: {how}, {seal:?}");
                cases.push(Case { name, bundle: changed, word, is_harmless });
            }
        }
    }
}

/// Members of the manifest, signed.
fn members(bundle: &Bundle, key: &Key, cases: &mut Vec<Case>) {
    let manifest: Value = serde_json::from_slice(&bundle.files[MANIFEST]).expect("JSON");
    let changes = [
        ("/control/currency", json!("XXX")),
        ("/control/events", json!(1)),
        ("/control/facts", json!(0)),
        ("/control/lines", json!(0)),
        ("/control/total_minor", json!("1")),
        ("/format", json!("dagbook.bundle/2")),
        ("/kind", json!("history")),
        ("/kind", json!("x")),
        ("/log/end/root", json!("0".repeat(64))),
        ("/log/end/root", json!("A".repeat(64))),
        ("/log/end/size", json!(0)),
        ("/log/end/size", json!(9_007_199_254_740_991_i64)),
        ("/log/first", json!(256)),
        ("/log/first", json!(1)),
        ("/log/origin", json!("other.example/t/acme/1")),
        ("/log/origin", json!("books.example/t/acme/0")),
        ("/log/start/root", json!("0".repeat(64))),
        ("/log/start/size", json!(0)),
        ("/log/start/size", json!(1)),
        ("/log/tiles", json!([0])),
        ("/log/tiles", json!([])),
        ("/period/end", json!(1)),
        ("/period/name", json!("2026-11")),
        ("/period/name", json!("2027-01")),
        ("/period/start", json!(1)),
        ("/period/zone", json!("UTC")),
        ("/rating", json!(2)),
        ("/tenant", json!("other")),
        ("/files/0/bytes", json!(-1)),
        ("/files/0/path", json!("../checkpoint")),
    ];
    for (pointer, value) in changes {
        let mut changed = manifest.clone();
        let member = changed.pointer_mut(pointer).expect("a member");
        let is_same = *member == value;
        *member = value.clone();
        push_manifest(bundle, key, cases, format!("{pointer} = {value}"), &changed, is_same);
    }
    for parent in ["", "/control", "/log", "/log/end", "/period", "/files/0"] {
        let members = manifest.pointer(parent).and_then(Value::as_object).expect("an object");
        for name in members.keys() {
            let mut changed = manifest.clone();
            let object = changed.pointer_mut(parent).and_then(Value::as_object_mut);
            object.expect("an object").remove(name);
            push_manifest(bundle, key, cases, format!("{parent} without {name}"), &changed, false);
        }
        let mut changed = manifest.clone();
        changed.pointer_mut(parent).expect("an object")["more"] = json!(1);
        push_manifest(bundle, key, cases, format!("{parent} with more"), &changed, false);
    }
}

fn push_manifest(
    bundle: &Bundle,
    key: &Key,
    cases: &mut Vec<Case>,
    name: String,
    manifest: &Value,
    is_harmless: bool,
) {
    use dagbook_events::digest::Sha256Digest;
    let mut bytes = dagbook_events::canonical::to_vec(manifest).expect("canonical");
    bytes.push(b'\n');
    let mut changed = bundle.clone();
    let tenant = manifest["tenant"].as_str().unwrap_or("acme");
    let text = format!("dagbook.bundle/1\n{tenant}\n{}\n", Sha256Digest::of(&bytes));
    let note = key.signed(&text).encode().into_bytes();
    let sums: Vec<String> = String::from_utf8(bundle.files[SUMS].clone())
        .expect("text")
        .lines()
        .map(|line| match line.split_once("  ").expect("a sum").1 {
            MANIFEST => format!("{}  {MANIFEST}\n", Sha256Digest::of(&bytes)),
            MANIFEST_NOTE => format!("{}  {MANIFEST_NOTE}\n", Sha256Digest::of(&note)),
            _ => format!("{line}\n"),
        })
        .collect();
    changed.put(MANIFEST, bytes);
    changed.put(MANIFEST_NOTE, note);
    changed.put(SUMS, sums.concat());
    cases.push(Case {
        name: format!("manifest: {name}"),
        bundle: changed,
        word: None,
        is_harmless,
    });
}

/// Leaves with other members, in a log that the site signs anew from end to end.
fn leaves(leaves: &[Vec<u8>], bundle: &Bundle, key: &Key, dice: &mut Dice, cases: &mut Vec<Case>) {
    for number in 0..if is_deep() { 400 } else { 40 } {
        let at = dice.below(leaves.len() as u64) as usize;
        let Some((what, leaf)) = other_leaf(&leaves[at], dice) else { continue };
        let name = format!("{number}: leaf {at}: {what}");
        let bundle = with_leaf(leaves, bundle, key, (at, leaf));
        // Roots of closings behind it are no longer true, and of others nothing may follow.
        cases.push(Case { name, bundle, word: None, is_harmless: true });
    }
}

/// The bundle with one other leaf, signed anew.
fn with_leaf(
    leaves: &[Vec<u8>],
    bundle: &Bundle,
    key: &Key,
    (at, leaf): (usize, Vec<u8>),
) -> Bundle {
    let wanted = Wanted { period: None, first: 0, start: 0, witnesses: 0 };
    let mut leaves = leaves.to_vec();
    leaves[at] = leaf;
    let mut changed = Bundle::of(&leaves, &wanted, key);
    for (path, bytes) in &bundle.files {
        if !matches!(path.as_str(), "start.checkpoint" | "consistency.proof") {
            changed.files.entry(path.clone()).or_insert_with(|| bytes.clone());
        }
    }
    changed.manifest.kind = bundle.manifest.kind;
    changed.manifest.period = bundle.manifest.period.clone();
    changed.manifest.control = bundle.manifest.control.clone();
    changed.seal(key);
    changed
}

fn other_leaf(leaf: &[u8], dice: &mut Dice) -> Option<(String, Vec<u8>)> {
    if dice.is(30) {
        let how = *dice.pick(&["flip", "bit", "truncate", "append", "swap"]);
        return Some((how.to_string(), damage(leaf, how, dice)?));
    }
    let mut value: Value = serde_json::from_slice(leaf).expect("JSON");
    let mut place = &mut value;
    let mut path = String::new();
    while place.as_object().is_some_and(|object| !object.is_empty()) {
        let object = place.as_object_mut().expect("an object");
        let names: Vec<String> = object.keys().cloned().collect();
        let name = dice.pick(&names).clone();
        path = format!("{path}/{name}");
        if dice.is(15) {
            object.remove(&name);
            let leaf = dagbook_events::canonical::to_vec(&value).ok()?;
            return Some((format!("without {path}"), leaf));
        }
        place = &mut object[&name];
    }
    *place = match dice.below(7) {
        0 => json!("x"),
        1 => json!(-1),
        2 => json!(true),
        3 => json!([]),
        4 => json!({}),
        5 => json!("170141183460469231731687303715884105727"),
        _ => match place.as_i64() {
            Some(number) => json!(number + 1),
            None => json!("y"),
        },
    };
    let what = format!("{path} = {place}");
    Some((what, dagbook_events::canonical::to_vec(&value).ok()?))
}

fn compare(cases: &[Case], key: &Key) {
    let place = tempfile::tempdir().expect("a folder");
    let mut folders: Vec<PathBuf> = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let folder = place.path().join(number.to_string());
        std::fs::create_dir(&folder).expect("a folder");
        case.bundle.write(&folder);
        folders.push(folder);
    }
    let python = verifiers::python(&folders, &["--key", &key.verifier.to_text()]);
    let mut wrong = Vec::new();
    for ((case, folder), python) in cases.iter().zip(&folders).zip(python) {
        let rust = verifiers::rust(folder, Some(&key.verifier));
        let is_verified = rust.word == "verified" && !case.is_harmless;
        let is_other = case.word.is_some_and(|word| word != rust.word);
        if rust.word != python.word || is_verified || is_other {
            wrong.push(format!("{}\n  {}\n  {}", case.name, rust.line, python.line));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn damage_in_any_file_has_the_same_name_for_both() {
    for seed in 0..if is_deep() { 5 } else { 1 } {
        let mut dice = Dice::new(seed + 77);
        let (_, bundle, key) = bundle_of(seed + 3);
        let mut cases = Vec::new();
        files(&bundle, &key, &mut dice, &mut cases);
        members(&bundle, &key, &mut cases);
        compare(&cases, &key);
    }
}

#[test]
fn leaves_of_any_kind_have_the_same_name_for_both() {
    for seed in 0..if is_deep() { 5 } else { 1 } {
        let mut dice = Dice::new(seed + 177);
        let (all, bundle, key) = bundle_of(seed + 3);
        let mut cases = Vec::new();
        leaves(&all, &bundle, &key, &mut dice, &mut cases);
        compare(&cases, &key);
    }
}

/// What one of the two refused at another place than the other.
#[test]
fn members_that_no_rule_names_and_versions_of_any_size_are_judged_alike() {
    let (leaves, bundle, key) = bundle_of(1);
    let mut cases = Vec::new();
    for (kind, member, value) in [
        ("period.opened", "kind", json!(-1)),
        ("period.closed", "rating", json!(1_u64 << 40)),
        ("period.closed", "rating", json!(-1)),
    ] {
        let parsed = leaves.iter().map(|leaf| serde_json::from_slice::<Value>(leaf).expect("JSON"));
        let found = parsed.enumerate().find(|(_, leaf)| leaf["ty"] == kind);
        let (at, mut leaf) = found.expect("there is one");
        leaf["d"][member] = value.clone();
        let leaf = dagbook_events::canonical::to_vec(&leaf).expect("canonical");
        let bundle = with_leaf(&leaves, &bundle, &key, (at, leaf));
        let name = format!("{kind}: {member} = {value}");
        cases.push(Case { name, bundle, word: None, is_harmless: false });
    }
    compare(&cases, &key);
}
