//! `dagbook replay --verify`.

use dagbook_events::ids::{RunId, StreamName};
use dagbook_events::invariants::check_all;
use dagbook_events::journal::verify::{Finding, VerifyReport, verify};
use dagbook_events::ports::ReadError;
use dagbook_events::run::{RunFact, replay};
use serde::Serialize;

use crate::edge::cli::output::{self, BAD, GOOD, RESET};
use crate::edge::cli::{CliError, Context, ExitCode, OpenRecord};
use crate::runtime::record::RecordError;

#[derive(Serialize)]
struct Report {
    #[serde(skip_serializing_if = "Option::is_none")]
    run: Option<RunId>,
    is_clean: bool,
    record: RecordReport,
    #[serde(skip_serializing_if = "Option::is_none")]
    replay: Option<ReplayReport>,
    findings: Vec<FindingReport>,
    further_findings: u64,
}

#[derive(Serialize)]
struct RecordReport {
    events: u64,
    checkpoints: u64,
    logs: Vec<LogReport>,
}

#[derive(Serialize)]
struct LogReport {
    tenant: String,
    leaves: u64,
    root: String,
}

#[derive(Serialize)]
struct ReplayReport {
    events: u64,
    status: &'static str,
}

#[derive(Serialize)]
struct FindingReport {
    kind: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream: Option<String>,
    message: String,
}

/// Checks the store as a whole first, because a run that is read from damaged bytes proves
/// nothing; then the run.
pub async fn run(ctx: &Context, record: &OpenRecord, wanted: &str) -> Result<ExitCode, CliError> {
    let mut findings = Vec::new();
    let signed = record.installation.signed_heads().await.unwrap_or_else(|error| {
        findings.push(FindingReport::of_record("checkpoint", error.to_string()));
        Vec::new()
    });
    let stored = verify(record.installation.audit.as_ref(), &signed).await?;
    findings.extend(stored.findings.iter().map(FindingReport::of_store));
    let selected = record.select(wanted).await;
    let (run, replayed) = match (selected, findings.is_empty()) {
        (Ok(run), _) => (Some(run), replay_run(record, run, &mut findings).await?),
        // Where the record is damaged it need not be possible to find a run in it.
        (Err(_), false) => (None, None),
        (Err(error), true) => return Err(error),
    };
    let report = Report {
        run,
        is_clean: findings.is_empty(),
        record: record_report(&stored),
        replay: replayed,
        findings,
        further_findings: stored.further,
    };
    if ctx.is_json() {
        output::json(&report)?;
    } else {
        output::print(&report.to_text())?;
    }
    Ok(if report.is_clean { ExitCode::Success } else { ExitCode::Damaged })
}

/// Decides every command of the run again.
async fn replay_run(
    record: &OpenRecord,
    run: RunId,
    findings: &mut Vec<FindingReport>,
) -> Result<Option<ReplayReport>, CliError> {
    let stream = StreamName::run(run);
    let history = match record.recorder.history(record.tenant(), run).await {
        Ok(history) => history,
        Err(error) => {
            let (position, message) = match error {
                RecordError::Event { position, reason } => (position, reason),
                RecordError::Store(ReadError::Corrupt { position, detail }) => (position, detail),
                RecordError::Store(error) => return Err(error.into()),
            };
            // The walk over the store has mostly named that position already, and better.
            if !findings.iter().any(|finding| finding.position == Some(position.0)) {
                findings.push(FindingReport {
                    kind: "unreadable",
                    position: Some(position.0),
                    tenant: Some(record.tenant().to_string()),
                    stream: Some(stream.to_string()),
                    message: format!("the event cannot be read: {message}"),
                });
            }
            return Ok(None);
        }
    };
    let facts: Vec<RunFact> = history.iter().map(|recorded| recorded.fact.clone()).collect();
    let (state, differences) = replay(&facts);
    findings.extend(differences.into_iter().map(|difference| {
        let at = usize::try_from(difference.version).ok().and_then(|v| history.get(v));
        FindingReport {
            kind: "decision",
            position: at.map(|recorded| recorded.envelope.position.0),
            tenant: Some(record.tenant().to_string()),
            stream: Some(stream.to_string()),
            message: difference.message,
        }
    }));
    // Deciding again is compared above, with better words.
    let broken = check_all(&facts).into_iter().filter(|violation| violation.rule != "replays");
    findings.extend(broken.map(|violation| {
        let at = usize::try_from(violation.version).ok().and_then(|v| history.get(v));
        FindingReport {
            kind: "invariant",
            position: at.map(|recorded| recorded.envelope.position.0),
            tenant: Some(record.tenant().to_string()),
            stream: Some(stream.to_string()),
            message: format!("{}: {}", violation.rule, violation.message),
        }
    }));
    let status = dagbook_events::project::run_status(&state);
    Ok(Some(ReplayReport { events: facts.len() as u64, status }))
}

fn record_report(stored: &VerifyReport) -> RecordReport {
    let logs = stored.logs.iter().map(|(tenant, head)| LogReport {
        tenant: tenant.clone(),
        leaves: head.size,
        root: head.root.to_hex(),
    });
    RecordReport { events: stored.events, checkpoints: stored.checkpoints, logs: logs.collect() }
}

impl FindingReport {
    fn of_record(kind: &'static str, message: String) -> Self {
        Self { kind, position: None, tenant: None, stream: None, message }
    }

    fn of_store(finding: &Finding) -> Self {
        Self {
            kind: finding.damage.kind(),
            position: finding.position,
            tenant: finding.tenant.clone(),
            stream: finding.stream.clone(),
            message: finding.damage.to_string(),
        }
    }

    fn to_line(&self) -> String {
        let mut place = Vec::new();
        if let Some(position) = self.position {
            place.push(format!("position {position}"));
        }
        if let Some(tenant) = &self.tenant {
            place.push(format!("tenant {tenant}"));
        }
        if let Some(stream) = &self.stream {
            place.push(format!("stream {stream}"));
        }
        let place = if place.is_empty() { String::new() } else { place.join(", ") + ": " };
        format!("{BAD}✗ {}{RESET}  {place}{}\n", self.kind, output::clean(&self.message))
    }
}

impl Report {
    fn to_text(&self) -> String {
        let mut text: String = self.findings.iter().map(FindingReport::to_line).collect();
        if self.further_findings > 0 {
            text.push_str(&format!("… and {} more\n", self.further_findings));
        }
        let good = |text: String| format!("{GOOD}✓{RESET} {text}\n");
        let events = output::count(self.record.events as usize, "event");
        let is_store_fine = self.findings.iter().all(|f| f.kind == "decision");
        if is_store_fine {
            let signed = output::count(self.record.checkpoints as usize, "signed checkpoint");
            text.push_str(&good(format!(
                "{events}: bytes, hashes, numbers and trees agree, with {signed}"
            )));
            for log in &self.record.logs {
                text.push_str(&format!(
                    "  root of {}: {} ({})\n",
                    log.tenant, log.root, log.leaves
                ));
            }
        }
        if let (Some(run), Some(replay)) = (self.run, &self.replay)
            && !self.findings.iter().any(|f| f.kind == "decision")
        {
            let events = output::count(replay.events as usize, "event");
            text.push_str(&good(format!(
                "run {run}: {events} decided again, with the same result ({})",
                replay.status
            )));
        }
        if !self.is_clean {
            text.push_str(&format!(
                "{BAD}{}{RESET} in a record of {events}\n",
                output::count(self.findings.len() + self.further_findings as usize, "finding")
            ));
        }
        text
    }
}
