//! Two relays of one record, and everything that can happen to them, in any order.

use std::sync::Arc;

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::Position;
use dagbook_events::journal::copy::{CopyFault, MemoryCopy};
use dagbook_events::ports::{CopiedEvent, EventStore, Recorded};
use dagbook_events::tlog::leaf_hash;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestError, TestRunner};

use super::carriers::{
    Carrier, Make, real, without_asking_again, without_comparison, without_refusing_ahead,
    without_timeline,
};
use super::world::World;

/// One thing that happens.
#[derive(Debug, Clone)]
enum Happens {
    Append(u64),
    Turn(usize),
    Check(usize),
    Restart(usize),
    LoseTail(u64),
    Delete,
    Silence(bool),
    Fault(usize, CopyFault),
    /// The operator begins a new timeline.
    NewTimeline,
    // From here on it is not misfortune any more: somebody must hear of it.
    Tamper(u64),
    Intrude,
    /// The store is exchanged for an older one, which then goes on differently.
    Restore(u64, u64),
}

impl Happens {
    fn is_hostile(&self) -> bool {
        matches!(self, Self::Tamper(_) | Self::Intrude | Self::Restore(..))
    }
}

fn faults() -> impl Strategy<Value = CopyFault> {
    prop_oneof![
        Just(CopyFault::Refuse),
        Just(CopyFault::LoseAnswer),
        (0..6usize).prop_map(CopyFault::AddOnly),
        (0..6usize).prop_map(CopyFault::Overtake),
        (0..6u64).prop_map(CopyFault::LoseTail),
        Just(CopyFault::Delete),
    ]
}

fn misfortune() -> impl Strategy<Value = Happens> {
    prop_oneof![
        8 => (1..7u64).prop_map(Happens::Append),
        12 => (0..2usize).prop_map(Happens::Turn),
        3 => (0..2usize).prop_map(Happens::Check),
        2 => (0..2usize).prop_map(Happens::Restart),
        2 => (0..9u64).prop_map(Happens::LoseTail),
        1 => Just(Happens::Delete),
        1 => any::<bool>().prop_map(Happens::Silence),
        6 => (0..4usize, faults()).prop_map(|(after, fault)| Happens::Fault(after, fault)),
        1 => Just(Happens::NewTimeline),
    ]
}

fn hostility() -> impl Strategy<Value = Happens> {
    prop_oneof![
        (0..40u64).prop_map(Happens::Tamper),
        Just(Happens::Intrude),
        (0..30u64, 0..12u64).prop_map(|(keep, more)| Happens::Restore(keep, more)),
    ]
}

fn misfortunes() -> impl Strategy<Value = Vec<Happens>> {
    prop::collection::vec(misfortune(), 1..60)
}

fn with_hostility() -> impl Strategy<Value = Vec<Happens>> {
    prop::collection::vec(prop_oneof![12 => misfortune().boxed(), 1 => hostility().boxed()], 1..60)
}

struct Scene {
    world: Arc<World>,
    copy: MemoryCopy,
    make: Make,
    carriers: Vec<Box<dyn Carrier>>,
    /// How many of the additions were looked at.
    looked: usize,
}

impl Scene {
    fn new(make: Make) -> Self {
        let (world, copy) = (World::new(), MemoryCopy::new());
        let carriers = (0..2).map(|_| make(&world, &copy, 8)).collect();
        Self { world, copy, make, carriers, looked: 0 }
    }

    async fn happen(&mut self, what: &Happens) {
        let timeline = self.world.timeline().await.expect("a timeline");
        match what {
            Happens::Append(count) => self.world.append(*count, "a").await,
            Happens::Turn(who) => {
                self.carriers[*who].turn().await;
            }
            Happens::Check(who) => self.carriers[*who].check().await,
            Happens::Restart(who) => {
                self.carriers[*who] = (self.make)(&self.world, &self.copy, 8);
            }
            Happens::LoseTail(count) => {
                let length = self.copy.events(timeline).len() as u64;
                self.copy.lose_tail(timeline, Position(length.saturating_sub(*count)));
            }
            Happens::Delete => self.copy.delete(),
            Happens::Silence(silent) => self.copy.set_available(!silent),
            Happens::Fault(after, fault) => self.copy.inject_after(*after, *fault),
            Happens::NewTimeline => {
                self.world.begin_timeline(timeline).await.expect("begun");
            }
            Happens::Tamper(at) => {
                let length = self.copy.events(timeline).len() as u64;
                let position = Position(1 + at % length.max(1));
                self.copy.tamper(timeline, position, |event| {
                    event.leaf = Arc::from(&b"{\"forged\":true}"[..]);
                    event.stated_hash = Some(leaf_hash(&event.leaf));
                });
            }
            Happens::Intrude => {
                self.copy.intrude(timeline, None, b"{\"intruded\":true}");
            }
            Happens::Restore(keep, more) => {
                self.world.restore(*keep).await;
                self.world.append(*more, "b").await;
            }
        }
    }

