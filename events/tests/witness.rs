//! The witness: what it co-signs, what it waits for, and what it refuses for ever.

mod record_support;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use dagbook_events::envelope::Envelope;
use dagbook_events::ids::Position;
use dagbook_events::journal::copy::{CopyFault, MemoryCopy, MemoryNotes};
use dagbook_events::journal::keys::{FileCosigner, verify_note};
use dagbook_events::journal::witness::{
    Refusal, Witness, WitnessError, WitnessOptions, WitnessParts, WitnessStatus,
};
use dagbook_events::ports::{Board, CopiedEvent, EventStore, Notes};
use dagbook_events::tlog::{Checkpoint, Note, VerifierKey, leaf_hash};
use proptest::prelude::*;
use record_support::{Record, SITE, tenant};
use tokio::sync::watch;

struct Site {
    record: Record,
    copy: MemoryCopy,
    notes: MemoryNotes,
}

impl Site {
    fn new() -> Self {
        Self { record: Record::new(), copy: MemoryCopy::new(), notes: MemoryNotes::new() }
    }

    fn witness_folder(&self) -> PathBuf {
        self.record.folder.path().join("witness")
    }

    fn try_witness(&self, options: WitnessOptions) -> Result<Witness, WitnessError> {
        let key = self.record.folder.path().join("witness-keys/w1");
        let parts = WitnessParts {
            copy: Arc::new(self.copy.clone()),
            notes: Arc::new(self.notes.clone()),
            cosigner: FileCosigner::open(key, "witness.example/w1").expect("a key"),
            clock: Arc::clone(&self.record.clock) as _,
            folder: self.witness_folder(),
        };
        Witness::open(parts, options)
    }

    fn witness(&self) -> Witness {
        self.try_witness(self.options()).expect("opened")
    }

    fn options(&self) -> WitnessOptions {
        // Kept after each turn, so that a restart goes on from there.
        let keep_every = Duration::ZERO;
        let log_key = Some(self.record.log_key());
        WitnessOptions { log_key, keep_every, ..WitnessOptions::default() }
    }

    async fn relay(&self) {
        let timeline = self.record.store.timeline().await.expect("readable");
        self.record.relay(&self.copy, timeline).await;
    }

    /// Signs a tenant's head as it is now, and shows it.
    async fn sign(&self, name: &str) -> Checkpoint {
        let timeline = self.record.store.timeline().await.expect("readable");
        let store = &*self.record.store;
        let signed = self.record.checkpoints().write(store, &tenant(name), timeline).await;
        let signed = signed.expect("signed");
        self.show(&signed.checkpoint, &signed.note).await;
        signed.checkpoint
    }

    async fn show(&self, head: &Checkpoint, note: &Note) {
        self.notes.post(Board::Signed, &head.origin, SITE, note).await.expect("posted");
    }

    /// Heads that a witness co-signed last, by log; each cosignature is checked.
    async fn cosigned(&self, key: &VerifierKey) -> Vec<Checkpoint> {
        let posted = self.notes.after(Board::Cosigned, 0, 1_000, Duration::ZERO).await;
        let mut heads = Vec::new();
        for posted in posted.expect("readable") {
            assert_eq!(verify_note(&posted.note, key), Ok(()));
            assert_eq!(verify_note(&posted.note, &self.record.log_key()), Ok(()));
            heads.push(Checkpoint::parse(&posted.note.text).expect("a head"));
        }
        heads.sort_by(|a, b| a.origin.cmp(&b.origin));
        heads
    }

    async fn assert_cosigned(&self, witness: &Witness, expected: &[&Checkpoint]) {
        let heads = self.cosigned(witness.verifier()).await;
        assert_eq!(heads.iter().collect::<Vec<_>>(), expected);
    }
}

async fn turn(witness: &mut Witness) -> WitnessStatus {
    let status = witness.turn().await.expect("it goes on");
    assert_eq!(status.problem, None);
    status
}

