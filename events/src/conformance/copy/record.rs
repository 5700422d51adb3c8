//! What a copy holds, and in which order.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{LONG, Subject, TIMELY, assert_equal, events, read_to, tenant};
use crate::conformance::Verdict;
use crate::envelope::MAX_LEAF_BYTES;
use crate::ids::Position;
use crate::ports::{CopyError, RecordCopy, Recorded};

const NOW: Duration = Duration::from_millis(100);

pub(super) async fn an_empty_copy_ends_at_zero(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    assert_eq!(copy.last(1).await, Ok(Position(0)));
    assert_eq!(copy.at(1, Position(1)).await, Ok(None));
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_eq!(scan.next(10, NOW).await, Ok(Vec::new()));
    Verdict::Kept
}

pub(super) async fn what_is_added_stands_at_its_position(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let all = events(0, 5, "a");
    assert_eq!(copy.add(1, Position(0), &all[..2]).await, Ok(Position(2)));
    assert_eq!(copy.add(1, Position(2), &all[2..3]).await, Ok(Position(3)));
    assert_eq!(copy.add(1, Position(3), &all[3..]).await, Ok(Position(5)));
    assert_eq!(subject.copy().await.last(1).await, Ok(Position(5)), "other handles see it");
    for event in &all {
        let copied = copy.at(1, event.position).await.expect("read").expect("there");
        assert_equal(&[copied], std::slice::from_ref(event));
    }
    for nowhere in [0, 6, u64::MAX >> 1] {
        assert_eq!(copy.at(1, Position(nowhere)).await, Ok(None), "position {nowhere}");
    }
    Verdict::Kept
}

pub(super) async fn nothing_is_added_behind_another_end(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    copy.add(1, Position(0), &events(0, 10, "a")).await.expect("added");
    for (after, count) in [(0, 1), (0, 10), (0, 400), (9, 1), (9, 2), (11, 1), (400, 30)] {
        let refused = copy.add(1, Position(after), &events(after, count, "b")).await;
        let refused = refused.expect_err("the copy ends at 10");
        assert!(matches!(refused, CopyError::OutOfStep(_)), "{count} behind {after}: {refused:?}");
        assert_eq!(copy.last(1).await, Ok(Position(10)), "{count} behind {after}");
    }
    copy.add(1, Position(10), &events(10, 990, "a")).await.expect("goes on");
    // Also where a later part of what is refused would fit.
    for (after, count) in [(0, 3_500), (400, 601), (999, 2)] {
        let refused = copy.add(1, Position(after), &events(after, count, "b")).await;
        refused.expect_err("the copy ends at 1000");
        assert_eq!(copy.last(1).await, Ok(Position(1_000)), "{count} behind {after}");
    }
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_equal(&read_to(&mut *scan, 0, 1_000, 1_000).await, &events(0, 1_000, "a"));
    Verdict::Kept
}

pub(super) async fn nothing_is_added_with_a_gap(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let mut gap = events(0, 5, "a");
    gap.remove(2);
    let mut twice = events(0, 3, "a");
    twice.insert(1, twice[1].clone());
    for wrong in [gap, twice, events(1, 2, "a")] {
        copy.add(1, Position(0), &wrong).await.expect_err("not dense");
        assert_eq!(copy.last(1).await, Ok(Position(0)));
    }
    Verdict::Kept
}

pub(super) async fn adding_nothing_adds_nothing(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    assert_eq!(copy.add(1, Position(0), &[]).await, Ok(Position(0)));
    copy.add(1, Position(0), &events(0, 2, "a")).await.expect("added");
    assert_eq!(copy.add(1, Position(2), &[]).await, Ok(Position(2)));
    assert_eq!(copy.last(1).await, Ok(Position(2)));
    Verdict::Kept
}

pub(super) async fn many_events_keep_their_order(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let all = events(0, 7_001, "a");
    let mut end = Position(0);
    for part in [1, 999, 1_000, 1_001, 4_000] {
        let from = usize::try_from(end.0).expect("small");
        end = copy.add(1, end, &all[from..from + part]).await.expect("added");
    }
    assert_eq!(end, Position(7_001));
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_equal(&read_to(&mut *scan, 0, 7_001, 900).await, &all);
    Verdict::Kept
}

