//! Many callers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::subject::{Subject, acme, keyed, numbers, read_all, request, stream};
use crate::conformance::Verdict;
use crate::ids::Position;
use crate::ports::{AppendError, AppendRequest, Appended, EventStore, Expected, Recorded};

type Answer = Result<Appended, AppendError>;

/// Sends all requests at once and returns the answers in the order of the requests.
async fn at_once(store: &Arc<dyn EventStore>, requests: Vec<AppendRequest>) -> Vec<Answer> {
    let tasks: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let store = Arc::clone(store);
            tokio::spawn(async move { store.append(request).await })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.expect("no panic"));
    }
    answers
}

/// Positions, log indexes and every stream's versions have no gap.
fn assert_dense(events: &[Recorded]) {
    let mut versions = std::collections::BTreeMap::new();
    for (at, event) in events.iter().enumerate() {
        let at = at as u64;
        assert_eq!((event.position.0, event.tenant_sequence), (at + 1, at));
        let next = versions.entry(event.stream.clone()).or_insert(0);
        assert_eq!(event.version, *next, "of {}", event.stream);
        *next += 1;
    }
}

pub(super) async fn a_rejected_request_hurts_no_neighbour(subject: Subject) -> Verdict {
    subject.append("run/old", Expected::New, 1).await.expect("appended");
    let requests = (0..60).map(|n| match n % 3 {
        0 => request(&[("run/old", Expected::New, 2)]),
        _ => request(&[(&format!("run/{n}"), Expected::New, 2)]),
    });
    let answers = at_once(&subject.store, requests.collect()).await;
    for (n, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), n % 3 == 0, "request {n}: {answer:?}");
    }
    let all = subject.all().await;
    assert_eq!(all.len(), 1 + 40 * 2);
    assert_dense(&all);
    Verdict::Kept
}

pub(super) async fn concurrent_appends_are_dense_and_none_is_lost(subject: Subject) -> Verdict {
    const CALLERS: usize = 64;
    const ROUNDS: usize = 8;
    let callers: Vec<_> = (0..CALLERS)
        .map(|caller| {
            let store = Arc::clone(&subject.store);
            tokio::spawn(async move {
                let name = format!("run/{caller}");
                let mut acknowledged = Vec::new();
                for round in 0..ROUNDS {
                    let expected = Expected::Exact(round as u64);
                    let ask = request(&[(&name, expected, 1)]);
                    acknowledged.push(store.append(ask).await.expect("appended").first);
                }
                acknowledged
            })
        })
        .collect();
    let mut acknowledged = BTreeSet::new();
    for caller in callers {
        let positions = caller.await.expect("no panic");
        assert!(positions.is_sorted(), "a caller's appends are in its own order");
        acknowledged.extend(positions);
    }
    let all = subject.all().await;
    assert_dense(&all);
    let there: BTreeSet<Position> = all.iter().map(|event| event.position).collect();
    assert_eq!(there, acknowledged);
    assert_eq!(there.len(), CALLERS * ROUNDS);
    Verdict::Kept
}

pub(super) async fn one_of_many_wins_a_version(subject: Subject) -> Verdict {
    for round in 0..5 {
        let requests = (0..20).map(|_| request(&[("run/a", Expected::Exact(round), 1)]));
        let answers = at_once(&subject.store, requests.collect()).await;
        let won = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(won, 1, "of 20 that expected version {round}");
    }
    assert_eq!(subject.head().await, 5);
    Verdict::Kept
}

pub(super) async fn a_key_used_at_once_by_many_appends_once(subject: Subject) -> Verdict {
    let requests = (0..20).map(|_| keyed("k", request(&[("run/a", Expected::New, 2)])));
    let answers = at_once(&subject.store, requests.collect()).await;
    let fresh = answers.iter().filter(|a| matches!(a, Ok(done) if !done.duplicate)).count();
    assert_eq!(fresh, 1);
    for answer in answers {
        let done = answer.expect("all are answered");
        assert_eq!((done.first.0, done.last.0), (1, 2));
    }
    assert_eq!(subject.head().await, 2);
    Verdict::Kept
}

/// A reader that only ever asks for more never misses an event and never sees one twice.
pub(super) async fn a_reader_sees_every_event_exactly_once(subject: Subject) -> Verdict {
    const WRITERS: usize = 8;
    const EACH: usize = 60;
    let other = subject.under_test.second_handle().await;
    let writers: Vec<_> = (0..WRITERS)
        .map(|writer| {
            let both = [Arc::clone(&subject.store), other.clone().unwrap_or(subject.store.clone())];
            let store = Arc::clone(&both[writer % 2]);
            tokio::spawn(async move {
                for round in 0..EACH {
                    let name = format!("run/{writer}-{}", round % 5);
                    let ask = request(&[(&name, Expected::Any, 1 + round % 3)]);
                    store.append(ask).await.expect("appended");
                }
            })
        })
        .collect();
    let expected = WRITERS * (0..EACH).map(|round| 1 + round % 3).sum::<usize>();
    let mut seen: Vec<Recorded> = Vec::new();
    while seen.len() < expected {
        let cursor = Position(seen.len() as u64);
        let head = subject.store.wait_beyond(cursor, std::time::Duration::from_secs(30)).await;
        assert!(head.expect("the head") > cursor, "the writers have more to say");
        seen.extend(subject.store.read_after(cursor, 64).await.expect("a page"));
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    assert_dense(&seen);
    assert_eq!(seen.len(), expected);
    Verdict::Kept
}

pub(super) async fn two_handles_append_to_one_record(subject: Subject) -> Verdict {
    let Some(other) = subject.under_test.second_handle().await else {
        return Verdict::NotApplicable("the record has one handle only");
    };
    let one = Arc::clone(&subject.store);
    let mut streams = tokio::task::JoinSet::new();
    for (handle, store) in [one, Arc::clone(&other)].into_iter().enumerate() {
        for caller in 0..8 {
            let store = Arc::clone(&store);
            streams.spawn(async move {
                for round in 0..12 {
                    let own = format!("run/{handle}-{caller}");
                    let both =
                        [(own.as_str(), Expected::Exact(round), 1), ("limits", Expected::Any, 1)];
                    store.append(request(&both)).await.expect("appended");
                }
            });
        }
    }
    while let Some(done) = streams.join_next().await {
        done.expect("no panic");
    }
    let all = subject.all().await;
    assert_dense(&all);
    assert_eq!(all.len(), 2 * 8 * 12 * 2);
    assert_eq!(numbers(&read_all(&*other).await), numbers(&all));
    let shared = subject.store.read_stream(&acme(), &stream("limits"), 0, 1_000).await;
    assert_eq!(shared.expect("read").len(), 2 * 8 * 12);
    assert_eq!(subject.store.log_head(&acme()).await, other.log_head(&acme()).await);
    Verdict::Kept
}