async fn refusal(witness: &mut Witness) -> Refusal {
    let _ = witness.turn().await.expect("it goes on");
    assert_eq!(witness.refusals().len(), 1, "{:?}", witness.refusals());
    witness.refusals()[0].clone()
}

#[tokio::test]
async fn equal_heads_are_cosigned_with_the_time() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 5).await;
    site.record.append("b", 2).await;
    site.record.append("a", 700).await;
    site.relay().await;
    let (a, b) = (site.sign("a").await, site.sign("b").await);
    let status = turn(&mut witness).await;
    assert_eq!((status.cosigned, status.waiting, status.position), (2, 0, Position(707)));
    site.assert_cosigned(&witness, &[&a, &b]).await;
    let posted = site.notes.after(Board::Cosigned, 0, 9, Duration::ZERO).await.expect("read");
    let time = posted[0].note.cosignature(witness.verifier()).expect("there").time;
    assert_eq!(time, 1_767_225_600);
    // Larger heads follow, each with the proof that its signer's memory asks for.
    for more in [1, 300, 20] {
        site.record.append("a", more).await;
        site.relay().await;
        let a = site.sign("a").await;
        turn(&mut witness).await;
        site.assert_cosigned(&witness, &[&a, &b]).await;
    }
    assert!(witness.refusals().is_empty());
}

#[tokio::test]
async fn a_head_waits_for_its_leaves_and_leaves_do_not_wait_for_heads() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 10).await;
    let early = site.sign("a").await;
    assert_eq!(turn(&mut witness).await.waiting, 1);
    site.assert_cosigned(&witness, &[]).await;
    // Then the copy has more than the head.
    site.record.append("a", 90).await;
    site.relay().await;
    assert_eq!(turn(&mut witness).await.waiting, 0);
    site.assert_cosigned(&witness, &[&early]).await;
    // And a head comes late, when its leaves were read long ago.
    let late = site.sign("a").await;
    site.record.append("a", 900).await;
    site.relay().await;
    turn(&mut witness).await;
    site.assert_cosigned(&witness, &[&late]).await;
}

#[tokio::test]
async fn a_witness_that_is_started_again_goes_on() {
    let site = Site::new();
    let mut sizes = 0;
    let mut witness = site.witness();
    for round in 0..12u64 {
        site.record.append("a", 40).await;
        sizes += 40;
        site.relay().await;
        let calls = site.copy.calls();
        if round % 3 == 0 {
            let head = site.sign("a").await;
            turn(&mut witness).await;
            assert_eq!(head.size, sizes);
            site.assert_cosigned(&witness, &[&head]).await;
        } else {
            turn(&mut witness).await;
            // With leaves behind the last cosigned head, which only the copy has now.
            drop(witness);
            witness = site.witness();
            assert_eq!(witness.status().borrow().position, Position(sizes));
        }
        assert!(site.copy.calls() - calls < 10, "it does not begin at the beginning");
    }
}

#[tokio::test]
async fn a_witness_that_lost_its_trees_reads_the_copy_again_and_keeps_its_word() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 300).await;
    site.relay().await;
    site.sign("a").await;
    turn(&mut witness).await;
    drop(witness);
    std::fs::remove_file(site.witness_folder().join("timeline-1.json")).expect("lost");
    site.record.append("a", 30).await;
    site.relay().await;
    let head = site.sign("a").await;
    let mut witness = site.witness();
    turn(&mut witness).await;
    site.assert_cosigned(&witness, &[&head]).await;
    drop(witness);
    // Another record with as many leaves, in the store and in the copy alike: only what the
    // witness co-signed before speaks against it.
    std::fs::remove_file(site.witness_folder().join("timeline-1.json")).expect("lost");
    for file in ["keys/log.signed", "checkpoints"] {
        let path = site.record.folder.path().join(file);
        let removed =
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        removed.expect("lost");
    }
    let site = Site { record: site.record.with_another_store(), copy: MemoryCopy::new(), ..site };
    site.record.append("a", 400).await;
    site.relay().await;
    site.sign("a").await;
    let mut witness = site.witness();
    let refused = refusal(&mut witness).await;
    assert_eq!(refused.size, Some(330));
    assert!(refused.to_string().contains("than was co-signed before"), "{refused}");
    site.assert_cosigned(&witness, &[&head]).await;
}

