//! `dagbook plan --cost`: what a run of the file may come to, as a range, step by step.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use dagbook_events::admission::money::{StepEstimate, Terms, Times, amount, estimate};
use dagbook_events::aggregate::Aggregate as _;
use dagbook_events::billing::file::{MAX_FILE_BYTES, read_card};
use dagbook_events::billing::{BILLING_STREAM, BillingEvent, CardAdopted, RateCard};
use dagbook_events::dag::{self, Plan, SourceBundle};
use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::StreamName;
use dagbook_events::ports::Clock as _;
use dagbook_events::run::HoldBasis;
use dagbook_events::time::Timestamp;
use serde::Serialize;

use crate::app::reports::{self, RunReport, RunRow};
use crate::app::{listing, streams};
use crate::edge::cli::output::{self, FAINT, RESET};
use crate::edge::cli::{CliError, Context};

/// Runs of the pipeline whose times count, and runs that are looked through for them.
const RUNS: usize = 20;
const LOOKED_AT: usize = 500;

/// What a run may come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CostReport {
    /// ISO 4217.
    pub currency: String,
    /// The card, and its version.
    pub rate_card: String,
    /// At the least and at the most, for all steps together.
    pub low: String,
    pub high: String,
    /// The same in billionths of the unit.
    pub low_nanos: String,
    pub high_nanos: String,
    /// Runs of the pipeline whose times are known.
    pub runs: usize,
    /// A step fans out over a list that is only known when it runs: the sums have one item of it.
    pub is_per_item: bool,
    /// By step.
    pub steps: Vec<StepCost>,
}

/// What a step may come to.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct StepCost {
    /// The step.
    pub step: String,
    /// Its units.
    pub units: u64,
    /// Whether that is one item of a list that is not known yet.
    pub is_per_item: bool,
    /// `recorded` or `timeout`.
    pub basis: String,
    /// Attempts that are known.
    pub known: u32,
    /// One unit takes so long, at the least and at the most.
    pub low_ms: u64,
    pub high_ms: u64,
    /// All units cost so much.
    pub low: String,
    pub high: String,
    pub low_nanos: String,
    pub high_nanos: String,
}

/// Estimates it: at the prices of a file, or of those that the tenant has here.
pub async fn of(
    ctx: &Context,
    plan: &Plan,
    rate_card: Option<&Path>,
) -> Result<CostReport, CliError> {
    let now = dagbook_executors::SystemClock.now();
    let terms = match rate_card {
        Some(file) => from_file(file)?,
        None => agreed(ctx).await?,
    };
    let missing = || {
        CliError::usage("no rate card is in force here, so nobody knows what anything costs")
            .hint("name a file with `--rate-card FILE`")
    };
    let card = Arc::clone(terms.card_at(now).ok_or_else(missing)?);
    let (times, runs) = times(ctx, &plan.name).await?;
    let steps = estimate(plan, &terms, &times, &BTreeMap::new(), now);
    Ok(report(&card, &steps, runs))
}

/// A card holds from ever on: it is asked what it would cost.
fn from_file(file: &Path) -> Result<Terms, CliError> {
    let shown = file.display();
    let cannot = |error: String| CliError::usage(format!("cannot read {shown}: {error}"));
    let size = std::fs::metadata(file).map_err(|e| cannot(e.to_string()))?.len();
    if size > MAX_FILE_BYTES as u64 {
        return Err(cannot(format!("it has {size} bytes; at most {MAX_FILE_BYTES} are read")));
    }
    let bytes = std::fs::read(file).map_err(|e| cannot(e.to_string()))?;
    let path = shown.to_string();
    let (read, _) = read_card(&bytes, &path).map_err(|findings| {
        use std::io::Write as _;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let files = BTreeMap::from([(path.clone(), text)]);
        let bundle = SourceBundle { entry: path.clone(), files };
        // The summary below says the same in one line should this not come through.
        let drawn = dag::render(&findings, &bundle, true);
        let _ = write!(anstream::stderr().lock(), "{drawn}");
        let errors = findings.iter().filter(|finding| finding.is_error()).count();
        CliError::usage(format!("{shown} cannot be used: {}", output::count(errors, "error")))
            .hint("mend what is marked, and call it again")
    })?;
    let mut terms = Terms::default();
    let adopted = CardAdopted {
        card: read.what,
        effective_from: Timestamp(i64::MIN),
        sha256: Sha256Digest([0; 32]),
        source: String::new(),
    };
    terms.apply(Timestamp(0), &BillingEvent::CardAdopted(adopted));
    Ok(terms)
}

/// What was agreed with the tenant of the record here.
async fn agreed(ctx: &Context) -> Result<Terms, CliError> {
    if ctx.remote()?.is_some() {
        return Err(CliError::usage("against a server the prices come from a file")
            .hint("name it with `--rate-card FILE`; the times are the server's"));
    }
    // Where there is no record nothing was agreed.
    let Ok(record) = ctx.record().await else { return Ok(Terms::default()) };
    let stream = StreamName::new(BILLING_STREAM).map_err(|e| CliError::usage(e.to_string()))?;
    let loaded =
        streams::load::<Terms>(record.recorder.store().as_ref(), record.tenant(), &stream).await?;
    Ok(loaded.state)
}

