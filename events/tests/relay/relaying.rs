//! One relay and one misfortune at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use dagbook_events::ids::{Position, TenantId};
use dagbook_events::journal::bus::InProcessBus;
use dagbook_events::journal::copy::{CopyFault, MemoryCopy};
use dagbook_events::journal::relay::{
    Relay, RelayError, RelayLimits, RelayState, RelayStatus, Turn,
};
use dagbook_events::journal::{Guard, GuardState};
use dagbook_events::ports::{
    CopiedEvent, CopyError, CopyScan, EventBus, EventStore, RecordCopy, Recorded,
};
use dagbook_events::tlog::leaf_hash;
use tokio::sync::watch;

use super::world::World;

const LONG: Duration = Duration::from_secs(30);

struct Scene {
    world: Arc<World>,
    copy: MemoryCopy,
    guard: Arc<Guard>,
}

impl Scene {
    async fn with(count: u64) -> Self {
        let world = World::new();
        world.append(count, "a").await;
        let guard = Arc::new(Guard::waiting("it was not compared yet"));
        Self { world, copy: MemoryCopy::new(), guard }
    }

    fn relay(&self) -> Relay {
        self.limited(RelayLimits::default())
    }

    fn limited(&self, limits: RelayLimits) -> Relay {
        let copy = Arc::new(self.copy.clone());
        Relay::new(self.world.clone(), copy, self.guard.clone(), limits)
    }

    async fn copied(&self) -> bool {
        let (record, copy) = (self.world.all().await, self.copy.events(1));
        record.len() == copy.len()
            && record.iter().zip(&copy).all(|(r, c)| r.leaf == c.leaf && r.position == c.position)
    }

    fn halted(&self) -> String {
        match self.guard.state() {
            GuardState::Halted(reason) => reason,
            other => panic!("it is {other:?}"),
        }
    }
}

async fn until(status: &mut watch::Receiver<RelayStatus>, what: fn(&RelayStatus) -> bool) {
    let reached = tokio::time::timeout(LONG, status.wait_for(what)).await;
    reached.expect("in time").expect("the relay lives");
}

#[tokio::test]
async fn a_page_goes_out_in_batches_of_a_thousand_one_round_trip_each() {
    let scene = Scene::with(10_500).await;
    let mut relay = scene.relay();
    let mut turns = 0;
    while let Turn::Published { .. } = relay.turn().await.expect("a turn") {
        turns += 1;
    }
    assert_eq!(turns, 3, "pages of 4,000");
    let mut batches = scene.copy.batches();
    assert_eq!(scene.copy.calls(), batches.len() as u64 + 2, "two questions before the first");
    batches.sort_unstable();
    assert_eq!(batches, [vec![500], vec![1_000; 10]].concat());
    assert!(scene.copied().await);
    assert_eq!(scene.guard.state(), GuardState::Open);
}

