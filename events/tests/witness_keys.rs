//! Keys of witnesses, cosignatures, policies, the edges of tiles, and proofs that grow.

use std::os::unix::fs::PermissionsExt;

use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::keys::{FileCosigner, FileSigner, verify_note, verify_policy};
use dagbook_events::ports::{SignError, Signer};
use dagbook_events::tlog::{
    Checkpoint, Cosignature, Edge, Extension, Frontier, KeyKind, Note, NoteError, Policy,
    PolicyError, Tile, TileLevel, VerifierKey, consistency_proof, hash_tile, leaf_hash, root,
};
use proptest::prelude::*;
use tempfile::TempDir;

/// Keys of public witnesses, as their operators publish them.
const PUBLISHED: [&str; 4] = [
    "witness.navigli.sunlight.geomys.org+a3e00fe2+BNy/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G",
    "rgdd.se/poc-witness+db03732e+BCjJKlo6BU0xfIb8LutqerIFTWIXEA0L5n3tW3QyPFgG",
    "witness1.smartit.nu/witness1+a48c820f+BPSFWg9G6KPiO7QPryYO5Xq4oYJJ+kAvLKLSimDhoxMO",
    "remora.n621.de+da77ade7+BOvN63jn/bLvkieywe8R6UYAtVtNbZpXh34x7onlmtw2",
];

/// A head of a public log with the cosignature that the first of them gave.
const COSIGNED: &str = "coachandhorses2026h1.staging.certificate.transparency.goog\n\
    185550722\n\
    YXAM0VmnrfvLaBCOOYSJhCaE5F10oGBOo+hkbDa1kng=\n\
    \n\
    \u{2014} witness.navigli.sunlight.geomys.org \
    o+AP4gAAAABqb7DzNrGFRJnQ9vrJ8xpnwZytnr/ZYczDIsvwvouiSjwOjn7a72ccxBk+lKnZ7dKqkYKER1s/KxLTaVwQD7lJZTC/CQ==\n";

#[test]
fn published_keys_of_witnesses_are_read_and_written() {
    for text in PUBLISHED {
        let key = VerifierKey::parse(text).expect("a key");
        assert_eq!((key.kind(), key.to_text().as_str()), (KeyKind::Cosigner, text));
        // The same bytes as a log's key have another id.
        let log = VerifierKey::new(key.name(), *key.public_key()).expect("a key");
        assert_ne!(log.id(), key.id());
        assert_eq!(VerifierKey::parse(&log.to_text()), Ok(log));
    }
    let wrong_id = PUBLISHED[0].replace("a3e00fe2", "a3e00fe3");
    assert_eq!(VerifierKey::parse(&wrong_id), Err(NoteError::Key("the id is not that of the key")));
    // A kind that is not known here: ECDSA, type 2.
    assert!(VerifierKey::parse("a+00000000+Atz/co4C1Hn1p+INwJrfUlgz7W55dSZReusH/GhUhJ/G").is_err());
    assert!(VerifierKey::parse("a+00000000+").is_err());
}

#[test]
fn a_published_cosignature_is_accepted_and_a_changed_head_is_not() {
    let key = VerifierKey::parse(PUBLISHED[0]).expect("a key");
    let note = Note::parse(COSIGNED.as_bytes()).expect("a note");
    assert_eq!(verify_note(&note, &key), Ok(()));
    assert_eq!(note.cosignature(&key).expect("there").time, 1_785_704_691);
    assert_eq!(note.encode(), COSIGNED);
    for (from, to) in [("185550722", "185550723"), ("YXAM0V", "YXAM1V"), ("AABqb7Dz", "AABqb7D0")] {
        let changed = Note::parse(COSIGNED.replacen(from, to, 1).as_bytes()).expect("a note");
        let refused = Err(NoteError::BadSignature(key.name().into()));
        assert_eq!(verify_note(&changed, &key), refused, "{from}");
    }
    // A log's key of the same name is not asked for a cosignature.
    let log = VerifierKey::new(key.name(), *key.public_key()).expect("a key");
    assert_eq!(verify_note(&note, &log), Err(NoteError::NotSigned(key.name().into())));
}

