//! Going over to another timeline, and the heads of all logs.

use super::subject::{Subject, acme, numbers, request, tenant};
use crate::conformance::Verdict;
use crate::envelope::Envelope;
use crate::ports::{AppendError, Expected};
use crate::tlog::{leaf_hash, root};

pub(super) async fn a_new_timeline_goes_on_where_the_old_one_ended(subject: Subject) -> Verdict {
    let store = &subject.store;
    assert_eq!(store.timeline().await, Ok(1));
    subject.append("run/a", Expected::New, 2).await.expect("appended");
    assert_eq!(store.begin_timeline(1).await, Ok(2));
    assert_eq!(store.timeline().await, Ok(2));
    assert_eq!(subject.head().await, 2, "it adds nothing by itself");
    subject.append("run/a", Expected::Exact(2), 1).await.expect("appended");
    assert_eq!(store.begin_timeline(2).await, Ok(3));
    subject.append("run/b", Expected::New, 1).await.expect("appended");
    let all = subject.all().await;
    assert_eq!(numbers(&all), [(1, 0, 0), (2, 1, 1), (3, 2, 2), (4, 3, 0)]);
    let timelines: Vec<u64> =
        all.iter().map(|e| Envelope::parse(&e.leaf).expect("a leaf").timeline).collect();
    assert_eq!(timelines, [1, 1, 2, 3]);
    let hashes: Vec<_> = all.iter().map(|event| leaf_hash(&event.leaf)).collect();
    let head = store.log_head(&acme()).await.expect("the log");
    assert_eq!((head.size, head.root), (4, root(&hashes)), "the log goes on");
    Verdict::Kept
}

pub(super) async fn only_the_timeline_that_is_written_can_be_left(subject: Subject) -> Verdict {
    let store = &subject.store;
    for wrong in [0, 2, u64::MAX] {
        let outcome = store.begin_timeline(wrong).await;
        assert!(matches!(outcome, Err(AppendError::Invalid(_))), "{wrong}: {outcome:?}");
    }
    assert_eq!(store.begin_timeline(1).await, Ok(2));
    let again = store.begin_timeline(1).await;
    assert!(matches!(again, Err(AppendError::Invalid(_))), "asked twice, done once: {again:?}");
    assert_eq!(store.timeline().await, Ok(2));
    Verdict::Kept
}

pub(super) async fn a_timeline_is_begun_under_the_appends_of_others(subject: Subject) -> Verdict {
    let other = subject.under_test.second_handle().await.unwrap_or(subject.store.clone());
    subject.append("run/a", Expected::Any, 1).await.expect("appended");
    other.append(request(&[("run/b", Expected::Any, 1)])).await.expect("appended");
    assert_eq!(other.begin_timeline(1).await, Ok(2));
    subject.append("run/a", Expected::Exact(1), 1).await.expect("appended");
    let last = subject.all().await.pop().expect("events");
    assert_eq!(Envelope::parse(&last.leaf).expect("a leaf").timeline, 2, "every handle knows");
    Verdict::Kept
}

pub(super) async fn all_log_heads_are_the_heads_of_each_log(subject: Subject) -> Verdict {
    let store = &subject.store;
    assert!(store.log_heads().await.expect("heads").is_empty());
    let names = ["umbrella", "acme", "x"];
    for round in 0..7 {
        let mut ask = request(&[("run/a", Expected::Any, 1 + round)]);
        ask.tenant = tenant(names[round % 3]);
        store.append(ask).await.expect("appended");
    }
    let heads = store.log_heads().await.expect("heads");
    assert_eq!(heads.len(), 3);
    for (name, head) in heads {
        assert_eq!(store.log_head(&name).await, Ok(head));
    }
    Verdict::Kept
}
