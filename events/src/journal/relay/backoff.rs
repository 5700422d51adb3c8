//! Pauses between attempts: longer each time, and never the same for two who failed together.

use std::time::Duration;

use crate::journal::clock::SystemRng;
use crate::ports::Rng as _;

/// The pause after the first failure, before chance.
const FIRST: Duration = Duration::from_millis(50);

/// The pause before the attempt after `failures` failures, between half of and the whole of
/// 50 ms, 100 ms, 200 ms … up to `longest`.
pub(in crate::journal) fn jittered(failures: u32, longest: Duration) -> Duration {
    let doublings = failures.saturating_sub(1).min(20);
    let whole = FIRST.saturating_mul(1 << doublings).min(longest);
    let chance = u32::from(SystemRng.bytes()[0]);
    whole / 2 + whole * chance / 510
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_stay_above_half() {
        let longest = Duration::from_secs(2);
        for (failures, whole) in [(1, 50), (2, 100), (3, 200), (7, 2_000), (u32::MAX, 2_000)] {
            let whole = Duration::from_millis(whole);
            let pause = jittered(failures, longest);
            assert!(pause >= whole / 2 && pause <= whole, "{failures}: {pause:?}");
        }
    }
}
