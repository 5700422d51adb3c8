//! Two stores that are given the same hold the same bytes.

use std::sync::Arc;

use super::subject::{
    EPOCH, ManualClock, StoreFactory, event_with_id, read_all, request, stream, tenant,
};
use crate::ports::{
    AppendError, AppendRequest, Clock, EventStore, Expected, Fence, LeaseAnswer, LogHead, Recorded,
    StreamAppend,
};
use crate::time::{Millis, Timestamp};
use crate::tlog::{Checkpoint, Tile, TileLevel, encode_entries, hash_tile, leaf_hash, root};

/// Drives two kinds of store with the same random commands, clock and ids, and compares every
/// answer, every leaf byte, every root, and what would be published of it: every tile and the
/// text of every checkpoint. Among the commands are fences, new timelines and appends that are
/// larger than a whole batch.
///
/// # Panics
/// When anything differs; the message names the seed.
pub async fn identical_bytes(one: &dyn StoreFactory, other: &dyn StoreFactory, seed: u64) {
    let (left, right) = (drive(one, seed).await, drive(other, seed).await);
    assert_eq!(left.answers, right.answers, "answers differ under seed {seed}");
    assert_eq!(left.takings, right.takings, "leases differ under seed {seed}");
    assert_eq!(left.events, right.events, "leaves differ under seed {seed}");
    assert_eq!(left.logs, right.logs, "roots differ under seed {seed}");
    assert_eq!(left.published, right.published, "tiles differ under seed {seed}");
    assert!(left.events.len() > 100, "the commands of seed {seed} are not all refused");
    let fenced = |answer: &Answer| matches!(answer, Err(AppendError::Fenced { .. }));
    assert!(left.answers.iter().any(fenced), "seed {seed} meets a fence");
    assert!(left.published.iter().any(|(path, _)| path.contains("tile/1/")), "trees have levels");
}

/// First and last position, and whether it was a duplicate; or what was wrong.
type Answer = Result<(u64, u64, bool), AppendError>;

struct Drive {
    answers: Vec<Answer>,
    /// How often the lease was taken.
    takings: usize,
    events: Vec<Recorded>,
    logs: Vec<LogHead>,
    /// Names and bytes.
    published: Vec<(String, Vec<u8>)>,
}

const COMMANDS: u64 = 200;
/// More events than one batch takes.
const LARGE: u64 = 4_500;

async fn drive(factory: &dyn StoreFactory, seed: u64) -> Drive {
    let clock = Arc::new(ManualClock::new(EPOCH));
    let under_test = factory.fresh(Arc::clone(&clock) as Arc<dyn Clock>).await;
    let (store, leases) = (under_test.store(), under_test.leases());
    let mut chance = Chance(seed.wrapping_mul(2).wrapping_add(1));
    let (mut answers, mut epochs, mut timeline) = (Vec::new(), Vec::new(), 1);
    for id in 0..COMMANDS {
        // Sometimes back: the stores must agree on what they make of that, too.
        let skew = i64::try_from(chance.below(5_000)).unwrap_or(0) - 1_000;
        clock.set(Timestamp(EPOCH.0 + i64::try_from(id).unwrap_or(0) * 1_000 + skew));
        match (&leases, chance.below(20)) {
            (_, 0) => {
                timeline = store.begin_timeline(timeline).await.expect("the next timeline");
            }
            (Some(leases), 1) => {
                let answer = leases.acquire("engine", "laws", Millis::seconds(60)).await;
                let Ok(LeaseAnswer::Held(lease)) = answer else { panic!("{answer:?}") };
                assert!(epochs.last() < Some(&lease.fence.epoch), "{epochs:?}, then {lease:?}");
                epochs.push(lease.fence.epoch);
            }
            _ => {}
        }
        let large = id == COMMANDS / 2;
        let mut ask = command(&mut chance, id, large);
        if chance.below(4) == 0 && !large {
            // The newest, or the one before.
            let number = epochs.len().saturating_sub(chance.index(3) / 2);
            let epoch = number.checked_sub(1).map_or(1, |at| epochs[at]);
            ask.fence = Some(Fence { lease: Arc::from("engine"), epoch });
        }
        let answer = store.append(ask).await.map_err(|error| numbered(error, &epochs));
        answers.push(answer.map(|done| (done.first.0, done.last.0, done.duplicate)));
    }
    let (mut logs, mut published) = (Vec::new(), Vec::new());
    for name in TENANTS {
        let log = store.log_head(&tenant(name)).await.expect("the log");
        published.extend(publish(&*store, name, timeline, &log).await);
        logs.push(log);
    }
    let events = read_all(&*store as &dyn EventStore).await;
    Drive { answers, takings: epochs.len(), events, logs, published }
}

/// Epochs are of each store's own clock; what all agree on is which of those given out it was,
/// from 1.
fn numbered(error: AppendError, epochs: &[u64]) -> AppendError {
    let number = |epoch| epochs.iter().zip(1..).find(|(it, _)| **it == epoch).map_or(0, |it| it.1);
    match error {
        AppendError::Fenced { lease, held, current } => {
            AppendError::Fenced { lease, held: number(held), current: number(current) }
        }
        other => other,
    }
}

/// What a publisher would make of a log: its checkpoint and all its tiles.
async fn publish(
    store: &dyn EventStore,
    name: &str,
    timeline: u64,
    log: &LogHead,
) -> Vec<(String, Vec<u8>)> {
    let origin = format!("laws.example/t/{name}/{timeline}");
    let checkpoint = Checkpoint { origin: origin.clone(), size: log.size, root: log.root };
    let limit = usize::try_from(log.size).unwrap_or(usize::MAX);
    let leaves = store.read_log(&tenant(name), 0, limit).await.expect("the log");
    let hashes: Vec<_> = leaves.iter().map(|event| leaf_hash(&event.leaf)).collect();
    assert_eq!(root(&hashes), log.root, "the checkpoint is over the leaves");
    let index = |at: u64| usize::try_from(at).unwrap_or(usize::MAX);
    let mut published = vec![(format!("{origin} checkpoint"), checkpoint.to_text().into_bytes())];
    for tile in Tile::of_log(log.size) {
        let (start, end) = tile.leaves();
        let bytes = match tile.level {
            TileLevel::Entries => {
                let covered = leaves[index(start)..index(end)].iter();
                encode_entries(covered.map(|event| &*event.leaf)).expect("short leaves")
            }
            TileLevel::Hashes(_) => {
                hash_tile(&tile, |start, end| root(&hashes[index(start)..index(end)]))
            }
        };
        published.push((format!("{origin} {tile}"), bytes));
    }
    published
}

const TENANTS: [&str; 3] = ["acme", "umbrella", "x"];

fn command(chance: &mut Chance, id: u64, large: bool) -> AppendRequest {
    let mut ask = request(&[]);
    ask.tenant = tenant(TENANTS[chance.index(3)]);
    ask.key = (chance.below(3) == 0).then(|| format!("key-{}", chance.below(20)));
    if large {
        ask.tenant = tenant(TENANTS[0]);
        ask.key = Some("large".to_string());
    }
    for n in 0..=chance.below(2) {
        let expected = match chance.below(6) {
            _ if large => Expected::Any,
            0 => Expected::New,
            1 => Expected::Exact(chance.below(6)),
            _ => Expected::Any,
        };
        let count = if large { LARGE } else { chance.below(4) };
        let events = (0..count).map(|at| {
            let data = format!("{{\"at\":{at},\"text\":\"é{}\"}}", chance.below(3));
            event_with_id(id * 100_000 + n * 10_000 + at, "thing.happened", &data)
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
