//! `dagbook audit verify`: does a bundle hold, from its files to the last cent?

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use dagbook_events::journal::bundle::{Failure, Reason, Step, Verified, verify};
use dagbook_events::tlog::{KeyKind, VerifierKey};
use serde::Serialize;

use crate::edge::cli::output::{self, BAD, GOOD, RESET};
use crate::edge::cli::{CliError, Context, ExitCode};

const EXAMPLES: &str = "\
Examples:
  dagbook audit verify november
  dagbook audit verify october november     one after another, and the worst exit code
  dagbook audit verify november --key books.example+1a2b3c4d+AUvj…    the key, as you know it

Without `--key` the bundle's own policy says whose signature counts: ask the site for its key
another way, and name it here. `python3 november/verify.py november` is another program that
answers the same.

With `--quiet` only the last line of each is printed.

Exit codes: 0 verified   2 there is no such folder   6 a check failed: manifest, signature, root,
consistency, leaf, sequence, usage, rating or invoice";

/// What to check.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The folders of the bundles
    #[arg(value_name = "DIR", required = true)]
    folders: Vec<PathBuf>,
    /// The log's verifier key (name+hexid+base64), as known from elsewhere
    #[arg(long, value_name = "VKEY")]
    key: Option<String>,
}

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    bundle: Option<String>,
    verified: bool,
    checks: Vec<CheckRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    summary: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed: Option<FailureRow>,
}

#[derive(Serialize)]
struct CheckRow {
    check: &'static str,
    found: String,
}

#[derive(Serialize)]
struct FailureRow {
    reason: &'static str,
    what: String,
}

/// Several bundles.
#[derive(Serialize)]
struct Reports {
    verified: bool,
    bundles: Vec<Report>,
}

/// Checks them.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    if let Some(missing) = args.folders.iter().find(|folder| !folder.is_dir()) {
        let what = format!("{} is no folder", missing.display());
        return Err(CliError::usage(what).hint("name the folder that `audit export` wrote"));
    }
    let key = args.key.as_deref().map(read_key).transpose()?;
    let is_one = args.folders.len() == 1;
    let mut reports = Vec::with_capacity(args.folders.len());
    for folder in args.folders {
        let name = output::clean(&folder.display().to_string());
        if !is_one && !ctx.is_json() {
            output::print(&format!("bundle: {name}\n"))?;
        }
        let mut report = one(ctx, folder, key.clone()).await?;
        report.bundle = (!is_one).then_some(name);
        reports.push(report);
    }
    let verified = reports.iter().all(|report| report.verified);
    if ctx.is_json() {
        match reports.pop() {
            Some(report) if is_one => output::json(&report)?,
            last => {
                reports.extend(last);
                output::json(&Reports { verified, bundles: reports })?;
            }
        }
    }
    Ok(if verified { ExitCode::Success } else { ExitCode::Damaged })
}

async fn one(ctx: &Context, folder: PathBuf, key: Option<VerifierKey>) -> Result<Report, CliError> {
    let (is_json, is_quiet) = (ctx.is_json(), ctx.is_quiet());
    let checked = tokio::task::spawn_blocking(move || {
        let mut teller = Teller::new(is_json, is_quiet);
        let result = check(&folder, key.as_ref(), &mut teller);
        teller.clear();
        (teller.broken, teller.checks, result)
    });
    let (broken, checks, result) = checked
        .await
        .map_err(|error| CliError::failed(format!("the check did not end: {error}")))?;
    if let Some(error) = broken {
        return Err(error);
    }
    let (summary, failed) = match result {
        Ok(verified) => (Some(verified.summary), None),
        Err(failure) => {
            let row = FailureRow { reason: failure.reason.name(), what: failure.what };
            (None, Some(row))
        }
    };
    if !is_json {
        output::print(&last_line(summary.as_deref(), failed.as_ref()))?;
    }
    Ok(Report { bundle: None, verified: failed.is_none(), checks, summary, failed })
}

fn check(
    folder: &Path,
    key: Option<&VerifierKey>,
    teller: &mut Teller,
) -> Result<Verified, Failure> {
    verify(folder, key, &mut |step| teller.hear(step))
}

fn read_key(text: &str) -> Result<VerifierKey, CliError> {
    let hint =
        "a key of a log, as `name+hexid+base64`; the site names it in <data>/keys/signing.key.vkey";
    let key = VerifierKey::parse(text)
        .map_err(|error| CliError::usage(format!("--key: {error}")).hint(hint))?;
    match key.kind() {
        KeyKind::Log => Ok(key),
        KeyKind::Cosigner => Err(CliError::usage("--key: it is the key of a witness").hint(hint)),
    }
}

fn last_line(summary: Option<&str>, failed: Option<&FailureRow>) -> String {
    match failed {
        Some(FailureRow { reason, what }) => {
            format!("{BAD}failed: {reason}{RESET}: {}\n", output::clean(what))
        }
        None => {
            format!("{GOOD}verified{RESET}: {}\n", output::clean(summary.unwrap_or_default()))
        }
    }
}

/// Tells each check as it passes, and how far a long one is.
struct Teller {
    /// Whether checks are told one by one.
    is_told: bool,
    is_shown: bool,
    told: Option<(Reason, u64)>,
    checks: Vec<CheckRow>,
    broken: Option<CliError>,
}

impl Teller {
    fn new(is_json: bool, is_quiet: bool) -> Self {
        let is_shown = std::io::stderr().is_terminal() && !is_quiet;
        let is_told = !is_json && !is_quiet;
        Self { is_told, is_shown, told: None, checks: Vec::new(), broken: None }
    }

    fn hear(&mut self, step: Step<'_>) {
        match step {
            Step::Going { check, done, total } => self.going(check, done, total),
            Step::Passed { check, found } => {
                self.clear();
                let found = output::clean(found);
                if self.is_told && self.broken.is_none() {
                    self.broken = output::print(&format!("{check:<12} {found}\n")).err();
                }
                self.checks.push(CheckRow { check: check.name(), found });
            }
        }
    }

    /// Each percent once.
    fn going(&mut self, check: Reason, done: u64, total: u64) {
        let percent = u128::from(done) * 100 / u128::from(total.max(1));
        // At most 100 where it is true, and no more than 64 bits where it is not.
        let percent = percent as u64;
        if self.is_shown && self.told != Some((check, percent)) {
            self.told = Some((check, percent));
            eprint!("\r{check:<12} {percent} %");
        }
    }

    fn clear(&mut self) {
        if self.told.take().is_some() {
            eprint!("\r\u{1b}[K");
        }
    }
}