#[tokio::test]
async fn a_changed_leaf_is_refused_with_its_position_and_for_ever() {
    let site = Site::new();
    site.record.append("a", 5).await;
    site.record.append("b", 5).await;
    site.record.append("a", 5).await;
    site.relay().await;
    let (_, b) = (site.sign("a").await, site.sign("b").await);
    let changed = site.copy.tamper(1, Position(13), |event| {
        let text = String::from_utf8(event.leaf.to_vec()).expect("text");
        event.leaf = Arc::from(text.replace(r#""n":2"#, r#""n":7"#).into_bytes());
    });
    assert!(changed);
    let mut witness = site.witness();
    let refused = refusal(&mut witness).await;
    assert_eq!(refused.origin.as_deref(), Some("dagbook.example/t/a/1"));
    assert_eq!((refused.position, refused.tenant.as_deref()), (Some(13), Some("a")));
    assert!(refused.reason.contains("stands beside it"), "{refused}");
    // The other log is witnessed further.
    site.assert_cosigned(&witness, &[&b]).await;
    // The copy is mended and the witness started again: too late.
    drop(witness);
    let all = site.record.store.read_after(Position(12), 1).await.expect("readable");
    site.copy.tamper(1, Position(13), |event| event.leaf = Arc::clone(&all[0].leaf));
    site.record.append("a", 1).await;
    site.record.append("b", 1).await;
    site.relay().await;
    site.sign("a").await;
    let b = site.sign("b").await;
    let mut witness = site.witness();
    assert_eq!(refusal(&mut witness).await, refused);
    site.assert_cosigned(&witness, &[&b]).await;
}

/// Also where the hash beside the leaf was changed with it: then the site's head differs.
#[tokio::test]
async fn a_leaf_that_was_changed_with_its_hash_gives_another_root() {
    let site = Site::new();
    site.record.append("a", 9).await;
    site.relay().await;
    site.copy.tamper(1, Position(4), |event| {
        let text = String::from_utf8(event.leaf.to_vec()).expect("text");
        event.leaf = Arc::from(text.replace(r#""n":3"#, r#""n":8"#).into_bytes());
        event.stated_hash = Some(leaf_hash(&event.leaf));
    });
    let head = site.sign("a").await;
    let mut witness = site.witness();
    let refused = refusal(&mut witness).await;
    assert_eq!((refused.size, refused.theirs), (Some(9), Some(head.root)));
    assert_ne!(refused.ours, refused.theirs);
    let evidence = Note::parse(refused.note.as_deref().expect("kept").as_bytes()).expect("a note");
    assert_eq!(verify_note(&evidence, &site.record.log_key()), Ok(()));
    site.assert_cosigned(&witness, &[]).await;
    let text = refused.to_string();
    for part in ["dagbook.example/t/a/1", "tenant a", "size 9", &head.root.to_hex()] {
        assert!(text.contains(part), "{text}");
    }
}

type Damage = fn(&mut Envelope);

#[tokio::test]
async fn leaves_that_break_a_rule_are_refused() {
    let damages: [(&str, Damage); 6] = [
        ("index in the tenant's log is 9, 4 was expected", |e| e.tenant_sequence = 9),
        ("version in the stream run/2 is 8, 4 was expected", |e| e.version = 8),
        ("of timeline 2, behind", |e| e.timeline = 2),
        ("of timeline 0, behind", |e| e.timeline = 0),
        ("recorded at 7, before the one before it", |e| e.recorded_at.0 = 7),
        ("the leaf says position 50", |e| e.position.0 = 50),
    ];
    for (expected, damage) in damages {
        let site = Site::new();
        site.record.append("a", 8).await;
        site.relay().await;
        site.copy.tamper(1, Position(5), |event| {
            let mut envelope = Envelope::parse(&event.leaf).expect("a leaf");
            damage(&mut envelope);
            rewrite(event, envelope.to_leaf().expect("a leaf"));
        });
        let refused = refusal(&mut site.witness()).await;
        assert!(refused.reason.contains(expected), "{expected}: {refused}");
        assert_eq!(refused.position, Some(5));
    }
    let bodies: [(&str, &[u8]); 3] = [
        ("not an envelope", b"{}"),
        ("not an envelope", b"\xff\xfe"),
        ("has 70000 bytes", &[b' '; 70_000]),
    ];
    for (expected, body) in bodies {
        let site = Site::new();
        site.record.append("a", 3).await;
        site.relay().await;
        site.copy.intrude(1, Some(&tenant("a")), body);
        let refused = refusal(&mut site.witness()).await;
        assert!(refused.reason.contains(expected), "{expected}: {refused}");
        assert_eq!((refused.position, refused.origin), (Some(4), None), "nobody knows whose it is");
    }
}

fn rewrite(event: &mut CopiedEvent, leaf: Vec<u8>) {
    event.leaf = Arc::from(leaf);
    event.stated_hash = Some(leaf_hash(&event.leaf));
}

#[tokio::test]
async fn a_leaf_that_is_not_canonical_or_has_no_hash_is_refused() {
    for (expected, damage) in [
        (
            "the leaf is",
            (|event: &mut CopiedEvent| {
                let mut leaf = event.leaf.to_vec();
                leaf.insert(1, b' ');
                rewrite(event, leaf);
            }) as fn(&mut CopiedEvent),
        ),
        ("no hash stands beside", |event| event.stated_hash = None),
    ] {
        let site = Site::new();
        site.record.append("a", 3).await;
        site.relay().await;
        site.copy.tamper(1, Position(2), damage);
        let refused = refusal(&mut site.witness()).await;
        assert!(refused.reason.contains(expected), "{refused}");
    }
}

#[tokio::test]
async fn a_later_format_is_no_forgery_but_ends_the_witness() {
    let site = Site::new();
    site.record.append("a", 2).await;
    site.relay().await;
    site.copy.tamper(1, Position(2), |event| {
        let text = String::from_utf8(event.leaf.to_vec()).expect("text");
        rewrite(event, text.replace(r#""v":1}"#, r#""v":2}"#).into_bytes());
    });
    let mut witness = site.witness();
    let error = witness.turn().await.expect_err("it cannot go on");
    assert!(matches!(error, WitnessError::TooNew { position: Position(2), .. }), "{error}");
    assert!(witness.refusals().is_empty());
}

#[tokio::test]
async fn a_lost_tail_that_comes_back_is_waited_for() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 20).await;
    site.relay().await;
    let first = site.sign("a").await;
    turn(&mut witness).await;
    site.record.append("a", 10).await;
    site.relay().await;
    turn(&mut witness).await;
    site.copy.lose_tail(1, Position(12));
    let second = site.sign("a").await;
    let status = witness.turn().await.expect("it goes on");
    let problem = status.problem.expect("told");
    assert!(problem.contains("ends at position 12, it was read up to position 30"), "{problem}");
    assert!(witness.refusals().is_empty());
    site.assert_cosigned(&witness, &[&first]).await;
    site.relay().await;
    turn(&mut witness).await;
    site.assert_cosigned(&witness, &[&second]).await;
}

#[tokio::test]
async fn a_lost_tail_that_comes_back_with_other_leaves_is_refused() {
    for restarted in [false, true] {
        let site = Site::new();
        let mut witness = site.witness();
        site.record.append("a", 20).await;
        site.relay().await;
        turn(&mut witness).await;
        // The store and the copy lose the same tail, and go on differently: together they
        // agree, and both differ from what was seen.
        let other = Record::new();
        other.append("a", 25).await;
        site.copy.delete();
        other.relay(&site.copy, 1).await;
        if restarted {
            drop(witness);
            witness = site.witness();
        }
        let signed = Site {
            record: Record { store: Arc::clone(&other.store), ..site.record },
            copy: site.copy.clone(),
            notes: site.notes.clone(),
        };
        let head = signed.sign("a").await;
        let _ = witness.turn().await.expect("it goes on");
        let _ = witness.turn().await.expect("it goes on");
        assert_eq!(witness.refusals().len(), 1, "restarted: {restarted}, {head:?}");
        let refused = &witness.refusals()[0];
        // The last leaf that was read is not there any more, or the next one does not follow.
        let position = if restarted { 20 } else { 21 };
        assert_eq!(refused.position, Some(position), "{refused}");
        assert!(signed.cosigned(witness.verifier()).await.is_empty());
    }
}

#[tokio::test]
async fn a_hole_in_the_copy_is_refused() {
    let site = Site::new();
    site.record.append("a", 5).await;
    site.relay().await;
    // A message that is gone shows as its neighbour's number.
    site.copy.tamper(1, Position(3), |event| event.position = Position(4));
    let mut witness = site.witness();
    let status = witness.turn().await.expect("it goes on");
    assert!(status.problem.is_some_and(|problem| problem.contains("position 3 was expected")));
    assert!(status.cosigned == 0 && status.position == Position(2));
}

#[tokio::test]
async fn a_site_that_signs_two_histories_is_refused() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 8).await;
    site.relay().await;
    let good = site.sign("a").await;
    turn(&mut witness).await;
    // The key is used elsewhere, for another history of five leaves.
    let elsewhere = Record::new();
    std::fs::create_dir_all(elsewhere.folder.path().join("keys")).expect("a folder");
    let key = site.record.folder.path().join("keys/log");
    std::fs::copy(key, elsewhere.folder.path().join("keys/log")).expect("stolen");
    elsewhere.append("a", 5).await;
    let forged = elsewhere.checkpoints().write(&*elsewhere.store, &tenant("a"), 1).await;
    let forged = forged.expect("signed");
    site.show(&forged.checkpoint, &forged.note).await;
    let refused = refusal(&mut witness).await;
    assert_eq!((refused.size, refused.theirs), (Some(5), Some(forged.checkpoint.root)));
    assert_eq!(refused.note, Some(forged.note.encode()));
    site.assert_cosigned(&witness, &[&good]).await;
}

#[tokio::test]
async fn notes_of_strangers_are_not_looked_at() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 3).await;
    site.relay().await;
    let stranger = Record::new();
    stranger.append("a", 3).await;
    let signed = stranger.checkpoints().write(&*stranger.store, &tenant("a"), 1).await;
    let signed = signed.expect("signed");
    site.show(&signed.checkpoint, &signed.note).await;
    let text = Note::new("no head\n").expect("a text");
    for origin in ["dagbook.example/t/a/1", "dagbook.example/t/a/01", "other/t/a/1", "x"] {
        site.notes.post(Board::Signed, origin, SITE, &text).await.expect("posted");
    }
    let status = turn(&mut witness).await;
    // The newest note of each log is what a board keeps.
    assert_eq!((status.ignored, status.waiting, status.refusals.len()), (4, 0, 0));
    // A head under the name of another log.
    site.record.append("b", 1).await;
    site.relay().await;
    let head = site.sign("a").await;
    let signed = site.record.history().latest(&tenant("a")).expect("read").expect("signed");
    let origin = "dagbook.example/t/b/1";
    site.notes.post(Board::Signed, origin, SITE, &signed.note).await.expect("posted");
    let status = turn(&mut witness).await;
    assert_eq!((status.ignored, status.cosigned), (5, 1));
    site.assert_cosigned(&witness, &[&head]).await;
}

