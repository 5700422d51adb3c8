//! How long to wait before the next try: longer each time, and never as long as others do, so
//! that a server that comes back is not met by all at once.

use std::time::Duration;

/// Waits between tries.
#[derive(Debug)]
pub(super) struct Backoff {
    next: Duration,
    longest: Duration,
}

impl Backoff {
    pub(super) fn new(longest: Duration) -> Self {
        Self { next: Duration::from_millis(20), longest }
    }

    /// Half of the step at least, all of it at most.
    pub(super) fn next(&mut self) -> Duration {
        let step = self.next;
        self.next = (step * 2).min(self.longest);
        let mut chance = [0];
        // Without chance all wait alike, which is only less good.
        let _ = getrandom::fill(&mut chance);
        step / 2 + (step / 2).mul_f64(f64::from(chance[0]) / 255.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_longest_and_differ() {
        let longest = Duration::from_millis(640);
        let mut backoff = Backoff::new(longest);
        let waits: Vec<Duration> = (0..40).map(|_| backoff.next()).collect();
        assert!(waits[0] >= Duration::from_millis(10) && waits[0] <= Duration::from_millis(20));
        assert!(waits[6..].iter().all(|wait| *wait >= longest / 2 && *wait <= longest));
        assert!(waits[6..].iter().any(|wait| *wait != waits[6]), "they are not all alike");
    }
}
