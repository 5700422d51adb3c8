//! Executors: they keep what they were asked to start, and are as unreliable as real ones.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::digest::Sha256Digest;
use dagbook_events::ids::AttemptId;
use dagbook_events::step::{
    AttemptExit, AttemptReport, AttemptSpec, Fault, LogSummary, Outcome, PendingReason, ReportBody,
    Requested, StartErrorKind, StopCause, TimeoutKind, Usage, UsageQuality, UsageSource, Used,
};
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;

use super::rng::Rng;

/// What the executors hold, and what they know for ever.
#[derive(Default)]
pub struct Fleet {
    /// Attempts that were started (or cancelled before that) and not released.
    pub held: BTreeMap<AttemptId, Execution>,
    /// Attempts that were asked to stop before they were asked to start.
    pub stopped_early: BTreeMap<AttemptId, StopCause>,
    /// Every attempt that was ever executed.
    pub executed: BTreeSet<AttemptId>,
    /// How each ended in truth.
    pub truth: BTreeMap<AttemptId, Outcome>,
}

/// One execution.
pub struct Execution {
    /// What was asked.
    pub spec: AttemptSpec,
    /// Its hash, which tells a repetition from another request.
    pub hash: Sha256Digest,
    /// Whether its program runs.
    pub running: bool,
    /// It forgets requests to stop that are not by force.
    pub deaf: bool,
    /// Its executor cannot be reached: nothing comes back until its end, if ever.
    pub vanished: bool,
    /// How it ends by itself.
    pub outcome: Outcome,
    /// Its end.
    pub exit: Option<AttemptExit>,
    /// When its place was taken, by a clock that nobody sets.
    pub allocated: Timestamp,
    /// When its program began to run.
    pub started: Option<Timestamp>,
}

/// What happens to an execution.
#[derive(Debug, Clone)]
pub enum Progress {
    /// It waits.
    Pending,
    /// It runs.
    Started,
    /// Contact is lost.
    Suspect,
    /// Contact is back.
    Recovered,
    /// What it used so far is measured.
    Measured,
    /// It ends by itself.
    Finish,
    /// It ends because it was asked to.
    Stopped(StopCause, bool),
}

impl Execution {
    /// A report about it.
    pub fn report(&self, body: ReportBody, at: Timestamp) -> AttemptReport {
        AttemptReport {
            run: self.spec.run,
            step: self.spec.step.clone(),
            attempt: self.spec.attempt,
            epoch: self.spec.epoch,
            at,
            body,
        }
    }

    /// What it used up to an instant: all of one core while it runs.
    pub fn usage(&self, at: Timestamp) -> Usage {
        let cpu_ms = self.started.map_or(0, |started| at.since(started).0);
        Usage {
            executor: self.spec.executor.clone(),
            class: "standard".to_string(),
            node: "node".to_string(),
            allocated_ms: self.allocated,
            released_ms: at,
            started_ms: self.started,
            requested: Requested::of(&self.spec.resources),
            used: Used { cpu_ms, mem_peak_mib: 1, mem_mib_ms: cpu_ms, egress_bytes: 0 },
            source: UsageSource::None,
            quality: UsageQuality::Estimated,
            outcome: "running".to_string(),
            fault: Fault::None,
        }
    }

    /// It ended.
    pub fn end(&mut self, outcome: Outcome, at: Timestamp, rng: &mut Rng) {
        let usage =
            Usage { outcome: outcome.name().to_string(), fault: outcome.fault(), ..self.usage(at) };
        self.running = false;
        self.exit = Some(AttemptExit {
            outputs: outputs(&self.spec, &outcome, rng),
            output_error: None,
            outcome,
            usage,
            artifacts: BTreeMap::new(),
            log: LogSummary::default(),
            leftover_processes: 0,
        });
    }
}

fn outputs(spec: &AttemptSpec, outcome: &Outcome, rng: &mut Rng) -> BTreeMap<String, Value> {
    let mut outputs = BTreeMap::new();
    if *outcome != Outcome::Succeeded {
        return outputs;
    }
    for name in &spec.outputs {
        let value = match (name.as_str(), rng.below(40)) {
            (_, 0) => continue,
            (_, 1) => "no such thing".to_string(),
            ("flag", chance) => (chance % 4 != 0).to_string(),
            ("list", chance) => format!("{:?}", (0..chance % 4).collect::<Vec<_>>()),
            (_, chance) => chance.to_string(),
        };
        outputs.insert(name.clone(), Value::str(value));
    }
    if rng.percent(1) {
        outputs.insert("huge".to_string(), Value::str("more than a leaf can hold"));
    }
    outputs
}

/// Why an attempt waits.
pub fn pending() -> ReportBody {
    let (code, message) = ("image_pull".to_string(), "the image is being fetched".to_string());
    ReportBody::Pending { reason: PendingReason { code, message } }
}

/// It runs.
pub fn started() -> ReportBody {
    ReportBody::Started { node: "node".to_string(), pid: Some(7), handle: None }
}

/// How an execution ends by itself.
pub fn outcome(rng: &mut Rng) -> Outcome {
    let text = || "as the dice fell".to_string();
    match rng.below(100) {
        0..62 => Outcome::Succeeded,
        62..78 => Outcome::Failed { exit_code: i32::try_from(rng.between(1, 3)).expect("small") },
        78..81 => Outcome::Signaled { signal: 11 },
        81..84 => Outcome::OomKilled,
        84..87 => Outcome::TimedOut { kind: TimeoutKind::Run },
        87 => Outcome::TimedOut { kind: TimeoutKind::Start },
        88 => Outcome::Preempted,
        89 => Outcome::Evicted { reason: text() },
        90 => Outcome::StartError { kind: StartErrorKind::Io, message: text() },
        91 => Outcome::StartError { kind: StartErrorKind::Config, message: text() },
        92 => Outcome::Unschedulable { reason: text() },
        93 => Outcome::Lost { detail: text() },
        94 => Outcome::Rejected { reason: text() },
        95 => Outcome::Canceled { by: StopCause::Shutdown, forced: false },
        96 => Outcome::Canceled { by: StopCause::User, forced: false },
        _ => Outcome::Infra { detail: text() },
    }
}
