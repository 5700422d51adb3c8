//! From the shim's record of the end to the report of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::time::{Duration, Instant};

use dagbook_events::step::{
    ArtifactRef, AttemptExit, Fault, LogSummary, Outcome, Usage, UsageQuality, UsageSource, Used,
};
use dagbook_events::time::Timestamp;
use dagbook_events::value::Value;
use rustix::process::Signal;

use super::config::LocalConfig;
use super::paths::AttemptDir;
use super::records::{self, Figures, Measured, Record, ShimExit, Started};
use super::{artifacts, environment, logs, outputs, process};
use crate::request::requested;

/// Builds the report: parses outputs and keeps artifacts of a success.
pub(crate) async fn report(
    config: &LocalConfig,
    dir: &AttemptDir,
    record: &Record,
    exit: &ShimExit,
) -> AttemptExit {
    if let Ok(Some(known)) = records::read::<AttemptExit>(&dir.report()) {
        return known;
    }
    let outcome = exit.outcome();
    let succeeded = outcome == Outcome::Succeeded;
    let (outputs, output_error) =
        if succeeded { read_outputs(dir, record, exit) } else { Default::default() };
    let mut exit = AttemptExit {
        usage: usage(config, record, exit, &outcome),
        outcome,
        outputs,
        output_error,
        artifacts: BTreeMap::new(),
        log: exit.log.clone(),
        leftover_processes: exit.leftovers,
    };
    if succeeded && !record.spec.artifacts.is_empty() {
        match keep_artifacts(config, dir, record).await {
            Ok(kept) => exit.artifacts = kept,
            Err(error) => exit.output_error = exit.output_error.or(Some(error)),
        }
        // The files may change once the step is done, so this cannot be found out again.
        if let Err(error) = records::write(&dir.report(), &exit) {
            tracing::warn!(attempt = %record.spec.attempt, %error, "the report cannot be kept");
        }
    }
    exit
}

async fn keep_artifacts(
    config: &LocalConfig,
    dir: &AttemptDir,
    record: &Record,
) -> Result<BTreeMap<String, ArtifactRef>, String> {
    let mut kept = BTreeMap::new();
    for request in &record.spec.artifacts {
        let places = [dir.artifacts(), record.work.clone()];
        let artifact = artifacts::keep(&config.blobs, request, places).await?;
        kept.insert(request.name.clone(), artifact);
    }
    Ok(kept)
}

fn read_outputs(
    dir: &AttemptDir,
    record: &Record,
    exit: &ShimExit,
) -> (BTreeMap<String, Value>, Option<String>) {
    if exit.secret_in_outputs {
        let error = "the outputs contain the value of a secret; outputs are recorded for ever, \
                     so hand secrets on by name";
        return (BTreeMap::new(), Some(error.to_string()));
    }
    let cap = record.spec.limits.output_bytes;
    let mut bytes = Vec::new();
    let read = File::open(dir.output()).and_then(|f| f.take(cap + 1).read_to_end(&mut bytes));
    let parsed = match read {
        Ok(_) => outputs::parse(&bytes, cap),
        Err(error) => Err(format!("the outputs cannot be read: {error}")),
    };
    match parsed {
        Ok(outputs) => (outputs, None),
        Err(error) => (BTreeMap::new(), Some(error)),
    }
}

fn usage(config: &LocalConfig, record: &Record, exit: &ShimExit, outcome: &Outcome) -> Usage {
    let figures = &exit.figures;
    Usage {
        executor: config.name.clone(),
        class: config.class.clone(),
        node: config.node.clone(),
        allocated_ms: exit.allocated,
        released_ms: exit.released.max(exit.allocated),
        started_ms: exit.started,
        requested: requested(&record.spec.resources),
        used: used(figures),
        source: figures.source,
        quality: figures.quality,
        outcome: outcome.name().to_string(),
        fault: outcome.fault(),
    }
}

fn used(figures: &Figures) -> Used {
    Used {
        cpu_ms: figures.cpu_us.div_ceil(1_000),
        mem_peak_mib: figures.memory_peak_bytes.div_ceil(1 << 20),
        mem_mib_ms: figures.memory_mib_ms,
        egress_bytes: 0,
    }
}