/// How long attempts at the steps of the pipeline took in its latest runs, and how many these are.
async fn times(ctx: &Context, pipeline: &str) -> Result<(Times, usize), CliError> {
    let (mut times, mut runs) = (Times::new(), 0);
    if let Some(remote) = ctx.remote()? {
        let rows: Vec<RunRow> = remote.client.pages("runs", &[], LOOKED_AT).take(LOOKED_AT).await?;
        for row in rows.iter().filter(|row| row.pipeline == pipeline).take(RUNS) {
            add(&mut times, &remote.report(row.run).await?);
            runs += 1;
        }
        return Ok((times, runs));
    }
    // Without a record here nothing is known, which is no mistake.
    let Ok(record) = ctx.record().await else { return Ok((times, 0)) };
    for run in listing::newest(&record.recorder, record.tenant(), LOOKED_AT).await? {
        if runs == RUNS {
            break;
        }
        let head = listing::head(&record.recorder, record.tenant(), run).await?;
        if head.is_some_and(|head| head.pipeline == pipeline) {
            add(&mut times, &reports::run::run(&record.view(run).await?, true));
            runs += 1;
        }
    }
    Ok((times, runs))
}

/// What a run adds: attempts that came to an end by themselves.
fn add(times: &mut Times, run: &RunReport) {
    for step in &run.steps {
        let name = step.step.split_once('[').map_or(step.step.as_str(), |(name, _)| name);
        for attempt in &step.attempts {
            let ended = matches!(attempt.outcome.as_deref(), Some("succeeded" | "failed"));
            let began = attempt.started_at.as_deref().unwrap_or(&attempt.planned_at);
            let (Some(began), Some(end)) = (
                Timestamp::parse_rfc3339(began),
                attempt.exited_at.as_deref().and_then(Timestamp::parse_rfc3339),
            ) else {
                continue;
            };
            if ended {
                times.entry(name.to_string()).or_default().push(end.since(began).0);
            }
        }
    }
}

fn report(card: &RateCard, steps: &[StepEstimate], runs: usize) -> CostReport {
    let words = |nanos: i128| amount(nanos, card.exponent, &card.currency);
    let sum = |of: fn(&StepEstimate) -> i128| steps.iter().map(of).sum::<i128>();
    let (low, high) = (sum(|step| step.nanos.0), sum(|step| step.nanos.1));
    let of_step = |step: &StepEstimate| StepCost {
        step: step.step.clone(),
        units: step.units,
        is_per_item: step.is_per_item,
        basis: match step.basis {
            HoldBasis::Recorded => "recorded",
            HoldBasis::Timeout => "timeout",
        }
        .to_string(),
        known: step.known,
        low_ms: step.ms.0.0,
        high_ms: step.ms.1.0,
        low: words(step.nanos.0),
        high: words(step.nanos.1),
        low_nanos: step.nanos.0.to_string(),
        high_nanos: step.nanos.1.to_string(),
    };
    CostReport {
        currency: card.currency.clone(),
        rate_card: match card.version {
            // A file need not name one.
            0 => card.name.clone(),
            version => format!("{} {version}", card.name),
        },
        low: words(low),
        high: words(high),
        low_nanos: low.to_string(),
        high_nanos: high.to_string(),
        runs,
        is_per_item: steps.iter().any(|step| step.is_per_item),
        steps: steps.iter().map(of_step).collect(),
    }
}

/// For people.
pub fn to_text(cost: &CostReport) -> String {
    let row = |step: &StepCost| {
        let units = match step.is_per_item {
            true => "each item".to_string(),
            false => step.units.to_string(),
        };
        let span = |ms: u64| dagbook_events::time::Millis(ms).to_string();
        let (takes, from) = match step.basis.as_str() {
            "recorded" => (
                format!("{} – {}", span(step.low_ms), span(step.high_ms)),
                format!("{} recorded attempts", step.known),
            ),
            _ => (
                format!("up to {}", span(step.high_ms)),
                format!("its timeout; {} known", output::count(step.known as usize, "attempt")),
            ),
        };
        let costs = match step.basis.as_str() {
            "recorded" => format!("{} – {}", step.low, step.high),
            _ => format!("up to {}", step.high),
        };
        vec![step.step.clone(), units, takes, costs, from]
    };
    let headings = ["step", "units", "takes", "costs", "from"];
    let mut text = format!("\n{}", output::table(&headings, cost.steps.iter().map(row).collect()));
    let more = if cost.is_per_item { ", and more for each further item" } else { "" };
    text.push_str(&format!(
        "\ncosts {} – {}{more}\n{FAINT}at rate card {}, first step of each price; without retries, \
         sub-DAGs, discounts and credits; from {} of this pipeline{RESET}\n",
        cost.low,
        cost.high,
        cost.rate_card,
        output::count(cost.runs, "run"),
    ));
    text
}