#[tokio::test]
async fn a_new_timeline_is_followed_from_its_own_copy() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 8).await;
    site.relay().await;
    let old = site.sign("a").await;
    turn(&mut witness).await;
    site.record.store.begin_timeline(1).await.expect("begun");
    site.record.append("a", 4).await;
    site.relay().await;
    let new = site.sign("a").await;
    let status = turn(&mut witness).await;
    assert_eq!((status.timeline, status.position), (2, Position(12)));
    site.assert_cosigned(&witness, &[&old, &new]).await;
    drop(witness);
    assert_eq!(site.witness().status().borrow().timeline, 2);
}

#[tokio::test]
async fn the_key_of_the_site_is_pinned() {
    let site = Site::new();
    let none = WitnessOptions { log_key: None, ..site.options() };
    let error = site.try_witness(none.clone()).err().expect("refused").to_string();
    assert!(error.contains("must be given at the first start"), "{error}");
    drop(site.witness());
    assert_eq!(site.try_witness(none).expect("pinned").log_key(), &site.record.log_key());
    let other = WitnessOptions { log_key: Some(Record::new().log_key()), ..site.options() };
    let error = site.try_witness(other).err().expect("refused").to_string();
    assert!(error.contains("was pinned at the first start"), "{error}");
    let elsewhere = WitnessOptions { site: Some("elsewhere".into()), ..site.options() };
    assert!(matches!(site.try_witness(elsewhere), Err(WitnessError::Options(_))));
    let first = site.witness();
    let second = site.try_witness(site.options()).err().expect("refused").to_string();
    assert!(second.contains("another witness works in it"), "{second}");
    drop(first);
    std::fs::write(site.witness_folder().join("timeline-1.json"), "{").expect("damaged");
    let error = site.try_witness(site.options()).err().expect("refused").to_string();
    assert!(error.contains("read again from its beginning"), "{error}");
}

