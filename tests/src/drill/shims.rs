//! The record against what the shims kept: each attempt has a log and an index of it that only its
//! shim writes, and that stay when all else of the attempt is let go.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use dagbook::runtime::record::Recorder;
use dagbook_events::ids::{RunId, TenantId};
use dagbook_events::run::RunEvent;
use dagbook_events::step::{AttemptExit, Outcome};
use serde_json::Value;

/// What does not agree, attempt by attempt; nothing is left out in either direction. Counts the
/// attempts whose ends agree to the byte.
///
/// # Panics
/// Where the record cannot be read.
pub async fn reconcile_with_shims(
    recorder: &Recorder,
    accepted: &BTreeMap<RunId, TenantId>,
    logs: &Path,
) -> (usize, Vec<String>) {
    let (mut agreed, mut findings) = (0, Vec::new());
    for run in names(logs) {
        if !accepted.keys().any(|known| known.to_string() == run) {
            findings.push(format!("shims worked for run {run}, which nobody submitted"));
        }
    }
    for (run, tenant) in accepted {
        let facts = recorder.facts(tenant, *run).await.expect("a run that was accepted is there");
        let folder = logs.join(run.to_string());
        let kept: BTreeSet<String> = names(&folder)
            .into_iter()
            .filter_map(|name| name.strip_suffix(".log").map(str::to_string))
            .collect();
        let (mut planned, mut started) = (BTreeSet::new(), BTreeSet::new());
        for fact in &facts {
            match &fact.event {
                RunEvent::AttemptPlanned(it) => drop(planned.insert(it.attempt.to_string())),
                RunEvent::AttemptStarted(it) => drop(started.insert(it.attempt.to_string())),
                RunEvent::AttemptExited(it) if it.exit.outcome == Outcome::Succeeded => {
                    match agrees(&folder, &it.attempt.to_string(), &it.exit) {
                        Ok(()) => agreed += 1,
                        Err(why) => findings.push(format!("run {run}: {why}")),
                    }
                }
                _ => {}
            }
        }
        for attempt in kept.difference(&planned) {
            findings.push(format!("run {run}: a shim ran {attempt}, which is not on the record"));
        }
        for attempt in started.difference(&kept) {
            findings.push(format!("run {run}: {attempt} began on the record and at no shim"));
        }
    }
    (agreed, findings)
}

/// Whether the shim's log and index say of an attempt what the record says.
fn agrees(folder: &Path, attempt: &str, exit: &AttemptExit) -> Result<(), String> {
    let read = |ending: &str| {
        let path = folder.join(format!("{attempt}.{ending}"));
        std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))
    };
    let text = read("log")?;
    if text != format!("{attempt}\n") {
        return Err(format!("{attempt} did not write its one line: {text:?}"));
    }
    let index: Value = serde_json::from_str(&read("json")?).map_err(|error| error.to_string())?;
    let mut expected = serde_json::to_value(&exit.log).map_err(|error| error.to_string())?;
    expected["closed"] = Value::Bool(true);
    match index == expected {
        true => Ok(()),
        false => Err(format!("{attempt}: the shim says {index}, the record {expected}")),
    }
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten();
    entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect()
}
