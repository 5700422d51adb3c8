//! What an attempt was given and what it used: `d.usage` of the record, names fixed.

use serde::{Deserialize, Serialize};

use super::Resources;
use super::outcome::Fault;
use crate::time::Timestamp;

/// The usage of one attempt. All numbers are integers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// The executor's name.
    pub executor: String,
    /// Price class.
    pub class: String,
    /// The machine.
    pub node: String,
    /// When its resources became unavailable to others (executor's clock).
    pub allocated_ms: Timestamp,
    /// When they became free again, confirmed; while it runs, when this was measured.
    pub released_ms: Timestamp,
    /// When it began to run, where that is known (executor's clock).
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub started_ms: Option<Timestamp>,
    /// What was asked for.
    pub requested: Requested,
    /// What was measured.
    pub used: Used,
    /// What measured it.
    pub source: UsageSource,
    /// How good the figures are.
    pub quality: UsageQuality,
    /// The outcome's word; `running` where it was measured before the end.
    pub outcome: String,
    /// Whose fault.
    pub fault: Fault,
}

/// What was asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Requested {
    /// Thousandths of a core.
    pub cpu_milli: u64,
    /// Mebibytes.
    pub mem_mib: u64,
    /// Mebibytes.
    pub disk_mib: u64,
    /// Devices.
    pub gpu: Vec<GpuUsage>,
}

impl Requested {
    /// What a request asks for: sizes rounded up to MiB. A device of no model is `any`.
    pub fn of(resources: &Resources) -> Self {
        let gpu = resources.gpu.iter().filter(|gpu| gpu.count > 0).map(|gpu| GpuUsage {
            model: gpu.model.clone().unwrap_or_else(|| "any".to_string()),
            mode: gpu.mode.clone().unwrap_or_else(|| "exclusive".to_string()),
            count: gpu.count,
        });
        Self {
            cpu_milli: resources.cpu_milli,
            mem_mib: resources.memory_bytes.div_ceil(1 << 20),
            disk_mib: resources.disk_bytes.div_ceil(1 << 20),
            gpu: gpu.collect(),
        }
    }
}

/// Devices of one kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GpuUsage {
    /// Model.
    pub model: String,
    /// `exclusive`, `mig:<profile>` or `shared:<n>`.
    pub mode: String,
    /// How many.
    pub count: u32,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Used {
    /// CPU time of every process of the attempt, ms.
    pub cpu_ms: u64,
    /// Highest memory, MiB, rounded up.
    pub mem_peak_mib: u64,
    /// Memory over time, MiB × ms (sampled); 0 where nothing samples it.
    pub mem_mib_ms: u64,
    /// Bytes that left, where the executor counts them.
    #[serde(skip_serializing_if = "is_zero", default)]
    pub egress_bytes: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// What measured the figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageSource {
    /// cgroup v2.
    Cgroup2,
    /// cgroup v2 for time, v1 for memory.
    Hybrid,
    /// cgroup v1.
    Cgroup1,
    /// `wait4`.
    Rusage,
    /// The Kubernetes API.
    Kube,
    /// The driver's library.
    Nvml,
    /// A line at the end of a job's log.
    Trailer,
    /// Nothing: only the clock.
    None,
}

/// How good the figures are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UsageQuality {
    /// Counted by the kernel for all processes.
    Exact,
    /// Read now and then.
    Sampled,
    /// Something may be missing.
    Estimated,
}
