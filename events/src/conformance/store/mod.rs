//! Laws of [`EventStore`](crate::ports::EventStore).

mod concurrency;
mod content;
mod failures;
mod guards;
mod identity;
mod keys;
mod leases;
mod open;
mod order;
mod reading;
mod subject;
mod timelines;
mod versions;

use std::sync::Arc;

pub use identity::identical_bytes;
pub use subject::{ManualClock, StoreFactory, StoreUnderTest};

use self::subject::Subject;
use super::{Report, Trial, try_law};

type Law = fn(Subject) -> Trial;

macro_rules! book {
    ($($chapter:ident :: $law:ident),* $(,)?) => {
        &[$((stringify!($law), |subject| Box::pin($chapter::$law(subject)))),*]
    };
}

const LAWS: &[(&str, Law)] = book![
    order::positions_are_dense_from_one,
    order::positions_are_in_commit_order,
    order::tenants_have_dense_logs_of_their_own,
    order::recording_time_never_goes_back,
    versions::exact_version_is_checked,
    versions::new_stream_is_checked,
    versions::any_version_is_accepted,
    versions::a_stream_without_events_is_only_checked,
    versions::several_streams_are_appended_or_none,
    versions::requests_without_sense_are_refused,
    keys::the_same_request_under_a_key_is_answered_again,
    keys::another_request_under_a_key_is_refused,
    keys::a_key_is_checked_before_versions,
    keys::keys_belong_to_tenants,
    keys::a_rejected_request_does_not_use_up_its_key,
    content::leaves_are_canonical_and_agree_with_their_rows,
    content::everything_given_is_in_the_leaf,
    content::an_oversize_leaf_is_refused,
    content::data_that_is_not_canonical_is_refused,
    content::the_log_head_is_the_root_over_the_leaves,
    reading::pages_are_bounded_and_continue,
    reading::unknown_names_read_as_empty,
    reading::streams_are_listed_newest_first,
    reading::streams_are_paged_behind_a_cursor,
    reading::what_is_recent_is_what_would_be_read,
    open::open_streams_are_those_that_nothing_has_closed,
    open::open_streams_are_paged_behind_a_cursor,
    open::what_was_refused_closes_nothing,
    open::what_is_open_outlives_a_kill,
    reading::waiting_ends_at_news_or_at_the_timeout,
    reading::waiting_notices_other_handles,
    concurrency::a_rejected_request_hurts_no_neighbour,
    concurrency::concurrent_appends_are_dense_and_none_is_lost,
    concurrency::one_of_many_wins_a_version,
    concurrency::a_key_used_at_once_by_many_appends_once,
    concurrency::a_reader_sees_every_event_exactly_once,
    concurrency::two_handles_append_to_one_record,
    failures::a_refusal_leaves_nothing_behind,
    failures::a_failed_commit_leaves_nothing_behind,
    failures::a_lost_answer_is_found_again,
    failures::an_unknown_outcome_is_resolved_by_key,
    failures::what_was_acknowledged_survives_a_kill,
    leases::a_lease_is_held_by_one_at_a_time,
    leases::an_epoch_is_never_behind_the_clock,
    leases::a_lease_that_ran_out_goes_to_the_next,
    leases::one_of_many_takes_a_lease,
    leases::an_append_under_an_old_epoch_changes_nothing,
    leases::a_takeover_fences_other_handles_at_once,
    timelines::a_new_timeline_goes_on_where_the_old_one_ended,
    timelines::only_the_timeline_that_is_written_can_be_left,
    timelines::a_timeline_is_begun_under_the_appends_of_others,
    timelines::all_log_heads_are_the_heads_of_each_log,
    guards::a_halted_store_can_be_read_and_takes_nothing,
    guards::what_waits_when_a_store_is_halted_is_not_appended,
];

/// Names of all laws.
pub fn laws() -> Vec<&'static str> {
    LAWS.iter().map(|(name, _)| *name).collect()
}

/// Tries all laws, each on a fresh store.
pub async fn run_all(factory: &dyn StoreFactory) -> Report {
    let mut results = Vec::new();
    for (name, law) in LAWS {
        let clock = Arc::new(ManualClock::new(subject::EPOCH));
        let under_test = factory.fresh(Arc::clone(&clock) as _).await;
        results.push((*name, try_law(law(Subject::new(under_test, clock))).await));
    }
    Report(results)
}