#[test]
fn cosignatures_have_seventy_two_bytes_and_a_time_that_is_possible() {
    let cosigned = Cosignature { time: 1, signature: [7; 64] };
    let bytes = cosigned.to_bytes();
    assert_eq!((bytes.len(), &bytes[..9]), (72, [0, 0, 0, 0, 0, 0, 0, 1, 7].as_slice()));
    assert_eq!(Cosignature::from_bytes(&bytes), Some(cosigned));
    assert_eq!(Cosignature::from_bytes(&bytes[..71]), None);
    let mut late = bytes.clone();
    late[0] = 0x80;
    assert_eq!(Cosignature::from_bytes(&late), None);
}

#[test]
fn notes_without_measure_are_refused() {
    let line = "\u{2014} a AAAAAAA=\n";
    let note = |lines: usize| format!("text\n\n{}", line.repeat(lines));
    assert!(Note::parse(note(64).as_bytes()).is_ok());
    assert!(Note::parse(note(65).as_bytes()).is_err());
    let long = format!("{}\n\n{line}", "a".repeat(256 * 1024));
    assert!(Note::parse(long.as_bytes()).is_err());
}

fn hashes(n: u64) -> Vec<Sha256Digest> {
    (0..n).map(|i| leaf_hash(&i.to_be_bytes())).collect()
}

fn head(origin: &str, leaves: &[Sha256Digest]) -> Checkpoint {
    Checkpoint { origin: origin.into(), size: leaves.len() as u64, root: root(leaves) }
}

#[test]
fn a_cosigner_follows_a_log_and_never_a_fork() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("witness.key");
    let open = || FileCosigner::open(&path, "witness.example/w1").expect("a key");
    let all = hashes(9);
    let first = open();
    let text = head("log", &all[..4]).to_text();
    let cosigned = first.cosign(&text, &[], 1_700_000_000).expect("the first");
    let mut note = Note::new(&text).expect("a text");
    note.cosign_with(first.verifier(), &cosigned);
    assert_eq!(verify_note(&note, first.verifier()), Ok(()));
    // The same again, later: a new time, one line.
    note.cosign_with(first.verifier(), &first.cosign(&text, &[], 1_700_000_060).expect("again"));
    assert_eq!(note.signatures.len(), 1);
    assert_eq!(note.cosignature(first.verifier()).expect("there").time, 1_700_000_060);
    drop(first);
    let second = open();
    assert_eq!(second.last_cosigned("log").expect("known"), Some(head("log", &all[..4])));
    let mut forked = all.clone();
    forked[1] = leaf_hash(b"forged");
    let proof = consistency_proof(4, &forked).expect("in range");
    let refused = second.cosign(&head("log", &forked).to_text(), &proof, 1);
    assert!(matches!(refused, Err(SignError::Inconsistent(_))), "{refused:?}");
    let smaller = second.cosign(&head("log", &all[..3]).to_text(), &[], 1);
    assert!(matches!(smaller, Err(SignError::Inconsistent(_))), "{smaller:?}");
    let proof = consistency_proof(4, &all).expect("in range");
    second.cosign(&head("log", &all).to_text(), &proof, 1).expect("an extension");
}

#[test]
fn keys_of_logs_and_witnesses_are_not_taken_for_each_other() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("key");
    let witness = FileCosigner::open(&path, "name").expect("a key");
    let error = FileSigner::open(&path, "name").err().expect("refused").to_string();
    assert!(error.contains("of its own"), "{error}");
    let mode = std::fs::metadata(&path).expect("there").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let public = std::fs::read_to_string(folder.path().join("key.vkey")).expect("published");
    assert_eq!(VerifierKey::parse(public.trim_end()).as_ref(), Ok(witness.verifier()));
    let log = folder.path().join("log");
    FileSigner::open(&log, "name").expect("a key");
    assert!(FileCosigner::open(&log, "name").is_err());
}

