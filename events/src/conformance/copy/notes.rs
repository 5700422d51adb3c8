//! The boards.

use std::time::{Duration, Instant};

use super::{LONG, Subject, TIMELY};
use crate::conformance::Verdict;
use crate::ports::{Board, CopyError, Notes, PostedNote};
use crate::tlog::{Note, NoteSignature};

const NOW: Duration = Duration::from_millis(100);
const BOARDS: [Board; 2] = [Board::Signed, Board::Cosigned];

fn note(origin: &str, size: u64, by: &str) -> Note {
    let mut note = Note::new(&format!("{origin}\n{size}\nroot\n")).expect("a note");
    let (name, key_id, signature) = (by.to_string(), [1, 2, 3, 4], vec![9; 64]);
    note.signatures.push(NoteSignature { name, key_id, signature });
    note
}

async fn post(notes: &dyn Notes, board: Board, origin: &str, size: u64, by: &str) {
    notes.post(board, origin, by, &note(origin, size, by)).await.expect("posted");
}

async fn after(notes: &dyn Notes, board: Board, seen: u64) -> Vec<PostedNote> {
    notes.after(board, seen, 100, LONG).await.expect("read")
}

pub(super) async fn an_empty_board_has_nothing_and_says_so_in_time(subject: Subject) -> Verdict {
    let notes = subject.notes().await;
    for board in BOARDS {
        let begun = Instant::now();
        assert_eq!(notes.after(board, 0, 10, NOW).await, Ok(Vec::new()));
        assert!(begun.elapsed() < TIMELY, "{:?}", begun.elapsed());
    }
    Verdict::Kept
}

pub(super) async fn a_note_is_read_as_it_was_posted(subject: Subject) -> Verdict {
    let (notes, reader) = (subject.notes().await, subject.notes().await);
    let origin = "site.example/t/acme/1";
    for board in BOARDS {
        post(&*notes, board, origin, 17, "site.example/é").await;
        let page = after(&*reader, board, 0).await;
        assert_eq!(page.len(), 1);
        assert!(page[0].number >= 1);
        assert_eq!(page[0].origin, origin);
        assert_eq!(page[0].note, note(origin, 17, "site.example/é"));
    }
    Verdict::Kept
}

pub(super) async fn boards_are_apart(subject: Subject) -> Verdict {
    let notes = subject.notes().await;
    post(&*notes, Board::Signed, "a", 1, "site").await;
    assert_eq!(notes.after(Board::Cosigned, 0, 10, NOW).await, Ok(Vec::new()));
    post(&*notes, Board::Cosigned, "a", 1, "witness").await;
    assert_eq!(after(&*notes, Board::Signed, 0).await.len(), 1);
    assert_eq!(after(&*notes, Board::Cosigned, 0).await.len(), 1);
    Verdict::Kept
}

pub(super) async fn the_newest_note_of_each_log_and_witness_is_kept(subject: Subject) -> Verdict {
    let notes = subject.notes().await;
    for size in 1..=20 {
        for origin in ["a", "b"] {
            post(&*notes, Board::Signed, origin, size, "site").await;
            for witness in ["w1", "w2"] {
                post(&*notes, Board::Cosigned, origin, size, witness).await;
            }
        }
    }
    let signed = after(&*notes, Board::Signed, 0).await;
    for origin in ["a", "b"] {
        assert!(signed.iter().any(|posted| posted.note == note(origin, 20, "site")), "{origin}");
    }
    let cosigned = after(&*notes, Board::Cosigned, 0).await;
    for (origin, witness) in [("a", "w1"), ("a", "w2"), ("b", "w1"), ("b", "w2")] {
        let newest = note(origin, 20, witness);
        assert!(cosigned.iter().any(|posted| posted.note == newest), "{origin} {witness}");
    }
    for page in [signed, cosigned] {
        assert!(page.is_sorted_by(|a, b| a.number < b.number), "numbers grow: {page:?}");
    }
    Verdict::Kept
}

pub(super) async fn a_reader_goes_on_from_its_number(subject: Subject) -> Verdict {
    let (notes, reader) = (subject.notes().await, subject.notes().await);
    let mut seen = 0;
    for size in 1..=5 {
        post(&*notes, Board::Signed, "a", size, "site").await;
        let page = after(&*reader, Board::Signed, seen).await;
        assert_eq!(page.len(), 1, "only what is new");
        assert_eq!(page[0].note, note("a", size, "site"));
        assert!(page[0].number > seen);
        seen = page[0].number;
    }
    assert_eq!(reader.after(Board::Signed, seen, 10, NOW).await, Ok(Vec::new()));
    // Another reader, or the same one after a restart, begins where it wants to.
    let again = after(&*reader, Board::Signed, seen - 1).await;
    assert_eq!(again.last().map(|posted| posted.number), Some(seen));
    Verdict::Kept
}

