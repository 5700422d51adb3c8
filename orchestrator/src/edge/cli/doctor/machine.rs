//! What this machine gives to steps.

use dagbook_events::step::{UsageQuality, UsageSource};
use dagbook_executors::local::cgroup::Trees;

use super::Check;
use crate::app::programs;
use crate::config::DataDir;

/// Shells that steps may name, and whether one must be there.
const SHELLS: [(&str, bool); 3] = [("sh", true), ("bash", false), ("python3", false)];

pub(super) fn checks(_data: &DataDir) -> Vec<Check> {
    vec![control_groups(), shells(), slots()]
}

fn control_groups() -> Check {
    let trees = Trees::detect();
    let (source, quality) = trees.provenance();
    let kind = match source {
        UsageSource::Cgroup2 => "cgroup v2",
        UsageSource::Hybrid => "cgroup v2 for time, v1 for memory",
        UsageSource::Cgroup1 => "cgroup v1",
        _ => "none",
    };
    let figures = match quality {
        UsageQuality::Exact => "figures are exact",
        UsageQuality::Sampled => "figures are sampled",
        UsageQuality::Estimated => "figures are estimates",
    };
    let detail = format!("{kind}; {figures}");
    match trees.notes().as_slice() {
        [] => Check::ok("control groups", detail),
        notes => Check::warning("control groups", detail).hint(notes.join("; ")),
    }
}

fn shells() -> Check {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let (found, missing): (Vec<_>, Vec<_>) =
        SHELLS.into_iter().partition(|(name, _)| programs::is_there(name, &path));
    let names = |shells: &[(&str, bool)]| shells.iter().map(|s| s.0).collect::<Vec<_>>().join(", ");
    if missing.iter().any(|(_, needed)| *needed) {
        return Check::broken("shells", "`sh` is not on the PATH: no script can run");
    }
    match missing.is_empty() {
        true => Check::ok("shells", names(&found)),
        false => Check::warning("shells", names(&found))
            .hint(format!("not here: {}; steps that name them will fail", names(&missing))),
    }
}

fn slots() -> Check {
    let slots = crate::wiring::default_slots();
    Check::ok("slots", format!("{slots} attempts at one time unless configured otherwise"))
}
