//! Laws of [`RecordCopy`] and [`Notes`](crate::ports::Notes).

mod notes;
mod record;
mod trouble;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;

use super::{Report, Trial, try_law};
use crate::ids::{Position, StreamName, TenantId};
use crate::ports::{CopiedEvent, Notes, RecordCopy, Recorded};

/// Makes copies to try laws on.
#[async_trait]
pub trait CopyFactory: Send + Sync {
    /// An empty place for copies and notes.
    async fn fresh(&self) -> Arc<dyn CopyUnderTest>;
}

/// A place for copies and notes, and what can be done to it from outside.
#[async_trait]
pub trait CopyUnderTest: Send + Sync {
    /// A handle of its own, as another process has one.
    async fn copy(&self) -> Arc<dyn RecordCopy>;
    /// A handle of its own.
    async fn notes(&self) -> Arc<dyn Notes>;
    /// Makes it unreachable for everyone.
    async fn silence(&self);
    /// Makes it reachable again, with everything that it had.
    async fn revive(&self);
    /// Deletes the copy of a timeline, as somebody with all rights could.
    async fn delete(&self, timeline: u64);
    /// Deletes the place for notes, of which there is one by now; whoever posts next makes it
    /// anew.
    async fn delete_notes(&self);
}

type Subject = Arc<dyn CopyUnderTest>;
type Law = fn(Subject) -> Trial;

macro_rules! book {
    ($($chapter:ident :: $law:ident),* $(,)?) => {
        &[$((stringify!($law), |subject| Box::pin($chapter::$law(subject)))),*]
    };
}

const LAWS: &[(&str, Law)] = book![
    record::an_empty_copy_ends_at_zero,
    record::what_is_added_stands_at_its_position,
    record::nothing_is_added_behind_another_end,
    record::nothing_is_added_with_a_gap,
    record::adding_nothing_adds_nothing,
    record::many_events_keep_their_order,
    record::the_largest_leaves_are_taken,
    record::leaves_are_kept_to_the_byte,
    record::timelines_are_apart,
    record::two_adders_of_one_record_add_each_event_once,
    record::of_two_records_one_wins_each_position,
    record::a_scan_goes_on_from_any_position,
    record::a_scan_waits_for_news_and_not_longer,
    record::a_scan_of_a_tenant_sees_only_its_events,
    record::a_scan_begins_before_there_is_a_copy,
    trouble::silence_is_an_error_and_ends,
    trouble::a_scan_survives_silence,
    trouble::a_deleted_copy_is_made_anew,
    trouble::a_scan_survives_deletion,
    notes::an_empty_board_has_nothing_and_says_so_in_time,
    notes::a_note_is_read_as_it_was_posted,
    notes::boards_are_apart,
    notes::the_newest_note_of_each_log_and_witness_is_kept,
    notes::a_reader_goes_on_from_its_number,
    notes::a_waiting_reader_is_woken,
    notes::pages_of_notes_are_bounded,
    notes::silence_on_the_board_is_an_error,
    notes::a_board_whose_numbers_begin_again_says_so,
];

/// Tries all laws, each on a fresh place.
pub async fn run_all(factory: &dyn CopyFactory) -> Report {
    let mut results = Vec::new();
    for (name, law) in LAWS {
        results.push((*name, try_law(law(factory.fresh().await)).await));
    }
    Report(results)
}

/// Longer than anything may take.
const LONG: Duration = Duration::from_secs(30);
/// What a waiting reader may be late.
const TIMELY: Duration = Duration::from_secs(5);

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).expect("a tenant")
}

/// Made-up events of two tenants in turn; `flavour` tells records apart.
fn events(after: u64, count: u64, flavour: &str) -> Vec<Recorded> {
    let event = |position: u64| {
        let name = if position.is_multiple_of(3) { "beta" } else { "acme" };
        let leaf = format!(
            r#"{{"co":"run-{}","d":{{"step":"s{}"}},"f":"{flavour}","pos":{position}}}"#,
            position / 7,
            position % 5
        );
        Recorded {
            position: Position(position),
            tenant: tenant(name),
            tenant_sequence: position,
            stream: StreamName::new(&format!("run/{}", position / 7)).expect("a stream"),
            version: position % 7,
            leaf: Arc::from(leaf.into_bytes()),
        }
    };
    (after + 1..=after + count).map(event).collect()
}

/// Reads until the position has come, and checks that nothing is left out or comes twice.
async fn read_to(
    scan: &mut dyn crate::ports::CopyScan,
    after: u64,
    to: u64,
    limit: usize,
) -> Vec<CopiedEvent> {
    let mut all: Vec<CopiedEvent> = Vec::new();
    while after + (all.len() as u64) < to {
        let page = scan.next(limit, LONG).await.expect("read");
        assert!(!page.is_empty(), "nothing came after {} of {to}", all.len());
        assert!(page.len() <= limit, "{} events where {limit} were asked for", page.len());
        for event in page {
            assert_eq!(event.position.0, after + all.len() as u64 + 1, "dense and in order");
            all.push(event);
        }
    }
    all
}

fn assert_equal(copied: &[CopiedEvent], recorded: &[Recorded]) {
    assert_eq!(copied.len(), recorded.len());
    for (copied, recorded) in copied.iter().zip(recorded) {
        assert_eq!(copied.position, recorded.position);
        assert_eq!(copied.leaf, recorded.leaf, "position {}", recorded.position);
        let hash = crate::tlog::leaf_hash(&recorded.leaf);
        assert_eq!(copied.stated_hash, Some(hash), "position {}", recorded.position);
    }
}