#[tokio::test]
async fn large_leaves_make_small_pages() {
    let scene = Scene::with(0).await;
    let large = format!(r#"{{"x":"{}"}}"#, "y".repeat(50_000));
    for _ in 0..60 {
        scene.world.append_data(&large).await;
    }
    let limits = RelayLimits { bytes: 500_000, ..RelayLimits::default() };
    let mut relay = scene.limited(limits);
    while let Turn::Published { first, last } = relay.turn().await.expect("a turn") {
        assert!(last.0 - first.0 < 10, "{first} to {last} is more than 500,000 bytes");
    }
    assert!(scene.copied().await);
    let limits = RelayLimits { bytes: 1, ..RelayLimits::default() };
    scene.copy.delete();
    let mut relay = scene.limited(limits);
    let first = relay.turn().await.expect("a turn");
    assert_eq!(first, Turn::Published { first: Position(1), last: Position(1) });
}

#[tokio::test]
async fn a_store_restored_from_an_older_backup_is_halted() {
    let scene = Scene::with(20).await;
    let mut relay = scene.relay();
    relay.turn().await.expect("copied");
    scene.world.restore(12).await;
    let guard = Arc::new(Guard::waiting("a new process"));
    let copy = Arc::new(scene.copy.clone());
    let store: Arc<dyn EventStore> = scene.world.clone();
    let mut new = Relay::new(store, copy, guard.clone(), RelayLimits::default());
    assert!(matches!(new.check().await, Err(RelayError::Halted(_))));
    let GuardState::Halted(reason) = guard.state() else { panic!("{:?}", guard.state()) };
    for part in ["position 20", "position 12", "older backup", "begin a new timeline"] {
        assert!(reason.contains(part), "{reason}");
    }
    // The one that still runs finds out as well, without being started anew.
    assert!(matches!(relay.turn().await, Err(RelayError::Halted(_))));
    assert!(scene.halted().contains("older backup"));
    assert_eq!(scene.copy.events(1).len(), 20, "nothing is published");
}

#[tokio::test]
async fn a_store_that_was_exchanged_and_went_on_is_halted_before_anything_is_added() {
    let scene = Scene::with(20).await;
    let mut relay = scene.relay();
    relay.turn().await.expect("copied");
    let before = scene.copy.events(1);
    scene.world.restore(12).await;
    scene.world.append(30, "b").await;
    assert!(matches!(relay.turn().await, Err(RelayError::Halted(_))));
    let reason = scene.halted();
    let record = scene.world.all().await;
    assert!(reason.contains("position 20"), "{reason}");
    assert!(reason.contains(&leaf_hash(&record[19].leaf).to_hex()), "{reason}");
    assert!(reason.contains(&leaf_hash(&before[19].leaf).to_hex()), "{reason}");
    assert_eq!(scene.copy.events(1), before);
}

#[tokio::test]
async fn a_new_timeline_is_copied_as_a_whole_and_the_old_copy_stays() {
    let scene = Scene::with(10).await;
    let mut relay = scene.relay();
    relay.turn().await.expect("copied");
    scene.world.append(5, "lost").await;
    scene.world.restore(10).await;
    scene.world.begin_timeline(1).await.expect("begun");
    scene.world.append(7, "new").await;
    let again = relay.turn().await.expect_err("it looks again");
    assert!(again.to_string().contains("another timeline"), "{again}");
    while let Turn::Published { .. } = relay.turn().await.expect("a turn") {}
    assert_eq!(scene.copy.events(2).len(), 17);
    assert_eq!(scene.copy.events(1).len(), 10);
    // A store from before that timeline must not be taken for the record again.
    scene.world.restore(10).await;
    let mut new = scene.relay();
    assert!(matches!(new.check().await, Err(RelayError::Halted(_))));
    assert!(scene.halted().contains("timeline 2 was copied already"), "{}", scene.halted());
}

#[tokio::test]
async fn a_changed_event_in_the_middle_is_found_at_the_start() {
    let scene = Scene::with(33).await;
    scene.relay().turn().await.expect("copied");
    for position in [1, 17, 33] {
        let scene = Scene { guard: Arc::new(Guard::waiting("")), ..scene.clone_of() };
        let kept = scene.copy.events(1)[position - 1].clone();
        let at = Position(position as u64);
        scene.copy.tamper(1, at, |event| event.leaf = Arc::from(&b"{}"[..]));
        let halted = scene.relay().check().await;
        assert!(matches!(halted, Err(RelayError::Halted(_))), "{position}: {halted:?}");
        let reason = scene.halted();
        assert!(reason.contains(&format!("position {position}")), "{reason}");
        assert!(reason.contains("(and states"), "the body alone was changed: {reason}");
        scene.copy.tamper(1, at, |event| *event = kept);
    }
}

impl Scene {
    fn clone_of(&self) -> Self {
        let (world, copy) = (self.world.clone(), self.copy.clone());
        Self { world, copy, guard: self.guard.clone() }
    }
}

#[tokio::test]
async fn a_copy_that_states_no_hash_is_not_believed() {
    let scene = Scene::with(3).await;
    scene.relay().turn().await.expect("copied");
    scene.copy.tamper(1, Position(3), |event| event.stated_hash = None);
    assert!(scene.relay().check().await.is_err());
    assert!(scene.halted().contains("states none"), "{}", scene.halted());
}

#[tokio::test]
async fn a_halted_guard_stops_the_relay_whoever_halted_it() {
    let scene = Scene::with(3).await;
    scene.guard.halt("the witness has seen something else");
    let refused = scene.relay().turn().await;
    let reason = "the witness has seen something else".to_string();
    assert_eq!(refused, Err(RelayError::Halted(reason)));
    assert!(scene.copy.events(1).is_empty());
}

#[tokio::test]
async fn nothing_is_opened_while_the_copy_is_silent() {
    let scene = Scene::with(3).await;
    scene.copy.set_available(false);
    let mut relay = scene.relay();
    let status = relay.status();
    assert!(matches!(relay.turn().await, Err(RelayError::Again(_))));
    assert!(matches!(scene.guard.state(), GuardState::Waiting(_)));
    assert_eq!(status.borrow().state, RelayState::Retrying);
    assert!(status.borrow().last_error.as_deref().is_some_and(|e| e.contains("nobody answers")));
    scene.copy.set_available(true);
    relay.turn().await.expect("a turn");
    assert_eq!(scene.guard.state(), GuardState::Open);
    assert_eq!(status.borrow().last_error, None);
}

#[tokio::test]
async fn a_running_relay_copies_wakes_reports_and_stops() {
    let scene = Scene::with(5).await;
    let bus = Arc::new(InProcessBus::new());
    let relay = scene.relay().waking(bus.clone());
    let mut status = relay.status();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(relay.run(stopped));
    until(&mut status, |status| status.copied == Position(5)).await;
    scene.world.append(40, "a").await;
    let woken = tokio::time::timeout(LONG, bus.wait_beyond(Position(5))).await;
    assert!(woken.expect("in time").expect("the bus works") > Position(5));
    until(&mut status, |status| status.copied == Position(45)).await;
    until(&mut status, |status| status.state == RelayState::Running && status.lag() == 0).await;
    assert_eq!((status.borrow().published, status.borrow().timeline), (45, 1));
    assert!(scene.copied().await);
    stop.send_replace(true);
    tokio::time::timeout(LONG, running).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn a_running_relay_comes_through_every_fault_by_itself() {
    let scene = Scene::with(50).await;
    let pause = Duration::from_millis(5);
    let limits = RelayLimits {
        events: 16,
        look_again: Duration::from_millis(50),
        longest_pause: pause,
        ..RelayLimits::default()
    };
    let relay = scene.limited(limits);
    let mut status = relay.status();
    let (_stop, stopped) = watch::channel(false);
    let running = tokio::spawn(relay.run(stopped));
    until(&mut status, |status| status.copied == Position(50)).await;
    for fault in [
        CopyFault::Refuse,
        CopyFault::LoseAnswer,
        CopyFault::AddOnly(3),
        CopyFault::Overtake(2),
        CopyFault::LoseTail(7),
        CopyFault::Delete,
    ] {
        scene.copy.inject(fault);
        scene.world.append(10, "a").await;
        let begun = tokio::time::Instant::now();
        while !scene.copied().await {
            assert!(begun.elapsed() < LONG, "after {fault:?}");
            tokio::time::sleep(pause).await;
        }
    }
    // And a loss that nothing new brings to light.
    scene.copy.lose_tail(1, Position(13));
    let begun = tokio::time::Instant::now();
    while !scene.copied().await {
        assert!(begun.elapsed() < LONG, "a lost tail is found without news");
        tokio::time::sleep(pause).await;
    }
    running.abort();
}

#[tokio::test]
async fn a_halted_relay_goes_on_reporting_and_publishes_nothing() {
    let scene = Scene::with(5).await;
    let relay = scene
        .limited(RelayLimits { look_again: Duration::from_millis(20), ..RelayLimits::default() });
    let mut status = relay.status();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(relay.run(stopped));
    until(&mut status, |status| status.copied == Position(5)).await;
    scene.copy.intrude(1, None, b"{}");
    until(&mut status, |status| status.state == RelayState::Halted).await;
    let reason = scene.halted();
    assert_eq!(status.borrow().last_error, Some(reason.clone()));
    assert!(reason.contains("ends at position 6"), "{reason}");
    scene.world.append(4, "a").await;
    until(&mut status, |status| status.lag() == 4).await;
    assert_eq!(scene.copy.events(1).len(), 6);
    stop.send_replace(true);
    tokio::time::timeout(LONG, running).await.expect("in time").expect("no panic");
}

#[tokio::test]
async fn what_somebody_else_put_between_is_found_though_the_end_agrees() {
    let scene = Scene::with(20).await;
    let mut relay = scene.relay();
    relay.turn().await.expect("copied");
    scene.world.append(10, "a").await;
    // Another one carries over the same events, but for one in the middle.
    let mut other = scene.relay();
    other.turn().await.expect("copied");
    scene.copy.tamper(1, Position(24), |event| event.leaf = Arc::from(&b"{}"[..]));
    scene.world.append(1, "a").await;
    assert!(matches!(relay.turn().await, Err(RelayError::Again(_))), "the end is another one");
    assert!(matches!(relay.turn().await, Err(RelayError::Halted(_))));
    assert!(scene.halted().contains("position 24"), "{}", scene.halted());
}

/// What another process does before one of our calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    /// It begins another timeline, and its relay copies it.
    BeginTimeline,
    /// The copy's server loses its tail.
    LoseTail,
    /// Its relay copies what is not there.
    Copy,
}

/// The copy as one of two relays sees it, whose calls take so long that the other one's deeds
/// come between.
struct Slow {
    scene: Scene,
    calls: AtomicUsize,
    deeds: Vec<(usize, Deed)>,
}

impl Slow {
    fn relay(scene: &Scene, deeds: &[(usize, Deed)]) -> Relay {
        let slow = Self { scene: scene.clone_of(), calls: 0.into(), deeds: deeds.to_vec() };
        let guard = scene.guard.clone();
        Relay::new(scene.world.clone(), Arc::new(slow), guard, RelayLimits::default())
    }

    async fn meanwhile(&self) {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        for (_, deed) in self.deeds.iter().filter(|(at, _)| *at == call) {
            let scene = &self.scene;
            match deed {
                Deed::LoseTail => scene.copy.lose_tail(1, Position(12)),
                Deed::Copy => drop(scene.relay().turn().await.expect("copied")),
                Deed::BeginTimeline => {
                    scene.world.begin_timeline(1).await.expect("begun");
                    scene.relay().turn().await.expect("copied");
                }
            }
        }
    }
}

#[async_trait]
impl RecordCopy for Slow {
    async fn last(&self, timeline: u64) -> Result<Position, CopyError> {
        self.meanwhile().await;
        self.scene.copy.last(timeline).await
    }
    async fn at(&self, timeline: u64, at: Position) -> Result<Option<CopiedEvent>, CopyError> {
        self.meanwhile().await;
        self.scene.copy.at(timeline, at).await
    }
    async fn add(
        &self,
        timeline: u64,
        after: Position,
        events: &[Recorded],
    ) -> Result<Position, CopyError> {
        self.meanwhile().await;
        self.scene.copy.add(timeline, after, events).await
    }
    async fn scan(
        &self,
        timeline: u64,
        after: Position,
        tenant: Option<&TenantId>,
    ) -> Result<Box<dyn CopyScan>, CopyError> {
        self.meanwhile().await;
        self.scene.copy.scan(timeline, after, tenant).await
    }
}

/// Whatever two relays of one record do between each other's questions, neither halts it.
async fn assert_not_halted(deeds: &[(usize, Deed)]) {
    let scene = Scene::with(20).await;
    scene.relay().turn().await.expect("copied");
    let mut relay = Slow::relay(&scene, deeds);
    for _ in 0..5 {
        if let Err(RelayError::Halted(reason)) = relay.check().await {
            panic!("{deeds:?}: {reason}");
        }
    }
    relay.check().await.expect("it comes through");
    assert_eq!(scene.guard.state(), GuardState::Open);
    let timeline = scene.world.timeline().await.expect("readable");
    assert_eq!(scene.copy.events(timeline).len(), 20);
}

#[tokio::test]
async fn a_timeline_that_another_process_begins_and_copies_between_two_questions_halts_nobody() {
    for call in 0..4 {
        assert_not_halted(&[(call, Deed::BeginTimeline)]).await;
    }
}

#[tokio::test]
async fn a_tail_that_is_lost_and_brought_back_between_two_questions_halts_nobody() {
    for lost in 0..4 {
        for back in lost..5 {
            assert_not_halted(&[(lost, Deed::LoseTail), (back, Deed::Copy)]).await;
        }
    }
}
