//! `dagbook lint`: everything that is wrong with DAG files, all at once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use dagbook_events::dag::{self, Finding, FindingDto, SourceBundle};
use serde::Serialize;

use super::{CliError, Context, ExitCode, output};
use crate::app::programs;
use crate::app::source::{self, Loaded};

const EXAMPLES: &str = "\
Examples:
  dagbook lint dag.yaml
  dagbook lint --output json pipelines/*.yaml

Exit code 2 where a file has an error; warnings alone leave it at 0.";

/// Which files.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// DAG files
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Treat warnings as errors
    #[arg(long)]
    deny_warnings: bool,
}

/// What is printed.
#[derive(Serialize)]
struct Report {
    files: Vec<FileReport>,
    errors: usize,
    warnings: usize,
}

#[derive(Serialize)]
struct FileReport {
    file: String,
    findings: Vec<FindingDto>,
}

/// A file that was checked.
struct Checked {
    file: String,
    findings: Vec<Finding>,
    bundle: SourceBundle,
}

/// Checks all files; the exit code is that of the worst.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let mut checked = Vec::new();
    for file in &args.files {
        checked.push(check(file)?);
    }
    let all = || checked.iter().flat_map(|c| &c.findings);
    let errors = all().filter(|f| f.is_error()).count();
    let warnings = all().count() - errors;
    if ctx.is_json() {
        output::json(&report(&checked, errors, warnings))?;
    } else {
        let text: String =
            checked.iter().map(|c| dag::render(&c.findings, &c.bundle, true)).collect();
        output::print(&text)?;
        if errors + warnings == 0 {
            ctx.tell(&format!("{}: nothing to say", output::count(checked.len(), "file")));
        } else {
            let errors = output::count(errors, "error");
            ctx.tell(&format!("{errors}, {}", output::count(warnings, "warning")));
        }
    }
    let bad = errors > 0 || (args.deny_warnings && warnings > 0);
    Ok(if bad { ExitCode::Usage } else { ExitCode::Success })
}

fn check(file: &Path) -> Result<Checked, CliError> {
    let Loaded { source, .. } = source::load(file).map_err(|e| CliError::usage(e.to_string()))?;
    let bundle = source.bundle;
    let checked = dag::check(&bundle);
    let missing = checked.spec.iter().flat_map(|spec| programs::missing(spec, &bundle));
    let missing: Vec<Finding> = missing.collect();
    let mut findings = checked.findings;
    findings.extend(missing);
    findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
    let (findings, bundle) = as_typed(findings, bundle, file);
    Ok(Checked { file: file.display().to_string(), findings, bundle })
}

/// Names the files as the person typed them, so that an editor finds them.
pub(super) fn as_typed(
    findings: Vec<Finding>,
    bundle: SourceBundle,
    file: &Path,
) -> (Vec<Finding>, SourceBundle) {
    let folder = file.parent().unwrap_or(Path::new(""));
    let renamed = |path: &str| folder.join(path).display().to_string();
    let findings = findings.into_iter().map(|f| Finding { file: renamed(&f.file), ..f }).collect();
    let files: BTreeMap<String, String> =
        bundle.files.into_iter().map(|(path, text)| (renamed(&path), text)).collect();
    (findings, SourceBundle { entry: renamed(&bundle.entry), files })
}

fn report(checked: &[Checked], errors: usize, warnings: usize) -> Report {
    let files = checked.iter().map(|c| FileReport {
        file: c.file.clone(),
        findings: c.findings.iter().map(FindingDto::from).collect(),
    });
    Report { files: files.collect(), errors, warnings }
}

/// A file that a command needs has errors: draws them on standard error and says so.
pub fn refuse(findings: &[Finding], bundle: &SourceBundle, file: &Path) -> CliError {
    use std::io::Write;
    let (findings, bundle) = as_typed(findings.to_vec(), bundle.clone(), file);
    // The summary below says the same in one line should this not come through.
    let _ = write!(anstream::stderr().lock(), "{}", dag::render(&findings, &bundle, true));
    let errors = findings.iter().filter(|f| f.is_error()).count();
    let shown = file.display();
    CliError::usage(format!("{shown} cannot be used: {}", output::count(errors, "error")))
        .hint(format!("`dagbook lint {shown}` shows everything that is wrong with it"))
}