pub(super) async fn a_waiting_reader_is_woken(subject: Subject) -> Verdict {
    let (notes, reader) = (subject.notes().await, subject.notes().await);
    for size in 1..=3 {
        let seen = reader.after(Board::Cosigned, 0, 10, NOW).await.expect("read");
        let seen = seen.last().map_or(0, |posted| posted.number);
        let begun = Instant::now();
        let posting = async {
            tokio::task::yield_now().await;
            post(&*notes, Board::Cosigned, "a", size, "w").await;
        };
        let (page, ()) = tokio::join!(after(&*reader, Board::Cosigned, seen), posting);
        assert_eq!(page[0].note, note("a", size, "w"));
        assert!(begun.elapsed() < TIMELY, "{:?}", begun.elapsed());
    }
    Verdict::Kept
}

pub(super) async fn pages_of_notes_are_bounded(subject: Subject) -> Verdict {
    let notes = subject.notes().await;
    for origin in 0..25 {
        post(&*notes, Board::Signed, &format!("log-{origin}"), 1, "site").await;
    }
    let (mut seen, mut all) = (0, Vec::new());
    while all.len() < 25 {
        let page = notes.after(Board::Signed, seen, 10, LONG).await.expect("read");
        assert!(!page.is_empty() && page.len() <= 10, "{}", page.len());
        seen = page.last().map_or(seen, |posted| posted.number);
        all.extend(page.into_iter().map(|posted| posted.origin));
    }
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 25);
    Verdict::Kept
}

pub(super) async fn silence_on_the_board_is_an_error(subject: Subject) -> Verdict {
    let notes = subject.notes().await;
    post(&*notes, Board::Signed, "a", 1, "site").await;
    subject.silence().await;
    let begun = Instant::now();
    let posted = notes.post(Board::Signed, "a", "site", &note("a", 2, "site")).await;
    assert!(matches!(posted, Err(CopyError::Unavailable(_))), "{posted:?}");
    let read = notes.after(Board::Signed, 0, 10, Duration::from_secs(1)).await;
    assert!(matches!(read, Err(CopyError::Unavailable(_))), "{read:?}");
    assert!(begun.elapsed() < LONG, "{:?}", begun.elapsed());
    subject.revive().await;
    let begun = Instant::now();
    loop {
        match notes.after(Board::Signed, 0, 10, LONG).await {
            Ok(page) if !page.is_empty() => break,
            Ok(_) | Err(CopyError::Unavailable(_)) if begun.elapsed() < LONG => {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            other => panic!("it does not come back: {other:?}"),
        }
    }
    Verdict::Kept
}

/// Whether it has fewer notes than were seen, or more of them already.
pub(super) async fn a_board_whose_numbers_begin_again_says_so(subject: Subject) -> Verdict {
    let (notes, reader) = (subject.notes().await, subject.notes().await);
    for more in [1, 5, 12] {
        let mut seen = 0;
        for size in 1..=5 {
            post(&*notes, Board::Signed, "a", size, "site").await;
            post(&*notes, Board::Cosigned, "a", size, "w").await;
            let page = after(&*reader, Board::Signed, seen).await;
            seen = page.last().map_or(seen, |posted| posted.number);
        }
        subject.delete_notes().await;
        for origin in 0..more {
            post(&*notes, Board::Signed, &format!("log-{origin}"), 1, "site").await;
        }
        let read = reader.after(Board::Signed, seen, 100, NOW).await;
        assert!(matches!(read, Err(CopyError::OutOfStep(_))), "{more} behind {seen}: {read:?}");
        let all = after(&*reader, Board::Signed, 0).await;
        assert_eq!(all.len(), more, "all that is there, from the beginning");
        // And from there on as ever.
        let seen = all.last().map_or(0, |posted| posted.number);
        assert_eq!(reader.after(Board::Signed, seen, 10, NOW).await, Ok(Vec::new()));
        post(&*notes, Board::Signed, "b", 1, "site").await;
        assert_eq!(after(&*reader, Board::Signed, seen).await.len(), 1);
        subject.delete_notes().await;
    }
    // A number that the board never gave, as after a restart of the reader.
    post(&*notes, Board::Signed, "a", 1, "site").await;
    let new = subject.notes().await;
    let read = new.after(Board::Signed, 1_000, 10, NOW).await;
    assert!(matches!(read, Err(CopyError::OutOfStep(_))), "{read:?}");
    assert_eq!(after(&*new, Board::Signed, 0).await.len(), 1);
    Verdict::Kept
}
