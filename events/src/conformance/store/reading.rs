//! Pages, names and waiting.

use std::time::{Duration, Instant};

use super::subject::{Subject, acme, numbers, request, stream, tenant};
use crate::conformance::Verdict;
use crate::ids::Position;
use crate::journal::Fault;
use crate::ports::Expected;

pub(super) async fn pages_are_bounded_and_continue(subject: Subject) -> Verdict {
    for _ in 0..5 {
        let streams = [("run/a", Expected::Any, 1), ("run/b", Expected::Any, 1)];
        subject.store.append(request(&streams)).await.expect("appended");
    }
    let (store, name) = (&subject.store, stream("run/b"));
    let page = store.read_after(Position(3), 2).await.expect("a page");
    assert_eq!(numbers(&page), [(4, 3, 1), (5, 4, 2)]);
    let page = store.read_stream(&acme(), &name, 3, 5).await.expect("a page");
    assert_eq!(numbers(&page), [(8, 7, 3), (10, 9, 4)]);
    let page = store.read_log(&acme(), 8, 1).await.expect("a page");
    assert_eq!(numbers(&page), [(9, 8, 4)]);
    assert!(store.read_after(Position(10), 5).await.expect("a page").is_empty());
    assert!(store.read_after(Position(u64::MAX), 5).await.expect("a page").is_empty());
    assert!(store.read_after(Position(0), 0).await.expect("a page").is_empty());
    assert!(store.read_stream(&acme(), &name, u64::MAX, 5).await.expect("a page").is_empty());
    Verdict::Kept
}

pub(super) async fn unknown_names_read_as_empty(subject: Subject) -> Verdict {
    subject.append("run/a", Expected::New, 1).await.expect("appended");
    let (store, nobody) = (&subject.store, tenant("nobody"));
    assert!(store.read_stream(&acme(), &stream("run/z"), 0, 5).await.expect("read").is_empty());
    assert!(store.read_stream(&nobody, &stream("run/a"), 0, 5).await.expect("read").is_empty());
    assert!(store.read_log(&nobody, 0, 5).await.expect("read").is_empty());
    assert!(store.streams(&nobody, "", None, 5).await.expect("read").is_empty());
    assert_eq!(store.log_head(&nobody).await.expect("read").size, 0);
    Verdict::Kept
}

pub(super) async fn streams_are_listed_newest_first(subject: Subject) -> Verdict {
    for name in ["run/2", "limits", "run/1", "schedule/x", "run/3", "run/1", "runway"] {
        subject.append(name, Expected::Any, 1).await.expect("appended");
    }
    let list = async |prefix: &str, limit| {
        let names = subject.store.streams(&acme(), prefix, None, limit).await.expect("names");
        names.iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("run/", 10).await, ["run/3", "run/1", "run/2"]);
    assert_eq!(list("run/", 2).await, ["run/3", "run/1"]);
    assert_eq!(list("run", 10).await, ["runway", "run/3", "run/1", "run/2"]);
    assert_eq!(list("run/1", 10).await, ["run/1"]);
    assert_eq!(list("", 3).await, ["runway", "run/3", "schedule/x"]);
    assert!(list("run/%", 3).await.is_empty(), "a prefix is text, not a pattern");
    Verdict::Kept
}