#[tokio::test]
async fn a_board_whose_numbers_begin_again_does_not_make_it_deaf() {
    for keep in [0, 9] {
        let site = Site::new();
        let mut witness = site.witness();
        for name in ["a", "b"] {
            for _ in 0..6 {
                site.record.append(name, 2).await;
                site.relay().await;
                site.sign(name).await;
                turn(&mut witness).await;
            }
        }
        site.notes.lose_tail(keep);
        site.record.append("a", 5).await;
        site.relay().await;
        let a = site.sign("a").await;
        let problem = witness.turn().await.expect("it goes on").problem.expect("told");
        assert!(problem.contains("lost notes"), "{problem}");
        turn(&mut witness).await;
        let cosigned = site.cosigned(witness.verifier()).await;
        assert!(cosigned.contains(&a), "{keep}: {cosigned:?}");
    }
}

#[tokio::test]
async fn a_copy_or_a_board_that_does_not_answer_is_asked_again() {
    let site = Site::new();
    let mut witness = site.witness();
    site.record.append("a", 30).await;
    site.relay().await;
    let head = site.sign("a").await;
    site.copy.set_available(false);
    assert!(witness.turn().await.expect("it goes on").problem.is_some());
    site.copy.set_available(true);
    site.copy.inject(CopyFault::LoseAnswer);
    assert!(witness.turn().await.expect("it goes on").problem.is_some());
    site.notes.set_available(false);
    assert!(witness.turn().await.expect("it goes on").problem.is_some());
    site.notes.set_available(true);
    turn(&mut witness).await;
    site.assert_cosigned(&witness, &[&head]).await;
}

