//! A clock that can be set, as an administrator or a bad time server does.

use std::sync::atomic::{AtomicI64, Ordering};

use dagbook_events::ports::Clock;
use dagbook_events::time::Timestamp;

use crate::clock::SystemClock;

/// The machine's clock with an offset.
#[derive(Debug, Default)]
pub struct TestClock(AtomicI64);

impl TestClock {
    /// Steps by so many milliseconds.
    pub fn jump(&self, ms: i64) {
        self.0.fetch_add(ms, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        Timestamp(SystemClock.now().0 + self.0.load(Ordering::SeqCst))
    }
}
