//! The tree and its proofs against `ct-merkle`, published vectors, and broken proofs.

use ct_merkle::mem_backed_tree::MemoryBackedTree;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::tlog::{
    Checkpoint, Frontier, Note, NoteError, Tile, TileLevel, VerifierKey, consistency_proof,
    consistency_proof_over, empty_root, encode_entries, hash_tile, inclusion_proof, leaf_hash,
    parse_entries, root, verify_consistency, verify_inclusion,
};
use proptest::prelude::*;
use sha2::Sha256;

type Oracle = MemoryBackedTree<Sha256, Vec<u8>>;

fn leaves(n: u64) -> Vec<Vec<u8>> {
    (0..n).map(|i| format!("leaf {i}").into_bytes()).collect()
}

fn hashes(n: u64) -> Vec<Sha256Digest> {
    leaves(n).iter().map(|leaf| leaf_hash(leaf)).collect()
}

fn oracle(n: u64) -> Oracle {
    let mut tree = Oracle::new();
    leaves(n).into_iter().for_each(|leaf| tree.push(leaf));
    tree
}

fn joined(proof: &[Sha256Digest]) -> Vec<u8> {
    proof.iter().flat_map(|hash| hash.0).collect()
}

fn hex(bytes: &str) -> Vec<u8> {
    let digit = |at| u8::from_str_radix(&bytes[at..at + 2], 16).expect("hexadecimal");
    (0..bytes.len()).step_by(2).map(digit).collect()
}

