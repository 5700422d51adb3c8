//! What remains true when the copy cannot be reached, or is gone.

use std::time::{Duration, Instant};

use super::{LONG, Subject, assert_equal, events, read_to};
use crate::conformance::Verdict;
use crate::ids::Position;
use crate::ports::{CopyError, RecordCopy};

/// Asks until the copy answers again.
async fn back(copy: &dyn RecordCopy) -> Position {
    let begun = Instant::now();
    loop {
        match copy.last(1).await {
            Ok(last) => return last,
            Err(CopyError::Unavailable(_)) if begun.elapsed() < LONG => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            Err(error) => panic!("it does not come back: {error}"),
        }
    }
}

fn assert_silent<T: std::fmt::Debug>(what: &str, answer: Result<T, CopyError>, begun: Instant) {
    assert!(matches!(answer, Err(CopyError::Unavailable(_))), "{what}: {answer:?}");
    assert!(begun.elapsed() < LONG, "{what} took {:?}", begun.elapsed());
}

pub(super) async fn silence_is_an_error_and_ends(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    copy.add(1, Position(0), &events(0, 3, "a")).await.expect("added");
    subject.silence().await;
    let begun = Instant::now;
    let at = begun();
    assert_silent("last", copy.last(1).await, at);
    let at = begun();
    assert_silent("at", copy.at(1, Position(1)).await, at);
    let at = begun();
    assert_silent("add", copy.add(1, Position(3), &events(3, 600, "a")).await, at);
    subject.revive().await;
    // What was under way may have been added or not, but nothing else.
    let last = back(&*copy).await;
    assert!(last.0 >= 3 && last.0 <= 603, "it ends at {last}");
    let end = copy.add(1, last, &events(last.0, 5, "a")).await;
    let end = match end {
        Ok(end) => end,
        // It came late.
        Err(CopyError::OutOfStep(_)) => back(&*copy).await,
        Err(error) => panic!("{error}"),
    };
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_equal(&read_to(&mut *scan, 0, end.0, 100).await, &events(0, end.0, "a"));
    Verdict::Kept
}

pub(super) async fn a_scan_survives_silence(subject: Subject) -> Verdict {
    let (copy, reader) = (subject.copy().await, subject.copy().await);
    let all = events(0, 60, "a");
    copy.add(1, Position(0), &all[..30]).await.expect("added");
    let mut scan = reader.scan(1, Position(0), None).await.expect("a scan");
    let mut seen = read_to(&mut *scan, 0, 20, 20).await;
    subject.silence().await;
    let begun = Instant::now();
    assert_silent("next", scan.next(10, Duration::from_secs(1)).await, begun);
    subject.revive().await;
    back(&*copy).await;
    back(&*reader).await;
    copy.add(1, Position(30), &all[30..]).await.expect("added");
    seen.extend(read_to(&mut *scan, 20, 60, 7).await);
    assert_equal(&seen, &all);
    Verdict::Kept
}

pub(super) async fn a_deleted_copy_is_made_anew(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    copy.add(1, Position(0), &events(0, 20, "a")).await.expect("added");
    subject.delete(1).await;
    assert_eq!(copy.last(1).await, Ok(Position(0)));
    assert_eq!(copy.at(1, Position(3)).await, Ok(None));
    // One who still believes in the old end is told, however long it takes to make it anew.
    for count in [1, 30] {
        let refused = copy.add(1, Position(20), &events(20, count, "a")).await;
        let refused = refused.expect_err("the copy is gone");
        assert!(matches!(refused, CopyError::OutOfStep(_)), "{refused:?}");
    }
    let all = events(0, 25, "a");
    assert_eq!(copy.add(1, Position(0), &all).await, Ok(Position(25)));
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_equal(&read_to(&mut *scan, 0, 25, 10).await, &all);
    Verdict::Kept
}

pub(super) async fn a_scan_survives_deletion(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let all = events(0, 40, "a");
    copy.add(1, Position(0), &all[..10]).await.expect("added");
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    let mut seen = read_to(&mut *scan, 0, 10, 10).await;
    subject.delete(1).await;
    let nothing = scan.next(10, Duration::from_millis(300)).await;
    assert!(nothing.as_ref().is_ok_and(Vec::is_empty), "{nothing:?}");
    let mut end = copy.add(1, Position(0), &all[..5]).await;
    if end.is_err() {
        // The handle had not noticed yet.
        end = copy.add(1, Position(0), &all[..5]).await;
    }
    assert_eq!(end, Ok(Position(5)));
    copy.add(1, Position(5), &all[5..]).await.expect("added");
    seen.extend(read_to(&mut *scan, 10, 40, 10).await);
    assert_equal(&seen, &all);
    Verdict::Kept
}
