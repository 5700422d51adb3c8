//! Bundles, and the two programs that check them: they agree on random bundles and on damage of
//! every kind, and damage is never verified.

mod attacks;
mod by_hand;
mod mutate;
mod oracle;
mod verifiers;

use std::path::PathBuf;

use dagbook_tests::bundles::{Bundle, Dice, History, Key, Wanted};

fn is_deep() -> bool {
    std::env::var("DAGBOOK_DEEP").is_ok_and(|value| value == "1")
}

/// What part of a history a bundle of this seed has.
fn wanted(seed: u64, leaves: usize) -> Wanted {
    let mut dice = Dice::new(seed ^ 0xb0d1e5);
    let size = leaves as u64;
    let period = *dice.pick(&[Some("2026-11"), Some("2026-12"), Some("2026-12"), None]);
    let first = if period.is_none() { dice.below(size / 256 + 1) * 256 } else { 0 };
    let start = dice.below(size + 1);
    let start = if dice.is(20) { 0 } else { start };
    Wanted { period: period.map(str::to_string), first, start, witnesses: dice.below(3) as u8 }
}

#[test]
fn both_verifiers_accept_random_bundles() {
    let count = if is_deep() { 500 } else { 12 };
    let place = tempfile::tempdir().expect("a folder");
    let key = Key::log(1);
    let mut folders: Vec<PathBuf> = Vec::new();
    for seed in 0..count {
        let history = History::random(seed);
        let wanted = wanted(seed, history.leaves.len());
        let folder = place.path().join(seed.to_string());
        Bundle::of(&history.leaves, &wanted, &key).write(&folder);
        folders.push(folder);
    }
    let given = key.verifier.to_text();
    let python = verifiers::python(&folders, &["--key", &given]);
    for (folder, python) in folders.iter().zip(python) {
        let rust = verifiers::rust(folder, Some(&key.verifier));
        assert_eq!(rust, python, "{}", folder.display());
        assert_eq!(rust.word, "verified", "{}: {}", folder.display(), rust.line);
    }
}
