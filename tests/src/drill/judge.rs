//! What a drill came to: the record, folded run by run, against the marks of attempts and the
//! folders that their shims leave until they are released.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dagbook::runtime::record::Recorder;
use dagbook_events::ids::{AttemptId, RunId, TenantId};
use dagbook_events::invariants;
use dagbook_events::run::{RunEvent, RunStatus, fold};
use dagbook_events::step::Outcome;

/// What was found.
#[derive(Debug, Default)]
pub struct Report {
    /// Runs by how they ended; `open` for those that did not.
    pub runs: BTreeMap<String, usize>,
    /// Attempts on the record.
    pub attempts: usize,
    /// Attempts that are lost on the record.
    pub lost: usize,
    /// Attempts of steps that had more than one.
    pub repeated: usize,
    /// What must not be.
    pub findings: Vec<String>,
}

/// Judges all accepted runs.
///
/// # Panics
/// Where the record cannot be read.
pub async fn judge(
    recorder: &Recorder,
    accepted: &BTreeMap<RunId, TenantId>,
    marks: &Path,
) -> Report {
    let mut report = Report::default();
    let marked: BTreeSet<String> = names(marks).into_iter().collect();
    let mut known = BTreeSet::new();
    for (run, tenant) in accepted {
        let facts = recorder.facts(tenant, *run).await.expect("a run that was accepted is there");
        if facts.is_empty() {
            report.findings.push(format!("run {run} was accepted and is forgotten"));
            continue;
        }
        for violation in invariants::check_all(&facts) {
            report.findings.push(format!("run {run}: {violation:?}"));
        }
        let state = fold(&facts);
        let status = state.status().map_or("open", RunStatus::as_str);
        *report.runs.entry(status.to_string()).or_default() += 1;
        let mut of_step: BTreeMap<String, usize> = BTreeMap::new();
        for fact in &facts {
            match &fact.event {
                RunEvent::AttemptPlanned(planned) => {
                    report.attempts += 1;
                    known.insert(planned.attempt.to_string());
                    *of_step.entry(planned.step.to_string()).or_default() += 1;
                }
                RunEvent::AttemptExited(exited) => {
                    report.take(*run, exited.attempt, &exited.exit.outcome, &marked);
                }
                _ => {}
            }
        }
        report.repeated += of_step.values().filter(|n| **n > 1).count();
    }
    for mark in marked.difference(&known) {
        report.findings.push(format!("attempt {mark} ran and is not on the record"));
    }
    report
}

impl Report {
    fn take(
        &mut self,
        run: RunId,
        attempt: AttemptId,
        outcome: &Outcome,
        marked: &BTreeSet<String>,
    ) {
        let ran = marked.contains(&attempt.to_string());
        match outcome {
            Outcome::Succeeded if !ran => {
                self.findings.push(format!("attempt {attempt} of {run} succeeded without running"));
            }
            Outcome::Failed { exit_code: 97 } => {
                self.findings.push(format!("attempt {attempt} of {run} was executed twice"));
            }
            Outcome::Lost { .. } => self.lost += 1,
            _ => {}
        }
    }

    /// # Panics
    /// Where there are findings, or a run did not succeed.
    pub fn all_succeeded(&self, runs: usize) {
        assert!(self.findings.is_empty(), "{self:#?}");
        let expected = BTreeMap::from([("succeeded".to_string(), runs)]);
        assert_eq!(self.runs, expected, "{self:#?}");
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the marks' folder");
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