pub(super) async fn streams_are_paged_behind_a_cursor(subject: Subject) -> Verdict {
    for name in ["run/2", "limits", "run/1", "schedule/x", "run/3", "run/1"] {
        subject.append(name, Expected::Any, 1).await.expect("appended");
    }
    let list = async |prefix: &str, before: &str, limit| {
        let before = stream(before);
        let names = subject.store.streams(&acme(), prefix, Some(&before), limit).await;
        names.expect("names").iter().map(|name| name.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(list("run/", "run/3", 1).await, ["run/1"]);
    assert_eq!(list("run/", "run/1", 5).await, ["run/2"]);
    assert_eq!(list("run/", "schedule/x", 5).await, ["run/1", "run/2"], "of another kind");
    assert_eq!(list("", "schedule/x", 2).await, ["run/1", "limits"]);
    assert!(list("run/", "run/2", 5).await.is_empty(), "the oldest");
    assert!(list("run/", "run/9", 5).await.is_empty(), "a stream that is not there");
    assert!(list("", "run/9", 5).await.is_empty(), "a stream that is not there");
    // A page stays what it was while newer streams come.
    subject.append("run/4", Expected::New, 1).await.expect("appended");
    assert_eq!(list("run/", "run/3", 5).await, ["run/1", "run/2"]);
    Verdict::Kept
}

pub(super) async fn waiting_ends_at_news_or_at_the_timeout(subject: Subject) -> Verdict {
    subject.append("run/a", Expected::New, 2).await.expect("appended");
    let (store, minute) = (&subject.store, Duration::from_secs(60));
    assert_eq!(store.wait_beyond(Position(1), minute).await, Ok(Position(2)), "already there");
    let short = Duration::from_millis(20);
    assert_eq!(store.wait_beyond(Position(2), short).await, Ok(Position(2)), "timed out");
    let started = Instant::now();
    let (waited, appended) = tokio::join!(
        store.wait_beyond(Position(2), minute),
        subject.append("run/a", Expected::Any, 1)
    );
    appended.expect("appended");
    assert_eq!(waited, Ok(Position(3)));
    assert!(started.elapsed() < Duration::from_secs(30), "woken, not timed out");
    Verdict::Kept
}

pub(super) async fn waiting_notices_other_handles(subject: Subject) -> Verdict {
    let Some(other) = subject.under_test.second_handle().await else {
        return Verdict::NotApplicable("the record has one handle only");
    };
    let minute = Duration::from_secs(60);
    let (waited, appended) = tokio::join!(
        subject.store.wait_beyond(Position(0), minute),
        other.append(request(&[("run/a", Expected::New, 1)]))
    );
    appended.expect("appended");
    assert_eq!(waited, Ok(Position(1)));
    Verdict::Kept
}

/// What is remembered of a stream is what would be read of it, and all of it as far as was asked.
async fn streams_agree(subject: &Subject, what: &str, head: u64) {
    let store = &subject.store;
    for name in ["run/a", "run/b", "run/c"].map(stream) {
        assert_eq!(store.recent_of(&tenant("other"), &name, 0, Position(0)), []);
        let read = store.read_stream(&acme(), &name, 0, 100).await.expect("read");
        for from in 0..=read.len() {
            let read = &read[from..];
            for reached in 0..=head + 1 {
                let recent = store.recent_of(&acme(), &name, from as u64, Position(reached));
                let needed = read.iter().filter(|event| event.position.0 <= reached).count();
                let is_whole = recent.is_empty() || recent.len() >= needed;
                assert!(
                    is_whole && read.starts_with(&recent),
                    "{what}, {name} from {from} to {reached}: {recent:?} of {read:?}"
                );
            }
        }
    }
}

/// What is told from memory is told to everyone who follows: it must be the record, whoever else
/// appended and whatever went wrong meanwhile.
pub(super) async fn what_is_recent_is_what_would_be_read(subject: Subject) -> Verdict {
    let (store, faults) = (&subject.store, subject.under_test.faults());
    subject.append("run/a", Expected::New, 2).await.expect("appended");
    if store.recent(Position(0)).is_empty() {
        return Verdict::NotApplicable("the store remembers nothing for those who follow");
    }
    let other = subject.under_test.second_handle().await;
    let agrees = async |what: &str| {
        let head = subject.head().await;
        for cursor in (0..=head + 1).chain([u64::MAX]).map(Position) {
            let (recent, read) = (store.recent(cursor), store.read_after(cursor, 100).await);
            let read = read.expect("read");
            assert!(read.starts_with(&recent), "{what}, behind {cursor}: {recent:?} in {read:?}");
        }
        streams_agree(&subject, what, head).await;
        store.recent(Position(head - 1)).len()
    };
    let known = |name: &str, reached| {
        numbers(&store.recent_of(&acme(), &stream(name), 0, Position(reached)))
    };
    assert_eq!(known("run/a", 2), [(1, 0, 0), (2, 1, 1)]);
    assert_eq!(known("run/a", 3), [], "somebody else may have the third");
    assert_eq!(agrees("its own").await, 1);
    let streams = [("run/b", Expected::New, 2), ("run/a", Expected::Any, 1)];
    store.append(request(&streams)).await.expect("appended");
    assert_eq!(agrees("two streams").await, 1);
    assert_eq!(store.recent(Position(0)).len(), 5, "one append follows on the other");
    let refused = subject.append("run/a", Expected::New, 1).await;
    assert!(refused.is_err());
    assert_eq!(agrees("refused").await, 1);
    if let Some(other) = &other {
        other.append(request(&[("run/a", Expected::Any, 1)])).await.expect("appended");
        assert_eq!(agrees("somebody else's").await, 0, "only what was appended here is known");
        subject.append("run/b", Expected::Any, 1).await.expect("appended");
        assert_eq!(agrees("behind somebody else's").await, 1);
    }
    for fault in [Fault::Refuse, Fault::FailBeforeCommit, Fault::UnknownFailed] {
        let Some(faults) = &faults else { break };
        faults.inject(fault);
        subject.append("run/a", Expected::Any, 1).await.expect_err("a fault");
        agrees("a fault").await;
        subject.append("run/b", Expected::Any, 1).await.expect("appended");
        assert_eq!(agrees("behind a fault").await, 1);
    }
    for fault in [Fault::UnknownCommitted, Fault::LoseAnswer] {
        let Some(faults) = &faults else { break };
        faults.inject(fault);
        // It stands, whatever is said of it.
        let _ = subject.append("run/a", Expected::Any, 1).await;
        agrees("an answer that was lost").await;
        subject.append("run/b", Expected::Any, 1).await.expect("appended");
        assert_eq!(agrees("behind an answer that was lost").await, 1);
    }
    Verdict::Kept
}
