//! Bundles straight from leaves, with keys of their own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use dagbook_events::billing::PeriodClosed;
use dagbook_events::digest::Sha256Digest;
use dagbook_events::journal::bundle::layout::{self, Extent};
use dagbook_events::journal::bundle::manifest::{
    Control, FileEntry, Head, Kind, LogPart, MANIFEST_FORMAT, Manifest, PeriodPart, RATING,
};
use dagbook_events::journal::bundle::{VERIFY_PROGRAM, VERIFY_TEXT};
use dagbook_events::rating::{Ledger, Options, Statement};
use dagbook_events::time::Timestamp;
use dagbook_events::tlog::{
    Checkpoint, Cosignature, Note, TileLevel, VerifierKey, consistency_proof, cosigned_message,
    encode_entries, hash_tile, leaf_hash, root,
};
use serde_json::Value;

use super::history::History;
use super::large::Files;

pub const TENANT: &str = "acme";
pub const ORIGIN: &str = "books.example/t/acme/2";

/// A key that signs whatever it is given.
pub struct Key {
    pair: Ed25519KeyPair,
    pub verifier: VerifierKey,
}

impl Key {
    pub fn log(seed: u8) -> Self {
        let pair = pair(seed);
        let verifier = VerifierKey::new("books.example", public(&pair)).expect("a name");
        Self { pair, verifier }
    }

    pub fn witness(seed: u8) -> Self {
        let pair = pair(seed);
        let name = format!("witness{seed}.example");
        let verifier = VerifierKey::cosigner(&name, public(&pair)).expect("a name");
        Self { pair, verifier }
    }

    fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.pair.sign(message).as_ref().try_into().expect("64 bytes")
    }

    pub fn signed(&self, text: &str) -> Note {
        let mut note = Note::new(text).expect("a text");
        note.sign_with(&self.verifier, &self.sign(text.as_bytes()));
        note
    }

    fn cosign(&self, note: &mut Note) {
        let time = 1_764_550_000;
        let signature = self.sign(&cosigned_message(time, &note.text));
        note.cosign_with(&self.verifier, &Cosignature { time, signature });
    }
}

fn pair(seed: u8) -> Ed25519KeyPair {
    Ed25519KeyPair::from_seed_unchecked(&[seed; 32]).expect("a seed")
}

fn public(pair: &Ed25519KeyPair) -> [u8; 32] {
    pair.public_key().as_ref().try_into().expect("32 bytes")
}

/// What a bundle is to have.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// None: a history.
    pub period: Option<String>,
    pub first: u64,
    pub start: u64,
    pub witnesses: u8,
}

/// The files of a bundle, which can be changed, sealed again or not, and written.
#[derive(Clone)]
pub struct Bundle {
    pub files: BTreeMap<String, Vec<u8>>,
    pub manifest: Manifest,
    /// Files that were written before.
    written: Vec<FileEntry>,
}

/// The types and data of leaves that are read here.
pub fn data(leaf: &[u8]) -> (String, String, Value) {
    let mut leaf: Value = serde_json::from_slice(leaf).expect("JSON");
    let text = |leaf: &Value, name: &str| leaf[name].as_str().expect("a text").to_string();
    (text(&leaf, "st"), text(&leaf, "ty"), leaf["d"].take())
}

/// The timeline of a leaf.
fn timeline(leaf: &[u8]) -> u64 {
    let leaf: Value = serde_json::from_slice(leaf).expect("JSON");
    leaf["tl"].as_u64().expect("a timeline")
}

/// A ledger that has seen the billing leaves of all of these, and the others below a size, in the
/// timeline of what closes there.
pub fn ledger(leaves: &[Vec<u8>], size: u64, timeline: u64) -> Ledger {
    let log = ORIGIN.rsplit_once('/').expect("an origin").0;
    let origin = format!("{log}/{timeline}");
    let options = Options { tenant: TENANT.into(), origin, ..Options::default() };
    let mut ledger = Ledger::new(options).expect("options");
    for (index, leaf) in (0..).zip(leaves) {
        ledger.foresee(index, leaf).expect("billing that can be read");
    }
    for (index, leaf) in (0..size).zip(leaves) {
        ledger.push(index, leaf).expect("leaves that can be rated");
    }
    ledger
}