#[tokio::test]
async fn a_turn_ends_after_so_many_events_and_judges_what_it_can() {
    let site = Site::new();
    site.record.append("a", 12).await;
    site.relay().await;
    let early = site.sign("a").await;
    site.record.append("a", 23).await;
    site.record.append("b", 1).await;
    site.relay().await;
    let b = site.sign("b").await;
    let options = WitnessOptions { turn_events: 10, ..site.options() };
    let mut witness = site.try_witness(options.clone()).expect("opened");
    let status = turn(&mut witness).await;
    assert_eq!((status.position, status.copy_end), (Position(10), Position(36)));
    site.assert_cosigned(&witness, &[]).await;
    assert_eq!(turn(&mut witness).await.position, Position(20));
    site.assert_cosigned(&witness, &[&early]).await;
    // What was read is kept on the way, not only at the end.
    drop(witness);
    let mut witness = site.try_witness(options).expect("opened");
    assert_eq!(witness.status().borrow().position, Position(20));
    assert_eq!(turn(&mut witness).await.position, Position(30));
    assert_eq!(turn(&mut witness).await.position, Position(36));
    site.assert_cosigned(&witness, &[&early, &b]).await;
}

#[tokio::test(start_paused = true)]
async fn a_witness_that_has_much_to_read_goes_on_at_once_and_stops_in_the_middle_when_asked() {
    let site = Site::new();
    site.record.append("a", 2_000).await;
    site.relay().await;
    let head = site.sign("a").await;
    let hourly = Duration::from_secs(3_600);
    let options = WitnessOptions { turn_events: 10, interval: hourly, ..site.options() };
    let options = WitnessOptions { keep_every: hourly, ..options };
    let mut witness = site.try_witness(options.clone()).expect("opened");
    let mut status = witness.status();
    let (stop, stopped) = watch::channel(false);
    let asking = async {
        status.wait_for(|status| status.position >= Position(100)).await.expect("running");
        stop.send_replace(true);
    };
    let (ran, _) = tokio::join!(witness.run(stopped), asking);
    assert_eq!(ran.expect("it ends"), []);
    let read = witness.status().borrow().position;
    assert!((100..200).contains(&read.0), "{read}");
    drop(witness);
    // Another one goes on there, and does not wait an hour between ten events and the next.
    let mut witness = site.try_witness(options).expect("opened");
    let mut status = witness.status();
    assert_eq!(status.borrow().position, read);
    let begun = tokio::time::Instant::now();
    let (stop, stopped) = watch::channel(false);
    let asking = async {
        status.wait_for(|status| status.cosigned == 1).await.expect("running");
        stop.send_replace(true);
    };
    let (ran, _) = tokio::join!(witness.run(stopped), asking);
    assert_eq!(ran.expect("it ends"), []);
    assert!(begun.elapsed() < hourly, "{:?}", begun.elapsed());
    site.assert_cosigned(&witness, &[&head]).await;
}