    /// Looks at what was added just now: only events of the record, at their own places, and
    /// none of a later timeline than the copy's.
    async fn look(&mut self) -> Result<(), String> {
        let added = self.copy.added();
        let record = self.world.all().await;
        for (timeline, event) in &added[self.looked..] {
            let at = usize::try_from(event.position.0 - 1).expect("small");
            let recorded = record.get(at).ok_or_else(|| format!("{event:?} is not recorded"))?;
            if recorded.leaf != event.leaf {
                return Err(format!("position {} was copied wrongly", event.position));
            }
            let leaf = Envelope::parse(&event.leaf).expect("a leaf");
            if leaf.timeline > *timeline {
                return Err(format!("position {} is of a later timeline", event.position));
            }
        }
        self.looked = added.len();
        Ok(())
    }

    /// Lets the carriers do what is left, as long as anything moves.
    async fn finish(&mut self) -> Result<(), String> {
        self.copy.calm();
        self.copy.set_available(true);
        for _ in 0..3 {
            for carrier in &mut self.carriers {
                carrier.check().await;
                let mut turns = 0;
                while carrier.turn().await {
                    turns += 1;
                    assert!(turns < 1_000, "it comes to no end");
                }
            }
            self.look().await?;
        }
        Ok(())
    }

    async fn is_equal(&self) -> bool {
        let timeline = self.world.timeline().await.expect("a timeline");
        same(&self.world.all().await, &self.copy.events(timeline))
    }
}

fn same(record: &[Recorded], copy: &[CopiedEvent]) -> bool {
    record.len() == copy.len()
        && record.iter().zip(copy).all(|(recorded, copied)| {
            recorded.position == copied.position
                && recorded.leaf == copied.leaf
                && copied.stated_hash == Some(leaf_hash(&recorded.leaf))
        })
}

/// Plays it, and says what is wrong with the outcome.
async fn play(make: Make, course: &[Happens]) -> Result<(), String> {
    let mut scene = Scene::new(make);
    for what in course {
        scene.happen(what).await;
        scene.look().await?;
    }
    scene.finish().await?;
    let halted: Vec<_> = scene.carriers.iter().filter_map(|carrier| carrier.halted()).collect();
    if !course.iter().any(Happens::is_hostile) {
        return match (halted.first(), scene.is_equal().await) {
            (Some(reason), _) => Err(format!("halted by mere misfortune: {reason}")),
            (None, false) => Err("the copy is not the record".to_string()),
            (None, true) => Ok(()),
        };
    }
    // Whoever starts now and compares everything must see what is wrong, or nothing is.
    let (world, copy) = (&scene.world, &scene.copy);
    scene.carriers = (0..2).map(|_| make(world, copy, u64::MAX)).collect();
    scene.finish().await?;
    let halted: Vec<_> = scene.carriers.iter().filter_map(|carrier| carrier.halted()).collect();
    match (halted.first(), scene.is_equal().await) {
        (None, false) => Err("the copy is not the record, and nobody says so".to_string()),
        // Of a store that went back behind a new timeline no equality speaks.
        (Some(reason), true) if reason.contains("was copied already") => Ok(()),
        (Some(reason), true) => Err(format!("halted, but they are equal: {reason}")),
        (Some(reason), false) if !reason.contains("position") && !reason.contains("timeline") => {
            Err(format!("the reason does not say where: {reason}"))
        }
        _ => Ok(()),
    }
}

fn run<S: Strategy<Value = Vec<Happens>>>(
    make: Make,
    cases: u32,
    courses: S,
) -> Result<(), TestError<Vec<Happens>>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let runtime = runtime.expect("a runtime");
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    TestRunner::new(config)
        .run(&courses, |course| runtime.block_on(play(make, &course)).map_err(TestCaseError::fail))
}

#[test]
fn after_any_misfortune_the_copy_becomes_the_record() {
    run(real, 1_000, misfortunes()).unwrap_or_else(|found| panic!("{found}"));
}

#[test]
fn after_any_hostility_the_copy_is_the_record_or_somebody_says_why_not() {
    run(real, 1_000, with_hostility()).unwrap_or_else(|found| panic!("{found}"));
}

#[track_caller]
fn assert_found<S: Strategy<Value = Vec<Happens>>>(make: Make, courses: S) {
    let found = run(make, 3_000, courses);
    assert!(matches!(found, Err(TestError::Fail(..))), "the planted fault was not found");
}

#[test]
fn a_relay_that_does_not_compare_is_found_out() {
    assert_found(without_comparison, with_hostility());
}

#[test]
fn a_relay_that_trusts_its_own_cursor_is_found_out() {
    assert_found(without_asking_again, misfortunes());
}

#[test]
fn a_relay_that_accepts_a_copy_beyond_the_record_is_found_out() {
    assert_found(without_refusing_ahead, with_hostility());
}

#[test]
fn a_relay_that_ignores_timelines_is_found_out() {
    assert_found(without_timeline, misfortunes());
}
