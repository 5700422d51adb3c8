//! Numbers and time.

use super::subject::{EPOCH, Subject, acme, numbers, request, stream, tenant};
use crate::conformance::Verdict;
use crate::envelope::Envelope;
use crate::ports::Expected;
use crate::time::{Millis, Timestamp};

pub(super) async fn positions_are_dense_from_one(subject: Subject) -> Verdict {
    assert_eq!(subject.head().await, 0);
    let first = subject.append("run/a", Expected::New, 3).await.expect("appended");
    let second = subject.append("run/b", Expected::New, 1).await.expect("appended");
    assert_eq!((first.first.0, first.last.0), (1, 3));
    assert_eq!((second.first.0, second.last.0), (4, 4));
    assert_eq!(numbers(&subject.all().await), [(1, 0, 0), (2, 1, 1), (3, 2, 2), (4, 3, 0)]);
    assert_eq!(subject.head().await, 4);
    Verdict::Kept
}

/// What was acknowledged before another append began stands before it.
pub(super) async fn positions_are_in_commit_order(subject: Subject) -> Verdict {
    let mut last = 0;
    for round in 0..50 {
        let name = format!("run/{}", round % 7);
        let appended = subject.append(&name, Expected::Any, 1 + round % 3).await.expect("appended");
        assert_eq!(appended.first.0, last + 1);
        last = appended.last.0;
        assert_eq!(subject.head().await, last, "an acknowledged append can be read");
    }
    Verdict::Kept
}

pub(super) async fn tenants_have_dense_logs_of_their_own(subject: Subject) -> Verdict {
    for (name, count) in [("acme", 2), ("umbrella", 1), ("acme", 1), ("umbrella", 2)] {
        let mut request = request(&[("run/same-name", Expected::Any, count)]);
        request.tenant = tenant(name);
        subject.store.append(request).await.expect("appended");
    }
    let acme_log = subject.store.read_log(&acme(), 0, 10).await.expect("the log");
    assert_eq!(numbers(&acme_log), [(1, 0, 0), (2, 1, 1), (4, 2, 2)]);
    let other = tenant("umbrella");
    let other_log = subject.store.read_log(&other, 0, 10).await.expect("the log");
    assert_eq!(numbers(&other_log), [(3, 0, 0), (5, 1, 1), (6, 2, 2)]);
    let name = stream("run/same-name");
    let other_stream = subject.store.read_stream(&other, &name, 1, 10).await.expect("a stream");
    assert_eq!(numbers(&other_stream), [(5, 1, 1), (6, 2, 2)]);
    assert!(other_stream.iter().all(|event| event.tenant == other && event.stream == name));
    Verdict::Kept
}

pub(super) async fn recording_time_never_goes_back(subject: Subject) -> Verdict {
    let hour = Millis::seconds(3_600);
    let mut times = Vec::new();
    for now in [EPOCH, EPOCH + hour, EPOCH, EPOCH - hour, EPOCH + hour + hour] {
        subject.clock.set(now);
        let appended = subject.append("run/a", Expected::Any, 1).await.expect("appended");
        times.push(appended.recorded_at);
    }
    let later = EPOCH + hour;
    assert_eq!(times, [EPOCH, later, later, later, later + hour]);
    let in_leaves: Vec<Timestamp> = subject
        .all()
        .await
        .iter()
        .map(|event| Envelope::parse(&event.leaf).expect("a leaf").recorded_at)
        .collect();
    assert_eq!(in_leaves, times);
    Verdict::Kept
}
