//! A warning that comes a thousand times a second says no more than one that comes ten times a
//! minute: the rest is withheld, and the next line that is written says how many there were.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tracing::{Event, Level, Subscriber, callsite};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

use crate::telemetry::Metrics;

/// So many lines from one place in the program…
const MOST: u32 = 10;
/// …within this time.
const WINDOW: Duration = Duration::from_secs(60);

/// How often each place in the program was heard lately.
#[derive(Debug)]
pub(super) struct Repeats {
    heard: Mutex<HashMap<callsite::Identifier, Heard>>,
    metrics: Metrics,
}

#[derive(Debug)]
struct Heard {
    since: Instant,
    lines: u32,
    withheld: u64,
}

impl Repeats {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { heard: Mutex::default(), metrics }
    }

    /// Whether one more line of the place is written.
    fn lets_through(&self, place: callsite::Identifier, now: Instant) -> bool {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = heard.entry(place).or_insert(Heard { since: now, lines: 0, withheld: 0 });
        if now.saturating_duration_since(heard.since) >= WINDOW {
            (heard.since, heard.lines) = (now, 0);
        }
        heard.lines += 1;
        if heard.lines > MOST {
            heard.withheld += 1;
            self.metrics.log_lines_withheld.inc();
            return false;
        }
        true
    }

    /// How many lines of the place were withheld since the last one that was written.
    pub(super) fn take_withheld(&self, place: &callsite::Identifier) -> u64 {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        heard.get_mut(place).map_or(0, |heard| std::mem::take(&mut heard.withheld))
    }
}

/// Stands before the lines. Only warnings and errors are counted: what is less is asked for.
pub(super) struct Gate(pub(super) std::sync::Arc<Repeats>);

impl<S: Subscriber> Layer<S> for Gate {
    fn event_enabled(&self, event: &Event<'_>, _ctx: Context<'_, S>) -> bool {
        let metadata = event.metadata();
        *metadata.level() > Level::WARN || self.0.lets_through(metadata.callsite(), Instant::now())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_heard_again_after_a_while_and_says_how_often_it_was_not() {
        let metrics = Metrics::new();
        let repeats = Repeats::new(metrics.clone());
        let place =
            || tracing::callsite!(name: "here", kind: tracing::metadata::Kind::EVENT, fields: a);
        let place = tracing::callsite::Callsite::metadata(place()).callsite();
        let began = Instant::now();
        let through = (0..25).filter(|_| repeats.lets_through(place.clone(), began)).count();
        assert_eq!(through, 10);
        assert_eq!(metrics.log_lines_withheld.get(), 15);
        assert!(repeats.lets_through(place.clone(), began + WINDOW));
        assert_eq!(repeats.take_withheld(&place), 15);
        assert_eq!(repeats.take_withheld(&place), 0);
    }
}
