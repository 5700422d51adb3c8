//! Expected versions, and atomicity across streams.

use super::subject::{Subject, acme, event, request, stream};
use crate::conformance::Verdict;
use crate::ports::{AppendError, AppendRequest, Appended, Expected};

fn conflict(outcome: Result<Appended, AppendError>, name: &str, events: u64) {
    match outcome {
        Err(AppendError::Conflict { stream, actual, .. }) => {
            assert_eq!((stream.as_str(), actual), (name, events));
        }
        other => panic!("a conflict was expected, not {other:?}"),
    }
}

pub(super) async fn exact_version_is_checked(subject: Subject) -> Verdict {
    conflict(subject.append("run/a", Expected::Exact(1), 1).await, "run/a", 0);
    subject.append("run/a", Expected::Exact(0), 2).await.expect("appended");
    conflict(subject.append("run/a", Expected::Exact(1), 1).await, "run/a", 2);
    conflict(subject.append("run/a", Expected::Exact(3), 1).await, "run/a", 2);
    subject.append("run/a", Expected::Exact(2), 1).await.expect("appended");
    assert_eq!(subject.head().await, 3);
    Verdict::Kept
}

pub(super) async fn new_stream_is_checked(subject: Subject) -> Verdict {
    subject.append("run/a", Expected::New, 1).await.expect("appended");
    conflict(subject.append("run/a", Expected::New, 1).await, "run/a", 1);
    subject.append("run/b", Expected::New, 1).await.expect("appended");
    assert_eq!(subject.head().await, 2);
    Verdict::Kept
}

pub(super) async fn any_version_is_accepted(subject: Subject) -> Verdict {
    for events in [1, 2, 3] {
        subject.append("run/a", Expected::Any, events).await.expect("appended");
    }
    let read = subject.store.read_stream(&acme(), &stream("run/a"), 0, 10).await.expect("read");
    let versions: Vec<u64> = read.iter().map(|event| event.version).collect();
    assert_eq!(versions, [0, 1, 2, 3, 4, 5]);
    Verdict::Kept
}

pub(super) async fn a_stream_without_events_is_only_checked(subject: Subject) -> Verdict {
    subject.append("limits", Expected::New, 2).await.expect("appended");
    let stale = request(&[("limits", Expected::Exact(1), 0), ("run/a", Expected::New, 1)]);
    conflict(subject.store.append(stale).await, "limits", 2);
    let current = request(&[("limits", Expected::Exact(2), 0), ("run/a", Expected::New, 1)]);
    subject.store.append(current).await.expect("appended");
    subject.append("limits", Expected::Exact(2), 1).await.expect("its version did not change");
    Verdict::Kept
}

pub(super) async fn several_streams_are_appended_or_none(subject: Subject) -> Verdict {
    subject.append("run/b", Expected::New, 1).await.expect("appended");
    let half = request(&[("run/a", Expected::New, 2), ("run/b", Expected::New, 2)]);
    conflict(subject.store.append(half).await, "run/b", 1);
    assert_eq!(subject.head().await, 1, "the first stream was not appended either");
    let names = subject.store.streams(&acme(), "run/", None, 10).await.expect("names");
    assert_eq!(names, [stream("run/b")], "a rejected request makes no stream");
    let whole = request(&[("run/a", Expected::New, 2), ("run/b", Expected::Exact(1), 2)]);
    let appended = subject.store.append(whole).await.expect("appended");
    assert_eq!((appended.first.0, appended.last.0), (2, 5));
    Verdict::Kept
}

pub(super) async fn requests_without_sense_are_refused(subject: Subject) -> Verdict {
    let nothing = AppendRequest { tenant: acme(), key: None, streams: Vec::new(), fence: None };
    let only_checks = request(&[("run/a", Expected::Any, 0)]);
    let twice = request(&[("run/a", Expected::Any, 1), ("run/a", Expected::Any, 1)]);
    let mut long_key = request(&[("run/a", Expected::Any, 1)]);
    long_key.key = Some("k".repeat(10_000));
    let mut list = request(&[("run/a", Expected::Any, 1)]);
    list.streams[0].events = vec![event("thing.happened", "[]")];
    for senseless in [nothing, only_checks, twice, long_key, list] {
        let outcome = subject.store.append(senseless).await;
        assert!(matches!(outcome, Err(AppendError::Invalid(_))), "{outcome:?}");
    }
    assert_eq!(subject.head().await, 0);
    Verdict::Kept
}
