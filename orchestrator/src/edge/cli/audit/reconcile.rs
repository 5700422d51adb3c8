//! `dagbook audit reconcile`: are two keepings of the record the same, and if not, where is the
//! first difference?

mod one_sided;

use std::io::IsTerminal;

use dagbook_events::journal::reconcile::{
    Agreement, Difference, LeafSource, LogReport, ReconcileReport, Side, SideReport, reconcile,
};
use dagbook_events::reconciliation::{Comparison, Discrepancy, ReconciliationReported};
use serde::Serialize;

use crate::edge::cli::output::{self, BAD, BUSY, GOOD, RESET};
use crate::edge::cli::source::{self, LogKey};
use crate::edge::cli::{CliError, Context, ExitCode, OpenRecord};
use crate::wiring::{SourceName, Sources};

const EXAMPLES: &str = "\
Examples:
  dagbook audit reconcile                          the store with its second copy
  dagbook audit reconcile --from store --with tiles
  dagbook audit reconcile --from tiles --with jetstream    works while the store is away
  dagbook audit reconcile --itself                 the store with its own hashes and signed heads
  dagbook audit reconcile --executors              attempts with what this machine kept of them
  dagbook audit reconcile --periods --record       closed periods rated again; the report is an event

A side that is only shorter is behind, which is no difference: it is told, and the exit code
stays 0.

Exit codes: 0 they agree   4 a side cannot be reached   6 they differ, or a side is damaged";

/// What to compare.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// One side
    #[arg(long, value_enum, value_name = "SIDE", default_value = "store")]
    from: SourceName,
    /// The other side [default: jetstream where there is a bus, else tiles]
    #[arg(long, value_enum, value_name = "SIDE")]
    with: Option<SourceName>,
    /// The timeline of the copy and the tiles [default: that of the store, else the newest]
    #[arg(long, value_name = "N")]
    timeline: Option<u64>,
    #[command(flatten)]
    log_key: LogKey,
    /// Instead: attempts of the record with what the executor of this machine kept of them
    #[arg(long, conflicts_with_all = ["from", "with", "timeline"])]
    executors: bool,
    /// Instead: closed periods with what follows from their leaves
    #[arg(long, conflicts_with_all = ["from", "with", "timeline", "executors"])]
    periods: bool,
    /// Instead: the store with its own hashes, numbers and signed heads
    #[arg(long, conflicts_with_all = ["from", "with", "timeline", "executors", "periods"])]
    itself: bool,
    /// Record what was found, in the stream `reconciliation`
    #[arg(long)]
    record: bool,
}

#[derive(Serialize)]
struct Report {
    agrees: bool,
    from: SideRow,
    with: SideRow,
    logs: Vec<LogRow>,
    #[serde(skip_serializing_if = "Option::is_none")]
    first_difference: Option<u64>,
}

#[derive(Serialize)]
struct SideRow {
    name: String,
    leaves: u64,
    behind: u64,
    damage: Vec<DamageRow>,
    further_damage: u64,
}

#[derive(Serialize)]
struct DamageRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    reason: String,
}

#[derive(Serialize)]
struct LogRow {
    tenant: String,
    status: &'static str,
    from_size: u64,
    from_root: String,
    with_size: u64,
    with_root: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    difference: Option<DifferenceRow>,
}

#[derive(Serialize)]
struct DifferenceRow {
    #[serde(skip_serializing_if = "Option::is_none")]
    position: Option<u64>,
    index: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    with_hash: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<String>,
}