#[tokio::test]
async fn run_ends_when_asked_and_tells_whom_it_refuses() {
    let site = Site::new();
    site.record.append("a", 3).await;
    site.relay().await;
    site.copy.tamper(1, Position(2), |event| event.stated_hash = None);
    let (_stop, stopped) = watch::channel(false);
    let options = WitnessOptions { stop_at_refusal: true, ..site.options() };
    let mut witness = site.try_witness(options).expect("opened");
    let refused = witness.run(stopped).await.expect("it ends");
    assert_eq!(refused[0].position, Some(2));
    drop(witness);
    // Otherwise it goes on for the other logs, until it is stopped.
    let mut witness = site.witness();
    let mut status = witness.status();
    let (stop, stopped) = watch::channel(false);
    let running = tokio::spawn(async move { witness.run(stopped).await });
    site.record.append("b", 1).await;
    site.relay().await;
    site.sign("b").await;
    let seen = status.wait_for(|status| status.cosigned == 1);
    tokio::time::timeout(Duration::from_secs(20), seen).await.expect("in time").expect("running");
    stop.send(true).expect("running");
    let ended = tokio::time::timeout(Duration::from_secs(20), running).await.expect("in time");
    assert_eq!(ended.expect("no panic").expect("it ends").len(), 1);
}

