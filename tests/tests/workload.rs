//! The oracle that judges a record after faults sees what it is there to see.

use std::sync::Arc;

use dagbook_events::ids::Position;
use dagbook_events::journal::clock::SystemClock;
use dagbook_events::journal::store::MemoryStore;
use dagbook_events::ports::{EventStore, Recorded};
use dagbook_tests::workload::{Entry, Ledger, Load, Oracle, Seen, Tail, judge};

/// A record after an undisturbed load.
struct Record {
    events: Vec<Recorded>,
    ledger: Arc<Ledger>,
    seen: Seen,
}

async fn record() -> Record {
    let store = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let shared: Arc<dyn EventStore> = Arc::clone(&store) as _;
    let ledger = Arc::new(Ledger::default());
    let tail = Tail::start(Arc::clone(&shared));
    Load::new(7, 16, 2_000).run(Arc::clone(&shared), Arc::clone(&ledger)).await;
    let head = store.head().await.expect("a head");
    let seen = tail.finish(head).await;
    assert_eq!(judge(store.as_ref(), &ledger, Some(&seen)).await, Vec::<String>::new());
    let events = store.read_after(Position(0), usize::MAX).await.expect("all events");
    assert!(events.len() >= 2_000 && !ledger.refused().is_empty());
    Record { events, ledger, seen }
}

impl Record {
    fn findings(&self, events: &[Recorded]) -> Vec<String> {
        let mut oracle = Oracle::default();
        events.iter().for_each(|event| oracle.event(event));
        oracle.finish(&self.ledger, Some(&self.seen))
    }

    /// What is found once the events were changed; it must be something with these words.
    fn plant(&self, words: &str, change: impl FnOnce(&mut Vec<Recorded>)) {
        let mut events = self.events.clone();
        change(&mut events);
        let findings = self.findings(&events);
        assert!(
            findings.iter().any(|text| text.contains(words)),
            "not found: {words}: {findings:?}"
        );
    }
}

/// The last whole request of one event, so that nothing behind it gives the change away.
fn index_of_one(record: &Record) -> usize {
    let entries = record.ledger.acknowledged();
    let entry = entries.iter().rev().find(|entry| entry.first == entry.last).expect("one");
    usize::try_from(entry.first).expect("an index") - 1
}

#[tokio::test]
async fn the_oracle_finds_nothing_in_a_record_without_faults() {
    let record = record().await;
    assert_eq!(record.findings(&record.events), Vec::<String>::new());
}

#[tokio::test]
async fn the_oracle_finds_what_is_lost() {
    let record = record().await;
    record.plant("is lost", |events| {
        events.truncate(events.len() - 30);
    });
    let index = index_of_one(&record);
    record.plant("was next", |events| {
        events.remove(index);
    });
    record.plant("in part only", |events| {
        let entries = record.ledger.acknowledged();
        let many = entries.iter().find(|entry| entry.first != entry.last).expect("one of several");
        events.remove(usize::try_from(many.last).expect("an index") - 1);
    });
}

#[tokio::test]
async fn the_oracle_finds_what_is_doubled() {
    let record = record().await;
    record.plant("and again at", |events| {
        let again = events[index_of_one(&record)].clone();
        events.push(again);
    });
}

#[tokio::test]
async fn the_oracle_finds_another_order_and_other_bytes() {
    let record = record().await;
    record.plant("was next", |events| events.swap(10, 11));
    record.plant("not what was asked for", |events| {
        let event = &mut events[100];
        let text = String::from_utf8(event.leaf.to_vec()).expect("text");
        event.leaf = text.replacen("0123", "3210", 1).into_bytes().into();
    });
    record.plant("the first difference is at 101", |events| {
        let event = &mut events[100];
        let text = String::from_utf8(event.leaf.to_vec()).expect("text");
        event.leaf = text.replacen("0123", "3210", 1).into_bytes().into();
    });
}

#[tokio::test]
async fn the_oracle_finds_what_was_refused_and_is_there_all_the_same() {
    let record = record().await;
    let entry = record.ledger.acknowledged().pop().expect("an entry");
    record.ledger.enter(Entry::Refused { caller: entry.caller, request: entry.request });
    record.plant("was refused and is there", |_| ());
}

#[tokio::test]
async fn the_oracle_finds_an_answer_that_named_other_positions() {
    let record = record().await;
    let mut entry = record.ledger.acknowledged().pop().expect("an entry");
    entry.first += 1;
    entry.last += 1;
    record.ledger.enter(Entry::Acknowledged(entry));
    record.plant("was told", |_| ());
    record.plant("was answered twice", |_| ());
}

#[tokio::test]
async fn a_load_goes_on_in_another_process_with_the_request_that_it_was_at() {
    let store: Arc<dyn EventStore> = Arc::new(MemoryStore::new(Arc::new(SystemClock)));
    let first = Arc::new(Ledger::default());
    Load::new(3, 4, 300).run(Arc::clone(&store), Arc::clone(&first)).await;
    // The last answers never arrived.
    let second = Arc::new(Ledger::default());
    let entries = first.acknowledged();
    let kept = entries.len() - 3;
    let lost: Vec<_> = entries[kept..].to_vec();
    entries.into_iter().take(kept).for_each(|entry| second.enter(Entry::Acknowledged(entry)));
    Load::new(3, 4, 400).run(Arc::clone(&store), Arc::clone(&second)).await;
    assert!(second.retries().duplicates >= 3, "{:?}", second.retries());
    let told = second.acknowledged();
    assert!(lost.iter().all(|entry| told.contains(entry)), "the same answers as before");
    assert_eq!(second.surprises(), Vec::<String>::new());
}
