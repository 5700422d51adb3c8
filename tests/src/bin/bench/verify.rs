//! A bundle checked from its files to the last cent, on one core.

use std::time::Instant;

use anyhow::{Result, ensure};
use dagbook_events::journal::bundle::verify;
use dagbook_tests::bundles::{Bundle, History, Key, Wanted};

use crate::Options;
use crate::report::Report;

const INVOICE: &str = "events of an invoice, checked and billed again";
const HISTORY: &str = "events of a history, checked";

/// Runs the suite.
pub fn run(options: &Options) -> Result<Report> {
    let mut report = Report::default();
    let attempts = if options.short { 20_000 } else { 200_000 };
    let leaves = History::large(1, attempts).leaves;
    let place = tempfile::tempdir_in(&options.folder)?;
    let key = Key::log(1);
    for (name, period) in [(INVOICE, Some("2026-11".to_string())), (HISTORY, None)] {
        let folder = place.path().join(name);
        let wanted = Wanted { period, first: 0, start: leaves.len() as u64 / 2, witnesses: 1 };
        Bundle::of(&leaves, &wanted, &key).write(&folder);
        for round in 1..=options.rounds {
            eprintln!("{name}, {} events: round {round} of {}", leaves.len(), options.rounds);
            let begun = Instant::now();
            let verified = verify(&folder, Some(&key.verifier), &mut |_| {});
            let seconds = begun.elapsed().as_secs_f64();
            ensure!(verified.is_ok(), "{verified:?}");
            report.sample(name, "1/s", leaves.len() as f64 / seconds);
        }
    }
    report.demand(INVOICE, -300_000.0);
    report.demand(HISTORY, -300_000.0);
    Ok(report)
}