struct Signers {
    _folder: TempDir,
    log: FileSigner,
    witnesses: Vec<FileCosigner>,
}

impl Signers {
    fn new(witnesses: usize) -> Self {
        let folder = TempDir::new().expect("a folder");
        let log = FileSigner::open(folder.path().join("log"), "dagbook.example").expect("a key");
        let witness =
            |i| FileCosigner::open(folder.path().join(format!("w{i}")), &format!("w{i}.example"));
        let witnesses = (0..witnesses).map(|i| witness(i).expect("a key")).collect();
        Self { log, witnesses, _folder: folder }
    }

    /// A head with the cosignatures of some witnesses.
    fn note(&self, by: &[usize]) -> Note {
        let text = head("dagbook.example/t/acme/1", &hashes(3)).to_text();
        let mut note = Note::new(&text).expect("a text");
        note.sign_with(self.log.verifier(), &self.log.sign(text.as_bytes()).expect("signed"));
        for i in by {
            let witness = &self.witnesses[*i];
            note.cosign_with(witness.verifier(), &witness.cosign(&text, &[], 9).expect("signed"));
        }
        note
    }
}

#[test]
fn policies_ask_for_a_log_and_a_quorum() {
    let signers = Signers::new(5);
    let key = |i: usize| signers.witnesses[i].verifier().to_text();
    let text = format!(
        "# two places\n\nlog {} https://dagbook.example/\n\
         witness X1 {}\nwitness X2 {}\n\twitness X3 {}\ngroup X 2 X1 X2 X3\n\
         witness Y1 {}\nwitness Y2 {} https://y2.example\ngroup Y any Y1 Y2\n\
         group both all X Y\nquorum both\n",
        signers.log.verifier().to_text(),
        key(0),
        key(1),
        key(2),
        key(3),
        key(4)
    );
    let policy = Policy::parse(&text).expect("a policy");
    for enough in [vec![0, 1, 3], vec![1, 2, 4], vec![0, 1, 2, 3, 4]] {
        assert_eq!(verify_policy(&signers.note(&enough), &policy), Ok(()), "{enough:?}");
    }
    for few in [vec![], vec![0, 3, 4], vec![0, 1, 2]] {
        let refused = verify_policy(&signers.note(&few), &policy);
        assert!(matches!(refused, Err(PolicyError::Quorum { .. })), "{few:?}");
    }
    // A wrong cosignature is not outweighed by enough right ones.
    let mut broken = signers.note(&[0, 1, 2, 3, 4]);
    broken.signatures[3].signature[20] ^= 1;
    assert!(matches!(verify_policy(&broken, &policy), Err(PolicyError::Note(_))));
    let mut unsigned = signers.note(&[0, 1, 3]);
    unsigned.signatures.remove(0);
    assert_eq!(verify_policy(&unsigned, &policy), Err(PolicyError::NoLog));
    let stranger = Signers::new(0);
    assert_eq!(verify_policy(&stranger.note(&[]), &policy), Err(PolicyError::NoLog));
    let all = Policy::all_of(
        signers.log.verifier().clone(),
        vec![signers.witnesses[0].verifier().clone(), signers.witnesses[1].verifier().clone()],
    );
    assert_eq!(verify_policy(&signers.note(&[0, 1]), &all), Ok(()));
    assert!(verify_policy(&signers.note(&[0]), &all).is_err());
    let none = Policy::all_of(signers.log.verifier().clone(), vec![]);
    assert_eq!(verify_policy(&signers.note(&[]), &none), Ok(()));
}