/// What was used so far, as the shim put it down.
pub(crate) fn so_far(config: &LocalConfig, record: &Record, measured: &Measured) -> Usage {
    Usage {
        executor: config.name.clone(),
        class: config.class.clone(),
        node: config.node.clone(),
        allocated_ms: record.allocated,
        released_ms: measured.at.max(record.allocated),
        started_ms: Some(measured.started),
        requested: requested(&record.spec.resources),
        used: used(&measured.figures),
        source: measured.figures.source,
        quality: measured.figures.quality,
        outcome: "running".to_string(),
        fault: Fault::None,
    }
}

/// The end of an attempt whose shim died: kills what is left, reads what was counted, and
/// writes the record in the shim's place. Blocks, for at most a few seconds.
pub(crate) fn bury(dir: &AttemptDir, record: &Record, now: Timestamp) -> ShimExit {
    let killed = kill_remains(record);
    let leaf = &record.cgroup;
    let counters = leaf.counters();
    if let Err(error) = leaf.remove() {
        tracing::warn!(attempt = %record.spec.attempt, %error, "a control group is left");
    }
    let seen = records::read::<Measured>(&dir.measured()).ok().flatten();
    let started = records::read::<Started>(&dir.started()).ok().flatten();
    let before = seen.as_ref().map(|seen| &seen.figures);
    let mut detail = "its supervisor died".to_string();
    let mut said = String::new();
    if File::open(dir.shim_errors()).is_ok_and(|f| f.take(400).read_to_string(&mut said).is_ok())
        && !said.trim().is_empty()
    {
        detail = format!("{detail}: {}", said.trim());
    }
    if killed > 0 {
        detail = format!("{detail}; {killed} processes of the step were killed");
    }
    let _ = std::fs::remove_dir_all(dir.secrets());
    let exit = ShimExit {
        lost: Some(detail),
        leftovers: killed,
        started: started.map(|started| started.at),
        figures: Figures {
            cpu_us: counters.cpu_us.or(before.map(|it| it.cpu_us)).unwrap_or(0),
            memory_peak_bytes: counters
                .memory_peak_bytes
                .or(before.map(|it| it.memory_peak_bytes))
                .unwrap_or(0),
            memory_mib_ms: before.map_or(0, |it| it.memory_mib_ms),
            source: match (counters.cpu_us, counters.memory_v2) {
                (None, _) => UsageSource::None,
                (Some(_), true) => UsageSource::Cgroup2,
                (Some(_), false) => UsageSource::Hybrid,
            },
            // Whatever it did between the shim's death and now is in it, and no more.
            quality: UsageQuality::Estimated,
        },
        log: close_log(record),
        ..ShimExit::unseen(record.allocated, now)
    };
    if let Err(error) = records::write(&dir.exit(), &exit) {
        tracing::error!(attempt = %record.spec.attempt, %error, "a loss cannot be recorded");
    }
    exit
}

fn close_log(record: &Record) -> LogSummary {
    logs::close(&record.log, &record.log_index)
}

/// Kills the processes of an attempt without a shim, and counts them.
fn kill_remains(record: &Record) -> u32 {
    let leaf = &record.cgroup;
    let marker = environment::marker(record.spec.attempt);
    let find = || {
        let mut pids = leaf.pids();
        if !leaf.is_exact() {
            pids.extend(process::marked(&marker));
        }
        pids.retain(|pid| process::is_alive(*pid));
        pids
    };
    let remains = find();
    let deadline = Instant::now() + Duration::from_secs(5);
    let mut left = remains.clone();
    while !left.is_empty() && Instant::now() < deadline {
        leaf.kill();
        for pid in &left {
            process::kill(*pid, Signal::KILL);
        }
        // The kernel takes them away in its own time; there is nothing to wait on here.
        std::thread::sleep(Duration::from_millis(2));
        left = find();
    }
    u32::try_from(remains.len()).unwrap_or(u32::MAX)
}
