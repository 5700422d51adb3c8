//! When a commit goes wrong.

use super::subject::{Subject, acme, keyed, numbers, request};
use crate::conformance::Verdict;
use crate::journal::Fault;
use crate::ports::{AppendError, Expected};
use crate::tlog::{leaf_hash, root};

const NO_FAULTS: Verdict = Verdict::NotApplicable("the store cannot be made to fail");

/// The log's root fits its leaves, whatever went wrong before.
async fn assert_consistent(subject: &Subject) {
    let all = subject.all().await;
    let hashes: Vec<_> = all.iter().map(|event| leaf_hash(&event.leaf)).collect();
    let head = subject.store.log_head(&acme()).await.expect("the log");
    assert_eq!((head.size, head.root), (hashes.len() as u64, root(&hashes)));
}

async fn leaves_nothing(subject: Subject, fault: Fault) -> Verdict {
    let Some(faults) = subject.under_test.faults() else { return NO_FAULTS };
    subject.append("run/a", Expected::New, 1).await.expect("appended");
    faults.inject(fault);
    let ask =
        || keyed("k", request(&[("run/a", Expected::Exact(1), 2), ("run/new", Expected::New, 1)]));
    let outcome = subject.store.append(ask()).await;
    assert!(matches!(outcome, Err(AppendError::Unavailable(_))), "{outcome:?}");
    assert_eq!(subject.head().await, 1);
    assert_consistent(&subject).await;
    let names = subject.store.streams(&acme(), "run/", None, 10).await.expect("names");
    assert_eq!(names.len(), 1, "no stream is left behind");
    let again = subject.store.append(ask()).await.expect("appended");
    assert_eq!((again.first.0, again.last.0, again.duplicate), (2, 4, false));
    assert_consistent(&subject).await;
    Verdict::Kept
}

pub(super) async fn a_refusal_leaves_nothing_behind(subject: Subject) -> Verdict {
    leaves_nothing(subject, Fault::Refuse).await
}

pub(super) async fn a_failed_commit_leaves_nothing_behind(subject: Subject) -> Verdict {
    leaves_nothing(subject, Fault::FailBeforeCommit).await
}

/// The commit was made and its answer lost: the store looks by itself and says so.
pub(super) async fn a_lost_answer_is_found_again(subject: Subject) -> Verdict {
    let Some(faults) = subject.under_test.faults() else { return NO_FAULTS };
    faults.inject(Fault::LoseAnswer);
    let done = subject.append("run/a", Expected::New, 2).await.expect("found");
    assert_eq!((done.first.0, done.last.0, done.duplicate), (1, 2, false));
    subject.append("run/a", Expected::Exact(2), 1).await.expect("appended");
    assert_eq!(numbers(&subject.all().await), [(1, 0, 0), (2, 1, 1), (3, 2, 2)]);
    assert_consistent(&subject).await;
    Verdict::Kept
}

pub(super) async fn an_unknown_outcome_is_resolved_by_key(subject: Subject) -> Verdict {
    let Some(faults) = subject.under_test.faults() else { return NO_FAULTS };
    let committed = || keyed("committed", request(&[("run/a", Expected::New, 1)]));
    faults.inject(Fault::UnknownCommitted);
    let outcome = subject.store.append(committed()).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    let resolved = subject.store.append(committed()).await.expect("resolved");
    assert_eq!((resolved.first.0, resolved.duplicate), (1, true));

    let failed = || keyed("failed", request(&[("run/b", Expected::New, 1)]));
    faults.inject(Fault::UnknownFailed);
    let outcome = subject.store.append(failed()).await;
    assert!(matches!(outcome, Err(AppendError::Unknown(_))), "{outcome:?}");
    let resolved = subject.store.append(failed()).await.expect("appended now");
    assert_eq!((resolved.first.0, resolved.duplicate), (2, false));
    assert_consistent(&subject).await;
    Verdict::Kept
}

pub(super) async fn what_was_acknowledged_survives_a_kill(subject: Subject) -> Verdict {
    for round in 0..10 {
        let ask = keyed(&round.to_string(), request(&[("run/a", Expected::Exact(round), 1)]));
        subject.store.append(ask).await.expect("appended");
    }
    let before = subject.all().await;
    let Subject { under_test, store, clock } = subject;
    drop(store);
    let Some(reopened) = under_test.reopen().await else {
        return Verdict::NotApplicable("the record ends with its handle");
    };
    let subject = Subject::new(reopened, clock);
    assert_eq!(subject.all().await, before);
    assert_consistent(&subject).await;
    let again = keyed("3", request(&[("run/a", Expected::Exact(3), 1)]));
    let again = subject.store.append(again).await.expect("answered");
    assert_eq!((again.first.0, again.duplicate), (4, true));
    subject.append("run/a", Expected::Exact(10), 1).await.expect("appended");
    Verdict::Kept
}