#[test]
fn published_roots() {
    // Test vectors of Certificate Transparency: the empty tree and its eight growing trees.
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let roots = [
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
    ];
    assert_eq!(
        empty_root().to_hex(),
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    );
    let hashes: Vec<_> = inputs.iter().map(|input| leaf_hash(&hex(input))).collect();
    let mut frontier = Frontier::new();
    for (size, expected) in (1..).zip(roots) {
        frontier.push(hashes[size - 1]);
        assert_eq!(root(&hashes[..size]).to_hex(), expected);
        assert_eq!(frontier.root().to_hex(), expected);
    }
    // The same vectors' proofs.
    let inclusion = inclusion_proof(5, &hashes).expect("in range");
    let expected = [
        "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(inclusion.iter().map(|h| h.to_hex()).collect::<Vec<_>>(), expected);
    let consistency = consistency_proof(6, &hashes).expect("in range");
    let expected = [
        "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
        "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    ];
    assert_eq!(consistency.iter().map(|h| h.to_hex()).collect::<Vec<_>>(), expected);
}

#[test]
fn every_tree_and_proof_up_to_70_leaves_agrees_with_the_oracle() {
    let mut frontier = Frontier::new();
    for n in 1..=70u64 {
        let (hashes, oracle) = (hashes(n), oracle(n));
        frontier.push(hashes[n as usize - 1]);
        let expected = Sha256Digest(oracle.root().as_bytes()[..].try_into().expect("32 bytes"));
        assert_eq!((root(&hashes), frontier.root()), (expected, expected));
        for index in 0..n {
            let proof = inclusion_proof(index, &hashes).expect("in range");
            let theirs = oracle.prove_inclusion(index as usize);
            assert_eq!(joined(&proof), theirs.as_bytes(), "inclusion of {index} in {n}");
            let leaf = &hashes[index as usize];
            assert_eq!(verify_inclusion(leaf, index, n, &proof, &expected), Ok(()));
        }
        for older in 1..n {
            let proof = consistency_proof(older, &hashes).expect("in range");
            let theirs = oracle.prove_consistency((n - older) as usize);
            assert_eq!(joined(&proof), theirs.as_bytes(), "from {older} to {n}");
            let older_root = root(&hashes[..older as usize]);
            let heads = ((older, &older_root), (n, &expected));
            assert_eq!(verify_consistency(heads.0, heads.1, &proof), Ok(()));
        }
    }
}

/// Whoever has only the frontier of the older tree and the leaves since can prove as much.
#[test]
fn a_frontier_and_the_news_are_enough_for_a_proof() {
    let all = hashes(40);
    for older in 0..=40u64 {
        let mut frontier = Frontier::new();
        all[..older as usize].iter().for_each(|hash| frontier.push(*hash));
        for newer in older..=40 {
            let proof = consistency_proof_over(older, newer, |start, end| match end <= older {
                true => frontier.peak_over(start, end),
                false if start < older => None,
                false => Some(root(&all[start as usize..end as usize])),
            });
            assert_eq!(proof, consistency_proof(older, &all[..newer as usize]));
        }
    }
}

proptest! {
    #[test]
    fn a_proof_that_was_changed_is_refused(
        n in 2u64..40, index in any::<prop::sample::Index>(),
        place in any::<prop::sample::Index>(), bit in 0u8..8, cut in any::<bool>(),
    ) {
        let hashes = hashes(n);
        let tree = root(&hashes);
        let index = index.index(n as usize) as u64;
        let mut proof = inclusion_proof(index, &hashes).expect("in range");
        let leaf = &hashes[index as usize];
        let at = place.index(proof.len());
        if cut { proof.remove(at); } else { proof[at].0[7] ^= 1 << bit; }
        prop_assert!(verify_inclusion(leaf, index, n, &proof, &tree).is_err());

        let older = 1 + index % (n - 1);
        let older_root = root(&hashes[..older as usize]);
        let mut proof = consistency_proof(older, &hashes).expect("in range");
        let at = place.index(proof.len());
        if cut { proof.remove(at); } else { proof[at].0[9] ^= 1 << bit; }
        prop_assert!(verify_consistency((older, &older_root), (n, &tree), &proof).is_err());
    }

    #[test]
    fn a_frontier_survives_its_bytes(n in 0u64..600) {
        let mut frontier = Frontier::new();
        hashes(n).into_iter().for_each(|hash| frontier.push(hash));
        let bytes = frontier.to_bytes();
        prop_assert_eq!(Frontier::from_bytes(n, &bytes), Ok(frontier));
        prop_assert!(Frontier::from_bytes(n + 1, &bytes).is_err() || n.count_ones() == (n + 1).count_ones());
    }
}

#[test]
fn tiles_have_their_paths_and_contents() {
    let path = |level, index, width| Tile { level, index, width }.to_string();
    assert_eq!(path(TileLevel::Hashes(0), 0, 256), "tile/0/000");
    assert_eq!(path(TileLevel::Hashes(2), 1_234_067, 8), "tile/2/x001/x234/067.p/8");
    assert_eq!(path(TileLevel::Entries, 999, 256), "tile/entries/999");
    assert_eq!(path(TileLevel::Entries, 1_000, 1), "tile/entries/x001/000.p/1");
    for tile in Tile::of_log(70_000) {
        assert_eq!(tile.to_string().parse(), Ok(tile));
    }
    for wrong in [
        "tile/0/0",
        "tile/0/001.p/0",
        "tile/0/001.p/256",
        "tile/64/000",
        "tile/0/x000/001",
        "tile/00/001",
        "tile/0/+01",
        "tiles/0/001",
        "tile/0/",
    ] {
        assert!(wrong.parse::<Tile>().is_err(), "{wrong}");
    }
    // 70,000 leaves: 273 full tiles and 112 hashes, one full tile above and 17, and one of 1.
    let counts = |level| Tile::of_log(70_000).into_iter().filter(|t| t.level == level).count();
    assert_eq!(counts(TileLevel::Entries), 274);
    assert_eq!(counts(TileLevel::Hashes(0)), 274);
    assert_eq!(counts(TileLevel::Hashes(1)), 2);
    assert_eq!(counts(TileLevel::Hashes(2)), 1);
    let all = hashes(600);
    let tile = Tile { level: TileLevel::Hashes(1), index: 0, width: 2 };
    let content = hash_tile(&tile, |start, end| root(&all[start as usize..end as usize]));
    assert_eq!(content, joined(&[root(&all[..256]), root(&all[256..512])]));
    assert_eq!(tile.leaves(), (0, 512));
}

#[test]
fn entry_tiles_are_read_back_and_never_past_their_end() {
    let leaves = [b"".as_slice(), b"a", &[7; 61_440]];
    let tile = encode_entries(leaves).expect("they fit");
    assert_eq!(&tile[..5], b"\0\0\0\x01a");
    assert_eq!(parse_entries(&tile).expect("whole"), leaves);
    for cut in [1, 3, 4, tile.len() - 1] {
        let read = parse_entries(&tile[..cut]);
        assert!(read.is_err() || read.is_ok_and(|entries| entries.len() < 3), "cut at {cut}");
    }
    assert!(encode_entries([vec![0; 65_536].as_slice()]).is_err());
}

#[test]
fn checkpoints_have_one_spelling() {
    let checkpoint =
        Checkpoint { origin: "dagbook.local/t/acme/1".into(), size: 7, root: empty_root() };
    let text = "dagbook.local/t/acme/1\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n";
    assert_eq!(checkpoint.to_text(), text);
    assert_eq!(Checkpoint::parse(text), Ok(checkpoint.clone()));
    assert_eq!(Checkpoint::parse(&format!("{text}an extension\n")), Ok(checkpoint));
    for wrong in [
        "",
        "a\n",
        "a\n07\nAA==\n",
        "a\n7\nAA==\n",
        "\n7\n",
        "a\n+7\n",
        "a\n7\n",
        "a\n7\n47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=",
    ] {
        assert!(Checkpoint::parse(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn a_published_note_is_read() {
    // The example of the Go checksum database's key and of golang.org/x/mod/sumdb/note.
    let key =
        VerifierKey::parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
            .expect("a key");
    assert_eq!(key.to_text(), "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW");
    let text = "If you think cryptography is the answer to your problem,\n\
                then you don't know what your problem is.\n";
    let signed = format!(
        "{text}\n\u{2014} PeterNeumann \
         x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"
    );
    let note = Note::parse(signed.as_bytes()).expect("a note");
    assert_eq!(note.text, text);
    assert_eq!(note.encode(), signed);
    assert_eq!(note.signatures[0].key_id, key.id());
    let stranger = VerifierKey::new("EnochRoot", *key.public_key()).expect("a key");
    assert_eq!(
        note.verify(&stranger, |_, _, _| true),
        Err(NoteError::NotSigned("EnochRoot".into()))
    );
    assert_eq!(
        note.verify(&key, |_, _, _| false),
        Err(NoteError::BadSignature("PeterNeumann".into()))
    );
    for wrong in
        ["", "a\n", "a\n\n", "a\n\n\u{2014} x\n", "a\n\n- x AAAAAAA=\n", "a\n\n\u{2014} x AAAAAAA="]
    {
        assert!(Note::parse(wrong.as_bytes()).is_err(), "{wrong:?}");
    }
}