/// Compares them.
pub async fn run(ctx: &Context, args: Args) -> Result<ExitCode, CliError> {
    let one = [
        (args.executors, Comparison::Executors),
        (args.periods, Comparison::Periods),
        (args.itself, Comparison::Store),
    ];
    if let Some((_, comparison)) = one.into_iter().find(|(is_asked, _)| *is_asked) {
        return one_sided::run(ctx, comparison, args.record).await;
    }
    let default = if source::has_bus(ctx) { SourceName::Jetstream } else { SourceName::Tiles };
    let (from, with) = (args.from, args.with.unwrap_or(default));
    let both_store = from.is_store() && with.is_store();
    if from == with || both_store {
        return Err(CliError::usage("both sides are the same")
            .hint("name two of store, jetstream and tiles with `--from` and `--with`"));
    }
    for side in [from, with] {
        side.check_kind(ctx.config())?;
    }
    // The store is asked for its timeline, so it is opened first.
    let record = match from.is_store() || with.is_store() {
        true => Some(ctx.record().await?),
        false => None,
    };
    let timeline = match (&record, args.timeline) {
        (Some(record), None) => Some(record.recorder.store().timeline().await?),
        (_, named) => named,
    };
    let layout = source::layout(ctx)?;
    let sources = Sources::new(ctx.config(), layout, args.log_key.read()?, timeline);
    let a = side(&sources, from, record.as_ref()).await?;
    let b = side(&sources, with, record.as_ref()).await?;
    // The side that may lag is read first: what is appended meanwhile is no lag of the other.
    let swapped = with.is_store();
    let found = match swapped {
        false => compare(ctx, a.as_ref(), b.as_ref()).await?,
        true => compare(ctx, b.as_ref(), a.as_ref()).await?.swapped(),
    };
    let report = Report::of(&found);
    if args.record {
        one_sided::record(ctx, &report.reported()).await?;
    }
    if ctx.is_json() {
        output::json(&report)?;
    } else {
        output::print(&report.to_text())?;
    }
    Ok(if report.agrees { ExitCode::Success } else { ExitCode::Damaged })
}

async fn side(
    sources: &Sources<'_>,
    name: SourceName,
    record: Option<&OpenRecord>,
) -> Result<Box<dyn LeafSource>, CliError> {
    Ok(match (name, record) {
        (SourceName::Jetstream, _) => sources.jetstream().await?,
        (SourceName::Tiles, _) => sources.tiles().await?,
        (_, Some(record)) => sources.store(name, record.installation.audit.clone()),
        (_, None) => return Err(CliError::usage("the store was not opened")),
    })
}

async fn compare(
    ctx: &Context,
    a: &dyn LeafSource,
    b: &dyn LeafSource,
) -> Result<ReconcileReport, CliError> {
    let shown = std::io::stderr().is_terminal() && !ctx.is_quiet();
    let mut told = 0;
    let mut progress = |leaves: u64| {
        if shown && leaves >= told + 100_000 {
            told = leaves;
            eprint!("\r{leaves} leaves …");
        }
    };
    let found = reconcile(a, b, &mut progress).await;
    if told > 0 {
        eprint!("\r\u{1b}[K");
    }
    Ok(found?)
}

impl Report {
    fn of(found: &ReconcileReport) -> Self {
        Self {
            agrees: found.agrees(),
            from: SideRow::of(&found.a, found.behind(Side::A)),
            with: SideRow::of(&found.b, found.behind(Side::B)),
            logs: found.logs.iter().map(|(t, log)| LogRow::of(t.as_str(), log)).collect(),
            first_difference: found.first_difference().map(|position| position.0),
        }
    }

    /// As it is recorded.
    fn reported(&self) -> ReconciliationReported {
        let mut findings = Vec::new();
        for log in &self.logs {
            if let Some(difference) = &log.difference {
                let at = match difference.position {
                    Some(position) => format!("position {position}"),
                    None => format!("leaf {} of {}", difference.index, log.tenant),
                };
                let detail = difference.what.clone().unwrap_or_else(|| "it differs".to_string());
                findings.push(Discrepancy::new("differs", at, detail));
            }
        }
        for side in [&self.from, &self.with] {
            for damage in &side.damage {
                let at = damage.position.map(|at| format!(", position {at}")).unwrap_or_default();
                let subject = format!("{}{at}", side.name);
                findings.push(Discrepancy::new("damage", subject, &damage.reason));
            }
        }
        let further = self.from.further_damage + self.with.further_damage;
        let with = format!("{} and {}", self.from.name, self.with.name);
        let compared = self.from.leaves.min(self.with.leaves);
        ReconciliationReported::of(
            Comparison::Copy,
            Some(with),
            (self.from.leaves.max(self.with.leaves), compared),
            &findings,
            further,
        )
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        let headings = ["tenant", "", &self.from.name, "root", &self.with.name, "root"];
        let rows = self.logs.iter().map(|log| {
            vec![
                log.tenant.clone(),
                log.words(&self.from.name, &self.with.name),
                log.from_size.to_string(),
                log.from_root[..16].to_string(),
                log.with_size.to_string(),
                log.with_root[..16].to_string(),
            ]
        });
        if !self.logs.is_empty() {
            text.push_str(&output::table(&headings, rows.collect()));
        }
        for log in &self.logs {
            if let Some(difference) = &log.difference {
                text.push_str(&difference.to_text(&log.tenant, &self.from.name, &self.with.name));
            }
        }
        for side in [&self.from, &self.with] {
            text.push_str(&side.to_text());
        }
        let (from, with) = (&self.from, &self.with);
        text.push_str(&match (self.agrees, from.behind + with.behind) {
            (true, 0) => format!(
                "{GOOD}✓{RESET} {} and {} hold the same {}\n",
                from.name,
                with.name,
                output::count(from.leaves as usize, "event")
            ),
            (true, _) => {
                let (behind, other) = if from.behind > 0 { (from, with) } else { (with, from) };
                format!(
                    "{BUSY}!{RESET} {} is behind {} by {}; as far as it goes they are the same\n",
                    behind.name,
                    other.name,
                    output::count(behind.behind as usize, "event")
                )
            }
            (false, _) => match self.first_difference {
                Some(position) => format!(
                    "{BAD}✗ {} and {} differ, first at position {position}{RESET}\n\
                     see ops/runbooks/copy-diverged.md\n",
                    from.name, with.name
                ),
                None => format!(
                    "{BAD}✗ {} and {} differ{RESET}\nsee ops/runbooks/copy-diverged.md\n",
                    from.name, with.name
                ),
            },
        });
        text
    }
}