#[derive(Debug, Clone)]
enum Step {
    Append(usize, usize),
    Relay,
    Sign(usize),
    Turn,
    Restart,
    LoseTrees,
    LoseTail(u64),
    Fault(usize),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => (0usize..3, 1usize..90).prop_map(|(who, n)| Step::Append(who, n)),
        3 => Just(Step::Relay),
        3 => (0usize..3).prop_map(Step::Sign),
        4 => Just(Step::Turn),
        2 => Just(Step::Restart),
        1 => Just(Step::LoseTrees),
        1 => (1u64..40).prop_map(Step::LoseTail),
        1 => (0usize..4).prop_map(Step::Fault),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]
    /// Whatever happens to a record that nobody forged, nothing is ever refused, only heads that
    /// the record has are co-signed, and in the end the newest of each log is.
    #[test]
    fn an_honest_site_is_always_cosigned_in_the_end(
        steps in proptest::collection::vec(step(), 1..40)
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build();
        runtime.expect("a runtime").block_on(async {
            let site = Site::new();
            let names = ["a", "b", "c"];
            let mut witness = site.witness();
            for step in steps {
                match step {
                    Step::Append(who, n) => site.record.append(names[who], n).await,
                    Step::Relay => { site.copy.calm(); site.relay().await }
                    Step::Sign(who) => {
                        let head = site.record.store.log_head(&tenant(names[who])).await;
                        if head.expect("readable").size > 0 {
                            site.sign(names[who]).await;
                        }
                    }
                    Step::Turn => drop(witness.turn().await.expect("it goes on")),
                    Step::Restart => { drop(witness); witness = site.witness(); }
                    Step::LoseTrees => {
                        drop(witness);
                        let _ = std::fs::remove_file(site.witness_folder().join("timeline-1.json"));
                        witness = site.witness();
                    }
                    Step::LoseTail(n) => {
                        let end = site.copy.events(1).len() as u64;
                        site.copy.lose_tail(1, Position(end.saturating_sub(n)));
                    }
                    Step::Fault(after) => site.copy.inject_after(after, CopyFault::LoseAnswer),
                }
                assert_eq!(witness.refusals(), []);
            }
            site.copy.calm();
            site.relay().await;
            let mut expected = Vec::new();
            for name in names {
                let head = site.record.store.log_head(&tenant(name)).await.expect("readable");
                if head.size > 0 {
                    expected.push(site.sign(name).await);
                }
            }
            turn(&mut witness).await;
            site.assert_cosigned(&witness, &expected.iter().collect::<Vec<_>>()).await;
        });
    }

    /// One changed leaf anywhere below a head is always noticed.
    #[test]
    fn a_forged_leaf_is_never_cosigned(
        appends in proptest::collection::vec((0usize..2, 1usize..40), 1..6),
        place in any::<prop::sample::Index>(),
        with_hash in any::<bool>()
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(async {
            let site = Site::new();
            for (who, n) in appends {
                site.record.append(["a", "b"][who], n).await;
            }
            site.relay().await;
            let events = site.copy.events(1);
            let forged = place.get(&events).position;
            let mut whose = String::new();
            site.copy.tamper(1, forged, |event| {
                let mut envelope = Envelope::parse(&event.leaf).expect("a leaf");
                whose = envelope.tenant.to_string();
                envelope.data = r#"{"n":1000}"#.to_string();
                let leaf = envelope.to_leaf().expect("a leaf");
                match with_hash {
                    true => rewrite(event, leaf),
                    false => event.leaf = Arc::from(leaf),
                }
            });
            let mut witness = site.witness();
            for name in ["a", "b"] {
                let head = site.record.store.log_head(&tenant(name)).await.expect("readable");
                if head.size > 0 {
                    site.sign(name).await;
                }
            }
            let refused = refusal(&mut witness).await;
            assert_eq!(refused.tenant.as_deref(), Some(whose.as_str()));
            let cosigned = site.cosigned(witness.verifier()).await;
            assert!(cosigned.iter().all(|head| !head.origin.contains(&format!("/t/{whose}/"))));
        });
    }
}