#[test]
fn policies_with_errors_are_refused_with_their_line() {
    let [a, b, ..] = PUBLISHED;
    let log = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    for (text, line) in [
        ("quorum none".to_string(), 0),
        ("# nothing\n".to_string(), 0),
        ("quorum none\nquorum none\n".to_string(), 2),
        ("quorum X\n".to_string(), 1),
        (format!("log {a}\nquorum none\n"), 1),
        (format!("witness X {log}\nquorum X\n"), 1),
        (format!("log {log}\nlog {log}\nquorum none\n"), 2),
        (format!("witness none {a}\nquorum none\n"), 1),
        (format!("witness X {a}\nwitness X {b}\nquorum X\n"), 2),
        (format!("witness X {a}\nwitness Y {a}\nquorum X\n"), 2),
        (format!("witness X {a}\ngroup G 2 X\nquorum G\n"), 2),
        (format!("witness X {a}\ngroup G 0 X\nquorum G\n"), 2),
        (format!("witness X {a}\ngroup G any\nquorum G\n"), 2),
        (format!("witness X {a}\ngroup G any X\ngroup H any X\nquorum G\n"), 3),
        ("group G any X\nquorum G\n".to_string(), 1),
        (format!("witness X {a} url more\nquorum X\n"), 1),
        ("quorum none\r\n".to_string(), 0),
    ] {
        let refused = Policy::parse(&text).expect_err(&text);
        assert_eq!(refused.line, line, "{text}: {refused}");
    }
    assert!(Policy::parse("quorum none\n").is_ok());
}

/// Full and partial tiles of hashes, as they are defined, from the leaves.
fn tiles(leaves: &[Sha256Digest]) -> Vec<(Tile, Vec<u8>)> {
    let all = Tile::of_log(leaves.len() as u64).into_iter();
    let hashed = all.filter(|tile| tile.level != TileLevel::Entries);
    let range = |start: u64, end: u64| root(&leaves[start as usize..end as usize]);
    hashed.map(|tile| (tile, hash_tile(&tile, range))).collect()
}

fn parsed(bytes: &[u8]) -> Vec<Sha256Digest> {
    bytes.as_chunks::<32>().0.iter().map(|hash| Sha256Digest(*hash)).collect()
}

#[test]
fn the_edge_gives_the_tiles_and_the_frontier_of_every_size() {
    let all = hashes(66_200);
    let mut edge = Edge::new();
    let mut frontier = Frontier::new();
    let mut filled = std::collections::BTreeMap::new();
    for (i, leaf) in all.iter().enumerate() {
        filled.extend(edge.push(*leaf));
        frontier.push(*leaf);
        let size = i + 1;
        if size % 251 == 0 || (size + 2) % 256 < 4 || size > 66_190 {
            assert_eq!(edge.frontier(), frontier, "size {size}");
            let contents: Vec<_> = edge
                .partial_tiles()
                .into_iter()
                .map(|(tile, bytes)| (tile, parsed(&bytes)))
                .collect();
            let read = Edge::from_tiles(size as u64, contents.clone()).expect("an edge");
            assert_eq!(read.frontier(), frontier);
            assert_eq!(Edge::from_tiles(size as u64 + 1, contents), None);
        }
    }
    filled.extend(edge.partial_tiles());
    let expected: std::collections::BTreeMap<_, _> = tiles(&all).into_iter().collect();
    assert!(filled == expected, "tiles differ");
}

proptest! {
    #[test]
    fn a_proof_that_grows_is_the_proof_over_all_leaves(newer in 0u64..900, older in 0u64..900) {
        let all = hashes(newer.max(older));
        let mut frontier = Frontier::new();
        all.iter().take(older as usize).for_each(|leaf| frontier.push(*leaf));
        match Extension::new(frontier, newer) {
            Err(_) => prop_assert!(older > newer),
            Ok(mut extension) => {
                all.iter().skip(older as usize).for_each(|leaf| extension.push(*leaf));
                let expected = consistency_proof(older, &all).expect("in range");
                prop_assert_eq!(extension.proof().expect("complete"), expected);
            }
        }
    }
}
