//! The time and the chance of this machine, and ids made of both.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use uuid::Uuid;

use crate::ids::EventId;
use crate::ports::{Clock, Rng};
use crate::time::Timestamp;

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Timestamp(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
    }
}

/// The machine's random numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRng;

impl Rng for SystemRng {
    /// # Panics
    /// When the system has no random numbers: no id made then could be trusted.
    fn bytes(&self) -> [u8; 16] {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).expect("the system provides random numbers");
        bytes
    }
}

/// Mints UUIDv7s that ascend within this process, even when the clock stands or steps back.
pub struct IdMint {
    clock: Arc<dyn Clock>,
    rng: Arc<dyn Rng>,
    last: Mutex<(u64, u128)>,
}

/// Bits behind the milliseconds: 12 before the variant, 62 behind it.
const TAIL_BITS: u32 = 74;

impl IdMint {
    /// A mint over a clock and a source of chance.
    pub fn new(clock: Arc<dyn Clock>, rng: Arc<dyn Rng>) -> Self {
        Self { clock, rng, last: Mutex::new((0, 0)) }
    }

    /// The next id, larger than all before.
    pub fn uuid(&self) -> Uuid {
        let now = u64::try_from(self.clock.now().0).unwrap_or(0);
        let chance = u128::from_be_bytes(self.rng.bytes());
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        *last = if now > last.0 {
            (now, chance >> (128 - TAIL_BITS))
        } else {
            // A step of chance keeps ids hard to guess and leaves room for 2^40 of them.
            let tail = last.1 + 1 + (chance & 0xffff_ffff);
            (last.0 + u64::from(tail >> TAIL_BITS != 0), tail & ((1 << TAIL_BITS) - 1))
        };
        compose(last.0, last.1)
    }

    /// The next id of an event.
    pub fn event_id(&self) -> EventId {
        EventId(self.uuid())
    }
}

fn compose(millis: u64, tail: u128) -> Uuid {
    let high = tail >> 62;
    let low = tail & ((1 << 62) - 1);
    let value = (u128::from(millis) & ((1 << 48) - 1)) << 80 | 7 << 76 | high << 64 | 2 << 62 | low;
    Uuid::from_u128(value)
}
