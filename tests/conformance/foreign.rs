//! What others' tools say of our roots, proofs and signatures: PyPI's pymerkle and openssl.
//! Nothing of ours takes part in their answers.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use async_trait::async_trait;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::keys::{FileCosigner, FileSigner};
use dagbook_events::journal::objects::FsObjects;
use dagbook_events::journal::tiles::{LeafSource, TileWriter};
use dagbook_events::ports::{Objects, ReadError, Signer};
use dagbook_events::tlog::{
    Checkpoint, Edge, Note, VerifierKey, consistency_proof, inclusion_proof, leaf_hash, root,
};
use dagbook_tests::servers::{python, system_program};
use serde_json::{Value, json};
use tempfile::TempDir;

const SIZES: [u64; 26] = [
    1, 2, 3, 4, 5, 6, 7, 8, 9, 11, 15, 16, 17, 23, 31, 32, 33, 64, 65, 100, 127, 128, 129, 255,
    256, 300,
];

fn leaves(count: u64) -> Vec<Vec<u8>> {
    let leaf = |i: u64| match i {
        // An empty leaf, and one that looks like a node.
        3 => Vec::new(),
        4 => [[1].as_slice(), &[7; 64]].concat(),
        _ => format!(r#"{{"leaf":{i}}}"#).into_bytes(),
    };
    (0..count).map(leaf).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn hexes(hashes: &[Sha256Digest]) -> Vec<String> {
    hashes.iter().map(|hash| hash.to_hex()).collect()
}

/// What dagbook says of a log of 300 leaves.
fn computed() -> Value {
    let leaves = leaves(300);
    let all: Vec<Sha256Digest> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
    let upto = |size: u64| &all[..size as usize];
    let mut inclusion = Vec::new();
    let mut consistency = Vec::new();
    for size in SIZES {
        let whole = root(upto(size)).to_hex();
        for index in (0..size).step_by((size as usize / 12).max(1)).chain([size - 1]) {
            let proof = inclusion_proof(index, upto(size)).expect("in range");
            let leaf = all[index as usize].to_hex();
            inclusion.push(json!({
                "index": index, "size": size, "root": whole, "leaf": leaf, "proof": hexes(&proof),
            }));
        }
        for older in SIZES.into_iter().filter(|older| *older <= size) {
            let proof = consistency_proof(older, upto(size)).expect("in range");
            consistency.push(json!({
                "older": older, "newer": size, "proof": hexes(&proof),
                "older_root": root(upto(older)).to_hex(), "newer_root": whole,
            }));
        }
    }
    let roots = (0..=300u64).map(|size| json!({"size": size, "root": root(upto(size)).to_hex()}));
    json!({
        "leaves": leaves.iter().map(|leaf| hex(leaf)).collect::<Vec<_>>(),
        "roots": roots.collect::<Vec<_>>(),
        "inclusion": inclusion,
        "consistency": consistency,
    })
}

fn pymerkle(given: &Value) -> Output {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("conformance/pymerkle_check.py");
    let mut child = Command::new(python())
        .arg(script)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("python");
    let mut stdin = child.stdin.take().expect("piped");
    let text = given.to_string();
    // It may end at the first difference and leave the rest unread.
    let writer = std::thread::spawn(move || drop(stdin.write_all(text.as_bytes())));
    let output = child.wait_with_output().expect("it ends");
    writer.join().expect("no panic");
    output
}

#[test]
fn pymerkle_has_the_same_roots_and_proofs() {
    let given = computed();
    let output = pymerkle(&given);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{said}{errors}");
    let cases = |name: &str| given[name].as_array().expect("cases").len();
    let all = cases("roots") + cases("inclusion") + cases("consistency");
    assert_eq!(said.trim(), format!("checked {all}"));
    assert!(all > 900, "{all} cases");
}

#[test]
fn pymerkle_notices_one_changed_byte_anywhere() {
    let given = computed();
    let flip = |value: &mut Value| {
        let text = value.as_str().expect("hexadecimal").to_string();
        let last = if text.ends_with('0') { "1" } else { "0" };
        *value = Value::String(format!("{}{last}", &text[..text.len() - 1]));
    };
    let places = ["/leaves/200", "/roots/77/root", "/inclusion/100/proof/2", "/inclusion/90/root"];
    for place in
        places.into_iter().chain(["/consistency/200/proof/1", "/consistency/99/older_root"])
    {
        let mut changed = given.clone();
        flip(changed.pointer_mut(place).unwrap_or_else(|| panic!("{place} is there")));
        let output = pymerkle(&changed);
        assert_eq!(output.status.code(), Some(1), "{place}");
    }
}

/// An Ed25519 public key as openssl reads it: the fixed beginning of its DER form (RFC 8410),
/// and the 32 bytes.
fn der(key: &VerifierKey) -> Vec<u8> {
    let head = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
    [head.as_slice(), key.public_key()].concat()
}

fn openssl_accepts(key: &VerifierKey, message: &[u8], signature: &[u8]) -> bool {
    let folder = TempDir::new().expect("a folder");
    let file = |name: &str, bytes: &[u8]| {
        let path = folder.path().join(name);
        std::fs::write(&path, bytes).expect("written");
        path
    };
    let (key, message) = (file("key.der", &der(key)), file("message", message));
    let signature = file("signature", signature);
    let output = Command::new(system_program("openssl"))
        .args(["pkeyutl", "-verify", "-rawin", "-pubin", "-keyform", "DER", "-inkey"])
        .arg(key)
        .arg("-in")
        .arg(message)
        .arg("-sigfile")
        .arg(signature)
        .output()
        .expect("openssl");
    let said = String::from_utf8_lossy(&output.stdout);
    let (good, bad) =
        (said.contains("Verified Successfully"), said.contains("Verification Failure"));
    assert!(good != bad && good == output.status.success(), "{output:?}");
    good
}

/// The bytes of a signature line behind the key id, from the text of the note alone.
fn signature_of(note: &str, name: &str) -> Vec<u8> {
    let line = note.lines().find(|line| line.starts_with(&format!("\u{2014} {name} ")));
    let encoded = line.expect("signed").rsplit(' ').next().expect("three words");
    let mut child = Command::new(system_program("openssl"))
        .args(["base64", "-d", "-A"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("openssl");
    child.stdin.take().expect("piped").write_all(encoded.as_bytes()).expect("written");
    let decoded = child.wait_with_output().expect("it ends").stdout;
    decoded[4..].to_vec()
}

fn changed(bytes: &[u8], at: usize) -> Vec<u8> {
    let mut changed = bytes.to_vec();
    changed[at] ^= 1;
    changed
}

#[test]
fn openssl_accepts_the_signatures_of_logs_and_witnesses_and_nothing_else() {
    let folder = TempDir::new().expect("a folder");
    let log = FileSigner::open(folder.path().join("log"), "dagbook.example").expect("a key");
    let witness = FileCosigner::open(folder.path().join("witness"), "witness.example/w1");
    let witness = witness.expect("a key");
    let all: Vec<_> = leaves(9).iter().map(|leaf| leaf_hash(leaf)).collect();
    let origin = "dagbook.example/t/acme/1".to_string();
    let text = Checkpoint { origin, size: 9, root: root(&all) }.to_text();
    let mut note = Note::new(&text).expect("a text");
    note.sign_with(log.verifier(), &log.sign(text.as_bytes()).expect("signed"));
    let cosigned = witness.cosign(&text, &[], 1_767_225_600).expect("signed");
    note.cosign_with(witness.verifier(), &cosigned);
    let published = note.encode();

    let message = published.split_once("\n\n").expect("a note").0.to_string() + "\n";
    let signature = signature_of(&published, "dagbook.example");
    assert!(openssl_accepts(log.verifier(), message.as_bytes(), &signature));
    assert!(!openssl_accepts(log.verifier(), &changed(message.as_bytes(), 30), &signature));
    assert!(!openssl_accepts(log.verifier(), message.as_bytes(), &changed(&signature, 40)));
    assert!(!openssl_accepts(witness.verifier(), message.as_bytes(), &signature));

    // Eight bytes of time stand before the witness's signature; both go into its message.
    let line = signature_of(&published, "witness.example/w1");
    assert_eq!(line.len(), 72);
    assert_eq!(line[..8], 1_767_225_600u64.to_be_bytes());
    let cosigned = format!("cosignature/v1\ntime 1767225600\n{message}");
    assert!(openssl_accepts(witness.verifier(), cosigned.as_bytes(), &line[8..]));
    let later = cosigned.replace("1767225600", "1767225601");
    assert!(!openssl_accepts(witness.verifier(), later.as_bytes(), &line[8..]));
    assert!(!openssl_accepts(witness.verifier(), message.as_bytes(), &line[8..]));
    assert!(!openssl_accepts(log.verifier(), cosigned.as_bytes(), &line[8..]));
}

/// Key ids are the first bytes of a hash that openssl computes.
#[test]
fn openssl_has_the_same_key_ids() {
    let key = [9u8; 32];
    for (verifier, byte) in [
        (VerifierKey::new("dagbook.example", key).expect("a key"), 1u8),
        (VerifierKey::cosigner("witness.example/w1", key).expect("a key"), 4),
    ] {
        let hashed = [verifier.name().as_bytes(), b"\n", &[byte], &key].concat();
        let mut child = Command::new(system_program("openssl"))
            .args(["dgst", "-sha256", "-binary"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl");
        child.stdin.take().expect("piped").write_all(&hashed).expect("written");
        let digest = child.wait_with_output().expect("it ends").stdout;
        assert_eq!(verifier.id().as_slice(), &digest[..4]);
    }
}

/// The recipes for auditors, as they stand in the documentation.
fn recipes(language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../ops/docs/checkpoints-and-tiles.md");
    let text = std::fs::read_to_string(path).expect("the documentation");
    let start = format!("```{language}\n");
    let blocks = text.split(&start).skip(1);
    blocks.map(|block| block.split("```").next().expect("an end").to_string()).collect()
}

#[tokio::test]
async fn the_recipes_in_the_documentation_work_on_a_published_log() {
    let folder = TempDir::new().expect("a folder");
    let objects: Arc<dyn Objects> =
        Arc::new(FsObjects::open(folder.path().join("public")).expect("a folder"));
    let log = FileSigner::open(folder.path().join("signing.key"), "dagbook.example");
    let log = log.expect("a key");
    let witness = FileCosigner::open(folder.path().join("witness.key"), "witness.example/w1");
    let witness = witness.expect("a key");
    let leaves: Vec<Arc<[u8]>> = leaves(700).into_iter().map(Arc::from).collect();
    let writer = TileWriter::new(Arc::clone(&objects), "t/acme/1");
    let edge = writer.extend(Edge::new(), 700, &Given(leaves)).await.expect("written");
    let origin = "dagbook.example/t/acme/1".to_string();
    let text = Checkpoint { origin, size: 700, root: edge.frontier().root() }.to_text();
    let mut note = Note::new(&text).expect("a text");
    note.sign_with(log.verifier(), &log.sign(text.as_bytes()).expect("signed"));
    let cosigned = witness.cosign(&text, &[], 1_767_225_600).expect("signed");
    note.cosign_with(witness.verifier(), &cosigned);
    writer.publish(&note).await.expect("published");

    let place = folder.path().join("public/t/acme/1");
    for key in ["signing.key.vkey", "witness.key.vkey"] {
        std::fs::copy(folder.path().join(key), place.join(key)).expect("copied");
    }
    let run = |program: &Path, script: &str| {
        let output = Command::new(program).arg("-c").arg(script).current_dir(&place).output();
        output.expect("it ran")
    };
    let shell = format!("set -e\n{}", recipes("sh").join("\n"));
    let output = run(&system_program("bash"), &shell);
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{output:?}");
    assert_eq!(said.matches("Signature Verified Successfully").count(), 2, "{said}");
    assert!(said.contains("2026"), "{said}");
    let script = recipes("python").join("\n");
    let output = run(&python(), &script);
    assert!(output.status.success() && script.contains("assert"), "{output:?}");

    // And they fail where a byte was changed.
    let tile = place.join("tile/entries/001");
    let bytes = std::fs::read(&tile).expect("there");
    std::fs::write(&tile, changed(&bytes, 900)).expect("changed");
    assert!(!run(&python(), &script).status.success());
    let checkpoint = std::fs::read_to_string(place.join("checkpoint")).expect("there");
    std::fs::write(place.join("checkpoint"), checkpoint.replace("\n700\n", "\n701\n"))
        .expect("changed");
    assert!(!run(&system_program("bash"), &shell).status.success());
}

struct Given(Vec<Arc<[u8]>>);

#[async_trait]
impl LeafSource for Given {
    async fn leaves(&self, from: u64, limit: usize) -> Result<Vec<Arc<[u8]>>, ReadError> {
        Ok(self.0.iter().skip(from as usize).take(limit).cloned().collect())
    }
}