impl Bundle {
    /// The bundle of these leaves. Leaves of `billing` before `first` come in earlier tiles.
    pub fn of(leaves: &[Vec<u8>], wanted: &Wanted, key: &Key) -> Self {
        let size = leaves.len() as u64;
        let hashes: Vec<Sha256Digest> = leaves.iter().map(|leaf| leaf_hash(leaf)).collect();
        let head = |size: u64| Head { root: root(&hashes[..size as usize]), size };
        let mut tiles: Vec<u64> = (0..wanted.first)
            .filter(|index| data(&leaves[*index as usize]).0 == "billing")
            .map(|index| index / 256)
            .collect();
        tiles.dedup();
        let log = LogPart {
            end: head(size),
            first: wanted.first,
            origin: ORIGIN.to_string(),
            start: head(wanted.start),
            tiles,
        };
        let manifest = manifest(log);
        let mut this = Self { files: BTreeMap::new(), manifest, written: Vec::new() };
        this.put_tiles(leaves, &hashes);
        this.put_heads(wanted, &hashes, key);
        this.put(layout::RULE, VERIFY_TEXT);
        this.put(layout::PROGRAM, VERIFY_PROGRAM);
        this.manifest.control.events = this.manifest.log.extent().events();
        if let Some(period) = &wanted.period {
            this.put_money(leaves, period);
        }
        this.seal(key);
        this
    }

    /// Writes a bundle of so many attempts to a folder, with its one invoice or without. Returns
    /// how many events it has.
    pub fn write_large(
        folder: &Path,
        seed: u64,
        attempts: u64,
        is_invoice: bool,
        key: &Key,
    ) -> u64 {
        let mut files = History::large_to(seed, attempts, Files::new(folder));
        let hashes = std::mem::take(&mut files.hashes);
        let size = hashes.len() as u64;
        let head = |size: u64| Head { root: root(&hashes[..size as usize]), size };
        let (end, start) = (head(size), head(size / 2));
        let log = LogPart { end, first: 0, origin: ORIGIN.to_string(), start, tiles: Vec::new() };
        let extent: Extent = log.extent();
        for tile in extent.leaf_hash_tiles().chain(extent.upper_tiles()) {
            let range = |start: u64, end: u64| root(&hashes[start as usize..end as usize]);
            files.put(&tile.to_string(), &hash_tile(&tile, range));
        }
        let manifest = manifest(log);
        let mut this = Self { files: BTreeMap::new(), manifest, written: files.listed };
        let wanted = Wanted { period: None, first: 0, start: size / 2, witnesses: 1 };
        this.put_heads(&wanted, &hashes, key);
        this.put(layout::RULE, VERIFY_TEXT);
        this.put(layout::PROGRAM, VERIFY_PROGRAM);
        this.manifest.control.events = size;
        let (_, statement) = files.closed.expect("it was closed");
        if is_invoice {
            this.put_statement(&statement);
            this.put_published(&files.first);
        } else {
            let of_money = |file: &FileEntry| layout::is_of_money(&file.path);
            for file in this.written.extract_if(.., |file| of_money(file)) {
                fs::remove_file(folder.join(file.path)).expect("removed");
            }
        }
        this.seal(key);
        this.write(folder);
        size
    }

    pub fn put(&mut self, path: &str, bytes: impl Into<Vec<u8>>) {
        self.files.insert(path.to_string(), bytes.into());
    }

    fn put_tiles(&mut self, leaves: &[Vec<u8>], hashes: &[Sha256Digest]) {
        let extent: Extent = self.manifest.log.extent();
        for tile in extent.all_tiles() {
            let range = |start: u64, end: u64| root(&hashes[start as usize..end as usize]);
            let (start, end) = tile.leaves();
            let bytes = match tile.level {
                TileLevel::Entries => {
                    let leaves = leaves[start as usize..end as usize].iter();
                    encode_entries(leaves.map(Vec::as_slice)).expect("short leaves")
                }
                TileLevel::Hashes(_) => hash_tile(&tile, range),
            };
            self.files.insert(tile.to_string(), bytes);
        }
    }

    fn put_heads(&mut self, wanted: &Wanted, hashes: &[Sha256Digest], key: &Key) {
        let witnesses: Vec<Key> = (100..100 + wanted.witnesses).map(Key::witness).collect();
        let verifiers: Vec<VerifierKey> =
            witnesses.iter().map(|witness| witness.verifier.clone()).collect();
        self.put(layout::POLICY, layout::policy_text(&key.verifier, &verifiers));
        let text = |head: &Head| {
            let (size, root) = (head.size, head.root);
            Checkpoint { origin: ORIGIN.to_string(), size, root }.to_text()
        };
        let log = self.manifest.log.clone();
        let mut end = key.signed(&text(&log.end));
        for witness in &witnesses {
            witness.cosign(&mut end);
        }
        self.put(layout::CHECKPOINT, end.encode());
        if log.start.size > 0 {
            self.put(layout::START_CHECKPOINT, key.signed(&text(&log.start)).encode());
            let proof = consistency_proof(log.start.size, hashes).expect("an earlier size");
            self.put(layout::CONSISTENCY_PROOF, layout::proof_text(&proof));
        }
    }