fn with_leaf(mut event: Recorded, leaf: Vec<u8>) -> Recorded {
    event.leaf = Arc::from(leaf);
    event
}

pub(super) async fn the_largest_leaves_are_taken(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let large = |event: Recorded| with_leaf(event, vec![b'x'; MAX_LEAF_BYTES]);
    let all: Vec<_> = events(0, 150, "a").into_iter().map(large).collect();
    assert_eq!(copy.add(1, Position(0), &all).await, Ok(Position(150)));
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_equal(&read_to(&mut *scan, 0, 150, 1_000).await, &all);
    Verdict::Kept
}

pub(super) async fn leaves_are_kept_to_the_byte(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let odd: [&[u8]; 6] = [b"\0", b"\r\n\r\n", b"NATS/1.0\r\n", b"\xff\xfe", b" ", &[7; 1_000]];
    let all: Vec<_> = events(0, 6, "a")
        .into_iter()
        .zip(odd)
        .map(|(event, leaf)| with_leaf(event, leaf.to_vec()))
        .collect();
    copy.add(1, Position(0), &all).await.expect("added");
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_equal(&read_to(&mut *scan, 0, 6, 10).await, &all);
    for event in &all {
        let copied = copy.at(1, event.position).await.expect("read").expect("there");
        assert_eq!(copied.leaf, event.leaf);
    }
    Verdict::Kept
}

pub(super) async fn timelines_are_apart(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    copy.add(1, Position(0), &events(0, 4, "old")).await.expect("added");
    assert_eq!(copy.last(2).await, Ok(Position(0)));
    copy.add(2, Position(0), &events(0, 6, "new")).await.expect("added");
    copy.add(10, Position(0), &events(0, 1, "far")).await.expect("added");
    for (timeline, count, flavour) in [(1, 4, "old"), (2, 6, "new"), (10, 1, "far")] {
        assert_eq!(copy.last(timeline).await, Ok(Position(count)));
        let mut scan = copy.scan(timeline, Position(0), None).await.expect("a scan");
        assert_equal(&read_to(&mut *scan, 0, count, 9).await, &events(0, count, flavour));
        assert_eq!(scan.next(9, NOW).await, Ok(Vec::new()), "timeline {timeline}");
    }
    Verdict::Kept
}

/// Adds a record by one handle until the copy has it, as a relay does.
async fn add_all(copy: Arc<dyn RecordCopy>, all: Arc<Vec<Recorded>>, part: usize) {
    loop {
        let end = copy.last(1).await.expect("asked");
        let from = usize::try_from(end.0).expect("small");
        let Some(rest) = all.get(from..).filter(|rest| !rest.is_empty()) else { return };
        match copy.add(1, end, &rest[..part.min(rest.len())]).await {
            Ok(_) | Err(CopyError::OutOfStep(_)) => {}
            Err(error) => panic!("{error}"),
        }
    }
}

pub(super) async fn two_adders_of_one_record_add_each_event_once(subject: Subject) -> Verdict {
    let all = Arc::new(events(0, 2_000, "a"));
    let adders = [1, 40, 700, 1_300].map(|part| (subject.clone(), all.clone(), part));
    let tasks = adders.map(|(subject, all, part)| {
        tokio::spawn(async move { add_all(subject.copy().await, all, part).await })
    });
    for task in tasks {
        task.await.expect("no panic");
    }
    let copy = subject.copy().await;
    assert_eq!(copy.last(1).await, Ok(Position(2_000)));
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_equal(&read_to(&mut *scan, 0, 2_000, 1_000).await, &all);
    Verdict::Kept
}