impl SideRow {
    fn of(side: &SideReport, behind: u64) -> Self {
        let row = |suspect: &dagbook_events::journal::reconcile::Suspect| DamageRow {
            position: suspect.position.map(|position| position.0),
            reason: suspect.reason.clone(),
        };
        Self {
            name: side.name.clone(),
            leaves: side.leaves,
            behind,
            damage: side.suspects.iter().map(row).collect(),
            further_damage: side.further,
        }
    }

    fn to_text(&self) -> String {
        let mut text = String::new();
        for damage in &self.damage {
            let place = damage.position.map(|p| format!(" at position {p}")).unwrap_or_default();
            let reason = output::clean(&damage.reason);
            text.push_str(&format!("{BAD}✗ {}{place}{RESET}: {reason}\n", self.name));
        }
        if self.further_damage > 0 {
            text.push_str(&format!("… and {} more on {}\n", self.further_damage, self.name));
        }
        text
    }
}

impl LogRow {
    fn of(tenant: &str, log: &LogReport) -> Self {
        let (status, difference) = match &log.agreement {
            Agreement::Equal => ("equal", None),
            Agreement::Behind { side: Side::A, .. } => ("from_behind", None),
            Agreement::Behind { side: Side::B, .. } => ("with_behind", None),
            Agreement::Differs(difference) => ("differs", Some(DifferenceRow::of(difference))),
        };
        Self {
            tenant: tenant.to_string(),
            status,
            from_size: log.a_size,
            from_root: log.a_root.to_hex(),
            with_size: log.b_size,
            with_root: log.b_root.to_hex(),
            difference,
        }
    }

    fn words(&self, from: &str, with: &str) -> String {
        let missing = self.from_size.abs_diff(self.with_size);
        match self.status {
            "from_behind" => format!("{from} is behind by {missing}"),
            "with_behind" => format!("{with} is behind by {missing}"),
            other => other.to_string(),
        }
    }
}

impl DifferenceRow {
    fn of(difference: &Difference) -> Self {
        Self {
            position: difference.position.map(|position| position.0),
            index: difference.index,
            from_hash: difference.a.map(|hash| hash.to_hex()),
            with_hash: difference.b.map(|hash| hash.to_hex()),
            what: difference.what.clone(),
        }
    }

    fn to_text(&self, tenant: &str, from: &str, with: &str) -> String {
        let place = match self.position {
            Some(position) => format!("position {position}, leaf {} of {tenant}", self.index),
            None => format!("leaf {} of {tenant}", self.index),
        };
        let what = self.what.as_deref().map(|w| format!(" ({})", output::clean(w)));
        let hash = |hash: &Option<String>| hash.clone().unwrap_or("not there".to_string());
        format!(
            "{BAD}✗ {place}{RESET}{}\n    {from:<10} {}\n    {with:<10} {}\n",
            what.unwrap_or_default(),
            hash(&self.from_hash),
            hash(&self.with_hash)
        )
    }
}
