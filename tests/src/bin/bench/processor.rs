//! Time of processors: what else a machine does is no matter of it.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// Time that this thread has had a processor.
pub fn of_thread() -> Duration {
    spent(ClockId::ThreadCPUTime)
}

/// Time that all threads of this process have had a processor.
pub fn of_process() -> Duration {
    spent(ClockId::ProcessCPUTime)
}

fn spent(clock: ClockId) -> Duration {
    let spent = clock_gettime(clock);
    Duration::new(spent.tv_sec.unsigned_abs(), u32::try_from(spent.tv_nsec).unwrap_or(0))
}

/// When something began, by both clocks.
pub struct Begun {
    time: Instant,
    processor: Duration,
}

/// How much was done in a second.
pub struct Pace {
    /// Of time.
    pub time: f64,
    /// Of processors, of this process alone.
    pub processor: f64,
}

impl Begun {
    /// Now.
    pub fn now() -> Self {
        Self { time: Instant::now(), processor: of_process() }
    }

    /// So much was done since.
    pub fn pace(&self, count: u64) -> Pace {
        let count = count as f64;
        let processor = of_process().saturating_sub(self.processor);
        Pace {
            time: count / self.time.elapsed().as_secs_f64(),
            processor: count / processor.as_secs_f64(),
        }
    }
}