    fn put_money(&mut self, leaves: &[Vec<u8>], period: &str) {
        let closing = |leaf: &Vec<u8>| match data(leaf) {
            (_, kind, data) if kind == "period.closed" && data["period"] == period => {
                Some((timeline(leaf), data))
            }
            _ => None,
        };
        let (timeline, closing) = leaves.iter().find_map(closing).expect("it was closed");
        let closing: PeriodClosed = serde_json::from_value(closing).expect("a closing");
        let size = closing.size;
        let statement =
            ledger(leaves, size, timeline).statement(period, size).expect("it can be rated");
        let usage = statement.usage_csv();
        let closed = statement.closing(closing.root, closing.usage).expect("documents");
        self.put(layout::USAGE, usage);
        self.put(layout::LINES, closed.lines_csv);
        self.put(layout::INVOICE, closed.invoice_json);
        self.put_statement(&statement);
        for leaf in &leaves[..size as usize] {
            self.put_published(leaf);
        }
        for leaf in leaves {
            let (_, kind, data) = data(leaf);
            if kind == "credit_note.issued" && data["invoice"] == closing.number.as_str() {
                let text = |name: &str| data[name].as_str().expect("a text").to_string();
                self.put(&layout::credit_note(&text("number")), text("document") + "\n");
            }
        }
    }

    fn put_statement(&mut self, statement: &Statement) {
        let period = statement.period.name.to_string();
        let (start, end) = (statement.period.start, statement.period.end);
        self.manifest.kind = Kind::Invoice;
        self.manifest.period = Some(PeriodPart {
            end: Timestamp(end),
            name: period,
            start: Timestamp(start),
            zone: statement.period.zone.to_string(),
        });
        self.manifest.control = Control {
            currency: Some(statement.period.currency.to_string()),
            events: self.manifest.control.events,
            facts: Some(statement.fact_count),
            lines: Some(statement.lines.len() as u64),
            total_minor: Some(statement.total_minor.to_string()),
        };
    }

    fn put_published(&mut self, leaf: &[u8]) {
        let (_, kind, data) = data(leaf);
        let (member, paths): (_, fn(&str, u32) -> [String; 2]) = match kind.as_str() {
            "rate_card.adopted" => ("card", layout::rate_card),
            "contract.published" => ("contract", layout::contract),
            _ => return,
        };
        let what = &data[member];
        let version = what["version"].as_u64().expect("a version") as u32;
        let [json, yaml] = paths(what["name"].as_str().expect("a name"), version);
        let mut bytes = dagbook_events::canonical::to_vec(what).expect("canonical");
        bytes.push(b'\n');
        self.put(&json, bytes);
        self.put(&yaml, data["source"].as_str().expect("a source"));
    }

    /// Makes the manifest, its sums and its note what they must be.
    pub fn seal(&mut self, key: &Key) {
        let bytes = self.list();
        let note = key.signed(&layout::note_text(&self.manifest.tenant, &bytes)).encode();
        self.put(layout::MANIFEST_NOTE, note);
        self.sum(&bytes);
    }

    /// The same, but for the signature.
    pub fn seal_without_key(&mut self) {
        let bytes = self.list();
        self.sum(&bytes);
    }

    fn list(&mut self) -> Vec<u8> {
        let listed =
            self.files.iter().filter(|(path, _)| !layout::UNLISTED.contains(&path.as_str()));
        let listed = listed.map(|(path, bytes)| FileEntry::of(path, bytes));
        self.manifest.files = listed.chain(self.written.iter().cloned()).collect();
        self.manifest.files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        self.manifest.to_bytes().expect("canonical")
    }

    fn sum(&mut self, bytes: &[u8]) {
        let note = self.files.get(layout::MANIFEST_NOTE).cloned().unwrap_or_default();
        self.put(layout::MANIFEST, bytes);
        self.put(layout::SUMS, layout::sums_text(&self.manifest, bytes, &note));
    }

    pub fn write(&self, folder: &Path) {
        for (path, bytes) in &self.files {
            let path = folder.join(path);
            fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
            fs::write(path, bytes).expect("written");
        }
    }
}

fn manifest(log: LogPart) -> Manifest {
    Manifest {
        control: Control::default(),
        files: Vec::new(),
        format: MANIFEST_FORMAT.to_string(),
        kind: Kind::History,
        log,
        period: None,
        program: "0.1.0".to_string(),
        rating: RATING,
        tenant: TENANT.to_string(),
    }
}
