//! What an attempt used so far, put down while it runs and told at its end.

use std::time::{Duration, Instant};

use dagbook_events::step::{UsageQuality, UsageSource};

use super::super::proc;
use super::Supervisor;
use crate::local::records::{Figures, Measured};

impl Supervisor {
    /// Puts down what was used so far, for whoever looks, now or after a restart.
    pub(super) fn measure(&mut self, now: Instant) {
        self.next_measure = now + Duration::from_millis(self.launch.measure_ms.max(1));
        let figures = self.figures();
        let measured = Measured { at: super::now(&self.launch), started: self.started, figures };
        if let Err(error) = self.control.measured(&measured) {
            eprintln!("shim: `usage` cannot be written: {error}");
        }
    }

    /// What was used so far. Without a control group the kernel tells what ended processes used;
    /// of those that run, the main one is asked.
    pub(super) fn figures(&mut self) -> Figures {
        let counters = self.launch.cgroup.counters();
        let exact = counters.cpu_us.is_some();
        let memory = counters.memory_peak_bytes;
        let source = match (exact, memory.is_some(), counters.memory_v2) {
            (false, ..) => UsageSource::Rusage,
            (true, true, false) => UsageSource::Hybrid,
            (true, ..) => UsageSource::Cgroup2,
        };
        let both = exact && memory.is_some();
        let rough = || {
            let runs = self.reaped.main.is_none();
            let main = if runs { proc::of(self.main_pid) } else { Default::default() };
            (self.reaped.cpu_us + main.cpu_us, self.reaped.peak_bytes.max(main.peak_bytes))
        };
        let (cpu_us, peak) = match (counters.cpu_us, memory) {
            (Some(cpu_us), Some(peak)) => (cpu_us, peak),
            (cpu_us, peak) => {
                let (rough_cpu, rough_peak) = rough();
                (cpu_us.unwrap_or(rough_cpu), peak.unwrap_or(rough_peak))
            }
        };
        self.cpu_us = self.cpu_us.max(cpu_us);
        Figures {
            cpu_us: self.cpu_us,
            memory_peak_bytes: peak,
            memory_mib_ms: self.memory_mib_ms,
            source,
            quality: if both { UsageQuality::Exact } else { UsageQuality::Estimated },
        }
    }
}
