//! A record that must not be added to now.

use super::subject::{Subject, request};
use crate::conformance::Verdict;
use crate::ports::{AppendError, Expected};

pub(super) async fn a_halted_store_can_be_read_and_takes_nothing(subject: Subject) -> Verdict {
    let Some(guard) = subject.under_test.guard() else {
        return Verdict::NotApplicable("the store has no guard");
    };
    subject.append("run/a", Expected::New, 1).await.expect("nothing speaks against it");
    guard.halt("the copy has position 7, the record ends at 1");
    guard.pass();
    for expected in [Expected::Any, Expected::New] {
        let outcome = subject.append("run/a", expected, 1).await;
        let Err(AppendError::Halted(reason)) = outcome else { panic!("{outcome:?}") };
        assert!(reason.contains("position 7"), "{reason}");
    }
    assert_eq!(subject.head().await, 1);
    assert_eq!(subject.all().await.len(), 1);
    Verdict::Kept
}

/// Also those that were let in before, and still wait in the queue.
pub(super) async fn what_waits_when_a_store_is_halted_is_not_appended(subject: Subject) -> Verdict {
    let Some(guard) = subject.under_test.guard() else {
        return Verdict::NotApplicable("the store has no guard");
    };
    let mut callers = tokio::task::JoinSet::new();
    for n in 0..64 {
        let store = subject.store.clone();
        callers.spawn(async move {
            let mut kept = 0;
            loop {
                let ask = request(&[(&format!("run/{n}"), Expected::Exact(kept), 1)]);
                match store.append(ask).await {
                    Ok(_) => kept += 1,
                    Err(AppendError::Halted(_)) => return kept,
                    Err(other) => panic!("{other}"),
                }
                // A store that is done at once would keep this thread for ever.
                tokio::task::yield_now().await;
            }
        });
    }
    subject
        .store
        .wait_beyond(crate::ids::Position(64), std::time::Duration::from_secs(60))
        .await
        .expect("they append");
    guard.halt("enough");
    let mut kept = 0;
    while let Some(caller) = callers.join_next().await {
        kept += caller.expect("no panic");
    }
    assert_eq!(subject.head().await, kept, "what was acknowledged, and no more");
    Verdict::Kept
}
