//! A bundle checked from its files to the last cent, on one core; and one of any size, with the
//! memory that it takes.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};
use clap::Args;
use dagbook_events::journal::bundle::{Step, verify};
use dagbook_tests::bundles::{Bundle, Key};

use crate::Options;
use crate::processor::of_process;
use crate::report::Report;

const INVOICE: &str = "events of an invoice, checked and billed again";
const HISTORY: &str = "events of a history, checked";
/// Events that a large history has for each attempt.
const EVENTS_PER_ATTEMPT: f64 = 3.3;

/// What this suite takes besides.
#[derive(Args, Clone)]
pub struct VerifyOptions {
    #[command(flatten)]
    pub common: Options,
    /// Checks one invoice of about so many events instead, once, in a process of its own whose
    /// memory is told. Its bundle takes about 750 bytes of the folder for each event.
    #[arg(long, value_name = "N")]
    events: Option<u64>,
    /// Checks the bundle in a folder, once, and prints what it took.
    #[arg(long, value_name = "DIR", conflicts_with = "events")]
    check: Option<PathBuf>,
}

/// What a check took.
struct Taken {
    events: u64,
    facts: u64,
    seconds: f64,
    busy: f64,
}

/// Runs the suite.
pub fn run(options: &VerifyOptions) -> Result<Report> {
    if let Some(folder) = &options.check {
        return check(folder, true).map(|_| Report::default());
    }
    let VerifyOptions { common, events, .. } = options;
    let mut report = Report::default();
    let place = tempfile::tempdir_in(&common.folder)?;
    if let Some(events) = events {
        large(place.path(), *events)?;
        return Ok(report);
    }
    let attempts = if common.short { 20_000 } else { 200_000 };
    for (name, is_invoice) in [(INVOICE, true), (HISTORY, false)] {
        let folder = place.path().join(name);
        let busy = format!("{name}, by processor time");
        let events = Bundle::write_large(&folder, 1, attempts, is_invoice, &key());
        for round in 1..=common.rounds {
            eprintln!("{name}, {events} events: round {round} of {}", common.rounds);
            let taken = check(&folder, false)?;
            report.sample(name, "1/s", taken.events as f64 / taken.seconds);
            report.sample(&busy, "1/s", taken.events as f64 / taken.busy);
        }
        report.demand(&busy, -300_000.0);
        std::fs::remove_dir_all(folder)?;
    }
    Ok(report)
}

fn key() -> Key {
    Key::log(1)
}

/// Builds a bundle, and has it checked by another process: what this one needed does not count.
fn large(place: &Path, events: u64) -> Result<()> {
    let folder = place.join("bundle");
    let attempts = (events as f64 / EVENTS_PER_ATTEMPT) as u64;
    eprintln!("building a bundle of {attempts} attempts");
    let events = Bundle::write_large(&folder, 1, attempts, true, &key());
    eprintln!("checking {events} events of {attempts} attempts");
    let mut program = Command::new(std::env::current_exe()?);
    let status = program.args(["verify", "--check"]).arg(&folder).status()?;
    ensure!(status.success(), "the check did not end well: {status}");
    Ok(())
}

fn check(folder: &Path, is_told: bool) -> Result<Taken> {
    let (begun, busy_before) = (Instant::now(), of_process());
    let mut last = (begun, busy_before);
    let verified = verify(folder, Some(&key().verifier), &mut |step| {
        if let (Step::Passed { check, found }, true) = (step, is_told) {
            let now = (Instant::now(), of_process());
            let (seconds, spent) = ((now.0 - last.0).as_secs_f64(), (now.1 - last.1).as_secs_f64());
            println!("{check:<12} {seconds:>8.2} s, processor {spent:>8.2} s: {found}");
            last = now;
        }
    })
    .context("the bundle is not accepted")?;
    let control = &verified.manifest.control;
    let taken = Taken {
        events: control.events,
        facts: control.facts.unwrap_or_default(),
        seconds: begun.elapsed().as_secs_f64(),
        busy: (of_process() - busy_before).as_secs_f64(),
    };
    if is_told {
        let Taken { events, facts, seconds, busy } = taken;
        println!(
            "{events} events, {facts} facts: {seconds:.1} s, {:.0} events/s; processor {busy:.1} s, \
             {:.0} events/s, {:.2} µs an event; {} KiB of memory at its most",
            events as f64 / seconds,
            events as f64 / busy,
            busy * 1e6 / events as f64,
            peak()?,
        );
    }
    Ok(taken)
}

/// The most memory that this process had, in KiB.
fn peak() -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|line| line.trim().strip_suffix("kB")).context("no VmHWM")?;
    Ok(kib.trim().parse()?)
}