pub(super) async fn of_two_records_one_wins_each_position(subject: Subject) -> Verdict {
    let copies = [subject.copy().await, subject.copy().await];
    copies[0].add(1, Position(0), &events(0, 1, "a")).await.expect("added");
    for round in 0..20u64 {
        let end = copies[0].last(1).await.expect("asked");
        let size = 1 + round % 3;
        let (a, b) = (events(end.0, size, "a"), events(end.0, size, "b"));
        let (first, second) = tokio::join!(copies[0].add(1, end, &a), copies[1].add(1, end, &b));
        let winner = match (first, second) {
            (Ok(_), Err(_)) => &a,
            (Err(_), Ok(_)) => &b,
            other => panic!("exactly one of two must win: {other:?}"),
        };
        let mut scan = copies[0].scan(1, end, None).await.expect("a scan");
        assert_equal(&read_to(&mut *scan, end.0, end.0 + size, 9).await, winner);
    }
    Verdict::Kept
}

pub(super) async fn a_scan_goes_on_from_any_position(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let all = events(0, 50, "a");
    copy.add(1, Position(0), &all).await.expect("added");
    for after in [0, 1, 20, 49, 50] {
        let mut scan = copy.scan(1, Position(after), None).await.expect("a scan");
        let rest = &all[usize::try_from(after).expect("small")..];
        assert_equal(&read_to(&mut *scan, after, 50, 7).await, rest);
        assert_eq!(scan.next(7, NOW).await, Ok(Vec::new()));
    }
    let mut scan = copy.scan(1, Position(0), None).await.expect("a scan");
    assert_eq!(scan.next(0, LONG).await, Ok(Vec::new()), "a limit of nothing is kept");
    assert_equal(&read_to(&mut *scan, 0, 50, 1).await, &all);
    Verdict::Kept
}

pub(super) async fn a_scan_waits_for_news_and_not_longer(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    copy.add(1, Position(0), &events(0, 3, "a")).await.expect("added");
    let mut scan = copy.scan(1, Position(3), None).await.expect("a scan");
    let begun = Instant::now();
    let waited = Duration::from_millis(300);
    assert_eq!(scan.next(10, waited).await, Ok(Vec::new()));
    assert!(begun.elapsed() >= waited && begun.elapsed() < waited + TIMELY);
    for round in 0..3 {
        let after = 3 + round * 5;
        let adding = async {
            tokio::task::yield_now().await;
            copy.add(1, Position(after), &events(after, 5, "a")).await.expect("added");
        };
        let begun = Instant::now();
        let (seen, ()) = tokio::join!(read_to(&mut *scan, after, after + 5, 10), adding);
        assert_equal(&seen, &events(after, 5, "a"));
        assert!(begun.elapsed() < TIMELY, "{:?}", begun.elapsed());
    }
    Verdict::Kept
}

pub(super) async fn a_scan_of_a_tenant_sees_only_its_events(subject: Subject) -> Verdict {
    let copy = subject.copy().await;
    let all = events(0, 2_500, "a");
    copy.add(1, Position(0), &all).await.expect("added");
    for (name, after) in [("beta", 0), ("acme", 7), ("beta", 2_000), ("nobody", 0)] {
        let ours = |event: &&Recorded| event.tenant.as_str() == name && event.position.0 > after;
        let expected: Vec<_> = all.iter().filter(ours).cloned().collect();
        let of = tenant(name);
        let mut scan = copy.scan(1, Position(after), Some(&of)).await.expect("a scan");
        let mut seen = Vec::new();
        while seen.len() < expected.len() {
            let page = scan.next(300, LONG).await.expect("read");
            assert!(!page.is_empty());
            seen.extend(page);
        }
        assert_equal(&seen, &expected);
        assert_eq!(scan.next(300, NOW).await, Ok(Vec::new()), "{name}");
    }
    Verdict::Kept
}

pub(super) async fn a_scan_begins_before_there_is_a_copy(subject: Subject) -> Verdict {
    let (reader, writer) = (subject.copy().await, subject.copy().await);
    let mut scan = reader.scan(3, Position(0), None).await.expect("a scan");
    assert_eq!(scan.next(10, NOW).await, Ok(Vec::new()));
    let all = events(0, 4, "a");
    let adding = async { writer.add(3, Position(0), &all).await.expect("added") };
    let (seen, _) = tokio::join!(read_to(&mut *scan, 0, 4, 10), adding);
    assert_equal(&seen, &all);
    Verdict::Kept
}
