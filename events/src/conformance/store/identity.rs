//! Two stores that are given the same hold the same bytes.

use std::sync::Arc;

use super::subject::{
    EPOCH, ManualClock, StoreFactory, event_with_id, read_all, request, stream, tenant,
};
use crate::ports::{
    AppendError, AppendRequest, Clock, EventStore, Expected, LogHead, Recorded, StreamAppend,
};
use crate::time::Timestamp;

/// Drives two kinds of store with the same random commands, clock and ids, and compares every
/// answer, every leaf byte and every root.
///
/// # Panics
/// When anything differs; the message names the seed.
pub async fn identical_bytes(one: &dyn StoreFactory, other: &dyn StoreFactory, seed: u64) {
    let (left, right) = (drive(one, seed).await, drive(other, seed).await);
    assert_eq!(left.answers, right.answers, "answers differ under seed {seed}");
    assert_eq!(left.events, right.events, "leaves differ under seed {seed}");
    assert_eq!(left.logs, right.logs, "roots differ under seed {seed}");
    assert!(left.events.len() > 100, "the commands of seed {seed} are not all refused");
}

struct Drive {
    /// First and last position, and whether it was a duplicate; or what was wrong.
    answers: Vec<Result<(u64, u64, bool), AppendError>>,
    events: Vec<Recorded>,
    logs: Vec<LogHead>,
}

async fn drive(factory: &dyn StoreFactory, seed: u64) -> Drive {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let under_test = factory.fresh(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let store = under_test.store();
    let mut chance = Chance(seed.wrapping_mul(2).wrapping_add(1));
    let mut answers = Vec::new();
    for id in 0..200 {
        // Sometimes back: the stores must agree on what they make of that, too.
        let skew = i64::try_from(chance.below(5_000)).unwrap_or(0) - 1_000;
        clock.set(Timestamp(EPOCH.0 + i64::try_from(id).unwrap_or(0) * 1_000 + skew));
        let answer = store.append(command(&mut chance, id)).await;
        answers.push(answer.map(|done| (done.first.0, done.last.0, done.duplicate)));
    }
    let mut logs = Vec::new();
    for name in TENANTS {
        logs.push(store.log_head(&tenant(name)).await.expect("the log"));
    }
    Drive { answers, events: read_all(&*store as &dyn EventStore).await, logs }
}

const TENANTS: [&str; 3] = ["acme", "umbrella", "x"];

fn command(chance: &mut Chance, id: u64) -> AppendRequest {
    let mut ask = request(&[]);
    ask.tenant = tenant(TENANTS[chance.index(3)]);
    ask.key = (chance.below(3) == 0).then(|| format!("key-{}", chance.below(20)));
    for n in 0..=chance.below(2) {
        let expected = match chance.below(6) {
            0 => Expected::New,
            1 => Expected::Exact(chance.below(6)),
            _ => Expected::Any,
        };
        let events = (0..chance.below(4)).map(|at| {
            let data = format!("{{\"at\":{at},\"text\":\"é{}\"}}", chance.below(3));
            event_with_id(id * 100 + n * 10 + at, "thing.happened", &data)
        });
        let events = events.collect();
        let name = format!("run/{n}-{}", id % 7);
        ask.streams.push(StreamAppend { stream: stream(&name), expected, events });
    }
    ask
}

/// A small generator of its own, so that a seed means the same everywhere (xorshift64).
struct Chance(u64);

impl Chance {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % bound
    }

    fn index(&mut self, bound: usize) -> usize {
        usize::try_from(self.below(bound as u64)).unwrap_or(0)
    }
}
