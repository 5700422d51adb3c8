//! The other program rates random histories as this one does: usage, lines, invoice and sums of
//! every closing, from the leaves alone.

use std::path::Path;
use std::process::Command;

use dagbook_events::billing::PeriodClosed;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::bundle::VERIFY_PROGRAM;
use dagbook_tests::bundles::{History, ORIGIN, TENANT, data, ledger};
use serde_json::{Value as Json, json};

/// What `verify.py --rate` says of each closing of these leaves.
fn rated_by_python(program: &Path, leaves: &[Vec<u8>]) -> Vec<Json> {
    let file = program.with_file_name("leaves.jsonl");
    let mut text = String::new();
    for (index, leaf) in leaves.iter().enumerate() {
        let leaf = std::str::from_utf8(leaf).expect("text");
        text.push_str(&format!("{}\n", json!({ "i": index, "leaf": leaf })));
    }
    std::fs::write(&file, text).expect("written");
    let mut command = Command::new("python3");
    command.arg("-I").arg(program).arg("--rate").arg(&file);
    let output = command.args(["--tenant", TENANT, "--origin", ORIGIN]).output().expect("python3");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.is_empty(), "{errors}");
    let said = String::from_utf8(output.stdout).expect("text");
    assert_eq!(output.status.code(), Some(0), "{said}");
    said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

/// The closings of these leaves: where each stands, on which timeline, and what it says.
fn closings(leaves: &[Vec<u8>]) -> Vec<(u64, u64, PeriodClosed)> {
    let closing = |(index, leaf): (u64, &Vec<u8>)| match data(leaf) {
        (_, kind, data) if kind == "period.closed" => {
            let leaf: Json = serde_json::from_slice(leaf).expect("JSON");
            let timeline = leaf["tl"].as_u64().expect("a timeline");
            Some((index, timeline, serde_json::from_value(data).expect("a closing")))
        }
        _ => None,
    };
    (0..).zip(leaves).filter_map(closing).collect()
}

/// Compares every closing; says how many corrections and facts there were.
fn compare(program: &Path, name: &str, leaves: &[Vec<u8>]) -> (usize, u64) {
    let said = rated_by_python(program, leaves);
    let closings = closings(leaves);
    assert_eq!(said.len(), closings.len(), "{name}");
    let (mut corrected, mut facts) = (0, 0);
    for (said, (index, timeline, closing)) in said.iter().zip(closings) {
        let (period, size) = (closing.period.as_str(), closing.size);
        let what = format!("{name}, {period}");
        let statement = ledger(leaves, size, timeline).statement(period, size).expect("rated");
        let usage = statement.usage_csv();
        let digest = Sha256Digest::of(&usage);
        let closed = statement.closing(closing.root, digest).expect("documents");
        assert_eq!((&said["index"], &said["period"]), (&json!(index), &json!(period)), "{what}");
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert_eq!(said["usage"], text(&usage), "{what}");
        assert_eq!(said["lines"], text(&closed.lines_csv), "{what}");
        assert_eq!(said["invoice"], text(&closed.invoice_json), "{what}");
        let event = serde_json::to_value(&closed.event).expect("JSON");
        for member in ["number", "totals", "corrected", "credits", "total_minor"] {
            assert_eq!(said[member], event[member], "{what}: {member}");
        }
        assert_eq!(said["facts"], statement.fact_count, "{what}");
        corrected += closed.event.corrected.len();
        facts += statement.fact_count;
    }
    (corrected, facts)
}

#[test]
fn the_other_program_rates_random_histories_as_this_one_does() {
    let count = if super::is_deep() { 500 } else { 30 };
    let place = tempfile::tempdir().expect("a folder");
    let program = place.path().join("verify.py");
    std::fs::write(&program, VERIFY_PROGRAM).expect("written");
    let (mut corrected, mut facts) = (0, 0);
    for seed in 0..count {
        let history = match seed % 6 {
            0 => History::calm(seed),
            1 => History::large(seed, 60),
            2 | 3 => History::late(seed),
            _ => History::random(seed),
        };
        let found = compare(&program, &format!("seed {seed}"), &history.leaves);
        corrected += found.0;
        facts += found.1;
    }
    assert!(corrected > 10 && facts > 500, "{facts} facts and {corrected} corrections say little");
}
