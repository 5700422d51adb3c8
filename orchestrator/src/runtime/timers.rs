//! Timers, earliest first. They are hints: each is judged again when it comes.

use std::collections::{BTreeMap, BTreeSet};

use dagbook_events::effect::Timer;
use dagbook_events::ids::RunId;
use dagbook_events::time::Timestamp;

#[derive(Debug, Default)]
pub(super) struct Timers {
    queue: BTreeSet<(Timestamp, Timer)>,
    set: BTreeMap<Timer, Timestamp>,
}

impl Timers {
    pub(super) fn set(&mut self, timer: Timer, at: Timestamp) {
        self.clear(&timer);
        self.set.insert(timer.clone(), at);
        self.queue.insert((at, timer));
    }

    pub(super) fn clear(&mut self, timer: &Timer) {
        if let Some(at) = self.set.remove(timer) {
            self.queue.remove(&(at, timer.clone()));
        }
    }

    /// Forgets all timers of a run.
    pub(super) fn clear_run(&mut self, run: RunId) {
        let of_run: Vec<Timer> = self.set.keys().filter(|t| t.run == run).cloned().collect();
        for timer in of_run {
            self.clear(&timer);
        }
    }

    pub(super) fn next(&self) -> Option<Timestamp> {
        self.queue.first().map(|(at, _)| *at)
    }

    /// Takes one that is due.
    pub(super) fn due(&mut self, now: Timestamp) -> Option<Timer> {
        let (at, _) = self.queue.first()?;
        if *at > now {
            return None;
        }
        let (_, timer) = self.queue.pop_first()?;
        self.set.remove(&timer);
        Some(timer)
    }
}
