//! What the kernel says of this process, read when somebody asks.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::family;

/// Reads `/proc/self`.
#[derive(Debug)]
pub(super) struct Process;

/// What is read.
#[derive(Debug, Default)]
struct Seen {
    cpu_seconds: f64,
    resident_bytes: u64,
    open_fds: u64,
    max_fds: u64,
    threads: u64,
    start_seconds: f64,
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        let Some(seen) = look() else { return Ok(()) };
        let mut put = |name: &'static str, metric: &dyn Encoded| {
            let help = format!("{}.", family(name).map_or("", |family| family.help));
            metric.put(&mut encoder, name, &help)
        };
        put("process_cpu_seconds", &ConstCounter::new(seen.cpu_seconds))?;
        put("process_resident_memory_bytes", &gauge(seen.resident_bytes))?;
        put("process_open_fds", &gauge(seen.open_fds))?;
        put("process_max_fds", &gauge(seen.max_fds))?;
        put("process_threads", &gauge(seen.threads))?;
        put("process_start_time_seconds", &ConstGauge::new(seen.start_seconds))
    }
}

trait Encoded {
    fn put(
        &self,
        to: &mut DescriptorEncoder,
        name: &str,
        help: &str,
    ) -> Result<(), std::fmt::Error>;
}

impl<M: EncodeMetric> Encoded for M {
    fn put(
        &self,
        to: &mut DescriptorEncoder,
        name: &str,
        help: &str,
    ) -> Result<(), std::fmt::Error> {
        self.encode(to.encode_descriptor(name, help, None, self.metric_type())?)
    }
}

fn gauge(n: u64) -> ConstGauge<i64> {
    ConstGauge::new(i64::try_from(n).unwrap_or(i64::MAX))
}

#[allow(clippy::cast_precision_loss, reason = "counts of ticks are far below what is exact")]
fn look() -> Option<Seen> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name in brackets may hold anything, so the fields are those behind it.
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let number = |at: usize| fields.get(at)?.parse::<u64>().ok();
    let ticks = rustix::param::clock_ticks_per_second().max(1) as f64;
    let statm = fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let max_fds = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"))
        .and_then(|rest| rest.split_whitespace().next()?.parse().ok());
    let booted = fs::read_to_string("/proc/stat").unwrap_or_default();
    let booted: f64 = booted
        .lines()
        .find_map(|line| line.strip_prefix("btime "))
        .and_then(|text| text.trim().parse().ok())
        .unwrap_or(0.0);
    Some(Seen {
        cpu_seconds: (number(11)? + number(12)?) as f64 / ticks,
        resident_bytes: pages * rustix::param::page_size() as u64,
        open_fds: fs::read_dir("/proc/self/fd").map_or(0, |entries| entries.count() as u64),
        max_fds: max_fds.unwrap_or(0),
        threads: number(17)?,
        start_seconds: booted + number(19)? as f64 / ticks,
    })
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_kernel_knows_this_process() {
        let seen = super::look().expect("there is /proc");
        assert!(seen.resident_bytes > 100_000, "{seen:?}");
        assert!(seen.open_fds > 2 && seen.max_fds >= seen.open_fds, "{seen:?}");
        assert!(seen.threads >= 1, "{seen:?}");
        assert!(seen.start_seconds > 1.6e9, "{seen:?}");
    }
}
